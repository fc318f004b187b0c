//! What `decide` says of the packets of a connection, on each interface by which they come, in each world that may be.
//!
//! What is cut as things stand is a [`Cut`]. What is cut only where something is so that is not known, or will be so, is a doubt.
//! Where it is not known whether something is so, both are asked, and it is a cut if it is one either way.

use std::collections::BTreeSet;

use sockc_compiler::coverage;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Decider, Decision, Event, Header, Parsed, SocketAnswer, Verdict};
use sockc_compiler::packet::text::{Described, DescribedWorld, class_of, describe_case};
use sockc_compiler::policy::{
    AddressSet, Condition, Direction, FieldTest, Policy, SocketId, SocketOrigin,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::header_field::HeaderField;
use sockc_runtime::{Arrival, Ends, Reached, answers};

use super::known::{Known, Members};
use super::packets::{Packet, packets, variants};
use super::words;

/// Part of what an SSH connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A new connection.
    New,
    /// The one that is there.
    Established,
    /// That neighbours of IPv6 find each other, without which both are cut.
    Neighbour,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) policy: &'a Policy,
    pub(super) ends: &'a Ends,
    pub(super) reached: &'a Reached,
    pub(super) known: &'a Known,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// What is cut, one for each part as it arrives, and one as it leaves.
    pub(crate) cuts: Vec<Cut>,
    /// What is not known, or may come.
    pub(crate) doubts: Vec<String>,
}

/// A packet that does not get where it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Of what it is.
    pub(crate) part: Part,
    /// Whether it arrives or leaves.
    pub(crate) direction: Direction,
    /// The packet, as `explain` takes it.
    pub(crate) packet: String,
    /// The interface.
    pub(crate) interface: String,
    /// What becomes of it, after "would be": `dropped`.
    pub(crate) fate: String,
    /// What decides so, with its place.
    pub(crate) by: String,
    /// A rule that would let it in.
    pub(crate) remedy: String,
    /// Whether that has to stand ahead of a rule.
    pub(crate) ahead: bool,
}

/// A world, and why it is not the one that is taken for granted.
struct Other {
    described: Described,
    why: Why,
}

/// Why another world is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// It may be the true one.
    Unknown,
    /// It may come.
    Later,
}

/// What becomes of a packet.
enum Fate {
    Passes,
    /// It goes to a named socket of which nobody knows here whose it is.
    Perhaps(String),
    Lost(String),
}

/// Judges.
pub(super) fn judge(asked: &Asked<'_>) -> Found {
    let mut found = Found::default();
    let mut said = BTreeSet::new();
    for (place, way) in asked.reached.ways.iter().enumerate() {
        let on = way.is_ethernet && coverage::is_on(asked.policy, &way.interface);
        // Lookups meet a packet once, by the interface that it is on at last.
        if !on && asked.reached.routed && place > 0 {
            continue;
        }
        for packet in packets(asked.ends, way, &parts(asked)) {
            one(asked, (way, on), &packet, &mut found, &mut said);
        }
    }
    found.cuts.sort_by_key(|cut| (cut.part, cut.direction));
    found.cuts.dedup_by_key(|cut| (cut.part, cut.direction));
    found.doubts.extend(unheard(asked));
    found
}

/// What is asked about. Where nobody listens no policy lets a new connection in.
fn parts(asked: &Asked<'_>) -> Vec<Part> {
    let new = asked.reached.listens(asked.ends).then_some(Part::New);
    let there = asked.reached.connected.then_some(Part::Established);
    let parts = new.into_iter().chain(there).chain([Part::Neighbour]);
    parts.collect()
}

/// What nothing was asked about.
fn unheard(asked: &Asked<'_>) -> Vec<String> {
    let ends = asked.ends;
    let mut doubts = Vec::new();
    if !asked.reached.listens(ends) {
        doubts.push(words::nobody_listens(ends));
    }
    if !asked.reached.routed {
        doubts.push(words::no_route(ends));
    }
    let mut tunnels = asked.reached.ways.iter();
    if let Some(way) = tunnels.find(|way| asked.reached.routed && way.is_tunnel) {
        doubts.push(words::tunnel(ends, &way.interface));
    }
    doubts
}

