//! Live maps in memory of our own: what a program would find after every single write of a change.

mod memory;

use sockc_compiler::artifact::{
    LiveEntryPlan, MANIFEST_VERSION, Manifest, Slot, SlotOrigin, SocketSlots,
};
use sockc_compiler::entry_table::{DEPTH, Key, Piece, head_bits};
use sockc_compiler::protocol::IpProtocol;
use sockc_random::Rng;

pub(crate) use self::memory::Probe;
use self::memory::{Memory, in_trie, probes};
use super::entries::{ALL, Entry, Names};
use super::entry_change::{Edit, settle};
use super::entry_whole::{self, Made};
use super::port_classes::Range;
use super::trie_contents::Contents;
use crate::prefix::Prefix;

const TCP: Option<IpProtocol> = Some(IpProtocol::TCP);
const UDP: Option<IpProtocol> = Some(IpProtocol::UDP);

/// Sockets `a` and `b` of both protocols, and `t` of TCP alone.
pub(crate) fn manifest() -> Manifest {
    let socket = |name: &str, protocols: &[u8]| SocketSlots {
        name: name.to_owned(),
        drop_if_absent: false,
        origin: SlotOrigin::Registered,
        owner: None,
        members: 1,
        spread_by_source: false,
        pinned: false,
        slots: protocols
            .iter()
            .map(|protocol| Slot {
                index: 0,
                protocol: IpProtocol(*protocol),
                address: "0.0.0.0".parse().unwrap(),
                port: 0,
            })
            .collect(),
    };
    Manifest {
        version: MANIFEST_VERSION,
        policy: "p".to_owned(),
        sockets: vec![
            socket("a", &[6, 17]),
            socket("b", &[17, 6]),
            socket("t", &[6]),
        ],
        target: "test".to_owned(),
        ..Manifest::default()
    }
}

pub(crate) fn entry(
    protocol: Option<IpProtocol>,
    prefix: &str,
    ports: Range,
    socket: &str,
) -> LiveEntryPlan {
    let (address, length) = prefix.split_once('/').unwrap();
    LiveEntryPlan {
        prefix: (address.parse().unwrap(), length.parse().unwrap()),
        ports,
        protocol,
        socket: socket.to_owned(),
    }
}

/// What the language says, from the entries themselves: one more than the number of a socket, or 0.
pub(crate) fn meant(entries: &[Entry], probe: &Probe) -> u16 {
    let host = Prefix::host(probe.address);
    let place = usize::from(probe.protocol == IpProtocol::UDP);
    let matching = entries.iter().filter(|entry| {
        let (first, last) = entry.ports;
        entry.prefix.covers(host) && (first..=last).contains(&probe.port) && entry.speaks[place]
    });
    let winner = matching.max_by_key(|entry| {
        let width = std::cmp::Reverse(entry.ports.1 - entry.ports.0);
        (entry.prefix.length(), width, entry.protocol.is_some())
    });
    winner.map_or(0, |entry| entry.socket + 1)
}

/// Whether a program finds in the trie that entries make what is said of every packet at their edges.
pub(crate) fn trie_finds(entries: &[Entry], meant: impl Fn(&Probe) -> u16) {
    let contents = Contents::new(entries);
    for probe in probes(&[entries.to_vec()]) {
        assert_eq!(in_trie(&contents, &probe), meant(&probe), "{probe:?}");
    }
}

fn read(plans: &[LiveEntryPlan]) -> Vec<Entry> {
    let manifest = manifest();
    let names = Names::new("m", &manifest);
    let read = names.read_all(plans).unwrap();
    names.check(&read, 0).unwrap();
    read
}

/// A map with these entries.
fn made(max: u32, plans: &[LiveEntryPlan]) -> Memory {
    let memory = Memory::new(max);
    load(&memory, &read(plans)).unwrap();
    memory
}

fn load(memory: &Memory, entries: &[Entry]) -> std::io::Result<()> {
    let made = Made::new(memory.image.max, entries);
    entry_whole::put(&memory.image, &memory.trie, (entries, &made), false)
}

/// What is done to a map.
#[derive(Clone, Debug)]
enum Step {
    /// What goes, and what comes.
    Edit(Vec<LiveEntryPlan>, Vec<LiveEntryPlan>),
    /// All that is to be there.
    Load(Vec<LiveEntryPlan>),
}

impl Step {
    fn edit(&self, memory: &Memory) -> Edit {
        let Self::Edit(gone, come) = self else {
            return Edit::default();
        };
        let all = memory.records();
        let of = |plan: &LiveEntryPlan| *all.iter().find(|(_, one)| one.is_for(plan)).unwrap();
        Edit {
            removed: gone.iter().map(of).collect(),
            added: come
                .iter()
                .flat_map(|plan| read(std::slice::from_ref(plan)))
                .collect(),
        }
    }

