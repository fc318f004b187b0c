//! Bindings of tubular, imported: what the policy means against what tubular does with the same lookups.
//!
//! tubular is its algorithm, written down in `algorithm`, and where `SOCKC_TUBULAR` names its compiled program, that
//! program in the kernel next to the policy's (`peer`). Not here: files with mistakes, and real packets.

mod algorithm;
mod drawn;
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};

use sockc_compiler::bulk::Structure;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, SocketAnswer, Verdict};
use sockc_compiler::object;
use sockc_compiler::policy::{Family, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::slots;
use sockc_compiler::target::Target;
use sockc_testing::Rng;
use socket2::{Socket, Type};

use crate::context::context;
use crate::held::map_fd;
use crate::world::Flows;
use crate::{Subject, kernel, seeds, syscalls};
use algorithm::{Answer, Destination, Row, answer};
use drawn::{Bindings, Form, header};
use peer::{Binding, Peer};

/// Lookups for each set of bindings.
const LOOKUPS: usize = 400;
/// Sets of bindings that are loaded into the kernel.
const LOADED: usize = 20;

/// Bindings as a policy, and the labels of its sockets.
struct Imported {
    bindings: Bindings,
    subject: Subject,
    /// By the name in the policy.
    labels: BTreeMap<String, String>,
}

impl Imported {
    fn new(bindings: Bindings) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sockc"))
            .args(["import", "tubular", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(bindings.text.as_bytes()).unwrap();
        drop(stdin);
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}", bindings.text);
        let said: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        let sockets = said["sockets"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let labels = sockets.map(|one| (text(&one["socket"]), text(&one["label"])));
        Self {
            labels: labels.collect(),
            subject: Subject::compiled(text(&said["text"]), Structure::Chosen, &Target::baseline()),
            bindings,
        }
    }

    /// The destination of a slot; none of the name that refuses.
    fn destination(
        &self,
        socket: SocketId,
        family: Family,
        protocol: IpProtocol,
    ) -> Option<Destination> {
        let label = self.labels.get(&self.subject.policy.sockets[socket].name)?;
        let label = drawn::LABELS.into_iter().find(|one| one == label).unwrap();
        Some((label, family, protocol))
    }

    /// What `decide` says.
    fn decided(
        &self,
        has_socket: &BTreeSet<Destination>,
        lookup: (SocketAddr, IpProtocol),
    ) -> Answer {
        let policy = &self.subject.policy;
        let kinds = policy.sockets.keys().flat_map(|socket| {
            [Family::V4, Family::V6]
                .into_iter()
                .flat_map(move |family| {
                    [IpProtocol::TCP, IpProtocol::UDP]
                        .map(move |protocol| (socket, family, protocol))
                })
        });
        let there = kinds
            .filter(|(socket, family, protocol)| {
                let destination = self.destination(*socket, *family, *protocol);
                destination.is_some_and(|one| has_socket.contains(&one))
            })
            .map(|(socket, family, protocol)| (socket, family, protocol, 0))
            .collect();
        let world = Flows {
            answers: &|_| SocketAnswer::None,
            there,
        };
        let class = policy.classes.keys().next().unwrap();
        let event = Event::Lookup {
            class,
            header: header(lookup),
        };
        match decide(policy, &event, &world).verdict {
            Verdict::Redirect(socket) => {
                let family = Family::of(lookup.0.ip());
                let (label, ..) = self.destination(socket, family, lookup.1).unwrap();
                Answer::To(label)
            }
            Verdict::Reject => Answer::Refused,
            Verdict::Allow => Answer::Pass,
            other => panic!("{other:?}"),
        }
    }
}

/// Two of three labels have a socket of a family and protocol.
fn with_sockets(table: &[Row], rng: &mut Rng) -> BTreeSet<Destination> {
    let all: BTreeSet<Destination> = table.iter().map(Row::destination).collect();
    all.into_iter().filter(|_| rng.chance(2, 3)).collect()
}

/// How often each answer came: a test of one answer alone would be about nothing.
#[derive(Debug, Default)]
struct Seen {
    passed: usize,
    refused: usize,
    steered: usize,
}

impl Seen {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Pass => self.passed += 1,
            Answer::Refused => self.refused += 1,
            Answer::To(_) => self.steered += 1,
        }
    }

    fn check(&self) {
        println!("{self:?}");
        let least = [self.passed, self.refused, self.steered].into_iter().min();
        assert!(least > Some(100), "{self:?}");
    }
}

fn form_of(seed: u64) -> Form {
    match seed % 2 {
        0 => Form::Json,
        _ => Form::Listing,
    }
}

