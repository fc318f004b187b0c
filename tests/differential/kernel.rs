//! The kernel's answer: the object loaded through aya, run on frames and lookups, its counters read back.
//!
//! Everything happens in a network namespace of its own, with real listeners that socket conditions can find.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use nix::sched::{CloneFlags, unshare};
use sockc_compiler::artifact::AttachPoint;
use sockc_compiler::bpf::constant::{
    TC_ACT_REDIRECT, TC_ACT_SHOT, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX,
};
use sockc_compiler::counter_blocks::PER_BLOCK;
use sockc_compiler::event::{Event, Parsed, SocketAnswer, Verdict};
use sockc_compiler::object;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::{ClassId, Direction, Family, OutInterfaceId};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::slots;
use sockc_testing::Rng;
use socket2::{Domain, Socket, Type};

use crate::answer::wrong_answer;
use crate::cases::{MIN_FRAME, frames, lookups, truncations};
use crate::context::context;
use crate::effects::{Reference, Wanted, add, wrong_records};
use crate::held::{Held, map_fd};
use crate::made::Made;
use crate::world::{Flow, Place, There, place, there};
use crate::{Subject, calls, points, syscalls};

/// `TC_ACT_UNSPEC`: goes on.
const TC_ACT_UNSPEC: i32 = -1;
const TCP_PORTS: [u16; 3] = [80, 443, 8080];
/// As many sockets of each kind as a policy of the generator has slots for.
const SLOTS: usize = 12;
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
    slots: BTreeMap<(Family, IpProtocol), Vec<Socket>>,
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
        let mut slots: BTreeMap<(Family, IpProtocol), Vec<Socket>> = BTreeMap::new();
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            for (protocol, kind) in [
                (IpProtocol::TCP, Type::STREAM),
                (IpProtocol::UDP, Type::DGRAM),
            ] {
                let sockets = (0..SLOTS)
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

    fn answer(&self, flow: Flow) -> SocketAnswer {
        let ports: &[u16] = if flow.protocol == IpProtocol::TCP {
            &TCP_PORTS
        } else {
            &UDP_PORTS
        };
        if ports.contains(&flow.to.1) || self.in_a_slot(flow) {
            SocketAnswer::Listening
        } else {
            SocketAnswer::None
        }
    }

    /// A socket condition finds the sockets of the slots too, on whatever ports the kernel gave them.
    fn in_a_slot(&self, flow: Flow) -> bool {
        let to = SocketAddr::from(flow.to);
        let kind = (Family::of(to.ip()), flow.protocol);
        let mut sockets = self.slots.get(&kind).into_iter().flatten();
        sockets.any(|socket| socket.local_addr().unwrap().as_socket() == Some(to))
    }
}

/// IPv6 sockets hold IPv6 only, so that IPv4 and IPv6 can have one port.
pub(crate) fn open(address: SocketAddr, kind: Type) -> Socket {
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

/// Compares one policy with the kernel on many packets; gives how many frames ran, and the most that its verifier processed for
/// one program.
pub(crate) fn check(
    subject: &Subject,
    sockets: &Sockets,
    seed: u64,
    rng: &mut Rng,
    packets: usize,
    looked_up: usize,
) -> (usize, u32) {
    let bytes = object::write(&subject.built.artifact).unwrap();
    let mut loaded = Loaded::new(&bytes, subject);
    let world = Made {
        seed,
        policy: &subject.policy,
        answers: &|flow| sockets.answer(flow),
        there: loaded.fill(sockets, rng),
    };
    let classes: Vec<ClassId> = subject.policy.classes.keys().collect();
    let mut frames = frames(&subject.policy, rng, packets);
    frames.extend(truncations(&subject.policy, rng, MIN_FRAME));
    let mut ran = 0;
    // `lo`, where test runs arrive, has a hardware address of zeros, and TC answers no frame that is for another machine.
    let answers = subject.text.contains("reject");
    for (header, mut frame) in frames {
        if answers {
            frame[..6].fill(0);
        }
        for direction in [Direction::In, Direction::Out] {
            let mut packet = parse(&frame, Layout::Ethernet);
            if let Parsed::Ip(parsed) = &mut packet {
                parsed.mark = header.mark;
            }
            let event = Event::Packet {
                direction,
                class: *rng.pick(&classes).unwrap(),
                packet,
            };
            ran += usize::from(loaded.packet(&event, &frame, header.mark, &world));
        }
    }
    if subject.has_lookup() {
        for header in lookups(&subject.policy, rng, looked_up) {
            let class = *rng.pick(&classes).unwrap();
            loaded.lookup(&Event::Lookup { class, header }, &world);
        }
    }
    assert_eq!(loaded.totals(), loaded.expected, "{}", subject.text);
    (ran, loaded.steps)
}

/// What the packet hooks did.
#[derive(Debug)]
struct Ran {
    verdict: Verdict,
    frame: Vec<u8>,
    /// The mark after TC, where a packet goes on.
    mark: Option<u32>,
}

/// An object in the kernel.
struct Loaded<'a> {
    subject: &'a Subject,
    reference: Reference<'a>,
    ebpf: Ebpf,
    log: Option<RingBuf<MapData>>,
    held: Held,
    cookies: BTreeMap<Place, u64>,
    /// What the counters must show, packets and bytes.
    expected: BTreeMap<u32, (u64, u64)>,
    /// Instructions that the verifier processed, of the program with most.
    steps: u32,
}

