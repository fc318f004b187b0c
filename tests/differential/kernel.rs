//! The kernel's answer: the object loaded through aya, run on frames and lookups, its counters read back.
//!
//! Everything happens in a network namespace of its own, with real listeners that socket conditions can find.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::maps::{Map, PerCpuArray};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use nix::sched::{CloneFlags, unshare};
use sockc_compiler::event::{Decision, Header, SocketAnswer, Verdict};
use sockc_compiler::object;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::packet::random::Rng;
use sockc_compiler::policy::{Direction, Family, SocketId};
use socket2::{Domain, Socket, Type};

use crate::Subject;
use crate::cases::{frames, lookups};
use crate::context::context;
use crate::expected::{Expected, Totals};
use crate::syscalls;
use crate::world::{Flow, Flows};

const TCP_PORTS: [u16; 3] = [80, 443, 8080];
const UDP_PORTS: [u16; 2] = [53, 443];

/// Whether the kernel may be asked; says so if not, and fails where that is required.
pub(crate) fn permitted() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let required = std::env::var("SOCKC_KERNEL").is_ok_and(|value| value == "require");
        assert!(!required, "kernel tests are required and need root");
        println!("skipped: needs root");
    }
    root
}

/// Runs in a thread with a network namespace of its own, `lo` up.
pub(crate) fn in_private_namespace(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let done = scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                bring_up_loopback();
                work();
            })
            .join();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
}

fn bring_up_loopback() {
    let status = std::process::Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Listeners on every address, and sockets for the slots of the policies.
pub(crate) struct Sockets {
    _anywhere: Vec<Socket>,
    slots: BTreeMap<(Family, u8), Vec<Socket>>,
}

impl Sockets {
    pub(crate) fn open() -> Self {
        let mut anywhere = Vec::new();
        for address in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            anywhere
                .extend(TCP_PORTS.map(|port| open(SocketAddr::new(address, port), Type::STREAM)));
            anywhere
                .extend(UDP_PORTS.map(|port| open(SocketAddr::new(address, port), Type::DGRAM)));
        }
        let mut slots: BTreeMap<(Family, u8), Vec<Socket>> = BTreeMap::new();
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            for (protocol, kind) in [(6, Type::STREAM), (17, Type::DGRAM)] {
                let sockets = (0..8)
                    .map(|_| open(SocketAddr::new(address, 0), kind))
                    .collect();
                slots.insert((Family::of(address), protocol), sockets);
            }
        }
        Self {
            _anywhere: anywhere,
            slots,
        }
    }

    fn answer(flow: Flow) -> SocketAnswer {
        let ports: &[u16] = if flow.protocol == 6 {
            &TCP_PORTS
        } else {
            &UDP_PORTS
        };
        if ports.contains(&flow.to.1) {
            SocketAnswer::Listening
        } else {
            SocketAnswer::None
        }
    }
}

/// IPv6 sockets hold IPv6 only, so that IPv4 and IPv6 can have one port.
fn open(address: SocketAddr, kind: Type) -> Socket {
    let socket = Socket::new(Domain::for_address(address), kind, None).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&address.into()).unwrap();
    if kind == Type::STREAM {
        socket.listen(16).unwrap();
    }
    socket
}

/// Compares one policy with the kernel on many packets.
pub(crate) fn check(
    subject: &Subject,
    sockets: &Sockets,
    rng: &mut Rng,
    packets: usize,
    looked_up: usize,
) {
    let bytes = object::write(&subject.built.artifact).unwrap();
    let mut loaded = Loaded::new(&bytes, subject);
    let present = loaded.fill(subject, sockets, rng);
    let world = Flows {
        answers: &Sockets::answer,
        present,
    };
    let manifest = &subject.built.artifact.manifest;
    let mut expected = Expected {
        policy: &subject.policy,
        manifest,
        totals: Totals::default(),
    };
    for frame in frames(&subject.policy, rng, packets) {
        for direction in [Direction::In, Direction::Out] {
            let Some(passes) = loaded.run(direction, &frame) else {
                continue;
            };
            let (wanted, decision) =
                expected.packet(direction, parse(&frame, Layout::Ethernet), &world);
            assert_eq!(
                passes,
                wanted,
                "{}",
                report(subject, direction, &frame, &decision)
            );
        }
    }
    for header in lookups(&subject.policy, rng, looked_up) {
        let Some((accepted, cookie)) = loaded.look_up(&header) else {
            break;
        };
        let decision = expected.lookup(header.clone(), &world);
        let wanted = match decision.verdict {
            Verdict::Redirect(socket) => (true, loaded.cookie(socket, &header)),
            Verdict::Reject => (false, 0),
            _ => (true, 0),
        };
        assert_eq!(
            (accepted, cookie),
            wanted,
            "{}\n{header:?}\n{decision:?}",
            subject.text
        );
    }
    assert_eq!(loaded.totals(), expected.totals, "{}", subject.text);
}

