//! Lookups in maps of entries: what is in the maps, policies with them in force, and what the kernel's test runs of their
//! programs say that a lookup costs.
//!
//! `hosts` are entries of addresses for every port, half of them IPv6; `nested` those of prefixes of seven and eight lengths,
//! for nine ports and for every port, with a protocol each. A lookup is the policy's program in the kernel's mode for test runs: `hot`
//! asks for one entry again and again, `random` for each of many once.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sockc_runtime::lab::{BPFFS, Netlink, Space};

use crate::syscalls::run;

/// Sizes that are measured, and the largest that a constant map is made of.
pub(crate) const SIZES: [u32; 4] = [1, 100, 45_376, 1_000_000];
pub(crate) const LARGEST: u32 = 45_376;

const SOCKET: &str = "interfaces lo\nsocket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234, \
    udp listen 127.0.0.1:1234, udp listen [::1]:1234\n";

/// An entry: what is written of it, and a packet that it matches.
pub(crate) struct Entry {
    text: String,
    pub(crate) protocol: u8,
    /// The first address of its prefix.
    pub(crate) address: IpAddr,
    /// How many bits of the address count.
    pub(crate) length: u8,
    /// The port, if it is not for every one.
    pub(crate) named: Option<u16>,
    port: u16,
}

/// An address of its own for every port, half of them of IPv6.
pub(crate) fn host(number: u32) -> Entry {
    let half = number / 2;
    let address: IpAddr = match number % 2 {
        0 => Ipv4Addr::from_bits(0x0a00_0001 + 4 * half).into(),
        _ => Ipv6Addr::from_bits((0x2001_0db8 << 96) + 1 + 4 * u128::from(half)).into(),
    };
    let written = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Entry {
        text: format!("tcp {written}:* -> sock proxy"),
        protocol: 6,
        address,
        length: if address.is_ipv4() { 32 } else { 128 },
        named: None,
        port: 80,
    }
}

/// Prefixes of seven lengths and of eight, for nine ports and for every one, with a protocol each.
pub(crate) fn nested(number: u32) -> Entry {
    const PORTS: [u16; 9] = [25, 53, 80, 123, 443, 853, 5060, 8080, 8443];
    let (place, prefix) = (number % 20, number / 20);
    let (protocol, name) = [(6, "tcp"), (17, "udp")][place as usize % 2];
    let port = PORTS.get(place as usize / 2);
    let ports = port.map_or("*".to_owned(), u16::to_string);
    let of_lengths = |first: u32, count: u32| (first + prefix / 2 % count) as u8;
    let (address, length, written): (IpAddr, u8, String) = match prefix % 2 {
        0 => {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + 256 * prefix);
            let length = of_lengths(26, 7);
            (address.into(), length, format!("{address}/{length}"))
        }
        _ => {
            let bits = (0x2001_0db8 << 96) + 65_536 * u128::from(prefix);
            let (address, length) = (Ipv6Addr::from_bits(bits), of_lengths(121, 8));
            (address.into(), length, format!("[{address}/{length}]"))
        }
    };
    Entry {
        text: format!("{name} {written}:{ports} -> sock proxy"),
        protocol,
        address,
        length,
        named: port.copied(),
        port: port.copied().unwrap_or(9),
    }
}

/// A namespace with the socket, and a policy in force.
pub(crate) struct Stage {
    pub(crate) space: Space,
    sockets: (Vec<TcpListener>, Vec<UdpSocket>),
}

impl Stage {
    pub(crate) fn new(folder: &Path, policy: &str) -> Self {
        let space = Space::with_bpffs().unwrap();
        let listen = || {
            Netlink::open().unwrap().up("lo").unwrap();
            let at = ["127.0.0.1:1234", "[::1]:1234"];
            let tcp = at.map(|at| TcpListener::bind(at).unwrap());
            let udp = at.map(|at| UdpSocket::bind(at).unwrap());
            (tcp.into(), udp.into())
        };
        let sockets = space.run(listen).unwrap();
        let path = folder.join("map.sk");
        fs::write(&path, format!("{SOCKET}{policy}")).unwrap();
        sockc(&space, &["apply", text(&path)]);
        Self { space, sockets }
    }

