//! Questions in the kernel: large sets in tables and live maps in tries, asked by loaded programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

#[path = "../kernels/syscalls.rs"]
#[allow(dead_code, reason = "the guest uses more of it")]
mod syscalls;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::Map;
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use sockc_compiler::event::{Header, Transport};
use sockc_compiler::files::Texts;
use sockc_compiler::object;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::pipeline::{self, Built};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;

/// Prefixes of each family.
const PREFIXES: u32 = 500_000;

const XDP_DROP: u32 = 1;

/// Whether the kernel may be asked; says so if not, and fails where that is required.
fn permitted() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let required = std::env::var("SOCKC_KERNEL").is_ok_and(|value| value == "require");
        assert!(!required, "kernel tests are required and need root");
        println!("skipped: needs root");
    }
    root
}

fn compiled(text: &str, files: Texts) -> Built {
    let mut sources = SourceMap::default();
    let id = sources.add("q.sk", text);
    let target = Target::baseline();
    let outcome = pipeline::compile(&mut sources, id, "q", &target, &mut { files });
    assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
    outcome.built.unwrap()
}

/// An object in the kernel.
struct Loaded(Ebpf);

impl Loaded {
    fn new(built: &Built) -> Self {
        let bytes = object::write(&built.artifact).unwrap();
        let mut loader = EbpfLoader::new();
        let mut ebpf = loader.allow_unsupported_maps().load(&bytes).unwrap();
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                Program::Xdp(program) => program.load(),
                Program::SkLookup(program) => program.load(),
                _ => panic!("{name} is of no hook that this test runs"),
            };
            loaded.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        Self(ebpf)
    }

    fn drops(&self, header: Header) -> bool {
        let Some(Program::Xdp(program)) = self.0.program("xdp_in") else {
            panic!("there is no xdp_in");
        };
        let fd = program.fd().unwrap().as_fd();
        syscalls::run_on_frame(fd, &Frame::new(header).bytes()).unwrap() == XDP_DROP
    }

    /// Whether a lookup refuses, as it does where the socket of a redirect is not there.
    fn refuses(&self, header: &Header) -> bool {
        let Some(Program::SkLookup(program)) = self.0.program("lookup") else {
            panic!("there is no lookup");
        };
        let fd = program.fd().unwrap().as_fd();
        let (returned, _) = syscalls::run_lookup(fd, &context(header)).unwrap();
        returned == 0
    }

    fn map(&self, name: &str) -> BorrowedFd<'_> {
        let data = match self.0.map(name).unwrap() {
            Map::LpmTrie(data) | Map::Array(data) | Map::Unsupported(data) => data,
            _ => panic!("{name} is of no kind that this test fills"),
        };
        data.fd().as_fd()
    }
}

fn segment(from: IpAddr, to: IpAddr, port: u16) -> Header {
    Header {
        from,
        to,
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: 40_000,
            to: port,
            flags: 2,
        },
        length: 60,
        ..Header::PLAIN
    }
}

/// `struct bpf_sk_lookup` as a test run takes it.
fn context(header: &Header) -> [u8; 72] {
    let mut context = [0; 72];
    let family: u32 = if header.from.is_ipv4() { 2 } else { 10 };
    context[8..12].copy_from_slice(&family.to_ne_bytes());
    context[12..16].copy_from_slice(&u32::from(header.protocol).to_ne_bytes());
    match (header.from, header.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            context[16..20].copy_from_slice(&from.octets());
            context[40..44].copy_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            context[20..36].copy_from_slice(&from.octets());
            context[44..60].copy_from_slice(&to.octets());
        }
        _ => panic!("both sides are of one family"),
    }
    if let Transport::Tcp { from, to, .. } = header.transport {
        context[36..38].copy_from_slice(&from.to_be_bytes());
        context[60..64].copy_from_slice(&u32::from(to).to_ne_bytes());
    }
    context
}

/// Prefixes that do not touch: /21 of IPv4, /68 of IPv6.
fn prefix_v4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(number << 12)
}

