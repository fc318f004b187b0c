//! What a runtime needs to know: counter slots, socket slots, groups, sources.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use sockc_grammar::ast;

use super::compilation::Decision;
use super::costly;
use super::intercepted;
use super::live;
use super::options::{Counters, Job};
use super::passing;
use super::program_names::{reads, shortens, suffixed, takes_in, with_rules};
use super::spliced;
use crate::artifact::{
    Attach, BUILD, Counter, CounterKind, EndPlan, GroupPlan, MANIFEST_VERSION, Made, Manifest,
    Slot, SlotOrigin, SlotOwner, SocketSlots,
};
use crate::chain::Chain;
use crate::hook::Hook;
use crate::location::Location;
use crate::lower::{self, CounterSlots, Maps};
use crate::place::counts_in_send;
use crate::policy::{
    Action, DefaultVerdict, Direction, Family, Feed, GroupId, Listen, Owner, Policy, Queue, Socket,
    SocketId, SocketOrigin, Splice, Spread,
};
use crate::protocol::IpProtocol;
use crate::spread;

/// The number of a slot of the map `counters`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Numbered(u32);
entity_impl!(Numbered);

/// Slots of the maps `counters` and `sockets`.
#[derive(Clone, Debug)]
pub struct Slots {
    counters: Vec<Counter>,
    directions: [CounterSlots; Direction::ALL.len()],
    /// For each group: the slot that counts sockets which could not be taken in.
    pub escaped: SecondaryMap<GroupId, u32>,
    /// For each group whose `default send` refuses: the slot that counts the packets which these may not send.
    pub refused: SecondaryMap<GroupId, Option<u32>>,
    /// For each group whose sockets are readers: the slot that counts those which could not be taken in as that.
    pub unread: SecondaryMap<GroupId, Option<u32>>,
    /// For each splice, in order: the slot that counts what goes to whom the proxy has called; what comes back counts in the
    /// next one.
    pub splices: Vec<u32>,
    /// Slots of the named sockets.
    pub sockets: lower::SocketSlots,
    /// Slots of those whose queues take data.
    pub ends: lower::EndSlots,
    /// How many of them `ends` has.
    pub end_count: u32,
    /// Whether rules count.
    pub kept: Counters,
    /// How many slots `counters` has.
    pub count: u32,
    /// How many slots `sockets` has.
    pub socket_count: u32,
}