    /// With a live map of these entries.
    pub(crate) fn live(folder: &Path, entries: &[Entry]) -> Self {
        let max = entries.len();
        let policy = format!("live map ten max {max}\nredirect by @ten\n");
        let live = Self::new(folder, &policy);
        let file = file(folder, entries);
        sockc(&live.space, &["map", "load", "ten", text(&file)]);
        live
    }

    /// With a constant one.
    pub(crate) fn constant(folder: &Path, entries: &[Entry]) -> Self {
        let all: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
        let policy = format!("map ten = {{\n{}\n}}\nredirect by @ten\n", all.join(",\n"));
        Self::new(folder, &policy)
    }

    /// The sockets of TCP and then those of UDP, of IPv4 first.
    pub(crate) fn sockets(&self) -> [BorrowedFd<'_>; 4] {
        let (tcp, udp) = &self.sockets;
        [
            tcp[0].as_fd(),
            tcp[1].as_fd(),
            udp[0].as_fd(),
            udp[1].as_fd(),
        ]
    }

    /// What a lookup costs.
    pub(crate) fn lookup(&self, entries: &[Entry], pace: Pace) -> [u32; 2] {
        let opened = || opened(&pins("prog/lookup")[0]);
        let program = self.space.run(opened).unwrap();
        cost(program.as_fd(), entries, pace)
    }
}

/// How often lookups are made.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Windows of which the fastest counts, and the lookups in each.
    windows: [u32; 2],
    /// Addresses that are asked for once each.
    random: usize,
}

impl Pace {
    pub(crate) const WHOLE: Self = Self {
        windows: [9, 200_000],
        random: 4096,
    };
    /// For a first look.
    pub(crate) const QUICK: Self = Self {
        windows: [3, 20_000],
        random: 512,
    };
}

/// Nanoseconds of a lookup: of the fastest of some windows for one entry, and the median of many that are asked once each.
pub(crate) fn cost(program: BorrowedFd<'_>, entries: &[Entry], pace: Pace) -> [u32; 2] {
    let asked = |entry: &Entry, times: u32| {
        let (found, took) = run::lookup(program, &context(entry), times).unwrap();
        assert!(found, "{}", entry.text);
        took
    };
    let first = &entries[entries.len() / 2];
    let [windows, times] = pace.windows;
    let hot = (0..windows).map(|_| asked(first, times)).min().unwrap();
    // Some prime number of steps apart, so that neighbours are not asked one after the other.
    let step = 7919;
    let far = (0..pace.random).map(|number| &entries[number * step % entries.len()]);
    let mut cold: Vec<u32> = far.map(|entry| asked(entry, 1)).collect();
    cold.sort_unstable();
    [hot, cold[pace.random / 2]]
}

/// A file of entries, as `map load` reads them.
pub(crate) fn file(folder: &Path, entries: &[Entry]) -> PathBuf {
    let path = folder.join("entries.txt");
    let lines: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// The pins below the bpf file system whose paths hold this.
pub(crate) fn pins(part: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(BPFFS).join("sockc")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false if text(&path).contains(part) => found.push(path),
                false => {}
            }
        }
    }
    found
}

/// What is pinned there.
pub(crate) fn opened(pin: &Path) -> OwnedFd {
    run::pinned(text(pin)).unwrap()
}

/// The context of a lookup for a packet (`struct bpf_sk_lookup`).
fn context(entry: &Entry) -> [u8; run::LOOKUP] {
    let mut context = [0; run::LOOKUP];
    let mut put = |at: usize, bytes: &[u8]| context[at..at + bytes.len()].copy_from_slice(bytes);
    put(12, &u32::from(entry.protocol).to_ne_bytes());
    put(36, &4000_u16.to_be_bytes());
    put(60, &u32::from(entry.port).to_ne_bytes());
    match entry.address {
        IpAddr::V4(address) => {
            put(8, &libc::AF_INET.to_ne_bytes());
            put(16, &[192, 0, 2, 9]);
            put(40, &address.octets());
        }
        IpAddr::V6(address) => {
            put(8, &libc::AF_INET6.to_ne_bytes());
            put(20, &Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).octets());
            put(44, &address.octets());
        }
    }
    context
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the command, which must succeed; gives how long it took.
pub(crate) fn sockc(space: &Space, arguments: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command.args(arguments).stdin(Stdio::null());
    let (took, output) = space
        .run(|| {
            let began = Instant::now();
            let output = command.output().unwrap();
            (began.elapsed(), output)
        })
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    took
}