    /// Does it as commands do.
    fn run(&self, memory: &Memory) -> std::io::Result<()> {
        settle(&memory.image)?;
        let manifest = manifest();
        let names = Names::new("m", &manifest);
        if let Self::Load(plans) = self {
            return load(memory, &read(plans));
        }
        let edit = self.edit(memory);
        if edit.make(&memory.image, &names)? {
            return Ok(());
        }
        let mut all = memory.records();
        all.retain(|(number, _)| !edit.removed.contains_key(number));
        let mut all: Vec<Entry> = all
            .iter()
            .map(|(_, record)| names.of_record(record).unwrap())
            .collect();
        all.extend(&edit.added);
        load(memory, &all)
    }
}

/// After every single write of a change all packets meet the entries before or all meet those after, and the list is the same
/// ones; whatever the next change finds, it goes on from there.
fn is_whole_at_every_write(before: &Memory, step: &Step) {
    let whole = before.copy();
    step.run(&whole).unwrap();
    let sides = [before.entries(), whole.entries()];
    let probes = probes(&sides);
    let answers = sides.clone().map(|entries| {
        let meant = |probe: &Probe| meant(&entries, probe);
        probes.iter().map(meant).collect::<Vec<u16>>()
    });
    let writes = whole.written();
    assert!(writes > 5, "{step:?}");
    let mut seen = [0; 2];
    for stop in 0..=writes {
        let memory = before.copy();
        memory.stop_after(stop);
        let _ = step.run(&memory);
        let listed = memory.entries();
        let side = sides.iter().position(|entries| *entries == listed);
        let side = side.unwrap_or_else(|| panic!("{stop} of {writes}: {step:?}: {listed:?}"));
        seen[side] += 1;
        memory.answers_are(&probes, &answers[side]);
        memory.stop_after(usize::MAX);
        settle(&memory.image).unwrap();
        assert_eq!(memory.entries(), listed, "{stop} of {writes}: {step:?}");
        memory.answers_are(&probes, &answers[side]);
        let more = entry(TCP, "192.0.2.7/32", (7, 7), "t");
        Step::Edit(Vec::new(), vec![more]).run(&memory).unwrap();
        assert_eq!(memory.entries().len(), listed.len() + 1);
        memory.answers_are(&probes, &answers[side]);
    }
    assert!(seen[1] > 0 && seen[0] > 0, "{step:?}: {seen:?}");
}

#[test]
fn a_change_that_dies_anywhere_leaves_all_or_nothing() {
    let host = entry(None, "10.1.2.3/32", (53, 53), "a");
    let wide = entry(None, "10.0.0.0/8", ALL, "b");
    let range = entry(TCP, "10.1.0.0/16", (1000, 1999), "t");
    let six = entry(UDP, "2001:db8::/32", (53, 53), "a");
    let before = [host.clone(), wide.clone(), range.clone(), six.clone()];
    let other = |socket: &str| entry(None, "10.1.2.3/32", (53, 53), socket);
    let inner = entry(None, "10.1.2.0/24", ALL, "a");
    let narrow = entry(TCP, "10.1.0.0/16", (1100, 1200), "a");
    let full: Vec<_> = (1..=12_u8)
        .map(|last| entry(None, &format!("10.9.0.{last}/32"), (80, 89), "a"))
        .collect();
    for step in [
        Step::Edit(Vec::new(), vec![entry(TCP, "10.1.2.3/32", (54, 54), "b")]),
        Step::Edit(Vec::new(), vec![inner.clone()]),
        Step::Edit(
            Vec::new(),
            vec![inner, entry(TCP, "10.1.2.4/32", ALL, "b"), narrow],
        ),
        Step::Edit(vec![host.clone()], vec![other("b")]),
        Step::Edit(vec![wide.clone(), host.clone()], Vec::new()),
        Step::Edit(
            vec![range],
            vec![entry(TCP, "10.1.0.0/16", (1000, 1500), "a")],
        ),
        Step::Edit(vec![six], Vec::new()),
        Step::Load(vec![wide, other("t")]),
        Step::Load(Vec::new()),
        Step::Load(full),
    ] {
        is_whole_at_every_write(&made(16, &before), &step);
    }
}

/// So many lengths of prefixes that programs do not try them all: the trie holds then.
#[test]
fn what_the_table_cannot_hold_is_in_the_trie_and_comes_back() {
    let many: Vec<_> = (8..30_u8)
        .map(|length| {
            entry(
                None,
                &format!("10.0.0.0/{length}"),
                ALL,
                ["a", "b"][usize::from(length) % 2],
            )
        })
        .collect();
    let (most, last) = many.split_at(16);
    let table = made(40, most);
    assert!(!table.image.now().unwrap().in_trie);
    let to_trie = Step::Edit(Vec::new(), vec![last[0].clone()]);
    is_whole_at_every_write(&table, &to_trie);
    let trie = made(40, &many);
    assert!(trie.image.now().unwrap().in_trie);
    is_whole_at_every_write(&trie, &Step::Edit(vec![many[0].clone()], Vec::new()));
    is_whole_at_every_write(&trie, &Step::Load(most.to_vec()));
    let back = trie.copy();
    Step::Load(most.to_vec()).run(&back).unwrap();
    assert!(!back.image.now().unwrap().in_trie);
    assert!(back.trie.is_empty(), "what no program asks is gone");
}

