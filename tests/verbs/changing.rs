//! Live maps that are changed while datagrams arrive: each one goes where the entries before or those after say.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{Netlink, Space};
use sockc_testing::again;

use super::{Folder, root, run};

/// The sockets, in the order of their ports from 7001 on.
const SOCKETS: [&str; 4] = ["a", "b", "c", "d"];
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Datagrams that are sent at least while one command after the other runs.
const LEAST: usize = 20_000;

/// A sender and all that may get what it sends.
struct Traffic {
    sender: UdpSocket,
    receivers: Vec<UdpSocket>,
}

impl Traffic {
    fn new() -> Self {
        let receivers = (7001..).zip(SOCKETS).map(|(port, _)| {
            let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        Self {
            receivers: receivers.collect(),
            sender: UdpSocket::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// Who gets a datagram; nobody within the time that is long enough is a loss.
    fn goes_to(&self, to: &str) -> Option<&'static str> {
        // What was refused before is told at the next call.
        let _ = self.sender.take_error();
        self.sender.send_to(&[1], to).ok()?;
        let sent = Instant::now();
        let mut byte = [0];
        while sent.elapsed() < PATIENCE {
            for (socket, name) in self.receivers.iter().zip(SOCKETS) {
                if again(|| socket.recv(&mut byte)).is_ok() {
                    return Some(name);
                }
            }
            thread::yield_now();
        }
        None
    }
}

#[test]
fn no_datagram_meets_half_of_a_change() {
    if !root() {
        return;
    }
    let (space, folder) = (Space::with_bpffs().unwrap(), Folder::new("changing"));
    let declared = (7001..)
        .zip(SOCKETS)
        .map(|(port, name)| format!("socket {name} = udp listen 127.0.0.1:{port}\n"));
    let text = format!(
        "{}live map ten max 100\nredirect udp by @ten\n",
        declared.collect::<String>()
    );
    let policy = folder.file("ten.sk", &text);
    let traffic = space.run(|| {
        Netlink::open().unwrap().up("lo").unwrap();
        Netlink::open()
            .unwrap()
            .local("3.3.3.0".parse().unwrap(), 24)
            .unwrap();
        Traffic::new()
    });
    let traffic = traffic.unwrap();
    let sockc = |arguments: &[&str]| {
        let ran = space.run(|| run(arguments)).unwrap();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    };
    sockc(&["apply", &policy]);
    let nested: String = (8..24)
        .map(|length| format!("3.0.0.0/{length}:9 -> sock d\n"))
        .collect();
    let both = |inner: &str, outer: &str| {
        format!("3.3.3.3:* -> sock {inner}\n3.3.3.0/24:* -> sock {outer}\n")
    };
    // The last of these makes the map use its trie.
    let files = [
        folder.file("first.txt", &both("a", "c")),
        folder.file("second.txt", &both("b", "d")),
        folder.file("trie.txt", &(both("a", "c") + &nested)),
    ];
    sockc(&["map", "load", "ten", &files[0]]);
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let watch = || {
        let mut seen = [BTreeSet::new(), BTreeSet::new()];
        while !done.load(Ordering::Relaxed) {
            for (to, seen) in ["3.3.3.3:4000", "3.3.3.9:4000"].iter().zip(&mut seen) {
                seen.insert(traffic.goes_to(to));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        seen
    };
    let seen = thread::scope(|scope| {
        let watched = scope.spawn(|| space.run(watch).unwrap());
        let [first, second, trie] = &files;
        while sent.load(Ordering::Relaxed) < LEAST && !watched.is_finished() {
            sockc(&["map", "add", "ten", "--replace", "3.3.3.3:* -> sock b"]);
            sockc(&["map", "add", "ten", "3.3.3.3:4000 -> sock a"]);
            sockc(&["map", "del", "ten", "3.3.3.3:4000"]);
            sockc(&[
                "map",
                "add",
                "ten",
                "3.3.3.3:4000-4099 -> sock a",
                "3.3.3.0/25:* -> sock d",
            ]);
            sockc(&["map", "del", "ten", "3.3.3.0/25:*", "3.3.3.3:4000-4099"]);
            for file in [second, first, trie, second, first] {
                sockc(&["map", "load", "ten", file]);
            }
        }
        done.store(true, Ordering::Relaxed);
        watched.join().unwrap()
    });
    let both = [["a", "b"], ["c", "d"]].map(|names| BTreeSet::from(names.map(Some)));
    assert_eq!(seen, both);
}
