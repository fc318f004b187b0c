//! Connections that cannot be taken in, of MPTCP or beyond a full table: they go as `default send` says.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use sockc_testing::again;
use socket2::{SockAddr, Socket};

use crate::egress::arrives;
use crate::full::disconnect;
use crate::guests;
use crate::place::*;
use crate::shortcut::PATIENCE;
use crate::writes::{DATA, is_refused};

/// Its rule lets everything go: what is refused could not be taken in.
const REFUSING: &str = "
default send drop
GROUP
all: allow send tcp from group pods to any
";
const ALLOWING: &str = "
default send allow
GROUP
all: count send tcp from group pods to any
";
/// Both families.
const ENDS: [(&str, &str); 2] = [(CLIENT4, "203.0.113.5"), (CLIENT6, "2001:db8:3::5")];
const PLACES: u32 = 65_536;

/// Whether a table can be filled here in a time that a run of all tests has: an emulated machine takes minutes for each. There the
/// connections of MPTCP show what becomes of those that cannot be taken in, where the kernel has them.
fn has_time() -> bool {
    guests::folder().is_none()
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// What one end writes is dropped, and the other end has nothing.
fn stays_away(place: &Place, from: &mut TcpStream, to: &mut TcpStream) {
    let before = place.refused();
    from.write_all(DATA).unwrap();
    until("nothing was dropped", || place.refused() > before);
    has_nothing(to);
}

fn has_nothing(to: &mut TcpStream) {
    to.set_nonblocking(true).unwrap();
    let read = again(|| to.read(&mut [0]));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    to.set_nonblocking(false).unwrap();
}

/// What each end has written comes.
fn comes(pair: &mut Pair) {
    for end in [&mut pair.client, &mut pair.server] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(arrives(end));
    }
}

/// Both ends in the group, made while the policy that refuses is in force, and others.
fn as_the_default_says(place: &Place, pair: &mut Pair) {
    let Pair { client, server } = pair;
    stays_away(place, client, server);
    stays_away(place, server, client);
    // What waits goes once it may, and is refused no more.
    place.apply(ALLOWING);
    comes(pair);
    let escaped = place.escaped();
    assert!(escaped >= 2, "{escaped}");
    place.apply(REFUSING);
    let Pair { client, server } = pair;
    stays_away(place, server, client);
    stays_away(place, client, server);
    assert!(place.unload());
    comes(pair);
}

#[test]
fn a_connection_of_mptcp_goes_as_the_default_says() {
    for (from, to) in ENDS {
        inside(|place| {
            place.apply(REFUSING);
            let Some(mut pair) = place.mptcp_pair_to(from, to) else {
                return skip("MPTCP");
            };
            as_the_default_says(place, &mut pair);
        });
    }
}

/// One that was made under a policy that lets it go is refused by the next.
#[test]
fn a_connection_of_mptcp_that_went_is_refused_by_the_next_policy() {
    for (from, to) in ENDS {
        inside(|place| {
            place.apply(ALLOWING);
            let Some(mut pair) = place.mptcp_pair_to(from, to) else {
                return skip("MPTCP");
            };
            let Pair { client, server } = &mut pair;
            client.write_all(DATA).unwrap();
            assert!(arrives(server));
            place.apply(REFUSING);
            stays_away(place, client, server);
        });
    }
}

