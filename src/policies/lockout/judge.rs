//! What `decide` says of the packets of a connection, on each interface by which they come, in each world that may be.
//!
//! What is cut as things stand is a [`Cut`]. What is cut only where something is so that is not known, or will be so, is a doubt.
//! Where it is not known whether something is so, both are asked, and it is a cut if it is one either way.

use std::collections::BTreeSet;
use std::mem;
use std::net::SocketAddr;

use sockc_compiler::coverage;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Decider, Decision, Event, Header, Parsed, SocketAnswer, Verdict};
use sockc_compiler::header_field::row;
use sockc_compiler::packet::text::{Described, DescribedWorld, class_of, describe_case};
use sockc_compiler::policy::{
    AddressSet, ClassId, Condition, Direction, FieldTest, Listen, Policy, SocketId, SocketOrigin,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::header_field::HeaderField;
use sockc_runtime::{Arrival, Ends, Listener, Reached, answers};

use super::known::{Known, Members};
use super::packets::{Packet, joined, packets, variants};
use super::{ways, words};

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

impl Found {
    /// What is cut that was not before. What nobody knows was not known before either.
    pub(super) fn besides(self, before: &Self) -> Self {
        let was = |cut: &Cut| {
            let mut cuts = before.cuts.iter();
            cuts.any(|one| (one.part, one.direction) == (cut.part, cut.direction))
        };
        Self {
            cuts: self.cuts.into_iter().filter(|cut| !was(cut)).collect(),
            doubts: Vec::new(),
        }
    }
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

/// So many hardware addresses that rules ask for are asked about. Where they ask for more, that it is not known which one a frame has
/// is said.
const FRAMES: usize = 64;

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
    /// Packets may be so: how far they have come, their class, their mark.
    Header,
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

/// What is found on one interface, and what was said before.
#[derive(Default)]
struct Heard {
    cuts: Vec<Cut>,
    doubts: Vec<String>,
    said: BTreeSet<(Part, String, String)>,
    /// Whether a new connection is handed to a named socket.
    handed: bool,
}

/// Judges.
pub(super) fn judge(asked: &Asked<'_>) -> Found {
    let mut heard = Heard::default();
    let mut lost = Vec::new();
    for (place, way) in asked.reached.ways.iter().enumerate() {
        let wanted = &asked.policy.interfaces;
        let known = asked.reached.known_as(way, wanted);
        let on = way.is_ethernet && coverage::is_on(asked.policy, &known);
        // Lookups meet a packet once, by the interface that it is on at last.
        if on || !asked.reached.routed || place == 0 {
            let class = class_of(asked.policy, &known);
            for mut packet in packets(asked.ends, way, &parts(asked)) {
                if !asked.policy.asks_for_frames() {
                    packet.header = packet.header.without_frame();
                }
                one(asked, (way, on, class), &packet, &mut heard);
            }
        }
        lost.push(mem::take(&mut heard.cuts));
    }
    let cuts = on_every_way(asked, &lost, &mut heard);
    heard.doubts.extend(unheard(asked, heard.handed));
    Found {
        cuts,
        doubts: heard.doubts,
    }
}

/// What is cut on every way, one for each part as it arrives, and one as it leaves. What is cut on some of them only is a doubt.
fn on_every_way(asked: &Asked<'_>, lost: &[Vec<Cut>], heard: &mut Heard) -> Vec<Cut> {
    let ways = &asked.reached.ways;
    let mut cuts: Vec<Cut> = Vec::new();
    for end in ways::ends(ways) {
        for part in [Part::New, Part::Established, Part::Neighbour] {
            let of_part = |place: usize| lost[place].iter().filter(move |cut| cut.part == part);
            let found = ways::all_of(ways, end).into_iter().flat_map(of_part);
            if ways::everywhere(ways, end, &|place| of_part(place).next().is_some()) {
                for cut in found {
                    let same = |other: &Cut| (other.part, other.direction) == (part, cut.direction);
                    if !cuts.iter().any(same) {
                        cuts.push(cut.clone());
                    }
                }
                continue;
            }
            for cut in found {
                if heard.said.insert((part, cut.by.clone(), cut.fate.clone())) {
                    heard.doubts.push(words::by_another(cut));
                }
            }
        }
    }
    cuts.sort_by_key(|cut| (cut.part, cut.direction));
    cuts
}

/// What is asked about.
fn parts(asked: &Asked<'_>) -> Vec<Part> {
    let there = asked.reached.connected.then_some(Part::Established);
    let parts = [Part::New].into_iter().chain(there);
    parts.chain([Part::Neighbour]).collect()
}

/// What nothing was asked about.
fn unheard(asked: &Asked<'_>, handed: bool) -> Vec<String> {
    let (ends, reached) = (asked.ends, asked.reached);
    let ways = &reached.ways;
    let mut doubts = Vec::new();
    if !reached.listens(ends) && !handed {
        doubts.push(words::nobody_listens(ends));
    }
    if !reached.routed {
        doubts.push(words::no_route(ends));
    }
    if reached.from_here {
        doubts.push(words::from_here(ends));
    }
    let is_known = |way: &Arrival| way.frame.iter().all(Option::is_some);
    if asks_for_many(asked) && !ways.iter().all(is_known) {
        doubts.push(words::unknown_frames(ends));
    }
    let in_tunnels = |place: usize| ways[place].is_tunnel;
    let comes_by = |end: &usize| ways::everywhere(ways, *end, &in_tunnels);
    if let Some(end) = ways::ends(ways).find(|end| reached.routed && comes_by(end)) {
        let all = ways::all_of(ways, end).into_iter();
        let tunnel = all.map(|place| &ways[place]).find(|way| way.is_tunnel);
        doubts.extend(tunnel.map(|way| words::tunnel(ends, &way.interface)));
    }
    doubts
}

/// The socket that the kernel finds for a packet: where nobody listens, none.
fn socket_of(asked: &Asked<'_>, packet: &Packet) -> SocketAnswer {
    match packet.socket {
        SocketAnswer::Listening if !asked.reached.listens(asked.ends) => SocketAnswer::None,
        socket => socket,
    }
}

fn one(
    asked: &Asked<'_>,
    (way, on, class): (&Arrival, bool, ClassId),
    packet: &Packet,
    heard: &mut Heard,
) {
    let socket = socket_of(asked, packet);
    let event = |header: &Header| {
        let parsed = Parsed::Ip(header.clone());
        coverage::event(on, packet.direction, [class; 2], &parsed, socket)
    };
    // On an interface that the policy is not on nobody looks at most packets.
    let Some(here) = event(&packet.header) else {
        return;
    };
    let plain = now(asked, here, socket);
    let (decision, fate) = fate(asked, packet, &plain);
    let steered = matches!(decision.verdict, Verdict::Redirect(_));
    heard.handed |= packet.part == Part::New && steered;
    let others = others(asked, (way, packet), &plain, event);
    let (lost, passes): (Vec<_>, Vec<_>) = others
        .iter()
        .map(|other| (other, self::fate(asked, packet, &other.described)))
        .partition(|(_, (_, fate))| !matches!(fate, Fate::Passes));
    let mut doubt = |decision: &Decision, described: &Described, fate: &str, why, otherwise| {
        let by = words::decider(asked.policy, packet.direction, decision);
        if heard
            .said
            .insert((packet.part, by.clone(), fate.to_owned()))
        {
            let text = described_as(asked, described);
            let said = words::doubt(packet.part, &text, (fate, &by), why != Why::Unknown);
            let otherwise =
                Option::map(otherwise, |one| words::otherwise(&described_as(asked, one)));
            heard.doubts.push(said + &otherwise.unwrap_or_default());
        }
    };
    // What passes only later, or in parts, does not now.
    let mut unless = passes.iter().filter(|(other, _)| other.why != Why::Later);
    match fate {
        Fate::Passes => {
            for (other, (decision, fate)) in &lost {
                if let Fate::Lost(fate) | Fate::Perhaps(fate) = fate {
                    doubt(decision, &other.described, fate, other.why, None);
                }
            }
        }
        Fate::Lost(fate) => match unless.next() {
            None => {
                let cut = cut(asked, (way, packet), (&plain, &decision), fate);
                heard.cuts.push(cut);
            }
            Some((other, _)) => {
                let otherwise = Some(&other.described).filter(|_| other.why == Why::Header);
                doubt(&decision, &plain, &fate, Why::Unknown, otherwise);
            }
        },
        Fate::Perhaps(fate) => doubt(&decision, &plain, &fate, Why::Unknown, None),
    }
}

fn described_as(asked: &Asked<'_>, described: &Described) -> String {
    describe_case(asked.policy, described).unwrap_or_default()
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
        packet: described_as(asked, described),
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
    for socket in asked.policy.sockets.keys() {
        if listeners(asked, socket).is_some_and(|mut all| all.next().is_none()) {
            described.absent.push(socket);
        }
    }
    described
}

/// Who listens at the addresses of a named socket, of those of the connection's family; `None` where it names none.
fn listeners<'a>(
    asked: &Asked<'a>,
    socket: SocketId,
) -> Option<impl Iterator<Item = &'a Listener> + use<'a>> {
    let is_ipv4 = asked.ends.local.is_ipv4();
    let listen = asked.policy.sockets[socket].origin.listen()?;
    let wanted = move |one: &Listen, address: SocketAddr| {
        one.protocol == IpProtocol::TCP
            && one.address.is_ipv4() == is_ipv4
            && SocketAddr::from((one.address, one.port)) == address
    };
    let there = asked.reached.listeners.iter();
    Some(there.filter(move |there| listen.iter().any(|one| wanted(one, there.address))))
}

/// Whether all who listen there are bound to an interface, whom nobody takes who did not ask for it.
fn is_of_interface(asked: &Asked<'_>, socket: SocketId) -> bool {
    listeners(asked, socket).is_some_and(|mut all| all.all(|one| one.bound))
}

/// The other worlds that may be, or may come.
fn others(
    asked: &Asked<'_>,
    (way, packet): (&Arrival, &Packet),
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
            add(Why::Header, &|one| one.event = event.clone());
        }
    }
    for (why, header) in framed(asked, way, packet) {
        if let Some(event) = event(&header) {
            add(why, &|one| one.event = event.clone());
        }
    }
    for event in joined(&packet.header).iter().filter_map(&event) {
        add(Why::Later, &|one| one.event = event.clone());
    }
    if plain.socket == SocketAnswer::None && packet.socket == SocketAnswer::Listening {
        // Somebody may listen by then.
        add(Why::Unknown, &|one| one.socket = SocketAnswer::Listening);
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
    let handed = asked.known.handed.iter();
    let handed = handed.filter_map(|(socket, there)| there.is_none().then_some(*socket));
    let bound = asked.policy.sockets.keys();
    let bound = bound.filter(|socket| is_of_interface(asked, *socket));
    for socket in handed.chain(bound) {
        if !plain.absent.contains(&socket) {
            add(Why::Unknown, &|one| one.absent.push(socket));
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
    let marks = asked_for(asked, packet.direction, HeaderField::Mark).into_iter();
    marks
        .map(|mark| with(&packet.header, HeaderField::Mark, mark))
        .collect()
}

/// A header with another value of a field.
fn with(header: &Header, field: HeaderField, value: u64) -> Header {
    let mut header = header.clone();
    (row(field).set)(&mut header, value);
    header
}

/// The packet in a frame with each hardware address that a rule asks for, where it is not known who sends that frame, and for whom.
fn framed(asked: &Asked<'_>, way: &Arrival, packet: &Packet) -> Vec<(Why, Header)> {
    let [from, to] = way.frame;
    let is_passed_on = way.neighbour != asked.ends.remote.ip();
    let sender = match from {
        None => Some(Why::Header),
        // A router may send from another address than it is reached at (VRRP, RFC 5798, section 7.3), or another router may send.
        Some(_) => is_passed_on.then_some(Why::Later),
    };
    let receiver = to.is_none().then_some(Why::Header);
    let ends = [
        (sender, HeaderField::EtherFrom),
        (receiver, HeaderField::EtherTo),
    ];
    let known = ends
        .into_iter()
        .filter_map(|(why, field)| Some((why?, field)));
    let all = known.flat_map(|(why, field)| {
        let values = asked_for(asked, packet.direction, field).into_iter();
        let values = values.take(FRAMES);
        values.map(move |value| (why, with(&packet.header, field, value)))
    });
    all.collect()
}

/// Whether rules ask for more hardware addresses than are asked about.
fn asks_for_many(asked: &Asked<'_>) -> bool {
    let mut fields = [HeaderField::EtherFrom, HeaderField::EtherTo].into_iter();
    fields.any(|field| asked_for(asked, Direction::In, field).len() > FRAMES)
}

/// The values of a field that rules about such packets ask for.
fn asked_for(asked: &Asked<'_>, direction: Direction, field: HeaderField) -> BTreeSet<u64> {
    let mut values = BTreeSet::new();
    for (_, rule) in asked.policy.rules_of(direction) {
        for condition in &rule.matches.conditions {
            values_of(condition, field, &mut values);
        }
    }
    values
}

fn values_of(condition: &Condition, wanted: HeaderField, values: &mut BTreeSet<u64>) {
    match condition {
        Condition::No(inner) => values_of(inner, wanted, values),
        Condition::AnyOf(all) => all.iter().for_each(|one| values_of(one, wanted, values)),
        Condition::Header { field, test } if *field == wanted => {
            values.insert(match test {
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
    // Who takes a connection where nobody listens gets it from a name: it is there.
    if !asked.reached.listens(asked.ends) {
        return Fate::Passes;
    }
    let mut mine = listen
        .iter()
        .filter(|one| one.protocol == IpProtocol::TCP && one.address.is_ipv4() == is_ipv4);
    let local = asked.ends.local;
    match mine.all(|one| answers((one.address, one.port).into(), local)) {
        true => Fate::Passes,
        false => Fate::Lost(format!("{fate}, which does not listen at {local}")),
    }
}