fn one(
    asked: &Asked<'_>,
    (way, on): (&Arrival, bool),
    packet: &Packet,
    found: &mut Found,
    said: &mut BTreeSet<(Part, String, String)>,
) {
    let event = |header: &Header| {
        let class = class_of(asked.policy, &way.interface);
        let parsed = Parsed::Ip(header.clone());
        coverage::event(on, packet.direction, class, &parsed, packet.socket)
    };
    // On an interface that the policy is not on nobody looks at most packets.
    let Some(here) = event(&packet.header) else {
        return;
    };
    let plain = now(asked, here, packet.socket);
    let (decision, fate) = fate(asked, packet, &plain);
    let others = others(asked, packet, &plain, event);
    let lost: Vec<(&Other, Decision, String)> = others
        .iter()
        .filter_map(|other| match self::fate(asked, packet, &other.described) {
            (decision, Fate::Lost(fate) | Fate::Perhaps(fate)) => Some((other, decision, fate)),
            (_, Fate::Passes) => None,
        })
        .collect();
    let unknown = |why| why == Why::Unknown;
    let is_known = || {
        let lost = lost.iter().filter(|(other, ..)| unknown(other.why)).count();
        lost == others.iter().filter(|other| unknown(other.why)).count()
    };
    let mut doubt = |decision: &Decision, described: &Described, fate: &str, why| {
        let by = words::decider(asked.policy, packet.direction, decision);
        if said.insert((packet.part, by.clone(), fate.to_owned())) {
            let text = describe_case(asked.policy, described).unwrap_or_default();
            let comes = why == Why::Later;
            found
                .doubts
                .push(words::doubt(packet.part, &text, (fate, &by), comes));
        }
    };
    match fate {
        Fate::Lost(fate) if is_known() => {
            found
                .cuts
                .push(cut(asked, (way, packet), (&plain, &decision), fate));
        }
        Fate::Lost(fate) | Fate::Perhaps(fate) => doubt(&decision, &plain, &fate, Why::Unknown),
        Fate::Passes => {
            for (other, decision, fate) in &lost {
                doubt(decision, &other.described, fate, other.why);
            }
        }
    }
}

fn cut(
    asked: &Asked<'_>,
    (way, packet): (&Arrival, &Packet),
    (described, decision): (&Described, &Decision),
    fate: String,
) -> Cut {
    Cut {
        part: packet.part,
        direction: packet.direction,
        packet: describe_case(asked.policy, described).unwrap_or_default(),
        interface: way.interface.clone(),
        fate,
        by: words::decider(asked.policy, packet.direction, decision),
        remedy: words::remedy(asked.policy, asked.ends, (packet.part, packet.direction)),
        ahead: matches!(decision.decider, Decider::Rule(_)),
    }
}

/// The world as it is known.
fn now(asked: &Asked<'_>, event: Event, socket: SocketAnswer) -> Described {
    let mut described = Described::plain(event, socket);
    let known = asked.known;
    for (set, members) in &known.sets {
        if let Members::Read { now, .. } = members {
            described.members.push((*set, now.clone()));
        }
    }
    for (map, entries) in &known.maps {
        if let Some(entries) = entries {
            described.contents.push((*map, entries.clone()));
        }
    }
    for (socket, data) in asked.policy.sockets.iter() {
        let listen = data.origin.listen().unwrap_or_default().iter();
        let mut wanted = listen.filter(|one| one.protocol == IpProtocol::TCP);
        let is_there = |(address, port)| {
            let mut listeners = asked.reached.listeners.iter();
            listeners.any(|one| (one.ip(), one.port()) == (address, port))
        };
        let named = data.origin.listen().is_some();
        if named && !wanted.any(|one| is_there((one.address, one.port))) {
            described.absent.push(socket);
        }
    }
    described
}