fn report(subject: &Subject, direction: Direction, frame: &[u8], decision: &Decision) -> String {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}\n{direction:?} {:?}\n{hex}\n{decision:?}",
        subject.text,
        parse(frame, Layout::Ethernet)
    )
}

/// An object in the kernel.
struct Loaded {
    ebpf: Ebpf,
    cookies: BTreeMap<(SocketId, Family, u8), u64>,
}

impl Loaded {
    fn new(bytes: &[u8], subject: &Subject) -> Self {
        let mut ebpf = EbpfLoader::new()
            .allow_unsupported_maps()
            .load(bytes)
            .unwrap();
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                Program::Xdp(program) => program.load(),
                Program::SchedClassifier(program) => program.load(),
                Program::SkLookup(program) => program.load(),
                _ => continue,
            };
            loaded.unwrap_or_else(|error| panic!("{}\n{name}: {error:?}", subject.text));
        }
        Self {
            ebpf,
            cookies: BTreeMap::new(),
        }
    }

    /// Fills some of the slots.
    fn fill(
        &mut self,
        subject: &Subject,
        sockets: &Sockets,
        rng: &mut Rng,
    ) -> HashSet<(SocketId, Family, u8)> {
        let mut used: BTreeMap<(Family, u8), usize> = BTreeMap::new();
        let manifest = &subject.built.artifact.manifest;
        for (socket, named) in subject.policy.sockets.keys().zip(&manifest.sockets) {
            for slot in &named.slots {
                if rng.chance(1, 3) {
                    continue;
                }
                let kind = (Family::of(slot.address), slot.protocol);
                let next = used.entry(kind).or_default();
                let steered = &sockets.slots[&kind][*next];
                *next += 1;
                let Some(map) = self.map_fd("sockets") else {
                    continue;
                };
                let value = u64::try_from(steered.as_raw_fd()).unwrap().to_ne_bytes();
                syscalls::update(map, &slot.index.to_ne_bytes(), &value).unwrap();
                self.cookies
                    .insert((socket, kind.0, kind.1), steered.cookie().unwrap());
            }
        }
        self.cookies.keys().copied().collect()
    }

    fn cookie(&self, socket: SocketId, header: &Header) -> u64 {
        self.cookies[&(socket, header.family(), header.protocol)]
    }

    fn map_fd(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let map = self.ebpf.map(name)?;
        Some(match map {
            Map::SockMap(data) | Map::SockHash(data) | Map::Unsupported(data) => data.fd().as_fd(),
            _ => return None,
        })
    }

    /// Whether the packet hooks of a direction let the frame pass; `None` where there are none.
    fn run(&self, direction: Direction, frame: &[u8]) -> Option<bool> {
        let names: &[&str] = if direction == Direction::In {
            &["xdp_in", "tc_in"]
        } else {
            &["tc_out"]
        };
        let runs_tc = names
            .iter()
            .any(|name| matches!(self.ebpf.program(name), Some(Program::SchedClassifier(_))));
        if runs_tc && too_short_for_tc(frame) {
            return None;
        }
        let mut passes = None;
        for name in names {
            let (fd, pass) = match self.ebpf.program(name) {
                Some(Program::Xdp(program)) => (program.fd().unwrap().as_fd(), 2),
                Some(Program::SchedClassifier(program)) => (program.fd().unwrap().as_fd(), -1),
                _ => continue,
            };
            let returned = syscalls::run_on_frame(fd, frame).unwrap();
            let returned = returned.cast_signed();
            passes = Some(returned == pass);
            if returned != pass {
                break;
            }
        }
        passes
    }

    fn look_up(&self, header: &Header) -> Option<(bool, u64)> {
        let Some(Program::SkLookup(program)) = self.ebpf.program("lookup") else {
            return None;
        };
        let fd = program.fd().unwrap().as_fd();
        let (returned, cookie) = syscalls::run_lookup(fd, &context(header)).unwrap();
        Some((returned == 1, cookie))
    }

    fn totals(&self) -> Totals {
        let map = self.ebpf.map("counters").unwrap();
        let counters: PerCpuArray<_, [u64; 2]> = PerCpuArray::try_from(map).unwrap();
        let slots = (0..counters.len()).map(|slot| {
            let values = counters.get(&slot, 0).unwrap();
            (
                slot as usize,
                values.iter().map(|value| value[0]).sum::<u64>(),
            )
        });
        Totals(slots.filter(|(_, packets)| *packets > 0).collect())
    }
}

/// A test run of TC refuses frames that say they are IP and end before the IP header does.
fn too_short_for_tc(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame.len() < 34,
        [0x86, 0xdd] => frame.len() < 54,
        _ => false,
    }
}
