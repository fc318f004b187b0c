//! Live maps: what a lookup costs next to one in a constant map with the same entries, what commands cost by how many entries there are, and
//! the memory of the kernel's maps.
//!
//! `hosts` are entries of addresses for every port, half of them IPv6; `nested` those of prefixes of seven and eight lengths,
//! for nine ports and for every port, with a protocol each. A lookup is the policy's program in the kernel's mode for test runs: `hot`
//! asks for one entry again and again, `random` for each of many once. What a constant map cannot hold is
//! compared with the largest that was measured.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sockc_runtime::lab::{BPFFS, Netlink, Space};

use crate::syscalls::run;
use crate::{MAX_TIME, ROUNDS, sockc, text};

/// The most that a lookup may take of one in a constant map, in percent.
const MOST: u32 = 150;
/// Addresses that are asked for once each.
const RANDOM: usize = 4096;
/// Sizes that are measured, and the largest that a constant map is made of.
const SIZES: [u32; 4] = [1, 100, 45_376, 1_000_000];
const LARGEST: u32 = 45_376;

const SOCKET: &str = "interfaces lo\nsocket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234, \
    udp listen 127.0.0.1:1234, udp listen [::1]:1234\n";

/// An entry: what is written of it, and a packet that it matches.
struct Entry {
    text: String,
    protocol: u8,
    address: IpAddr,
    port: u16,
}

fn host(number: u32) -> Entry {
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
        port: 80,
    }
}

fn nested(number: u32) -> Entry {
    const PORTS: [u16; 9] = [25, 53, 80, 123, 443, 853, 5060, 8080, 8443];
    let (place, prefix) = (number % 20, number / 20);
    let (protocol, name) = [(6, "tcp"), (17, "udp")][place as usize % 2];
    let port = PORTS.get(place as usize / 2);
    let ports = port.map_or("*".to_owned(), u16::to_string);
    let (address, written): (IpAddr, String) = match prefix % 2 {
        0 => {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + 256 * prefix);
            (address.into(), format!("{address}/{}", 26 + prefix / 2 % 7))
        }
        _ => {
            let bits = (0x2001_0db8 << 96) + 65_536 * u128::from(prefix);
            let address = Ipv6Addr::from_bits(bits);
            (
                address.into(),
                format!("[{address}/{}]", 121 + prefix / 2 % 8),
            )
        }
    };
    Entry {
        text: format!("{name} {written}:{ports} -> sock proxy"),
        protocol,
        address,
        port: port.copied().unwrap_or(9),
    }
}

/// Prints the tables; gives how many figures are beyond what they may be.
pub(crate) fn measure(folder: &Path) -> usize {
    println!(
        "{:<18} {:>24} {:>24} {:>7}",
        "lookup, ns", "constant hot / random", "live hot / random", "ratio"
    );
    let mut wrong = 0;
    let mut constant = [[0; 2]; 2];
    for size in SIZES {
        let last = &mut constant[0];
        wrong += lookups(folder, ("hosts", host), size, last);
        if size == LARGEST {
            wrong += lookups(folder, ("nested", nested), size, &mut constant[1]);
        }
    }
    println!(
        "{:<18} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "command, ms", "load", "add", "del", "replace", "MiB"
    );
    for size in SIZES {
        wrong += commands(folder, size);
    }
    wrong
}

/// A namespace with the socket, and a policy in force.
struct Stage {
    space: Space,
    _sockets: (Vec<TcpListener>, Vec<UdpSocket>),
}

impl Stage {
    fn new(folder: &Path, policy: &str) -> Self {
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
        Self {
            space,
            _sockets: sockets,
        }
    }

    fn program(&self) -> OwnedFd {
        let opened = || opened(&pins("prog/lookup")[0]);
        self.space.run(opened).unwrap()
    }

