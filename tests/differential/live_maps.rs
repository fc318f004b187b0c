//! A live map that is changed entry by entry, in force in the kernel, against the reference meaning of a constant map that
//! is written with the same entries.
//!
//! Every change is a command of its own. After it the policy's program is asked about packets at the edges of the entries
//! that are and were there. Entries are drawn of few networks and ports, so that they stand inside each other; in
//! every other seed prefixes have so many lengths that the map has to hold them in its trie.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sockc_compiler::bulk::Structure;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, SocketAnswer, Transport, Verdict};
use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::target::Target;
use sockc_runtime::lab::{BPFFS, Space};
use sockc_testing::Rng;
use socket2::{Socket, Type};

use crate::context::context;
use crate::world::Flows;
use crate::{Subject, calls, kernel, syscalls};

/// Seeds, changes for each and packets after each change.
const SEEDS: u64 = 4;
const CHANGES: usize = 40;
const PACKETS: usize = 60;

/// Sockets, by their names, ports and protocols.
const SOCKETS: [(&str, u16, &[Type]); 3] = [
    ("a", 7001, &[Type::STREAM, Type::DGRAM]),
    ("b", 7002, &[Type::STREAM, Type::DGRAM]),
    ("t", 7003, &[Type::STREAM]),
];

pub(crate) fn declarations() -> String {
    let socket = |(name, port, kinds): &(&str, u16, &[Type])| {
        let of = |kind: &Type| {
            let word = if *kind == Type::STREAM { "tcp" } else { "udp" };
            format!("{word} listen 127.0.0.1:{port}, {word} listen [::1]:{port}")
        };
        let all: Vec<String> = kinds.iter().map(of).collect();
        format!("socket {name} = {}\n", all.join(", "))
    };
    SOCKETS.iter().map(socket).collect()
}

/// What of an entry tells it from others: its packets. The rest is its socket.
type Entries = BTreeMap<String, &'static str>;

/// A policy that is changed while it is in force.
pub(crate) struct Live {
    space: Space,
    pub(crate) folder: PathBuf,
    /// The names of the sockets by their cookies.
    names: BTreeMap<u64, &'static str>,
    _sockets: Vec<Socket>,
    program: OwnedFd,
}

