//! A rule set in its own tool and as the policy that it is imported to: the same packets, sent twice through one router.
//!
//! Takes a tool and a seed. Rules that the import left out are taken out of the tool, too, so that there is nothing to excuse for them.
//! For a rule that means something else here, the tool itself is asked about each packet that fared differently: with that rule
//! taken out, and with it asking for no state, in a router of its own. A packet is excused where the tool then does with it
//! what the policy did, so where the reported rule decided it and nothing else did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Command;

use sockc_compiler::event::Transport;
use sockc_compiler::policy::Family;
use sockc_runtime::lab::Space;
use sockc_testing::{Folder, Rng};

use crate::iptables::drawn::List;
use crate::packets::{self, Edges, Packet};
use crate::scene::{FRONTS, Scene};
use crate::sockc;
use crate::tool::{Cut, Imported, Place, Printed, Tool, Without};
use crate::wire::{Outcome, Reply, sent};

/// What was counted over all rule sets.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sets: usize,
    /// Those that no program has room for, as their reports say and an apply does.
    pub(crate) refused: usize,
    pub(crate) rules: usize,
    pub(crate) left_out: usize,
    pub(crate) packets: usize,
    pub(crate) arrived: usize,
    pub(crate) answered: usize,
    pub(crate) silent: usize,
    pub(crate) excused: usize,
    pub(crate) wrong: usize,
}

impl Tally {
    /// A test that seldom saw an outcome would be about little, and so would one that excuses much or whose rules are left out.
    pub(crate) fn check(&self) {
        self.check_packets();
        assert!(self.left_out * 5 < self.rules, "{self:?}");
        assert!(self.refused * 20 <= self.sets, "{self:?}");
        // Of what nft refuses nothing is compared.
        assert!(self.rules > 8 * self.sets, "{self:?}");
    }

    /// The same of packets alone.
    pub(crate) fn check_packets(&self) {
        println!(
            "{self:?}, equal: {}",
            self.packets - self.excused - self.wrong
        );
        assert_eq!(self.wrong, 0, "{self:?}");
        assert!(self.excused * 10 < self.packets, "{self:?}");
        assert!(self.arrived * 10 > self.packets, "{self:?}");
        assert!(self.silent * 10 > self.packets, "{self:?}");
        assert!(self.answered > 0, "{self:?}");
    }
}

/// A rule set that is compared.
struct Compared<'a> {
    tool: &'a dyn Tool,
    edges: Edges,
    /// Whether answers get out, so that they are compared, too.
    is_open: bool,
    /// What was put in force, and how the tool prints that.
    drawn: Printed,
    printed: Printed,
    imported: Imported,
}

/// Compares the rule set of a seed.
pub(crate) fn compare(tool: &dyn Tool, seed: u64, count: usize, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    let edges = Edges::random(&mut rng);
    let is_open = rng.one_in(2);
    let drawn = tool.random(&mut rng, is_open);
    let given = Given {
        edges,
        is_open,
        drawn,
    };
    compare_given(
        tool,
        &format!("seed {seed}"),
        given,
        (&mut rng, count),
        tally,
    );
}

/// What is compared.
pub(crate) struct Given {
    pub(crate) edges: Edges,
    /// Whether answers get out.
    pub(crate) is_open: bool,
    /// What is put in force.
    pub(crate) drawn: Printed,
}

/// Compares a rule set, with so many packets.
pub(crate) fn compare_given(
    tool: &dyn Tool,
    name: &str,
    given: Given,
    (rng, count): (&mut Rng, usize),
    tally: &mut Tally,
) {
    let Given {
        edges,
        is_open,
        drawn,
    } = given;
    let folder = Folder::new("beside");
    let scene = Scene::new(&edges.places);
    let router = &scene.lab.server;
    tool.clear(router);
    tool.load(router, &drawn);
    let printed = tool.listed(router);
    let imported = Imported::of(tool, &printed, &folder);
    let compared = Compared {
        tool,
        edges,
        is_open,
        drawn,
        printed,
        imported,
    };
    let packets = packets::random(rng, &compared.edges, count);
    compared.cut(router, &[]);
    let theirs = sent(&scene, &packets);
    tool.clear(router);
    tally.sets += 1;
    if !is_in_force(&scene, &folder, &compared.imported) {
        tally.refused += 1;
        return;
    }
    let ours = sent(&scene, &packets);
    drop(scene);
    tally.rules += tool.rules(&compared.printed);
    tally.left_out += compared.imported.left_out.len();
    tally.packets += packets.len();
    for one in &theirs {
        match one {
            Outcome::Arrived => tally.arrived += 1,
            Outcome::Answered(_) => tally.answered += 1,
            Outcome::Silence => tally.silent += 1,
        }
    }
    let mut limits = Limits::default();
    let all = packets.iter().zip(theirs.iter().zip(&ours));
    let other: Vec<Ours> = all
        .map(|(packet, (theirs, ours))| (compared.ours(packet, *ours, &mut limits), *theirs))
        .filter(|(ours, theirs)| !ours.is_alike(*theirs))
        .map(|(ours, _)| ours)
        .collect();
    let excused = compared.excused(&other);
    tally.excused += excused.len();
    for one in other.iter().filter(|one| !excused.contains(&one.packet.id)) {
        tally.wrong += 1;
        let place = packets.iter().position(|other| other.id == one.packet.id);
        compared.tell(name, one, theirs[place.unwrap()], tally.wrong == 1);
    }
}