impl Slots {
    /// Gives out slots: rules in source order, defaults, malformed packets, groups.
    #[must_use]
    pub fn new(policy: &Policy, chains: &[Chain], decisions: &[Decision], kept: Counters) -> Self {
        let mut counters = PrimaryMap::new();
        let mut rules = SecondaryMap::new();
        for (id, rule) in &policy.rules {
            // What a redirect by a map became counts as one rule.
            rules[id] = match rule.head.filter(|head| *head != id) {
                Some(head) => rules[head],
                None => push(&mut counters, rule_counter(rule)),
            };
            let heads = rule.head.is_none_or(|head| head == id);
            if let Some(kind) = beside(rule).filter(|_| heads) {
                let counter = Counter {
                    kind,
                    log: None,
                    ..rule_counter(rule)
                };
                push(&mut counters, counter);
            }
        }
        let mut directions = Direction::ALL.map(|direction| {
            let default = policy.default_of(direction).map(|line| {
                let verdict = line.verdict.word();
                let taken_in = Hook::leave_alone(direction);
                let counter = Counter {
                    location: line_of(&line.place),
                    log: line.log.as_ref().map(|log| log.text.clone()),
                    counted: !taken_in || counts_in_send(line),
                    ..bare(CounterKind::Default, "", direction, verdict)
                };
                push(&mut counters, counter)
            });
            let malformed = tells_malformed(policy, direction, chains, decisions).then(|| {
                let verdict = match policy.default_of(direction).map(|line| line.verdict) {
                    Some(DefaultVerdict::Drop | DefaultVerdict::Reject) => "drop",
                    Some(DefaultVerdict::Allow) | None => "allow",
                };
                let counter = bare(
                    CounterKind::Malformed,
                    "malformed packets",
                    direction,
                    verdict,
                );
                push(&mut counters, counter)
            });
            CounterSlots {
                rules: rules.clone(),
                default,
                malformed,
                withheld: None,
                lost: None,
            }
        });
        for direction in Direction::ALL {
            let mut of = chains.iter();
            let answers = of
                .any(|chain| chain.hook.direction() == direction && lower::answers(policy, chain));
            directions[direction as usize].withheld = answers.then(|| {
                let text = "answers withheld: beyond the limits of `reject`";
                push(
                    &mut counters,
                    bare(CounterKind::Withheld, text, direction, "drop"),
                )
            });
        }
        for counter in counters.values_mut() {
            counter.counted &= kept == Counters::Kept;
        }
        for direction in Direction::ALL.into_iter().filter(|one| logs(policy, *one)) {
            let text = "records of `log` that found no room";
            let counter = bare(CounterKind::Lost, text, direction, "log");
            directions[direction as usize].lost = Some(push(&mut counters, counter));
        }
        let mut escaped = SecondaryMap::new();
        let mut refused = SecondaryMap::new();
        let decided = with_rules(chains);
        let plain = |group| decided.contains(&group) && !takes_in(chains, group);
        let refuses = policy.default_refuses(Direction::Send);
        let fate = if refuses { "drop" } else { "allow" };
        for (group, data) in policy.groups.iter().filter(|(group, _)| !plain(*group)) {
            let text = format!("sockets of group {} that could not be taken in", data.name);
            let counter = bare(CounterKind::Escaped, text, Direction::Send, fate);
            escaped[group] = push(&mut counters, counter);
            refused[group] = refuses.then(|| {
                let text = format!("packets with data of these sockets of group {}", data.name);
                let counter = bare(CounterKind::Refused, text, Direction::Send, fate);
                push(&mut counters, counter)
            });
        }
        let mut unread = SecondaryMap::new();
        for group in decided.iter().filter(|group| reads(chains, **group)) {
            let name = &policy.groups[*group].name;
            let text =
                format!("sockets of group {name} whose data could not be seen as it arrives");
            let counter = bare(CounterKind::Escaped, text, Direction::Receive, "allow");
            unread[*group] = Some(push(&mut counters, counter));
        }
        let splices = policy.splices.iter().map(|splice| {
            let there = push(&mut counters, splice_counter(splice, kept));
            push(&mut counters, back_counter(policy, splice, kept));
            there
        });
        let splices = splices.collect();
        let (sockets, socket_count) = socket_slots(policy);
        let (ends, end_count) = end_slots(policy);
        let count = counters.next_key().as_u32();
        Self {
            counters: counters.into_iter().map(|(_, counter)| counter).collect(),
            directions,
            escaped,
            refused,
            unread,
            splices,
            sockets,
            ends,
            end_count,
            kept,
            count,
            socket_count,
        }
    }

    /// Whether anything logs.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.directions.iter().any(|one| one.lost.is_some())
    }

    /// The counters of a direction.
    #[must_use]
    pub fn of(&self, direction: Direction) -> &CounterSlots {
        &self.directions[direction as usize]
    }
}

/// Whether a packet hook of a direction tells malformed packets from others. They have a counter of their own only then;
/// else they count as the default.
fn tells_malformed(
    policy: &Policy,
    direction: Direction,
    chains: &[Chain],
    decisions: &[Decision],
) -> bool {
    chains.iter().zip(decisions).any(|(chain, decided)| {
        let hook = chain.hook;
        let (decision, counts) = (&decided.decision, decided.counts.as_ref());
        hook.is_packet()
            && hook.direction() == direction
            && !lower::is_uniform(policy, chain, decision, counts)
    })
}

/// Whether anything of a direction logs.
fn logs(policy: &Policy, direction: Direction) -> bool {
    let mut rules = policy.rules.values();
    let default = policy.default_of(direction);
    rules.any(|rule| rule.direction == direction && rule.log.is_some())
        || default.is_some_and(|line| line.log.is_some())
}

fn push(counters: &mut PrimaryMap<Numbered, Counter>, counter: Counter) -> u32 {
    counters.push(counter).as_u32()
}

/// A counter without a label, of no statement.
fn bare(
    kind: CounterKind,
    text: impl Into<Arc<str>>,
    direction: Direction,
    verdict: &str,
) -> Counter {
    Counter {
        kind,
        label: None,
        location: Location::new("", 0, text),
        direction: direction.word().into(),
        verdict: verdict.into(),
        audit: false,
        log: None,
        counted: true,
    }
}

/// The beginning of a statement's line, with its texts shared.
fn line_of(place: &Location) -> Location {
    Location::new(place.file.clone(), place.line, place.text.clone())
}

fn rule_counter(rule: &crate::policy::Rule) -> Counter {
    Counter {
        kind: CounterKind::Rule,
        label: rule.label.clone(),
        location: line_of(&rule.place),
        direction: rule.direction.word().into(),
        verdict: rule.audit.unwrap_or(rule.action.into()).word().into(),
        audit: rule.audit.is_some(),
        log: rule.log.as_ref().map(|log| log.text.clone()),
        counted: true,
    }
}