impl<'a> Loaded<'a> {
    fn new(bytes: &[u8], subject: &'a Subject) -> Self {
        let mut ebpf = EbpfLoader::new()
            .allow_unsupported_maps()
            .load(bytes)
            .unwrap();
        let mut steps = 0;
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                Program::Xdp(program) => program.load(),
                Program::SchedClassifier(program) => program.load(),
                Program::SkLookup(program) => program.load(),
                _ => continue,
            };
            loaded.unwrap_or_else(|error| panic!("{}\n{name}: {error:?}", subject.text));
            let told = program.info().unwrap();
            // Kernels from 5.16 on say it.
            steps = steps.max(told.verified_instruction_count().unwrap_or_default());
        }
        let log = ebpf.take_map("log");
        Self {
            subject,
            reference: Reference::new(subject),
            ebpf,
            steps,
            log: log.map(|map| RingBuf::try_from(map).unwrap()),
            held: Held::default(),
            cookies: BTreeMap::new(),
            expected: BTreeMap::new(),
        }
    }

    /// Fills some of the slots.
    fn fill(&mut self, sockets: &Sockets, rng: &mut Rng) -> There {
        let mut used: BTreeMap<(Family, IpProtocol), usize> = BTreeMap::new();
        let slots: Vec<_> = slots(&self.subject.policy, &self.subject.built.artifact).collect();
        let there = there(slots.iter().copied(), rng);
        for (socket, member, slot) in slots {
            let place = place(socket, member, slot);
            let Some(map) = map_fd(&self.ebpf, "sockets").filter(|_| there.has(&place)) else {
                continue;
            };
            let kind = (place.1, place.2);
            let next = used.entry(kind).or_default();
            let steered = &sockets.slots[&kind][*next];
            *next += 1;
            let value = u64::try_from(steered.as_raw_fd()).unwrap().to_ne_bytes();
            syscalls::update(map, &slot.index.to_ne_bytes(), &value).unwrap();
            self.cookies.insert(place, steered.cookie().unwrap());
        }
        there
    }

    /// Compares what the packet hooks do with one packet; whether there are any, and they take it.
    fn packet(&mut self, event: &Event, frame: &[u8], mark: u32, world: &Made<'_>) -> bool {
        let Event::Packet {
            direction,
            class,
            packet,
        } = event
        else {
            return false;
        };
        let subject = self.subject;
        let at_tc = points(*direction).iter().any(|point| {
            *point != AttachPoint::Xdp && subject.program(point, Some(*class)).is_some()
        });
        if at_tc && too_short_for_tc(frame) || !subject.has_packet_hooks(*direction, *class) {
            return false;
        }
        self.held.fill(&self.ebpf, subject, event, world);
        let before = now();
        let ran = self.run(*direction, *class, frame, mark);
        let after = now();
        let taken = self.held.taken(&self.ebpf, subject, event);
        let records = self.records();
        let wanted = self.reference.at_packet_hooks(event, frame, world);
        let here = Expectation {
            subject,
            event,
            frame,
            wanted: &wanted,
            ran: &ran,
        };
        here.verdict_and_mark(mark);
        let wrong = wrong_records(&wanted.logged, &records, packet, true);
        assert!(wrong.is_none(), "{wrong:?}\n{}", here.report());
        let asked: Vec<_> = taken.keys().collect();
        assert_eq!(
            asked,
            wanted.taken.iter().collect::<Vec<_>>(),
            "tokens\n{}",
            here.report()
        );
        for (rule, value) in taken {
            let Parsed::Ip(header) = packet else { continue };
            let (least, most) = self.reference.price(rule, header);
            let possible = (before << 4) + least..=(after << 4) + most;
            assert!(
                possible.contains(&value),
                "{rule} {value}\n{}",
                here.report()
            );
        }
        for (slot, (packets, bytes)) in wanted.counted {
            let total = self.expected.entry(slot).or_default();
            *total = (total.0 + packets, total.1 + bytes);
        }
        true
    }

    /// Compares one lookup.
    fn lookup(&mut self, event: &Event, world: &Made<'_>) {
        let Event::Lookup { header, .. } = event else {
            return;
        };
        self.held.fill(&self.ebpf, self.subject, event, world);
        let Some(Program::SkLookup(program)) = self.ebpf.program("lookup") else {
            return;
        };
        let fd = program.fd().unwrap().as_fd();
        let (returned, cookie) = syscalls::run_lookup(fd, &context(header)).unwrap();
        let wanted = self.reference.at_lookup(event, world);
        let family = header.family();
        let expected = match wanted.verdict {
            Verdict::Redirect(socket) => {
                let member = wanted.decision.member.unwrap_or(0);
                (1, self.cookies[&(socket, family, header.protocol, member)])
            }
            Verdict::Reject => (0, 0),
            _ => (1, 0),
        };
        let text = &self.subject.text;
        assert_eq!(
            (returned, cookie),
            expected,
            "{text}\n{event:?}\n{wanted:?}"
        );
        let records = self.records();
        let packet = Parsed::Ip(header.clone());
        let wrong = wrong_records(&wanted.logged, &records, &packet, true);
        assert!(wrong.is_none(), "{wrong:?}\n{text}\n{event:?}\n{wanted:?}");
        for slot in wanted.counted.into_keys() {
            add(&mut self.expected, slot, 0);
        }
    }

    /// The records in the ring; the limits of logs are full again then.
    fn records(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        if let Some(log) = &mut self.log {
            while let Some(record) = log.next() {
                records.push(record.to_vec());
            }
            self.held.refill_logs(&self.ebpf, self.subject);
        }
        records
    }

    fn run(&self, direction: Direction, class: ClassId, frame: &[u8], mark: u32) -> Ran {
        let mut ran = Ran {
            verdict: Verdict::Allow,
            frame: frame.to_vec(),
            mark: None,
        };
        for point in points(direction) {
            let Some(program) = self.subject.program(point, Some(class)) else {
                continue;
            };
            let (fd, came) = match self.ebpf.program(&program.name) {
                Some(Program::Xdp(program)) => (program.fd().unwrap().as_fd(), None),
                Some(Program::SchedClassifier(program)) => {
                    (program.fd().unwrap().as_fd(), Some(mark))
                }
                _ => panic!("{} is not loaded", program.name),
            };
            let done = calls::run(fd, frame, came).unwrap();
            let rewritten = done.frame != frame;
            ran.frame = done.frame;
            ran.verdict = match (*point == AttachPoint::Xdp, done.code) {
                (true, XDP_TX) => Verdict::Reject,
                (true, XDP_DROP) | (false, TC_ACT_SHOT) => Verdict::Drop,
                (false, TC_ACT_REDIRECT) if rewritten => Verdict::Reject,
                (true, XDP_REDIRECT) | (false, TC_ACT_REDIRECT) => forwarded(),
                (true, XDP_PASS) => continue,
                (false, TC_ACT_UNSPEC) => {
                    ran.mark = Some(done.mark);
                    continue;
                }
                (_, code) => panic!("{} returned {code}", program.name),
            };
            break;
        }
        ran
    }

    fn totals(&self) -> BTreeMap<u32, (u64, u64)> {
        let map = self.ebpf.map("counters").unwrap();
        let counters: PerCpuArray<_, [[u64; 2]; PER_BLOCK as usize]> =
            PerCpuArray::try_from(map).unwrap();
        let totals = (0..counters.len()).flat_map(|key| {
            let values = counters.get(&key, 0).unwrap();
            (0..PER_BLOCK as usize).map(move |place| {
                let sum = |at: usize| values.iter().map(|block| block[place][at]).sum::<u64>();
                (sum(0), sum(1))
            })
        });
        let slots = (0..).zip(totals);
        slots.filter(|(_, total)| *total != (0, 0)).collect()
    }
}

