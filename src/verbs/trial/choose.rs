//! One packet for each rule and each default, at the low edge of what is left to it by the rules before.
//!
//! Takes a policy; gives [`Case`]s. The region of each decider is a diagram. It is cut down to what the lab can be made to
//! answer; wishes (a whole packet, a SYN, ordinary addresses) narrow it as long as something is left, so that the packet is
//! one that can be sent and looked at. Not here: sending.

mod narrow;
mod started;

use std::collections::BTreeSet;
use std::net::IpAddr;

use sockc_compiler::chain::sight;
use sockc_compiler::diagram::classify::{Scope, match_diagram, rule_diagram};
use sockc_compiler::diagram::possible::possible;
use sockc_compiler::diagram::{BudgetExceeded, FieldValues, Node, Store, values};
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, World};
use sockc_compiler::field::Field;
use sockc_compiler::hook::Hook;
use sockc_compiler::packet;
use sockc_compiler::passage::Marking;
use sockc_compiler::policy::{
    Action, AddressSet, ClassId, Direction, Family, GroupId, Policy, RuleId, SetId, SetKind,
};
use sockc_compiler::protocol::IpProtocol;

/// A packet or a write to try, and what is around it.
pub(crate) use sockc_compiler::packet::text::Described as Case;

use super::interfaces::Interfaces;
use super::lab_world::LabWorld;
use narrow::Narrowed;
use started::{Free, as_started};

/// The sender's port of the first chosen packet; the next ones count up, so that no two flows are the same.
const FIRST_PORT: u16 = 40_000;
/// The longest packet that the lab's wire takes.
const MAX_LENGTH: u32 = sockc_runtime::lab::MTU;

/// What a region belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A rule, `count` included.
    Rule(RuleId),
    /// What no rule decides.
    Default(Direction),
}

/// The chosen cases, and the owners that none was found for.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// In the order of the policy.
    pub(crate) cases: Vec<Case>,
    /// Shadowed rules, those whose packets cannot be made here, and those for which the search was too short.
    pub(crate) unreached: Vec<Owner>,
}

/// Chooses for every direction of the policy that has rules or a default.
pub(crate) fn choose(policy: &Policy) -> Result<Choice, BudgetExceeded> {
    let mut chooser = Chooser {
        policy,
        classes: Interfaces::of(policy)
            .classes()
            .map(|(class, _)| class)
            .collect(),
        store: Store::of(policy),
        cases: Vec::new(),
        asked: BTreeSet::new(),
        met: BTreeSet::new(),
        port: FIRST_PORT,
    };
    for direction in Direction::of_packets() {
        chooser.packets(direction)?;
    }
    for group in policy.groups.keys() {
        for direction in Direction::all_of_processes() {
            chooser.deeds(direction, group)?;
        }
    }
    // What a redirect by a map became is one rule to whoever wrote it.
    let written = |owner: &Owner| match *owner {
        Owner::Rule(id) => Owner::Rule(policy.rules[id].head.unwrap_or(id)),
        default => default,
    };
    let met: BTreeSet<Owner> = chooser.met.iter().map(written).collect();
    let asked: BTreeSet<Owner> = chooser.asked.iter().map(written).collect();
    Ok(Choice {
        unreached: asked.difference(&met).copied().collect(),
        cases: chooser.cases,
    })
}

struct Chooser<'a> {
    policy: &'a Policy,
    /// Those that the lab has an interface for.
    classes: Vec<ClassId>,
    store: Store,
    cases: Vec<Case>,
    /// Those that a packet was looked for: a rule on what processes do once for each group.
    asked: BTreeSet<Owner>,
    /// Those of them that have one.
    met: BTreeSet<Owner>,
    port: u16,
}

/// Which receiver a packet is to have, where the plainest one's socket is not the one that the packet needs.
#[derive(Clone, Copy, Debug)]
enum Receiver {
    Plainest,
    Another,
}