fn splice_counter(splice: &Splice, kept: Counters) -> Counter {
    Counter {
        kind: CounterKind::Rule,
        label: splice.label.clone(),
        location: line_of(&splice.place),
        direction: ast::Direction::Receive.word().into(),
        verdict: ast::Verb::Splice.word().into(),
        audit: false,
        log: None,
        counted: kept == Counters::Kept,
    }
}

fn back_counter(policy: &Policy, splice: &Splice, kept: Counters) -> Counter {
    let name = &policy.pairs[splice.pairs].name;
    Counter {
        kind: CounterKind::Back,
        label: None,
        location: Location::new("", 0, format!("what comes back on pairs {name}")),
        ..splice_counter(splice, kept)
    }
}

/// What is counted in the slot after that of a rule: where it did not come to what it says.
fn beside(rule: &crate::policy::Rule) -> Option<CounterKind> {
    match rule.action {
        Action::Shortcut(_) => Some(CounterKind::ByTcp),
        Action::Feed(_) => Some(CounterKind::Absent),
        _ => None,
    }
}

/// The slots of each kind of a name stand in a row; the first is told.
fn socket_slots(policy: &Policy) -> (lower::SocketSlots, u32) {
    let mut slots = SecondaryMap::new();
    let mut next = 0u32;
    for (socket, data) in &policy.sockets {
        slots[socket] = kinds(data)
            .into_iter()
            .map(|(family, protocol, _)| {
                let first = next;
                next += spread::places(data.members);
                (family, protocol, first)
            })
            .collect();
    }
    (slots, next)
}

/// The families and protocols of a named socket, in the order of their first addresses, each with its addresses.
fn kinds(socket: &Socket) -> Vec<(Family, IpProtocol, Vec<Listen>)> {
    let mut kinds: Vec<(Family, IpProtocol, Vec<Listen>)> = Vec::new();
    for listen in addresses(socket) {
        let (family, protocol) = (Family::of(listen.address), listen.protocol);
        let mut known = kinds.iter_mut();
        let known = known.find(|(other, number, _)| (*other, *number) == (family, protocol));
        match known {
            Some((.., addresses)) => addresses.push(listen),
            None => kinds.push((family, protocol, vec![listen])),
        }
    }
    kinds
}

/// The slots of a named socket: where it has several addresses of a kind, its members are dealt out to them in turn.
fn slots_of(socket: &Socket, firsts: &[(Family, IpProtocol, u32)]) -> Vec<Slot> {
    let kinds = kinds(socket).into_iter().zip(firsts);
    let slots = kinds.flat_map(|((.., addresses), &(.., first))| {
        let dealt = addresses.into_iter().cycle();
        (first..first + socket.members)
            .zip(dealt)
            .map(|(index, listen)| Slot {
                index,
                protocol: listen.protocol,
                address: listen.address,
                port: listen.port,
            })
            .collect::<Vec<_>>()
    });
    slots.collect()
}

/// Sockets whose queues take data have one slot each, in a map of their own.
fn end_slots(policy: &Policy) -> (lower::EndSlots, u32) {
    let mut slots = SecondaryMap::new();
    let mut next = 0u32;
    for (socket, _) in policy.sockets.iter().filter(|(_, data)| data.fed) {
        slots[socket] = Some(next);
        next += 1;
    }
    (slots, next)
}

/// The addresses that a named socket's slots are for: those that it declares, else an unspecified one for each family
/// and protocol.
fn addresses(socket: &Socket) -> Vec<Listen> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    match socket.origin.listen() {
        // It does not listen.
        _ if socket.fed => Vec::new(),
        Some(listen) => listen.to_vec(),
        None => any
            .into_iter()
            .flat_map(|address| IpProtocol::WITH_SOCKETS.map(|protocol| (address, protocol)))
            .map(|(address, protocol)| Listen {
                protocol,
                address,
                port: 0,
            })
            .collect(),
    }
}