/// Out of some interface: a test run does not say which.
fn forwarded() -> Verdict {
    Verdict::Forward(OutInterfaceId::from_u32(0))
}

/// One packet, what must become of it, and what did.
struct Expectation<'a> {
    subject: &'a Subject,
    event: &'a Event,
    frame: &'a [u8],
    wanted: &'a Wanted,
    ran: &'a Ran,
}

impl Expectation<'_> {
    fn verdict_and_mark(&self, came: u32) {
        let goes_on = match self.wanted.verdict {
            Verdict::Reject => !self.wanted.rejects_at_packet_hooks(&self.subject.policy),
            Verdict::Allow | Verdict::Redirect(_) => true,
            _ => false,
        };
        let verdict = match self.wanted.verdict {
            _ if goes_on => Verdict::Allow,
            Verdict::Forward(_) => forwarded(),
            verdict => verdict,
        };
        assert_eq!(self.ran.verdict, verdict, "{}", self.report());
        let set = self.wanted.decision.mark;
        let mark = self.ran.mark.filter(|_| goes_on);
        assert!(
            mark.is_none_or(|mark| mark == set.unwrap_or(came)),
            "mark\n{}",
            self.report()
        );
        assert!(
            mark.is_some() || set.is_none(),
            "no mark\n{}",
            self.report()
        );
        if let (
            Verdict::Reject,
            Event::Packet {
                packet: Parsed::Ip(header),
                ..
            },
        ) = (verdict, self.event)
        {
            let wrong = wrong_answer(header, self.frame, &self.ran.frame);
            assert!(wrong.is_none(), "{wrong:?}\n{}", self.report());
        }
    }

    fn report(&self) -> String {
        let hex: String = self
            .frame
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "{}\n{:?}\n{hex}\n{:?}\n{:?}",
            self.subject.text, self.event, self.wanted, self.ran
        )
    }
}

/// Nanoseconds since boot.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// A test run of TC refuses frames that say they are IP and end before the IP header does.
fn too_short_for_tc(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame.len() < 34,
        [0x86, 0xdd] => frame.len() < 54,
        _ => false,
    }
}