fn prefix_v6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number) << 69)
}

/// One million prefixes of both families take several tables, searched by XDP and by the socket lookup.
#[test]
fn a_million_prefixes_decide_right_in_the_kernel() {
    if !permitted() {
        return;
    }
    let mut list = String::new();
    for number in 0..PREFIXES {
        writeln!(
            list,
            "{}/21\n{}/68",
            prefix_v4(2 * number),
            prefix_v6(number)
        )
        .unwrap();
    }
    let text = "set bogons = file \"bogons.txt\" max 1_000_000
        socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234
        default in allow
        drop from @bogons to port 22
        redirect tcp from @bogons any:81 to sock proxy";
    let built = compiled(text, Texts::default().with("bogons.txt", list));
    let loaded = Loaded::new(&built);
    let probes = (0..4_000).map(|step| step * 131 % PREFIXES);
    let middle = PREFIXES / 4..PREFIXES / 4 + 8;
    for number in probes.chain(middle).chain([0, 1, PREFIXES - 1]) {
        let first = prefix_v4(2 * number).to_bits();
        for (address, inside) in [
            (first.wrapping_sub(1), false),
            (first, true),
            (first + 0x7ff, true),
            (first + 0x800, false),
        ] {
            let from = Ipv4Addr::from_bits(address).into();
            check(&loaded, from, [192, 0, 2, 1].into(), inside);
        }
        let first = prefix_v6(number).to_bits();
        for (address, inside) in [
            (first - 1, false),
            (first, true),
            (first + ((1 << 60) - 1), true),
            (first + (1 << 60), false),
        ] {
            let from = Ipv6Addr::from_bits(address).into();
            check(&loaded, from, Ipv6Addr::LOCALHOST.into(), inside);
        }
    }
}

fn check(loaded: &Loaded, from: IpAddr, to: IpAddr, inside: bool) {
    assert_eq!(loaded.drops(segment(from, to, 22)), inside, "{from}");
    assert_eq!(loaded.refuses(&segment(from, to, 81)), inside, "{from}");
}

/// A live set at XDP and at the socket lookup, its elements written as `SetPlan` says.
#[test]
fn members_of_a_live_set_are_found_in_the_kernel() {
    if !permitted() {
        return;
    }
    let text = "live set banned max 100
        socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234
        default in allow
        drop from @banned to port 22
        redirect tcp from @banned any:81 to sock proxy";
    let built = compiled(text, Texts::default());
    let loaded = Loaded::new(&built);
    let map = loaded.map(&built.artifact.manifest.sets[0].map);
    let v4 = |a, b| IpAddr::from([192, 0, a, b]);
    let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
    for (address, length) in [(v4(2, 0), 25), (v6("2001:db8::"), 61)] {
        syscalls::update(map, &set_key(address, length), &[u8::MAX; 24]).unwrap();
    }
    for (address, length) in [(v4(3, 0), 24), (v6("2001:db9::"), 32)] {
        // Long ago.
        let value = [[1, 0, 0, 0, 0, 0, 0, 0]; 3].concat();
        syscalls::update(map, &set_key(address, length), &value).unwrap();
    }
    let (to4, to6) = (v4(9, 9), v6("::1"));
    for (from, to, inside) in [
        (v4(2, 0), to4, true),
        (v4(2, 127), to4, true),
        (v4(2, 128), to4, false),
        (v4(3, 1), to4, false),
        (v6("2001:db8:0:7:ffff::"), to6, true),
        (v6("2001:db8:0:8::"), to6, false),
        (v6("2001:db9::1"), to6, false),
    ] {
        check(&loaded, from, to, inside);
    }
}

fn set_key(address: IpAddr, length: u32) -> Vec<u8> {
    let mut key = (8 + length).to_ne_bytes().to_vec();
    match address {
        IpAddr::V4(v4) => {
            key.push(4);
            key.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            key.push(6);
            key.extend(v6.octets());
        }
    }
    key.resize(24, 0);
    key
}
