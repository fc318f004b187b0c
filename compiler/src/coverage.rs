//! On which interfaces a policy holds.
//!
//! Takes a policy; gives which interfaces, zones and classes its packet programs may hang on. A policy that names none
//! may be on any: `apply --interface` says. On others only socket lookups meet what arrives, and nothing meets what
//! leaves. Not here: which interfaces a machine has.

use sockc_grammar::ast::On;

use crate::event::{Decider, Decision, Event, Header, Parsed, SocketAnswer, Verdict};
use crate::glob;
use crate::packet::text::class_of;
use crate::policy::{ClassId, Direction, Hook, Policy, ZoneId};
use crate::resolve::globs::combinations;

/// Whether a policy is on the interface of this name.
#[must_use]
pub fn is_on(policy: &Policy, interface: &str) -> bool {
    let mut patterns = policy.interfaces.iter();
    policy.interfaces.is_empty() || patterns.any(|pattern| glob::matches(pattern, interface))
}

/// Whether a policy is on the interface, or on one of the zone, that a packet in words names; it is where none is named.
#[must_use]
pub fn is_on_named(policy: &Policy, on: Option<&On>) -> bool {
    match on {
        None => true,
        Some(On::Interface(name)) => is_on(policy, &name.value),
        Some(On::Zone(name)) => {
            let mut zones = policy.zones.iter();
            let zone = zones.find(|(_, zone)| zone.name == name.value);
            zone.is_none_or(|(zone, _)| Coverage::of(policy).covers_zone(policy, zone))
        }
    }
}

/// The classes of interfaces that a policy holds on.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    /// For each class, an interface of the policy that is of it; `None` where every class may have one.
    covered: Option<Vec<(ClassId, String)>>,
}

impl Coverage {
    /// That of a policy. The plain class is always among the covered ones: whoever says nothing of the interface speaks of
    /// one that the policy is on.
    #[must_use]
    pub(crate) fn of(policy: &Policy) -> Self {
        if policy.interfaces.is_empty() {
            return Self { covered: None };
        }
        let zones = policy.zones.values().flat_map(|zone| &zone.patterns);
        let classes = policy.classes.values().flat_map(|class| &class.patterns);
        let named = policy.interfaces.iter().chain(zones).chain(classes);
        let mut patterns: Vec<&str> = named.map(String::as_str).collect();
        patterns.sort_unstable();
        patterns.dedup();
        // Too many patterns to tell: every class may have one.
        let covered = combinations(&patterns).map(|found| {
            let names = found.into_values().filter(|name| is_on(policy, name));
            names.map(|name| (class_of(policy, &name), name)).collect()
        });
        Self { covered }
    }

    /// Whether an interface of the policy may be of this class.
    #[must_use]
    pub(crate) fn covers(&self, class: ClassId) -> bool {
        let Some(covered) = &self.covered else {
            return true;
        };
        class == Policy::plain_class() || covered.iter().any(|(one, _)| *one == class)
    }

    /// The numbers of these classes, as the ranges of a field.
    #[must_use]
    pub(crate) fn numbers(&self, policy: &Policy) -> Vec<(u32, u32)> {
        let covered = policy.classes.keys().filter(|class| self.covers(*class));
        covered
            .map(|class| (class.as_u32(), class.as_u32()))
            .collect()
    }

    /// Whether an interface of the policy may be in this zone.
    #[must_use]
    pub(crate) fn covers_zone(&self, policy: &Policy, zone: ZoneId) -> bool {
        let mut classes = policy.classes.iter();
        let Some(covered) = &self.covered else {
            return true;
        };
        classes.any(|(id, class)| {
            class.zone == Some(zone) && covered.iter().any(|(one, _)| *one == id)
        })
    }
}

/// What a policy is asked about a packet, by the classes of its interfaces ([`Event::of_packet`]) and whether the policy is on the one
/// that it would be decided on: on others only
/// socket lookups meet what arrives, and nothing of it (`None`) what leaves or what is no new flow.
#[must_use]
pub fn event(
    on: bool,
    direction: Direction,
    classes: [ClassId; 2],
    packet: &Parsed,
    socket: SocketAnswer,
) -> Option<Event> {
    match (on, direction, packet) {
        (true, ..) => Some(Event::of_packet(direction, classes, packet.clone())),
        (false, Direction::In, Parsed::Ip(header)) if header.is_looked_up(socket) => {
            Some(lookup(classes[0], header))
        }
        (false, ..) => None,
    }
}

fn lookup(class: ClassId, header: &Header) -> Event {
    Event::Lookup {
        class,
        header: header.clone(),
    }
}

/// What a packet meets next that a redirect sends out of an interface: from TC the lists of the policy there, if it is on that. The
/// kernel asks the programs of what leaves about it, and it still is what came in where it arrived (`skb_iif`), so it passes through.
/// From XDP it leaves without meeting any.
#[must_use]
pub fn redirected(policy: &Policy, event: &Event, decision: &Decision) -> Option<Event> {
    let (
        Event::Packet {
            direction,
            class,
            packet,
        },
        Verdict::Forward(port),
        Decider::Rule(rule),
    ) = (event, decision.verdict, decision.decider)
    else {
        return None;
    };
    let name = &policy.out_interfaces[port];
    if policy.rules[rule].at == Some(Hook::PAST_LEAVING) || !is_on(policy, name) {
        return None;
    }
    let leaves = class_of(policy, name);
    let passes = *direction == Direction::In && policy.lead_through(*class, leaves);
    let met = match passes && policy.has_list(Direction::Forward) {
        true => Direction::Forward,
        false => Direction::Out,
    };
    let on = if met.passes() { *class } else { leaves };
    let event = || Event::of_packet(met, [on, leaves], packet.clone());
    policy.has_list(met).then(event)
}