/// Puts a policy in force on every interface of a scene, unless its report says that there is no room for it: then that is so.
fn is_in_force(scene: &Scene, folder: &Folder, imported: &Imported) -> bool {
    let Imported {
        text, is_refused, ..
    } = imported;
    let path = folder.file("imported.sk", text);
    let mut command: Command = sockc();
    command.args(["apply", &path]);
    for front in FRONTS {
        command.args(["--interface", front]);
    }
    let ran = scene
        .lab
        .server
        .run(move || command.output())
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    match ran.status.success() {
        true => assert!(!is_refused, "there is room\n{text}"),
        false => assert!(*is_refused && said.contains("E0401"), "{said}\n{text}"),
    }
    ran.status.success()
}

/// What the policy did with a packet.
#[derive(Clone, Debug)]
struct Ours {
    packet: Packet,
    outcome: Outcome,
    /// Whether it is compared how it was answered.
    is_told: bool,
}

impl Ours {
    /// Whether the tool does the same. A policy has one kind of answer for each protocol.
    fn is_alike(&self, theirs: Outcome) -> bool {
        match (theirs, self.outcome) {
            (Outcome::Arrived, ours) | (ours, Outcome::Arrived) => {
                theirs == self.outcome && ours == Outcome::Arrived
            }
            (Outcome::Answered(_), Outcome::Answered(reply)) => {
                !self.is_told || reply == plain_reply(&self.packet)
            }
            (Outcome::Silence, Outcome::Silence) => true,
            _ => !self.is_told,
        }
    }
}

/// How many answers a policy has given: it gives so many at once, to one address and to all, and then as time goes by (docs/verdicts.md).
#[derive(Debug, Default)]
struct Limits {
    given: BTreeMap<(bool, IpAddr), usize>,
}

impl Limits {
    /// Whether one more may have been withheld; counts it where it was given.
    fn is_reached(&mut self, packet: &Packet, ours: Outcome) -> bool {
        let is_reset = packet.header.protocol.0 == 6;
        let (each, all) = if is_reset { (100, 1_000) } else { (6, 50) };
        let given = self.given.iter().filter(|((kind, _), _)| *kind == is_reset);
        let total: usize = given.map(|(_, count)| count).sum();
        let to = self
            .given
            .entry((is_reset, packet.header.from))
            .or_default();
        let is_reached = *to >= each || total >= all;
        if matches!(ours, Outcome::Answered(_)) {
            *to += 1;
            return false;
        }
        is_reached
    }
}

/// Whether a policy answers such a packet where it rejects it (docs/verdicts.md): no resets, of ICMP what is an echo request, nothing to many,
/// and nobody who is himself the receiver.
fn may_be_answered(packet: &Packet) -> bool {
    let header = &packet.header;
    let is_many = match header.to {
        IpAddr::V4(to) => to.is_multicast() || to.is_broadcast(),
        IpAddr::V6(to) => to.is_multicast(),
    };
    let asks = match header.transport {
        Transport::Tcp { flags, .. } => flags & 4 == 0,
        Transport::Icmp { kind, .. } => {
            matches!((packet.family(), kind), (Family::V4, 8) | (Family::V6, 128))
        }
        // The kernel wants a checksum of IPv6 in what it knows nothing of (nf_ip6_checksum).
        Transport::None => packet.family() == Family::V4,
        Transport::Ports { .. } => true,
    };
    // The router of the scene has no address that belongs to one link alone, and no route to any.
    let is_of_link = matches!(header.from, IpAddr::V6(from) if from.is_unicast_link_local());
    asks && !is_many && !is_of_link && header.from != header.to
}