#[test]
fn a_side_that_came_and_went_is_written_anew() {
    let memory = made(4, &[entry(None, "10.0.0.0/8", ALL, "a")]);
    let side = memory.image.now().unwrap().side();
    let mut sides = std::collections::BTreeSet::from([side]);
    for number in 0..600_u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number);
        let one = entry(None, &format!("{address}/32"), (80, 80), "b");
        Step::Edit(Vec::new(), vec![one.clone()])
            .run(&memory)
            .unwrap();
        assert_eq!(memory.entries().len(), 2);
        Step::Edit(vec![one], Vec::new()).run(&memory).unwrap();
        assert_eq!(memory.entries().len(), 1);
        sides.insert(memory.image.now().unwrap().side());
    }
    assert_eq!(sides.len(), 2);
}

/// An entry of a few networks and ports, so that many are nested.
fn drawn(rng: &mut Rng) -> LiveEntryPlan {
    let lengths = [8, 16, 24, 32];
    let ports: [Range; 8] = [
        ALL,
        (53, 53),
        (50, 60),
        (52, 53),
        (0, 1023),
        (1024, 65535),
        (80, 80),
        (79, 82),
    ];
    let protocol = [None, TCP, UDP][rng.below(3)];
    let socket = if protocol == UDP {
        ["a", "b"][rng.below(2)]
    } else {
        ["a", "b", "t"][rng.below(3)]
    };
    let ports = ports[rng.below(8)];
    let prefix = if rng.below(4) == 0 {
        let six: std::net::IpAddr = format!("2001:db8:{}::{}", rng.below(2), rng.below(3))
            .parse()
            .unwrap();
        Prefix::truncate(six, [32, 48, 128][rng.below(3)])
    } else {
        let four = std::net::Ipv4Addr::new(
            10,
            rng.below(2) as u8,
            rng.below(2) as u8,
            rng.below(4) as u8,
        );
        Prefix::truncate(four.into(), lengths[rng.below(4)])
    };
    let prefix = prefix.unwrap();
    entry(
        protocol,
        &format!("{}/{}", prefix.address(), prefix.length()),
        ports,
        socket,
    )
}

#[test]
fn random_changes_one_by_one_mean_what_their_entries_mean() {
    let mut rng = Rng::new(20);
    for round in 0..20 {
        let memory = Memory::new(60);
        let mut plans: Vec<LiveEntryPlan> = Vec::new();
        for _ in 0..60 {
            let mut gone = Vec::new();
            if !plans.is_empty() && rng.below(3) == 0 {
                gone.push(plans.remove(rng.below(plans.len())));
            }
            let mut come = Vec::new();
            for _ in 0..rng.below(3) {
                let one = drawn(&mut rng);
                let all: Vec<_> = plans.iter().chain([&one]).cloned().collect();
                let manifest = manifest();
                let names = Names::new("m", &manifest);
                let read = names.read_all(&all).unwrap();
                if plans.len() < 60 && names.check(&read, 0).is_ok() {
                    plans.push(one.clone());
                    come.push(one);
                }
            }
            Step::Edit(gone, come).run(&memory).unwrap();
            let entries = read(&plans);
            assert_eq!(
                memory.entries(),
                entries,
                "round {round}: in the order in which they came"
            );
            let count = memory
                .image
                .count(memory.image.now().unwrap().view)
                .unwrap();
            assert_eq!(count as usize, entries.len());
            let probes = probes(std::slice::from_ref(&entries));
            let answers: Vec<u16> = probes.iter().map(|probe| meant(&entries, probe)).collect();
            memory.answers_are(&probes, &answers);
        }
    }
}

/// Keys of one chain, so many that programs do not look at the last one: the map is written anew, with chains that are short.
#[test]
fn what_chains_cannot_hold_is_written_anew() {
    let memory = made(60, &[entry(None, "192.0.2.1/32", ALL, "a")]);
    let plan = memory.image.plan(memory.image.now().unwrap().plan).unwrap();
    let bits = head_bits(60);
    let key = |number: u32| {
        let every = Piece { port: 0, bits: 0 };
        Key::new(std::net::Ipv4Addr::from_bits(number).into(), 32, every)
    };
    let wanted = key(1).hash(plan.seed, bits);
    let of_chain = (1..).filter(|number| key(*number).hash(plan.seed, bits) == wanted);
    for number in of_chain.take(DEPTH + 2) {
        let address = std::net::Ipv4Addr::from_bits(number);
        let one = entry(None, &format!("{address}/32"), ALL, "b");
        Step::Edit(Vec::new(), vec![one]).run(&memory).unwrap();
        let entries = memory.entries();
        let probes = probes(std::slice::from_ref(&entries));
        let answers: Vec<u16> = probes.iter().map(|probe| meant(&entries, probe)).collect();
        memory.answers_are(&probes, &answers);
    }
    let after = memory.image.plan(memory.image.now().unwrap().plan).unwrap();
    assert_ne!((after.side, after.seed), (plan.side, plan.seed));
    assert!(!memory.image.now().unwrap().in_trie);
}