impl Live {
    /// With the sockets, and this after them.
    pub(crate) fn new(rest: &str) -> Self {
        let space = Space::with_bpffs().unwrap();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("sockc-entries-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (names, sockets) = space.run(open).unwrap();
        let path = folder.join("live.sk");
        let text = format!("{}{rest}", declarations());
        fs::write(&path, text).unwrap();
        assert!(sockc(&space, &["apply", path.to_str().unwrap()]));
        let program = space.run(|| calls::pinned(&lookup(Path::new(BPFFS))).unwrap());
        Self {
            program: program.unwrap(),
            space,
            folder,
            names,
            _sockets: sockets,
        }
    }

    fn map(&self, arguments: &[&str]) -> bool {
        self.changes(&[&["map"], arguments].concat())
    }

    /// Whether a command is done.
    pub(crate) fn changes(&self, arguments: &[&str]) -> bool {
        sockc(&self.space, arguments)
    }

    /// The name of the socket that the program gives.
    pub(crate) fn steers(&self, header: &Header) -> Option<&'static str> {
        let (_, cookie) = syscalls::run_lookup(self.program.as_fd(), &context(header)).unwrap();
        (cookie != 0).then(|| self.names[&cookie])
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The sockets, and their names by their cookies.
fn open() -> (BTreeMap<u64, &'static str>, Vec<Socket>) {
    sockc_runtime::lab::Netlink::open()
        .unwrap()
        .up("lo")
        .unwrap();
    let (mut names, mut sockets) = (BTreeMap::new(), Vec::new());
    for (name, port, kinds) in SOCKETS {
        let ends: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for (address, kind) in ends
            .iter()
            .flat_map(|end| kinds.iter().map(move |kind| (end, kind)))
        {
            let socket = kernel::open(SocketAddr::new(*address, port), *kind);
            names.insert(socket.cookie().unwrap(), name);
            sockets.push(socket);
        }
    }
    (names, sockets)
}

/// The pin of the program of lookups.
fn lookup(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.join("sockc")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("prog/lookup") {
                return path;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    panic!("there is no program");
}

fn sockc(space: &Space, arguments: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command.args(arguments).stdin(Stdio::null());
    let ran = space.run(|| command.output().unwrap()).unwrap();
    ran.status.success()
}

/// An entry, and packets at its edges.
fn drawn(rng: &mut Rng, many_lengths: bool) -> (String, &'static str, Vec<Header>) {
    let protocol = rng.below(3);
    let ports: [(u16, u16); 8] = [
        (0, 65535),
        (53, 53),
        (50, 60),
        (52, 53),
        (0, 1023),
        (1024, 65535),
        (80, 80),
        (79, 82),
    ];
    let (first, last) = ports[rng.below(ports.len())];
    let written = match (first, last) {
        (0, 65535) => "*".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let (prefix, ends) = network(rng, many_lengths);
    let socket = match protocol {
        2 => ["a", "b"][rng.below(2)],
        _ => ["a", "b", "t"][rng.below(3)],
    };
    let mut packets = Vec::new();
    for end in ends {
        for port in [first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
            packets.extend(IpProtocol::WITH_SOCKETS.map(|protocol| header(protocol, end, port)));
        }
    }
    let protocol = ["", "tcp ", "udp "][protocol];
    (format!("{protocol}{prefix}:{written}"), socket, packets)
}

/// A prefix and its first and last address.
fn network(rng: &mut Rng, many_lengths: bool) -> (String, [IpAddr; 2]) {
    if rng.one_in(4) {
        let length = [32, 48, 127, 128][rng.below(4)];
        let bits = 0x2001_0db8_u128 << 96 | (rng.below(2) as u128) << 80 | rng.below(4) as u128;
        let free = u128::MAX.checked_shr(length).unwrap_or(0);
        let [first, last] = [bits & !free, bits | free].map(Ipv6Addr::from_bits);
        return (format!("[{first}/{length}]"), [first.into(), last.into()]);
    }
    let length = match many_lengths {
        true => 12 + rng.below(21) as u32,
        false => [8, 16, 24, 32][rng.below(4)],
    };
    let bits = 0x0a00_0000
        | (rng.below(2) as u32) << 16
        | (rng.below(2) as u32) << 8
        | rng.below(4) as u32;
    let free = u32::MAX.checked_shr(length).unwrap_or(0);
    let [first, last] = [bits & !free, bits | free].map(Ipv4Addr::from_bits);
    (format!("{first}/{length}"), [first.into(), last.into()])
}

fn header(protocol: IpProtocol, to: IpAddr, port: u16) -> Header {
    let transport = match protocol {
        IpProtocol::TCP => Transport::Tcp {
            from: 4000,
            to: port,
            flags: 2,
        },
        _ => Transport::Ports {
            from: 4000,
            to: port,
        },
    };
    let from: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 9).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).into(),
    };
    Header {
        from,
        to,
        protocol,
        transport,
        length: 60,
        ..Header::PLAIN
    }
}

/// The same entries as a constant map; `None` if they may not stand next to each other.
fn constant(entries: &Entries) -> Option<Subject> {
    let all = entries
        .iter()
        .map(|(packets, socket)| format!("{packets} -> sock {socket}"));
    let all: Vec<String> = all.collect();
    let text = format!(
        "{}map ten = {{ {} }}\nredirect by @ten\n",
        declarations(),
        all.join(", ")
    );
    let failed = crate::compile(&text, Structure::Chosen, &Target::baseline())
        .1
        .failed();
    (!failed).then(|| Subject::compiled(text, Structure::Chosen, &Target::baseline()))
}

/// What `decide` says.
pub(crate) fn decided(subject: &Subject, header: &Header) -> Option<String> {
    let policy = &subject.policy;
    let there = policy.sockets.keys().flat_map(|socket| {
        let families = [Family::V4, Family::V6].into_iter();
        families.flat_map(move |family| {
            IpProtocol::WITH_SOCKETS.map(|protocol| (socket, family, protocol, 0))
        })
    });
    let world = Flows {
        answers: &|_| SocketAnswer::None,
        there: there.collect(),
    };
    let event = Event::Lookup {
        class: policy.classes.keys().next().unwrap(),
        header: header.clone(),
    };
    match decide(policy, &event, &world).verdict {
        Verdict::Redirect(socket) => Some(policy.sockets[socket].name.clone()),
        Verdict::Allow => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_live_map_that_is_changed_one_by_one_means_what_is_in_it() {
    if !kernel::permitted() {
        return;
    }
    let mut steered = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let live = Live::new("live map ten max 200\nredirect by @ten\n");
        let (mut entries, mut packets) = (Entries::new(), Vec::new());
        for _ in 0..CHANGES {
            change(&live, &mut rng, seed % 2 == 1, &mut entries, &mut packets);
            let Some(subject) = constant(&entries) else {
                panic!("{entries:?}");
            };
            for _ in 0..PACKETS {
                let header = &packets[rng.below(packets.len())];
                let found = live.steers(header);
                let wanted = decided(&subject, header);
                assert_eq!(
                    found,
                    wanted.as_deref(),
                    "seed {seed}: {header:?} {entries:#?}"
                );
                steered += usize::from(found.is_some());
            }
        }
    }
    println!("{steered} lookups were steered");
    assert!(steered > 1000);
}

/// Adds, replaces or removes some entries by one command, in the kernel and in what should be there.
fn change(
    live: &Live,
    rng: &mut Rng,
    many_lengths: bool,
    entries: &mut Entries,
    packets: &mut Vec<Header>,
) {
    if entries.len() > 3 && rng.one_in(3) {
        let gone: Vec<String> = (0..=rng.below(2))
            .filter_map(|_| {
                let keys: Vec<&String> = entries.keys().collect();
                let key = keys[rng.below(keys.len())].clone();
                entries.remove(&key).map(|_| key)
            })
            .collect();
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        assert!(live.map(&[&["del", "ten"], gone.as_slice()].concat()));
        return;
    }
    let mut after = entries.clone();
    let mut come = BTreeMap::new();
    while come.is_empty() || rng.one_in(2) {
        let (key, socket, more) = drawn(rng, many_lengths);
        packets.extend(more);
        let before = after.insert(key.clone(), socket);
        if constant(&after).is_some() {
            come.insert(key, socket);
            continue;
        }
        // It may not stand next to what is there: the map says so too.
        let written = format!("{key} -> sock {socket}");
        let may = come.is_empty();
        assert!(
            !may || !live.map(&["add", "ten", "--replace", &written]),
            "{written}"
        );
        match before {
            Some(before) => after.insert(key, before),
            None => after.remove(&key),
        };
    }
    let written: Vec<String> = come
        .iter()
        .map(|(key, socket)| format!("{key} -> sock {socket}"))
        .collect();
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    assert!(live.map(&[&["add", "ten", "--replace"], written.as_slice()].concat()));
    *entries = after;
}