impl Compared<'_> {
    /// What the policy did with a packet. Answers are compared where they get out; of TCP of the connection that is there all have one identity.
    fn ours(&self, packet: &Packet, outcome: Outcome, limits: &mut Limits) -> Ours {
        let is_withheld = limits.is_reached(packet, outcome);
        let is_told = self.is_open
            && packet.list != List::Out
            && !packet.is_connected
            && may_be_answered(packet)
            && !is_withheld;
        Ours {
            packet: packet.clone(),
            outcome,
            is_told,
        }
    }

    /// Shows a packet that fared differently, and what it takes to look for the cause.
    fn tell(&self, name: &str, ours: &Ours, theirs: Outcome, is_first: bool) {
        let Packet {
            id,
            list,
            on,
            header,
            ..
        } = &ours.packet;
        println!(
            "{name}, packet {id}: {:?} by the policy, {theirs:?} by the tool: {list:?} on {} {header:?}",
            ours.outcome, FRONTS[*on]
        );
        if is_first {
            println!(
                "{:?}\n{}\n{}",
                self.edges.places,
                self.printed.shown(),
                self.imported.text
            );
        }
    }

    /// Those of the packets that fared differently because of a rule that is reported to mean something else.
    fn excused(&self, other: &[Ours]) -> BTreeSet<u32> {
        let mut excused = BTreeSet::new();
        let ways = self.ways().into_iter().map(Some);
        for way in std::iter::once(None).chain(ways) {
            let left: Vec<&Ours> = other
                .iter()
                .filter(|one| !excused.contains(&one.packet.id))
                .collect();
            if left.is_empty() {
                break;
            }
            let scene = Scene::new(&self.edges.places);
            let router = &scene.lab.server;
            self.tool.clear(router);
            self.tool.load(router, &self.drawn);
            // A rule that is left out where one chain calls it may stand where another one does, so the whole rule set is asked, too.
            if let Some(way) = &way {
                self.cut(router, way);
            }
            let packets: Vec<Packet> = left.iter().map(|one| one.packet.clone()).collect();
            let theirs = sent(&scene, &packets);
            let alike = left.iter().zip(theirs);
            let alike = alike.filter(|(ours, theirs)| ours.is_alike(*theirs));
            excused.extend(alike.map(|(ours, _)| ours.packet.id));
        }
        excused
    }

    /// Takes what is left out of the policy out of the rules in force, and does something else to some of them.
    fn cut(&self, router: &Space, way: &[(BTreeSet<Place>, Without)]) {
        let left_out = (&self.imported.left_out, Without::Rule);
        let more = way.iter().map(|(places, what)| (places, *what));
        let cuts: Vec<Cut<'_>> = [left_out].into_iter().chain(more).collect();
        self.tool.cut(router, &self.printed, &cuts);
    }

    /// The rule sets to ask: each reported rule by itself, all of them, then two by two, at last each of two in a way of its own.
    fn ways(&self) -> Vec<Vec<(BTreeSet<Place>, Without)>> {
        let changed = &self.imported.changed;
        let alone = |place: &Place| BTreeSet::from([place.clone()]);
        let pairs = changed.iter().flat_map(|one| {
            let others = changed.iter().filter(move |other| *other > one);
            others.map(move |other| (one, other))
        });
        let both = pairs
            .clone()
            .map(|(one, other)| BTreeSet::from([one.clone(), other.clone()]));
        let alike = changed
            .iter()
            .map(alone)
            .chain([changed.clone()])
            .chain(both);
        let ways = self.tool.ways();
        let alike =
            alike.flat_map(|places| ways.iter().map(move |what| vec![(places.clone(), *what)]));
        let apart = pairs.flat_map(|(one, other)| {
            let ways = ways
                .iter()
                .flat_map(|first| ways.iter().map(move |second| (*first, *second)));
            let ways = ways.filter(|(first, second)| first != second);
            ways.map(move |(first, second)| vec![(alone(one), first), (alone(other), second)])
        });
        alike.chain(apart).collect()
    }
}

/// How a policy answers what it rejects.
fn plain_reply(packet: &Packet) -> Reply {
    match (packet.header.protocol.0, packet.family()) {
        (6, _) => Reply::Reset,
        (_, Family::V4) => Reply::Error(3, 3),
        (_, Family::V6) => Reply::Error(1, 4),
    }
}
