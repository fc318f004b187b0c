//! One packet for each rule and each default, at the low edge of what is left to it by the rules before.
//!
//! Takes a policy; gives [`Case`]s. The region of each decider is a diagram; wishes (a whole packet, a SYN,
//! ordinary addresses) narrow it as long as something is left, so that the packet is one that can be sent and looked at.
//! Not here: sending.

use std::net::IpAddr;

use sockc_compiler::diagram::classify::{Scope, match_diagram, rule_diagram};
use sockc_compiler::diagram::{BudgetExceeded, Node, Store, chain, values};
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer};
use sockc_compiler::field::Field;
use sockc_compiler::hook::Hook;
use sockc_compiler::packet;
use sockc_compiler::policy::{Action, Direction, Family, GroupId, Policy, RuleId};

/// A packet or a write to try, and what is around it.
pub(crate) use sockc_compiler::packet::text::Described as Case;

use super::world::LabWorld;

/// The sender's port of the first chosen packet; the next ones count up, so that no two flows are the same.
const FIRST_PORT: u16 = 40_000;
/// The longest packet that the lab's wire takes.
const LONGEST: u32 = sockc_runtime::lab::MTU;

/// What a region belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A rule, `count` included.
    Rule(RuleId),
    /// What no rule decides.
    Default(Direction),
}

/// The chosen cases, and the owners that no packet of the lab can reach.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// In the order of the policy.
    pub(crate) cases: Vec<Case>,
    /// Shadowed rules, and those whose packets cannot be made here.
    pub(crate) unreached: Vec<Owner>,
}

/// Chooses for every direction of the policy that has rules or a default.
pub(crate) fn choose(policy: &Policy) -> Result<Choice, BudgetExceeded> {
    let mut chooser = Chooser {
        policy,
        world: LabWorld::new(policy),
        store: Store::of(policy),
        choice: Choice::default(),
        port: FIRST_PORT,
    };
    for direction in [Direction::In, Direction::Out] {
        chooser.packets(direction)?;
    }
    for group in policy.groups.keys() {
        chooser.writes(group)?;
    }
    Ok(chooser.choice)
}

struct Chooser<'a> {
    policy: &'a Policy,
    world: LabWorld<'a>,
    store: Store,
    choice: Choice,
    port: u16,
}

/// What is left to each owner, and the owner's verb.
type Regions = Vec<(Owner, Option<Action>, Node)>;

impl Chooser<'_> {
    fn packets(&mut self, direction: Direction) -> Result<(), BudgetExceeded> {
        for (owner, action, region) in self.regions(direction, None)? {
            let protocols: &[&[u8]] = match action {
                Some(Action::Redirect(_)) => &[&[6], &[17]],
                _ => &[&[6, 17, 1, 58, 132]],
            };
            let mut found = false;
            for family in [Family::V4, Family::V6] {
                for protocols in protocols {
                    let case = self.packet(direction, region, family, protocols)?;
                    found |= case.is_some();
                    self.choice.cases.extend(case);
                }
            }
            if !found {
                self.choice.unreached.push(owner);
            }
            if let Owner::Default(_) = owner {
                let packet = Parsed::Malformed;
                let event = Event::Packet {
                    direction,
                    class: Policy::plain_class(),
                    packet,
                };
                self.choice
                    .cases
                    .push(Case::plain(event, SocketAnswer::None));
            }
        }
        Ok(())
    }

    fn writes(&mut self, group: GroupId) -> Result<(), BudgetExceeded> {
        for (owner, _, region) in self.regions(Direction::Send, Some(group))? {
            let mut found = false;
            for family in [Family::V4, Family::V6] {
                let region = chain::seen_from(&mut self.store, Hook::SkMsg, None, region)?;
                let Some((header, _)) = self.narrow(region, family, &[6], SocketAnswer::None)?
                else {
                    continue;
                };
                found = true;
                let event = Event::Send { group, header };
                self.choice
                    .cases
                    .push(Case::plain(event, SocketAnswer::None));
            }
            if !found {
                self.choice.unreached.push(owner);
            }
        }
        Ok(())
    }

    /// For each rule of a list what the deciders before it leave, then what all of them leave to the default.
    fn regions(
        &mut self,
        direction: Direction,
        group: Option<GroupId>,
    ) -> Result<Regions, BudgetExceeded> {
        let scope = Scope { group };
        let mut regions = Vec::new();
        let mut undecided = Node::TRUE;
        for (id, rule) in self.policy.rules_of(direction) {
            if matches!((rule.action, group), (Action::Shortcut(within), Some(group)) if within != group)
            {
                continue;
            }
            let matched = match direction {
                Direction::Send => match_diagram(&mut self.store, &rule.matches, scope)?,
                _ => rule_diagram(&mut self.store, id, rule, scope)?,
            };
            let region = self.store.and(undecided, matched)?;
            regions.push((Owner::Rule(id), Some(rule.action), region));
            if rule.action.decides() {
                let others = self.store.not(matched)?;
                undecided = self.store.and(undecided, others)?;
            }
        }
        if !regions.is_empty() || self.policy.default_of(direction).is_some() {
            regions.push((Owner::Default(direction), None, undecided));
        }
        Ok(regions)
    }

    /// A packet of the region for which the lab can make the socket that the region asks for.
    fn packet(
        &mut self,
        direction: Direction,
        region: Node,
        family: Family,
        protocols: &[u8],
    ) -> Result<Option<Case>, BudgetExceeded> {
        for wanted in [
            SocketAnswer::None,
            SocketAnswer::Listening,
            SocketAnswer::Established,
        ] {
            let found = self.narrow(region, family, protocols, wanted)?;
            let Some((header, socket)) = found else {
                continue;
            };
            if self.world.holding(socket).answer(direction, &header) == socket {
                let packet = Parsed::Ip(header);
                let event = Event::Packet {
                    direction,
                    class: Policy::plain_class(),
                    packet,
                };
                return Ok(Some(Case::plain(event, socket)));
            }
        }
        Ok(None)
    }

    /// The lowest packet of the region that fulfils the wishes.
    fn narrow(
        &mut self,
        region: Node,
        family: Family,
        protocols: &[u8],
        socket: SocketAnswer,
    ) -> Result<Option<(Header, SocketAnswer)>, BudgetExceeded> {
        let mut left = Narrowed {
            store: &mut self.store,
            region,
        };
        let version = u32::from(family == Family::V6);
        left.must(Field::Family, version, version)?;
        left.must(Field::Socket, socket as u32, socket as u32)?;
        left.wish(Field::Fragment, 0, 0)?;
        left.first_of(Field::Protocol, protocols)?;
        left.wish(Field::TcpFlags, 2, 2)?;
        left.addresses(family)?;
        left.wish(Field::ToPort, 1, u32::from(u16::MAX))?;
        left.wish(Field::FromPort, 1, u32::from(u16::MAX))?;
        left.wish(Field::FromPort, self.port.into(), self.port.into())?;
        left.apart(family)?;
        let Some(values) = left.lowest() else {
            return Ok(None);
        };
        let (header, _) = values::header_of(&values);
        let shortest = packet::shortest_length(family, header.protocol, header.part);
        left.must(
            Field::Protocol,
            header.protocol.into(),
            header.protocol.into(),
        )?;
        left.must(Field::Length, shortest, packet::longest_length(family))?;
        left.wish(Field::Length, shortest, LONGEST)?;
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        Ok(left.lowest().map(|values| values::header_of(&values)))
    }
}