/// A table that is full of other sockets, which write nothing by TCP. Threads with descriptors of their own hold them: a process may
/// have fewer, and no `apply` has to look at each.
struct Full {
    ends: Vec<mpsc::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Full {
    fn of(place: &Place) -> Self {
        let namespace = || File::open("/proc/thread-self/ns/net").unwrap();
        let namespace = place.lab.client.run(namespace).unwrap();
        let table = place.lab.server.run(|| opened(&Place::table())).unwrap();
        let mut full = Self {
            ends: Vec::new(),
            threads: Vec::new(),
        };
        let (ready, is_ready) = mpsc::channel();
        for part in 0.. {
            let namespace = namespace.try_clone().unwrap();
            let table = table.try_clone().unwrap();
            let (ready, (end, ended)) = (ready.clone(), mpsc::channel());
            full.ends.push(end);
            full.threads.push(thread::spawn(move || {
                unshare(CloneFlags::CLONE_FILES).unwrap();
                setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
                let (sockets, is_full) = fill(&table, part);
                ready.send(is_full).unwrap();
                let _ = ended.recv();
                drop(sockets);
            }));
            if is_ready.recv().unwrap() {
                break;
            }
        }
        let [("send", there, PLACES), ..] = place.taken_in()[..] else {
            panic!("no table");
        };
        assert_eq!(there, PLACES);
        full
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.ends.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Puts some sockets into the table; whether it is full.
fn fill(table: &OwnedFd, part: u8) -> (Vec<UdpSocket>, bool) {
    let mut sockets = Vec::new();
    // Fewer than an address has ports, and a process may have descriptors.
    for number in 0..16_000u64 {
        let at = SocketAddr::new(ip(&format!("127.0.9.{part}")), 0);
        let Ok(socket) = UdpSocket::bind(at) else {
            break;
        };
        let mut key = [part; 48];
        key[..8].copy_from_slice(&number.to_ne_bytes());
        match put(table, &key, socket.as_raw_fd()) {
            Ok(()) => sockets.push(socket),
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => return (sockets, true),
            Err(error) => panic!("{error}"),
        }
    }
    (sockets, false)
}

/// `BPF_OBJ_GET` and `BPF_MAP_UPDATE_ELEM` of `enum bpf_cmd`.
const GET: libc::c_int = 7;
const UPDATE: libc::c_int = 2;

fn opened(pin: &Path) -> OwnedFd {
    let path = format!("{}\0", pin.display());
    let attributes = [path.as_ptr() as u64, 0];
    let descriptor = bpf(GET, &attributes).unwrap();
    // SAFETY: the kernel has just made it, for nobody else.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor).unwrap()) }
}

fn put(table: &OwnedFd, key: &[u8; 48], socket: RawFd) -> io::Result<()> {
    let value = u64::try_from(socket).unwrap();
    let map = u64::try_from(table.as_raw_fd()).unwrap();
    let attributes = [map, key.as_ptr() as u64, &raw const value as u64, 0];
    bpf(UPDATE, &attributes).map(drop)
}

fn bpf(command: libc::c_int, attributes: &[u64]) -> io::Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: the attributes, and what they point to, live until the call returns.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}

#[test]
fn beyond_a_full_table_a_connection_goes_as_the_default_says() {
    if !has_time() {
        return;
    }
    for (from, to) in ENDS {
        inside(|place| {
            place.apply(REFUSING);
            let full = Full::of(place);
            let mut pair = place.pair(from, to, BOTH);
            let Pair { client, server } = &mut pair;
            stays_away(place, client, server);
            stays_away(place, server, client);
            assert_eq!(place.escaped(), 2);
            let applied = place.apply(REFUSING);
            assert_eq!((applied.escaped[0].1, applied.refused[0].1), (0, 2));
            place.apply(ALLOWING);
            comes(&mut pair);
            // There is room again: rules are asked about them from now on, and let them go.
            drop(full);
            place.apply(REFUSING);
            let before = place.counted("all").0;
            let Pair { client, server } = &mut pair;
            client.write_all(DATA).unwrap();
            assert!(arrives(server));
            server.write_all(DATA).unwrap();
            assert!(arrives(client));
            assert_eq!(place.counted("all").0, before + 2);
            place.apply("default send drop\nGROUP\n");
            assert!(is_refused(&pair.client.write(DATA)));
        });
    }
}

/// It has no key by which a program would know it.
#[test]
fn one_that_was_made_before_any_policy_goes_as_the_default_says() {
    if !has_time() {
        return;
    }
    inside(|place| {
        let mut pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        place.apply("default send allow\nGROUP\ndrop send tcp from group pods to 192.0.2.0/24\n");
        let full = Full::of(place);
        let applied = place.apply(REFUSING);
        assert_eq!((applied.escaped[0].1, applied.refused[0].1), (0, 1));
        let Pair { client, server } = &mut pair;
        stays_away(place, client, server);
        drop(full);
        let applied = place.apply(REFUSING);
        assert_eq!((applied.escaped[0].1, applied.refused[0].1), (0, 0));
        assert!(arrives(server), "what waited goes");
    });
}

/// It stands in the table already, and is decided by what it keeps from its first connection.
#[test]
fn one_that_is_connected_again_is_decided_as_ever() {
    inside(|place| {
        place.apply(REFUSING);
        let mut pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        let at = SocketAddr::new(ip("203.0.113.5"), 0);
        let listener = place.listener(&place.lab.server, at, false);
        let again = Socket::from(pair.client);
        disconnect(&again);
        let to = listener.local_addr().unwrap();
        again.connect(&SockAddr::from(to)).unwrap();
        let [mut client, mut second] = [again.into(), listener.accept().unwrap().0];
        for written in 2..5 {
            TcpStream::write_all(&mut client, DATA).unwrap();
            assert!(arrives(&mut second));
            assert_eq!((place.counted("all").0, place.refused()), (written, 0));
        }
        place.apply("default send drop\nGROUP\n");
        assert!(is_refused(&client.write(DATA)));
    });
}

/// Under a policy that allows a full table refuses nobody.
#[test]
fn beyond_a_full_table_a_connection_goes_by_tcp_where_the_default_allows() {
    if !has_time() {
        return;
    }
    inside(|place| {
        place.apply(ALLOWING);
        let _full = Full::of(place);
        let mut pair = place.pair(CLIENT4, "203.0.113.5", BOTH);
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        assert_eq!((place.escaped(), place.counted("all").0), (2, 0));
    });
}

/// The writer is told after some seconds, and not after a quarter of an hour.
#[test]
fn who_may_write_nothing_is_told_so() {
    if !has_time() {
        return;
    }
    inside(|place| {
        place.apply(REFUSING);
        let _full = Full::of(place);
        let mut pairs = ENDS.map(|(from, to)| place.pair(from, to, CLIENT));
        for pair in &mut pairs {
            pair.client.write_all(DATA).unwrap();
        }
        for pair in &mut pairs {
            let wait = Some(Duration::from_secs(120));
            pair.client.set_read_timeout(wait).unwrap();
            let told = again(|| pair.client.read(&mut [0])).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::TimedOut, "{told}");
        }
    });
}

/// Nothing to say: it ends as it would anyway.
#[test]
fn one_that_writes_nothing_ends_as_ever() {
    if !has_time() {
        return;
    }
    inside(|place| {
        place.apply(REFUSING);
        let _full = Full::of(place);
        let mut pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        pair.server.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.client));
        pair.client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(again(|| pair.server.read(&mut [0])).unwrap(), 0);
    });
}