impl Receiver {
    /// The fields in which receivers that were tried are told from others.
    fn avoided(self, family: Family) -> &'static [Field] {
        match (self, family) {
            (Self::Plainest, _) => &[Field::ToPort],
            (Self::Another, Family::V4) => &[Field::ToPort, Field::To0],
            (Self::Another, Family::V6) => &[Field::ToPort, Field::To3],
        }
    }

    /// How many are tried for each of these fields.
    fn tries(self) -> usize {
        match self {
            Self::Plainest => 1,
            Self::Another => 16,
        }
    }
}

/// What is left to each owner, and the owner's verb.
type Regions = Vec<(Owner, Option<Action>, Node)>;

impl Chooser<'_> {
    fn packets(&mut self, direction: Direction) -> Result<(), BudgetExceeded> {
        for (owner, action, region) in self.regions(direction, None)? {
            let protocols: &[&[u8]] = match action {
                Some(Action::Redirect(_) | Action::Intercept(_)) => &[&[6], &[17]],
                _ => &[&[6, 17, 1, 58, 132]],
            };
            let regions = self.in_the_lab(region)?;
            self.asked.insert(owner);
            for wanted in [Receiver::Plainest, Receiver::Another] {
                for family in [Family::V4, Family::V6] {
                    for protocols in protocols {
                        let kind = (family, *protocols);
                        let case = self.packet(direction, &regions, kind, wanted)?;
                        self.take(owner, case);
                    }
                }
                if self.met.contains(&owner) {
                    break;
                }
            }
            if let Owner::Default(_) = owner {
                let malformed = self.malformed(direction);
                self.cases.extend(malformed);
            }
        }
        Ok(())
    }

    /// A packet that cannot be read, on the first interface there is. No router passes such a one on.
    fn malformed(&self, direction: Direction) -> Option<Case> {
        if direction.passes() {
            return None;
        }
        let event = Event::Packet {
            direction,
            class: *self.classes.first()?,
            packet: Parsed::Malformed,
        };
        Some(Case::plain(event, SocketAnswer::None))
    }

    /// What the processes of a group do, in each family and protocol that a hook meets.
    fn deeds(&mut self, direction: Direction, group: GroupId) -> Result<(), BudgetExceeded> {
        let protocols = Hook::protocols(direction);
        let kinds = [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|family| protocols.iter().map(move |protocol| (family, *protocol)));
        for (owner, _, region) in self.regions(direction, Some(group))? {
            self.asked.insert(owner);
            for (family, protocol) in kinds.clone() {
                let Some(hook) = Hook::meeting(direction, family, protocol) else {
                    continue;
                };
                let region = sight::seen_from(&mut self.store, hook, None, region)?;
                let regions = self.in_the_lab(region)?;
                let case = self.deed((direction, group), &regions, family, protocol)?;
                self.take(owner, case);
            }
        }
        Ok(())
    }

    /// What was found for an owner, if anything was.
    fn take(&mut self, owner: Owner, case: Option<Case>) {
        if let Some(case) = case {
            self.met.insert(owner);
            self.cases.push(case);
        }
    }

    /// What is left of a region in the lab, the plainest surroundings first.
    fn in_the_lab(&mut self, region: Node) -> Result<Vec<Node>, BudgetExceeded> {
        let mut regions = Vec::new();
        for free in Free::ORDER {
            let left = as_started(&mut self.store, self.policy, region, free)?;
            if left != Node::FALSE && !regions.contains(&left) {
                regions.push(left);
            }
        }
        Ok(regions)
    }

    /// For each rule of a list what the deciders before it leave, then what all of them leave to the default.
    fn regions(
        &mut self,
        direction: Direction,
        group: Option<GroupId>,
    ) -> Result<Regions, BudgetExceeded> {
        let scope = Scope { group };
        let marking = Marking::of(&mut self.store, self.policy, direction)?;
        let mut regions = Vec::new();
        let mut undecided = possible(&mut self.store, self.policy, direction)?;
        for (id, rule) in self.policy.rules_of(direction) {
            if !group.is_none_or(|group| rule.action.is_for(group)) {
                continue;
            }
            let matched = if direction.of_processes() {
                match_diagram(&mut self.store, &rule.matches, scope)?
            } else {
                rule_diagram(&mut self.store, id, rule, scope)?
            };
            let matched = marking.arriving(&mut self.store, matched)?;
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

    /// A packet of the first region that has one for which the lab can make what the packet needs.
    fn packet(
        &mut self,
        direction: Direction,
        regions: &[Node],
        kind: (Family, &[u8]),
        wanted: Receiver,
    ) -> Result<Option<Case>, BudgetExceeded> {
        let sockets: &[SocketAnswer] = match direction.passes() {
            // No socket of the machine has anything to do with it.
            true => &[SocketAnswer::None],
            false => &[
                SocketAnswer::None,
                SocketAnswer::Listening,
                SocketAnswer::Established,
            ],
        };
        let ways = self.ways(direction);
        for &region in regions {
            for (classes, socket) in ways
                .iter()
                .flat_map(|way| sockets.iter().map(|socket| (*way, *socket)))
            {
                let region = self.on_the_way(direction, classes, region)?;
                let found = self.at_class((direction, classes), region, kind, (socket, wanted))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The classes of the interfaces that a packet has in the lab: of what passes through, that by which it comes in and that of
    /// another one, by which it leaves.
    fn ways(&self, direction: Direction) -> Vec<[ClassId; 2]> {
        let numbered = || self.classes.iter().enumerate();
        let each = numbered().flat_map(|(first, on)| {
            let others =
                numbered().filter(move |(other, _)| (*other == first) != direction.passes());
            others.map(|(_, leaves)| [*on, *leaves])
        });
        each.collect()
    }

    /// What is left of a region for packets by these interfaces.
    fn on_the_way(
        &mut self,
        direction: Direction,
        [on, leaves]: [ClassId; 2],
        region: Node,
    ) -> Result<Node, BudgetExceeded> {
        let region = self.store.restrict(region, Field::Interface, on.as_u32())?;
        if !direction.passes() {
            return Ok(region);
        }
        let region = self
            .store
            .restrict(region, Field::Leaving, leaves.as_u32())?;
        // The router has taken one, and would have kept what has none left.
        let [low, high] = [1, u32::from(u8::MAX) - 1];
        let there = self
            .store
            .range(Field::Ttl, low, high, Node::TRUE, Node::FALSE)?;
        self.store.and(region, there)
    }

    /// A packet of a region on an interface of this class, if the lab's lookup for it gives this answer. What it gives
    /// depends on the receiver: where another one is wanted, a few are tried.
    fn at_class(
        &mut self,
        (direction, classes): (Direction, [ClassId; 2]),
        region: Node,
        (family, protocols): (Family, &[u8]),
        (socket, wanted): (SocketAnswer, Receiver),
    ) -> Result<Option<Case>, BudgetExceeded> {
        for avoided in wanted.avoided(family) {
            let mut left = region;
            for _ in 0..wanted.tries() {
                let Some(found) = self.narrow(left, family, protocols, socket)? else {
                    break;
                };
                let (header, socket) = values::header_of(&found);
                let event = Event::of_packet(direction, classes, Parsed::Ip(header.clone()));
                let case = self.case(event, socket, &header, &found);
                let world = LabWorld::of(self.policy, &case);
                if direction.passes() || world.answer(direction, &header) == socket {
                    return Ok(Some(case));
                }
                let value = found.get(*avoided);
                let other = self
                    .store
                    .range(*avoided, value, value, Node::FALSE, Node::TRUE)?;
                left = self.store.and(left, other)?;
            }
        }
        Ok(None)
    }

    /// The two ends of what the group's sockets do.
    fn deed(
        &mut self,
        (direction, group): (Direction, GroupId),
        regions: &[Node],
        family: Family,
        protocol: IpProtocol,
    ) -> Result<Option<Case>, BudgetExceeded> {
        let number = protocol.into();
        let is_it = self
            .store
            .range(Field::Protocol, number, number, Node::TRUE, Node::FALSE)?;
        for &region in regions {
            let region = self.store.and(region, is_it)?;
            if let Some(found) = self.narrow(region, family, &[protocol.0], SocketAnswer::None)? {
                let (header, socket) = values::header_of(&found);
                let event = Event::Process {
                    direction,
                    group,
                    header: header.clone(),
                };
                return Ok(Some(self.case(event, socket, &header, &found)));
            }
        }
        Ok(None)
    }

    /// The case that these values speak of.
    fn case(
        &self,
        event: Event,
        socket: SocketAnswer,
        header: &Header,
        found: &FieldValues,
    ) -> Case {
        let mut case = Case::plain(event, socket);
        let looked_up = header.has_socket();
        if looked_up {
            let answers = self
                .policy
                .namespaces
                .keys()
                .map(|netns| (netns, found.socket(Some(netns))));
            case.elsewhere = answers
                .filter(|(_, answer)| *answer != SocketAnswer::None)
                .collect();
        }
        let sockets = self.policy.sockets.iter();
        case.absent = sockets
            .filter(|(id, socket)| {
                !found.is_there(*id) && socket.may_hold(header.family(), header.protocol)
            })
            .map(|(id, _)| id)
            .collect();
        case.members = self.members(&case, header, found);
        case
    }

    /// The live sets that must hold something else than at the start.
    fn members(
        &self,
        started: &Case,
        header: &Header,
        found: &FieldValues,
    ) -> Vec<(SetId, AddressSet)> {
        let world = LabWorld::of(self.policy, started);
        let live = self.policy.sets.iter();
        live.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }))
            .filter_map(|(set, _)| {
                let ends = [
                    (header.to, Field::ToIn(set)),
                    (header.from, Field::FromIn(set)),
                ];
                let inside: Vec<IpAddr> = ends
                    .iter()
                    .filter(|(_, field)| found.get(*field) == 1)
                    .map(|(address, _)| *address)
                    .collect();
                let as_before = ends
                    .iter()
                    .all(|(address, _)| world.member(set, *address) == inside.contains(address));
                (!as_before).then(|| (set, AddressSet::of(inside)))
            })
            .collect()
    }

    /// The plainest packet of the region.
    fn narrow(
        &mut self,
        region: Node,
        family: Family,
        protocols: &[u8],
        socket: SocketAnswer,
    ) -> Result<Option<FieldValues>, BudgetExceeded> {
        let mut left = Narrowed {
            store: &mut self.store,
            region,
        };
        let version = u32::from(family == Family::V6);
        left.must(Field::Family, version, version)?;
        left.must(Field::Socket, socket as u32, socket as u32)?;
        left.wish(Field::Fragment, 0, 0)?;
        left.first_of(Field::Protocol, protocols)?;
        left.plain(self.policy, family)?;
        left.addresses(family)?;
        left.wish(Field::ToPort, 1, u32::from(u16::MAX))?;
        left.wish(Field::FromPort, 1, u32::from(u16::MAX))?;
        left.wish(Field::FromPort, self.port.into(), self.port.into())?;
        left.apart(family)?;
        let Some(found) = left.lowest() else {
            return Ok(None);
        };
        let (header, _) = values::header_of(&found);
        let number = header.protocol.into();
        left.must(Field::Protocol, number, number)?;
        let shortest = packet::shortest_length(family, header.protocol, header.fragment);
        left.must(Field::Length, shortest, packet::longest_length(family))?;
        left.wish(Field::Length, shortest, MAX_LENGTH)?;
        left.wish(Field::Length, shortest, shortest)?;
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        Ok(left.lowest())
    }
}