/// A region and what has been asked of it.
struct Narrowed<'a> {
    store: &'a mut Store,
    region: Node,
}

impl Narrowed<'_> {
    /// Only this range, even if nothing is left.
    fn must(&mut self, field: Field, low: u32, high: u32) -> Result<(), BudgetExceeded> {
        let range = self
            .store
            .range(field, low, high, Node::TRUE, Node::FALSE)?;
        self.region = self.store.and(self.region, range)?;
        Ok(())
    }

    /// This range if something is left; whether it is.
    fn wish(&mut self, field: Field, low: u32, high: u32) -> Result<bool, BudgetExceeded> {
        let range = self
            .store
            .range(field, low, high, Node::TRUE, Node::FALSE)?;
        self.wish_node(range)
    }

    fn wish_node(&mut self, wish: Node) -> Result<bool, BudgetExceeded> {
        let narrower = self.store.and(self.region, wish)?;
        let possible = narrower != Node::FALSE;
        if possible {
            self.region = narrower;
        }
        Ok(possible)
    }

    /// The first of these values that is possible, if any.
    fn first_of(&mut self, field: Field, values: &[u8]) -> Result<(), BudgetExceeded> {
        for &value in values {
            if self.wish(field, value.into(), value.into())? {
                return Ok(());
            }
        }
        self.wish(field, 0, 0).map(|_| ())
    }

    /// Documentation addresses, or at least ordinary ones, the two ends apart.
    fn addresses(&mut self, family: Family) -> Result<(), BudgetExceeded> {
        for (fields, own) in [(values::TO, TO_WISHES), (values::FROM, FROM_WISHES)] {
            let wishes = own.iter().chain(ORDINARY);
            for (low, high) in wishes.filter_map(|(low, high)| ends(low, high, family)) {
                if self.wish(fields[0], low, high)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Not the same address at both ends, if there is a choice.
    fn apart(&mut self, family: Family) -> Result<(), BudgetExceeded> {
        let Some(values) = self.lowest() else {
            return Ok(());
        };
        let (header, _) = values::header_of(&values);
        if header.from != header.to {
            return Ok(());
        }
        let last = |fields: [Field; 4]| match family {
            Family::V4 => fields[0],
            Family::V6 => fields[3],
        };
        for field in [last(values::TO), last(values::FROM)] {
            let value = values.get(field);
            let other = self
                .store
                .range(field, value, value, Node::FALSE, Node::TRUE)?;
            if self.wish_node(other)? {
                break;
            }
        }
        Ok(())
    }

    fn lowest(&self) -> Option<values::FieldValues> {
        self.store.satisfy(self.region, 1)
    }
}

/// Ranges of addresses, by preference, as first and last address.
type Wishes = &'static [(&'static str, &'static str)];

/// The receiver's first choice.
const TO_WISHES: Wishes = &[
    ("192.0.2.1", "192.0.2.254"),
    ("2001:db8:7::", "2001:db8:7::"),
];
/// The sender's first choice.
const FROM_WISHES: Wishes = &[
    ("198.51.100.1", "198.51.100.254"),
    ("2001:db9::", "2001:db9::"),
];
/// Addresses that a stack takes from a wire without ado.
const ORDINARY: Wishes = &[
    ("1.0.0.1", "126.255.255.254"),
    ("128.0.0.1", "223.255.255.254"),
    ("2000::", "3fff::"),
    ("fc00::", "fdff::"),
];

/// The ends of a wish in the first 32 bits, if it is of this family.
fn ends(low: &str, high: &str, family: Family) -> Option<(u32, u32)> {
    let first = |text: &str| match text.parse().ok()? {
        IpAddr::V4(address) if family == Family::V4 => Some(address.to_bits()),
        IpAddr::V6(address) if family == Family::V6 => u32::try_from(address.to_bits() >> 96).ok(),
        _ => None,
    };
    Some((first(low)?, first(high)?))
}