    /// Nanoseconds of a lookup: of the fastest of nine windows for one entry, and the median of many that are asked once each.
    fn lookup(&self, entries: &[Entry]) -> [u32; 2] {
        let program = self.program();
        let asked = |entry: &Entry, times: u32| {
            let (found, took) = run::lookup(program.as_fd(), &context(entry), times).unwrap();
            assert!(found, "{}", entry.text);
            took
        };
        let first = &entries[entries.len() / 2];
        let hot = (0..9).map(|_| asked(first, 200_000)).min().unwrap();
        // Some prime number of steps apart, so that neighbours are not asked one after the other.
        let step = 7919;
        let far = (0..RANDOM).map(|number| &entries[number * step % entries.len()]);
        let mut cold: Vec<u32> = far.map(|entry| asked(entry, 1)).collect();
        cold.sort_unstable();
        [hot, cold[RANDOM / 2]]
    }

    /// Kibibytes of the kernel's maps of the live map.
    fn memory(&self) -> u64 {
        let sum = || {
            let of_map = |pin: &PathBuf| {
                let map = opened(pin);
                let info = format!("/proc/thread-self/fdinfo/{}", map.as_raw_fd());
                let info = fs::read_to_string(info).unwrap();
                let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
                line.unwrap().trim().parse::<u64>().unwrap() / 1024
            };
            let pins = pins("_ten");
            assert_eq!(pins.len(), 7, "{pins:?}");
            pins.iter().map(of_map).sum()
        };
        self.space.run(sum).unwrap()
    }
}

/// Compares a lookup; `last` is the figure of the constant map of the size before, and becomes this one's.
fn lookups(
    folder: &Path,
    (name, entry): (&str, fn(u32) -> Entry),
    size: u32,
    last: &mut [u32; 2],
) -> usize {
    let entries: Vec<Entry> = (0..size).map(entry).collect();
    let file = file(folder, &entries);
    let live = Stage::new(
        folder,
        &format!("live map ten max {size}\nredirect by @ten\n"),
    );
    sockc(&live.space, &["map", "load", "ten", text(&file)]);
    if size <= LARGEST {
        let all: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
        let policy = format!("map ten = {{\n{}\n}}\nredirect by @ten\n", all.join(",\n"));
        *last = Stage::new(folder, &policy).lookup(&entries);
    }
    let (there, here) = (*last, live.lookup(&entries));
    let ratio = |place: usize| f64::from(here[place]) / f64::from(there[place]);
    let both = |figures: [u32; 2]| format!("{} / {}", figures[0], figures[1]);
    println!(
        "{:<18} {:>24} {:>24} {:>7}",
        format!("{name} {size}"),
        both(there),
        both(here),
        format!("{:.2} / {:.2}", ratio(0), ratio(1))
    );
    let beyond = here[0] * 100 > there[0] * MOST;
    usize::from(beyond)
}

/// Measures the commands with so many entries in the map.
fn commands(folder: &Path, size: u32) -> usize {
    let entries: Vec<Entry> = (0..size).map(host).collect();
    let file = file(folder, &entries);
    let max = size + 1;
    let stage = Stage::new(
        folder,
        &format!("live map ten max {max}\nredirect by @ten\n"),
    );
    let space = &stage.space;
    let load = sockc(space, &["map", "load", "ten", text(&file)]);
    let entry = "tcp 203.0.113.7:443 -> sock proxy";
    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        let [add, del, put] = &mut times;
        add.push(sockc(space, &["map", "add", "ten", entry]));
        put.push(sockc(space, &["map", "add", "ten", "--replace", entry]));
        del.push(sockc(space, &["map", "del", "ten", entry]));
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    let ms = |time: Duration| format!("{:.2}", 1e3 * time.as_secs_f64());
    let [add, del, put] = medians.map(ms);
    println!(
        "{:<18} {:>11} {add:>11} {del:>11} {put:>11} {:>11.1}",
        format!("hosts {size}"),
        ms(load),
        stage.memory() as f64 / 1024.0
    );
    medians.iter().filter(|time| **time >= MAX_TIME).count()
}

fn file(folder: &Path, entries: &[Entry]) -> PathBuf {
    let path = folder.join("entries.txt");
    let lines: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// The pins below the bpf file system whose paths hold this.
fn pins(part: &str) -> Vec<PathBuf> {
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

fn opened(pin: &Path) -> OwnedFd {
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