/// The other worlds that may be, or may come.
fn others(
    asked: &Asked<'_>,
    packet: &Packet,
    plain: &Described,
    event: impl Fn(&Header) -> Option<Event>,
) -> Vec<Other> {
    let mut others = Vec::new();
    let mut add = |why, change: &dyn Fn(&mut Described)| {
        let mut described = plain.clone();
        change(&mut described);
        others.push(Other { described, why });
    };
    add(Why::Later, &|one| one.rate_exceeded = true);
    for header in variants(&packet.header)
        .into_iter()
        .chain(marked(asked, packet))
    {
        if let Some(event) = event(&header) {
            add(Why::Later, &|one| one.event = event.clone());
        }
    }
    for (set, members) in &asked.known.sets {
        match members {
            Members::Read { now, stay } if now != stay => add(Why::Later, &|one| {
                one.members.retain(|(named, _)| named != set);
                one.members.push((*set, stay.clone()));
            }),
            Members::Read { .. } => {}
            Members::Unread => {
                for all in [AddressSet::default(), AddressSet::any()] {
                    add(Why::Unknown, &|one| one.members.push((*set, all.clone())));
                }
            }
        }
    }
    for (map, entries) in &asked.known.maps {
        if entries.is_none() {
            add(Why::Unknown, &|one| one.contents.push((*map, Vec::new())));
        }
    }
    for (socket, there) in &asked.known.handed {
        if there.is_none() {
            add(Why::Unknown, &|one| one.absent.push(*socket));
        }
    }
    for netns in &asked.known.elsewhere {
        for answer in [SocketAnswer::Listening, SocketAnswer::Established] {
            add(Why::Unknown, &|one| one.elsewhere.push((*netns, answer)));
        }
    }
    others
}

/// The packet with each mark that a rule asks for: others may have set it.
fn marked(asked: &Asked<'_>, packet: &Packet) -> Vec<Header> {
    let mut marks = BTreeSet::new();
    for (_, rule) in asked.policy.rules_of(packet.direction) {
        for condition in &rule.matches.conditions {
            marks_of(condition, &mut marks);
        }
    }
    let marked = marks.into_iter().map(|mark| Header {
        mark,
        ..packet.header.clone()
    });
    marked.collect()
}

fn marks_of(condition: &Condition, marks: &mut BTreeSet<u32>) {
    match condition {
        Condition::No(inner) => marks_of(inner, marks),
        Condition::AnyOf(all) => all.iter().for_each(|one| marks_of(one, marks)),
        Condition::Header {
            field: HeaderField::Mark,
            test,
        } => {
            marks.insert(match test {
                FieldTest::Range { low, .. } => *low,
                FieldTest::Masked { wanted, .. } => *wanted,
            });
        }
        _ => {}
    }
}

fn fate(asked: &Asked<'_>, packet: &Packet, described: &Described) -> (Decision, Fate) {
    let world = DescribedWorld::new(asked.policy, described);
    let decision = decide(asked.policy, &described.event, &world);
    let fate = match decision.verdict {
        Verdict::Allow | Verdict::Shortcut(_) | Verdict::Feed(_) => Fate::Passes,
        Verdict::Drop => Fate::Lost("dropped".to_owned()),
        Verdict::Reject => Fate::Lost("rejected".to_owned()),
        Verdict::Forward(port) => {
            let name = &asked.policy.out_interfaces[port];
            Fate::Lost(format!("sent out of {name}"))
        }
        Verdict::Redirect(socket) => steered(asked, packet, socket),
    };
    (decision, fate)
}

/// What becomes of a connection that a named socket gets.
fn steered(asked: &Asked<'_>, packet: &Packet, socket: SocketId) -> Fate {
    let data = &asked.policy.sockets[socket];
    let fate = format!("handed to `{}`", data.words());
    let SocketOrigin::Listen(listen) = &data.origin else {
        return Fate::Perhaps(fate);
    };
    let is_ipv4 = packet.header.to.is_ipv4();
    let mut mine = listen
        .iter()
        .filter(|one| one.protocol == IpProtocol::TCP && one.address.is_ipv4() == is_ipv4);
    let local = asked.ends.local;
    match mine.all(|one| answers((one.address, one.port).into(), local)) {
        true => Fate::Passes,
        false => Fate::Lost(format!("{fate}, which does not listen at {local}")),
    }
}