#[test]
fn an_imported_policy_decides_as_tubular_does() {
    let mut seen = Seen::default();
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let imported = Imported::new(Bindings::random(&mut rng, form_of(seed)));
        let table = &imported.bindings.table;
        let has_socket = with_sockets(table, &mut rng);
        for lookup in imported.bindings.lookups(&mut rng, LOOKUPS) {
            let wanted = answer(table, |one| has_socket.contains(&one), lookup.0, lookup.1);
            let decided = imported.decided(&has_socket, lookup);
            let text = &imported.subject.text;
            assert_eq!(
                decided, wanted,
                "seed {seed}: {lookup:?}\n{table:#?}\n{text}"
            );
            seen.add(decided);
        }
    }
    seen.check();
}

/// One socket for each destination, of its family and protocol.
fn open(destinations: &BTreeSet<Destination>) -> BTreeMap<Destination, Socket> {
    let socket = |&(label, family, protocol): &Destination| {
        let address = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let kind = match protocol {
            IpProtocol::TCP => Type::STREAM,
            _ => Type::DGRAM,
        };
        let socket = kernel::open(SocketAddr::new(address, 0), kind);
        ((label, family, protocol), socket)
    };
    destinations.iter().map(socket).collect()
}

#[test]
fn an_imported_policy_runs_as_tubulars_program_does() {
    let Some(path) = std::env::var_os("SOCKC_TUBULAR") else {
        println!("skipped: SOCKC_TUBULAR names no program of tubular");
        return;
    };
    if !kernel::permitted() {
        return;
    }
    kernel::in_private_namespace(|| {
        let mut seen = Seen::default();
        for seed in seeds().take(LOADED) {
            beside(Path::new(&path), seed, &mut seen);
        }
        seen.check();
    });
}

/// Runs both programs on the same lookups, with the same sockets.
fn beside(path: &Path, seed: u64, seen: &mut Seen) {
    let mut rng = Rng::new(seed);
    let imported = Imported::new(Bindings::random(&mut rng, form_of(seed)));
    let table = &imported.bindings.table;
    let sockets = open(&with_sockets(table, &mut rng));
    let peer = Peer::load(path);
    let all: BTreeSet<Destination> = table.iter().map(Row::destination).collect();
    let numbers: BTreeMap<Destination, u32> = all.into_iter().zip(0..).collect();
    for row in table {
        let binding = Binding {
            protocol: row.protocol.0,
            port: row.port,
            address: row.masked(),
            bits: row.bits(),
        };
        peer.bind(&binding, numbers[&row.destination()]);
    }
    for (destination, socket) in &sockets {
        peer.register(numbers[destination], socket.as_fd());
    }
    let ours = Ours::load(&imported, &sockets);
    for lookup in imported.bindings.lookups(&mut rng, LOOKUPS) {
        let context = context(&header(lookup));
        let theirs = syscalls::run_lookup(peer.program(), &context).unwrap();
        let text = &imported.subject.text;
        assert_eq!(
            ours.run(&context),
            theirs,
            "seed {seed}: {lookup:?}\n{table:#?}\n{text}"
        );
        let algorithm = answer(table, |one| sockets.contains_key(&one), lookup.0, lookup.1);
        let expected = match algorithm {
            Answer::Pass => (1, 0),
            Answer::Refused => (0, 0),
            Answer::To(label) => {
                let destination = (label, Family::of(lookup.0.ip()), lookup.1);
                (1, sockets[&destination].cookie().unwrap())
            }
        };
        assert_eq!(theirs, expected, "seed {seed}: {lookup:?}\n{table:#?}");
        seen.add(algorithm);
    }
}

/// The policy's program in the kernel.
struct Ours {
    ebpf: aya::Ebpf,
}

impl Ours {
    fn load(imported: &Imported, sockets: &BTreeMap<Destination, Socket>) -> Self {
        let bytes = object::write(&imported.subject.built.artifact).unwrap();
        let mut ebpf = aya::EbpfLoader::new()
            .allow_unsupported_maps()
            .load(&bytes)
            .unwrap();
        let program: &mut aya::programs::SkLookup =
            ebpf.program_mut("lookup").unwrap().try_into().unwrap();
        program.load().unwrap();
        let map = map_fd(&ebpf, "sockets").unwrap();
        for (socket, _, slot) in slots(&imported.subject.policy, &imported.subject.built.artifact) {
            let kind = (Family::of(slot.address), slot.protocol);
            let destination = imported.destination(socket, kind.0, kind.1);
            let Some(socket) = destination.and_then(|one| sockets.get(&one)) else {
                continue;
            };
            let value = u64::try_from(socket.as_raw_fd()).unwrap().to_ne_bytes();
            syscalls::update(map, &slot.index.to_ne_bytes(), &value).unwrap();
        }
        Self { ebpf }
    }

    fn run(&self, context: &[u8; 72]) -> (u32, u64) {
        let Some(aya::programs::Program::SkLookup(program)) = self.ebpf.program("lookup") else {
            panic!("there is no lookup");
        };
        syscalls::run_lookup(program.fd().unwrap().as_fd(), context).unwrap()
    }
}
