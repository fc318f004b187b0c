//! A live set that is loaded while packets arrive.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{Netlink, Space};
use sockc_testing::again;

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
interfaces lo
live set banned max 50_000
default in allow
drop udp from @banned to port 5000
";

/// How many elements are loaded each time.
const ELEMENTS: u32 = 30_000;
const LOADS: usize = 20;
/// Packets in a burst, one each millisecond: 50,000 a second.
const BURST: usize = 50;
const PACE: Duration = Duration::from_millis(1);

/// Who is in the set before each load and after it.
const MEMBER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
const RECEIVER: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 5000);

fn in_space(space: &Space, arguments: &[&str]) -> Ran {
    let ran = space.run(|| run(arguments)).unwrap();
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran
}

/// A file of elements in a block of their own, and one that has the member.
fn elements(folder: &Folder, name: &str, block: u8, member: &str) -> String {
    let first = Ipv4Addr::new(10, block, 0, 0).to_bits();
    let hosts = (1..ELEMENTS).map(|number| Ipv4Addr::from_bits(first + number).to_string() + "\n");
    folder.file(name, &format!("{}{member}\n", hosts.collect::<String>()))
}

/// Sends bursts until it is told to stop.
fn send(stop: &AtomicBool, sent: &AtomicU64) {
    let socket = UdpSocket::bind((MEMBER, 0)).unwrap();
    socket.connect(RECEIVER).unwrap();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            socket.send(b"x").unwrap();
        }
        sent.fetch_add(BURST as u64, Ordering::Relaxed);
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn a_member_before_and_after_never_passes_while_a_set_is_loaded() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-loading");
    let space = Space::with_bpffs().unwrap();
    space
        .run(|| Netlink::open().unwrap().up("lo").unwrap())
        .unwrap();
    in_space(&space, &["apply", &folder.file("live.sk", POLICY)]);
    // A member by itself, then by what covers it.
    let files = [
        elements(&folder, "one.txt", 1, "127.0.0.12"),
        elements(&folder, "two.txt", 2, "127.0.0.8/29"),
    ];
    in_space(&space, &["set", "load", "banned", &files[0]]);
    let receiver = space.run(|| UdpSocket::bind(RECEIVER).unwrap()).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| space.run(|| send(&stop, &sent)).unwrap());
        for load in 1..=LOADS {
            in_space(&space, &["set", "load", "banned", &files[load % 2]]);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner();
    println!(
        "{sent} packets, {:.0} a second",
        sent as f64 / began.elapsed().as_secs_f64()
    );
    assert!(sent > 10_000, "{sent} packets say little");
    let mut passed = 0;
    while again(|| receiver.recv(&mut [0; 8])).is_ok() {
        passed += 1;
    }
    assert_eq!(passed, 0, "of {sent} packets");
    // Only the set kept them out.
    in_space(&space, &["set", "clear", "banned"]);
    receiver.set_nonblocking(false).unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let once = || {
        let socket = UdpSocket::bind((MEMBER, 0)).unwrap();
        socket.send_to(b"x", RECEIVER).unwrap();
    };
    space.run(once).unwrap();
    again(|| receiver.recv(&mut [0; 8])).unwrap();
}