/// The manifest of a policy.
pub(super) fn manifest(
    policy: &Policy,
    chains: &[Chain],
    slots: Slots,
    maps: &Maps,
    programs: Vec<Attach>,
    job: Job<'_>,
) -> Manifest {
    let target = job.options.target;
    // Without a map of sockets, nothing that would need it is said.
    let steers = maps.sockets.is_some();
    Manifest {
        version: MANIFEST_VERSION,
        policy: policy.name.clone(),
        interfaces: policy.interfaces.clone(),
        programs,
        sockets: policy
            .sockets
            .iter()
            .filter(|_| steers)
            .map(|(socket, data)| named_socket(data, &slots.sockets[socket]))
            .collect(),
        ends: match maps.ends {
            Some(_) => ends(policy, &slots.ends),
            None => Vec::new(),
        },
        intercepts: intercepted::plan(policy),
        passing: passing::plan(policy),
        idle: match steers {
            true => Vec::new(),
            false => idle(policy, &slots.ends),
        },
        groups: with_rules(chains)
            .into_iter()
            .map(|group| {
                let taken_in = takes_in(chains, group);
                let map = |stem, there| match there {
                    true => suffixed(policy, stem, group),
                    false => String::new(),
                };
                GroupPlan {
                    name: policy.groups[group].name.clone(),
                    cgroup: policy.groups[group].cgroup.clone(),
                    peers: map("peers", taken_in),
                    readers: map("readers", reads(chains, group)),
                    next: map("next", reads(chains, group)),
                    storage: map("storage", taken_in),
                    own: map("own", taken_in),
                    ways: map("ways", shortens(chains, group)),
                    bound: map("bound", shortens(chains, group)),
                }
            })
            .collect(),
        pairs: spliced::plans(policy),
        counters: slots.counters,
        classes: live::classes(policy),
        sets: live::sets(policy),
        maps: live::maps(policy),
        out_interfaces: policy.out_interfaces.values().cloned().collect(),
        namespaces: policy.namespaces.values().cloned().collect(),
        // What a list holds stands in the tables.
        sources: job
            .sources
            .iter()
            .filter(|(_, source)| !source.is_list)
            .map(|(_, source)| (source.name.clone(), source.text.clone()))
            .collect(),
        target: target.name.clone(),
        made: Made {
            build: BUILD.into(),
            gotol: target.gotol,
            atomics: target.atomics,
            lookup_interface: target.lookup_interface,
            counters: slots.kept == Counters::Kept,
            costly: costly::those(policy),
        },
    }
}

/// The sockets whose queues take data, and which of their queues do.
fn ends(policy: &Policy, slots: &lower::EndSlots) -> Vec<EndPlan> {
    let feeding = |socket: SocketId, queue: Queue| {
        let rules = policy.rules.values();
        rules.filter(move |rule| rule.action == Action::Feed(Feed { socket, queue }))
    };
    let takes = |socket, queue| feeding(socket, queue).next().is_some();
    let of = |socket, queue, direction: Direction| {
        feeding(socket, queue).any(|rule| rule.direction == direction)
    };
    let fed = policy.sockets.iter();
    let fed = fed.filter_map(|(socket, data)| Some((socket, data, slots[socket]?)));
    fed.map(|(socket, data, index)| EndPlan {
        name: data.name.clone(),
        index,
        input: takes(socket, Queue::Input),
        arrivals: of(socket, Queue::Input, Direction::Receive),
        output: takes(socket, Queue::Output),
        relayed: takes(socket, Queue::Output) && !of(socket, Queue::Output, Direction::Send),
        owner: data.owner.as_ref().map(owner_of),
    })
    .collect()
}

/// The names of those that nothing is steered to and whose queues take nothing.
fn idle(policy: &Policy, slots: &lower::EndSlots) -> Vec<String> {
    let sockets = policy.sockets.iter();
    let idle = sockets.filter(|(socket, _)| slots[*socket].is_none());
    idle.map(|(_, data)| data.name.clone()).collect()
}

fn owner_of(owner: &Owner) -> SlotOwner {
    match owner {
        Owner::Uid(uid) => SlotOwner::Uid(*uid),
        Owner::User(name) => SlotOwner::User(name.clone()),
        Owner::Cgroup(path) => SlotOwner::Cgroup(path.clone()),
    }
}

fn named_socket(
    socket: &crate::policy::Socket,
    slots: &[(Family, IpProtocol, u32)],
) -> SocketSlots {
    SocketSlots {
        name: socket.name.clone(),
        drop_if_absent: socket.drop_if_absent,
        origin: match &socket.origin {
            SocketOrigin::Listen(_) => SlotOrigin::Listen,
            SocketOrigin::Process { pid_file, .. } => SlotOrigin::Process(pid_file.clone()),
            SocketOrigin::Registered => SlotOrigin::Registered,
            SocketOrigin::Systemd { unit, name } => SlotOrigin::Systemd(unit.clone(), name.clone()),
        },
        owner: socket.owner.as_ref().map(owner_of),
        members: socket.members,
        spread_by_source: socket.spread == Spread::BySource,
        pinned: socket.pinned,
        slots: slots_of(socket, slots),
    }
}
