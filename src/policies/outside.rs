//! Packets in words that name an interface or zone that the policy is not on, for verbs that are asked about one packet.
//!
//! Takes a packet as it was read; where the policy is not there, turns it into the socket lookup that alone meets it. Not
//! here: what the policy says of that.

use sockc_compiler::coverage;
use sockc_compiler::packet::text::Described;
use sockc_compiler::policy::Policy;
use sockc_grammar::ast::On;

/// Where a packet is that the policy's hooks do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    /// The interface or zone: `eth1`, `zone wan`.
    pub(crate) place: String,
    /// Whether socket lookups meet the packet; else nobody does.
    pub(crate) looked_up: bool,
}

impl Outside {
    /// That the policy is not there, and where it is.
    pub(crate) fn words(&self, policy: &Policy) -> String {
        format!(
            "the policy is not on {}; it holds on {}",
            self.place,
            policy.interfaces.join(", ")
        )
    }
}

/// Whether a packet is outside. If it is and lookups meet it, it becomes one.
///
/// `named` is what stands after `on` and after `to`: what passes through is met where it leaves.
pub(crate) fn take(
    policy: &Policy,
    described: &mut Described,
    [on, leaves]: [Option<&On>; 2],
) -> Option<Outside> {
    let packet = described.event.packet()?;
    let direction = described.event.direction();
    let on = match direction.passes() {
        true => leaves,
        false => on,
    };
    let classes = [described.event.on(), described.event.leaves()];
    let classes = classes.map(|class| class.unwrap_or(Policy::plain_class()));
    let mut outside = beyond(policy, on)?;
    let event = coverage::event(false, direction, classes, packet, described.socket);
    outside.looked_up = event.is_some();
    if let Some(event) = event {
        described.event = event;
    }
    Some(outside)
}

/// The interface or zone that is named, if the policy is not on it: none of its lists meets a packet there.
pub(crate) fn beyond(policy: &Policy, on: Option<&On>) -> Option<Outside> {
    if coverage::is_on_named(policy, on) {
        return None;
    }
    let place = match on? {
        On::Interface(name) => name.value.clone(),
        On::Zone(name) => format!("zone {}", name.value),
    };
    Some(Outside {
        place,
        looked_up: false,
    })
}
