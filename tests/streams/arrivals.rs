//! What arrives on the sockets of a group: dropped or delivered, whole and in order, whatever the reader does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use sockc_testing::again;
use socket2::SockRef;

use crate::change::{count_up, numbers};
use crate::egress::arrives;
use crate::escape::Holder;
use crate::place::*;
use crate::shortcut::much;
use crate::writes::DATA;

/// The server's addresses are the peers of the group.
const ARRIVALS: &str = "
default receive allow
GROUP
four: drop receive tcp from 192.0.2.0/24 to group pods
six: reject receive tcp from 2001:db8:2::/48 to group pods
rest: count receive tcp to group pods
";
/// Looks at everything and drops nothing.
pub(crate) const WATCHED: &str = "
default receive allow
GROUP
all: count receive tcp to group pods
";
const REFUSED: [(&str, &str); 2] = [(CLIENT4, "192.0.2.5"), (CLIENT6, "2001:db8:2::5")];
const ALLOWED: [(&str, &str); 2] = [(CLIENT4, "203.0.113.5"), (CLIENT6, "2001:db8:3::5")];
const SERVER: Sides = Sides {
    client: false,
    server: true,
};
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test where what arrives can be decided.
pub(crate) fn seeing(test: impl FnOnce(&Place)) {
    if nix::unistd::geteuid().is_root() && !sockc_runtime::probe().sk_skb_verdict {
        return skip("sk_skb programs without a parser");
    }
    inside(test);
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether everything that was written has been acknowledged.
pub(crate) fn is_acknowledged(stream: &TcpStream) -> bool {
    let mut left: libc::c_int = 0;
    // SAFETY: the request writes an int.
    let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    assert_eq!(asked, 0);
    left == 0
}

fn waits(stream: &TcpStream) -> bool {
    let mut ready = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO).unwrap() > 0
}

/// Waits until a reset has come. A read that waits itself may be woken by it and say EAGAIN, since `tcp_bpf_recvmsg` waits once
/// and looks for data alone after that; the next read tells of the reset.
pub(crate) fn until_reset(stream: &TcpStream) {
    until("a reset", || {
        // Errors and hang-ups are told whatever is asked for.
        let mut ready = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        poll(&mut ready, PollTimeout::ZERO).unwrap() > 0
    });
}

/// Bytes that are told from each other: what is lost, doubled or out of order shows.
pub(crate) fn pattern(from: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let number = (at / 8) as u64;
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[at % 8]
    };
    (from..from + length).map(byte).collect()
}

pub(crate) fn write_pattern(stream: &mut TcpStream, length: usize, piece: usize) {
    let mut at = 0;
    while at < length {
        let now = piece.min(length - at);
        stream.write_all(&pattern(at, now)).unwrap();
        at += now;
    }
}

/// Reads to the end; every byte is the one that was written.
fn read_pattern(stream: &mut TcpStream, piece: usize, mut pause: impl FnMut(usize)) -> usize {
    let mut buffer = vec![0; piece];
    let mut at = 0;
    loop {
        let length = match again(|| stream.read(&mut buffer)) {
            Ok(0) => return at,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => panic!("after {at} bytes: {error}"),
        };
        assert!(buffer[..length] == pattern(at, length), "at byte {at}");
        at += length;
        pause(at);
    }
}

#[test]
fn what_comes_from_a_refused_network_is_gone_and_counted() {
    seeing(|place| {
        place.apply(ARRIVALS);
        for ((from, to), label) in REFUSED.into_iter().zip(["four", "six"]) {
            let Pair {
                mut client,
                mut server,
            } = place.pair(from, to, CLIENT);
            server.write_all(DATA).unwrap();
            until("acknowledged", || is_acknowledged(&server));
            assert!(!waits(&client), "{to}");
            // The other direction is not asked about.
            client.write_all(DATA).unwrap();
            assert!(arrives(&mut server));
            // The end of the stream comes all the same.
            server.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "{rest:?}");
            assert_eq!(place.counted(label), (1, 8));
        }
        for (from, to) in ALLOWED {
            let mut pair = place.pair(from, to, CLIENT);
            pair.server.write_all(DATA).unwrap();
            assert!(arrives(&mut pair.client));
        }
        assert_eq!(place.counted("rest"), (2, 16));
        assert_eq!(place.escaped(), 0);
    });
}

#[test]
fn what_a_listener_accepts_is_decided_too_and_data_may_come_before() {
    seeing(|place| {
        place.apply(
            "
default receive allow
GROUP
drop receive tcp from 198.51.100.0/24 to group pods
rest: count receive tcp to group pods
",
        );
        let space = &place.lab.server;
        for (from, arrives) in [(CLIENT4, false), ("192.0.2.77", true)] {
            let to = match arrives {
                true => "192.0.2.5:0",
                false => "203.0.113.5:0",
            };
            let listener = place.listener(space, to.parse().unwrap(), true);
            let local = std::net::SocketAddr::new(ip(from), 0);
            let from = match arrives {
                true => &place.lab.server,
                false => &place.lab.client,
            };
            let client = place.client(from, local, false);
            client
                .connect(&listener.local_addr().unwrap().into())
                .unwrap();
            let mut client = TcpStream::from(client);
            client.write_all(DATA).unwrap();
            until("acknowledged", || is_acknowledged(&client));
            let mut accepted = listener.accept().unwrap().0;
            client.write_all(DATA).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut read = Vec::new();
            accepted.read_to_end(&mut read).unwrap();
            let all = [*DATA, *DATA].concat();
            assert_eq!(read, if arrives { all } else { Vec::new() });
        }
    });
}

/// The kernel asks nobody while a connection has no socket of a process yet; nothing of what came then is read unseen.
#[test]
fn what_came_before_accept_alone_is_decided_too() {
    seeing(|place| {
        place.apply(
            "
default receive allow
GROUP
refused: drop receive tcp from 198.51.100.0/24 to group pods
all: count receive tcp to group pods
",
        );
        for (from, arrives) in [(CLIENT4, false), (CLIENT6, true)] {
            let local = std::net::SocketAddr::new(ip(from), 0);
            let to = if arrives {
                "2001:db8:3::5"
            } else {
                "203.0.113.5"
            };
            let space = &place.lab.server;
            let listener = place.listener(space, std::net::SocketAddr::new(ip(to), 0), true);
            let client = place.client(&place.lab.client, local, false);
            let to = listener.local_addr().unwrap();
            client.connect(&to.into()).unwrap();
            let mut client = TcpStream::from(client);
            client.write_all(DATA).unwrap();
            until("acknowledged", || is_acknowledged(&client));
            let mut accepted = listener.accept().unwrap().0;
            accepted
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            let mut read = [0; 16];
            match again(|| accepted.read(&mut read)) {
                Ok(length) => assert!(arrives && &read[..length] == DATA),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    assert!(!arrives, "it is not handed out");
                }
            }
        }
        assert_eq!(place.counted("refused"), (1, 8));
        assert_eq!(place.counted("all"), (1, 8));
    });
}

#[test]
fn a_kernel_that_hides_what_arrives_is_told_and_nothing_changes() {
    inside_mut("", |place| {
        place.use_features(sockc_runtime::Features {
            sk_skb_verdict: false,
            ..sockc_runtime::probe()
        });
        let error = place.try_apply(ARRIVALS).unwrap_err().to_string();
        assert!(error.contains("BPF_SK_SKB_VERDICT"), "{error}");
        assert!(!place.unload(), "nothing was left");
    });
}

#[test]
fn fifty_megabytes_arrive_whole_at_a_slow_reader() {
    let length = much();
    seeing(|place| {
        place.apply(WATCHED);
        for (sides, reversed) in [(CLIENT, true), (SERVER, false)] {
            let pair = place.pair(CLIENT4, "203.0.113.5", sides);
            let (mut writer, mut reader) = match reversed {
                true => (pair.server, pair.client),
                false => (pair.client, pair.server),
            };
            thread::scope(|scope| {
                scope.spawn(move || {
                    write_pattern(&mut writer, length, 100_000);
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                let mut next = 0;
                let read = read_pattern(&mut reader, 64 << 10, |at| {
                    if at > next {
                        next = at + (1 << 20);
                        thread::sleep(Duration::from_millis(10));
                    }
                });
                assert_eq!(read, length);
            });
        }
        assert_eq!(place.counted("all").1, 2 * length as u64);
    });
}

/// A reader that does not read stops the writer, as without the policy; and reads everything later, to the end. Small segments
/// fill the receive buffer by what the kernel spends on each.
#[test]
fn a_reader_that_stalls_loses_nothing_and_stops_the_writer() {
    seeing(|place| {
        place.apply(WATCHED);
        for (piece, buffer) in [
            (10_000, Some(100_000)),
            (100_000, None),
            (1, Some(20_000)),
            (1, None),
            (300, Some(20_000)),
            (1000, None),
        ] {
            let Pair {
                client: mut reader,
                server: mut writer,
            } = place.pair(CLIENT4, "203.0.113.5", CLIENT);
            if let Some(buffer) = buffer {
                SockRef::from(&reader).set_recv_buffer_size(buffer).unwrap();
            }
            writer.set_nodelay(true).unwrap();
            let sent = write_until_full(&mut writer, piece);
            println!("{piece} {buffer:?}: stalled at {sent}");
            writer.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_pattern(&mut reader, 10_000, |_| {}), sent);
        }
    });
}

/// The writer waits, and goes on whenever the reader does.
#[test]
fn a_reader_that_stalls_now_and_then_loses_nothing() {
    seeing(|place| {
        place.apply(WATCHED);
        for (piece, buffer) in [(100_000, None), (700, None), (100_000, Some(30_000))] {
            let Pair {
                client: mut writer,
                server: mut reader,
            } = place.pair(CLIENT6, "2001:db8:3::5", SERVER);
            if let Some(buffer) = buffer {
                SockRef::from(&reader).set_recv_buffer_size(buffer).unwrap();
            }
            let length = (much() / 2).min(piece * 10_000);
            thread::scope(|scope| {
                scope.spawn(move || {
                    write_pattern(&mut writer, length, piece);
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                let mut next = 1;
                let read = read_pattern(&mut reader, 50_000, |at| {
                    if at > next {
                        next = at + length / 4;
                        thread::sleep(Duration::from_millis(700));
                    }
                });
                assert_eq!(read, length);
            });
        }
    });
}

/// Writes as long as something takes it, or enough of single pieces; how much that was.
fn write_until_full(writer: &mut TcpStream, piece: usize) -> usize {
    const PIECES: usize = 20_000;
    writer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut last = Instant::now();
    for _ in 0..PIECES {
        while last.elapsed() < Duration::from_millis(300) {
            match writer.write(&pattern(sent, piece)) {
                Ok(length) => {
                    sent += length;
                    last = Instant::now();
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    assert!(sent < 64 << 20, "nothing stops it");
    writer.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn single_bytes_arrive_one_by_one_or_together() {
    let length = usize::try_from(repeated(200_000)).unwrap();
    seeing(|place| {
        place.apply(WATCHED);
        let Pair {
            client: mut reader,
            server: mut writer,
        } = place.pair(CLIENT6, "2001:db8:3::5", CLIENT);
        writer.set_nodelay(true).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                write_pattern(&mut writer, length, 1);
                writer.shutdown(Shutdown::Write).unwrap();
            });
            assert_eq!(read_pattern(&mut reader, 7, |_| {}), length);
        });
    });
}

/// Edge-triggered epoll of one socket.
struct Edges(OwnedFd);

impl Edges {
    fn of(stream: &TcpStream) -> Self {
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(),
            u64: 0,
        };
        // SAFETY: the descriptor is new, and the event lives through the call.
        unsafe {
            let made = OwnedFd::from_raw_fd(libc::epoll_create1(0));
            let (add, fd) = (libc::EPOLL_CTL_ADD, stream.as_raw_fd());
            assert_eq!(
                libc::epoll_ctl(made.as_raw_fd(), add, fd, &raw mut event),
                0
            );
            Self(made)
        }
    }

    fn came(&self, patience: Duration) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let patience = i32::try_from(patience.as_millis()).unwrap();
        let came = again(|| {
            // SAFETY: there is room for one event.
            let came = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, patience) };
            Ok(nix::errno::Errno::result(came)?)
        });
        came.unwrap() == 1
    }
}

#[test]
fn peek_poll_and_epoll_see_what_waits() {
    seeing(|place| {
        place.apply(WATCHED);
        let Pair {
            mut client,
            mut server,
        } = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        let edges = Edges::of(&client);
        for _ in 0..3 {
            assert!(!waits(&client));
            assert!(!edges.came(Duration::ZERO));
            server.write_all(DATA).unwrap();
            assert!(edges.came(PATIENCE));
            assert!(waits(&client));
            let mut buffer = [0; 16];
            for _ in 0..2 {
                let peeked = recv(client.as_raw_fd(), &mut buffer, MsgFlags::MSG_PEEK).unwrap();
                assert_eq!(&buffer[..peeked], DATA);
            }
            assert!(arrives(&mut client));
        }
        let nothing = recv(client.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT);
        assert_eq!(nothing, Err(nix::errno::Errno::EAGAIN));
    });
}

/// What had been acknowledged before the reset can be read, as far as TCP itself lets it be.
#[test]
fn a_reset_is_told_after_what_was_read() {
    seeing(|place| {
        place.apply(WATCHED);
        let Pair {
            mut client,
            mut server,
        } = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        server.write_all(DATA).unwrap();
        assert!(arrives(&mut client));
        SockRef::from(&server)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(server);
        until_reset(&client);
        let error = again(|| client.read(&mut [0; 8])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_policy_that_changes_holds_for_connections_that_live() {
    seeing(|place| {
        place.apply(WATCHED);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        for _ in 0..2 {
            pair.server.write_all(DATA).unwrap();
            assert!(arrives(&mut pair.client));
            place.apply(ARRIVALS);
            pair.server.write_all(b"is lost!").unwrap();
            until("acknowledged", || is_acknowledged(&pair.server));
            place.apply(WATCHED);
        }
        pair.server.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.client), "nothing stays refused");
    });
}

#[test]
fn a_live_set_holds_at_once() {
    seeing(|place| {
        place.apply(
            "
default receive allow
GROUP
live set banned max 100
drop receive tcp from @banned to group pods
",
        );
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        pair.server.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.client));
        place.add_to_set("banned", ip("192.0.2.5"));
        pair.server.write_all(DATA).unwrap();
        until("acknowledged", || is_acknowledged(&pair.server));
        assert!(!waits(&pair.client));
    });
}

/// What waits is told by poll; splice(2) looks at the queue of TCP alone (`tcp_splice_read`).
#[test]
fn a_reader_by_splice_finds_nothing() {
    seeing(|place| {
        place.apply(WATCHED);
        let mut pair = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        pair.server.write_all(DATA).unwrap();
        until("data waits", || waits(&pair.client));
        pair.client.set_nonblocking(true).unwrap();
        let (_from, into) = nix::unistd::pipe().unwrap();
        let flags = libc::SPLICE_F_NONBLOCK;
        let none = std::ptr::null_mut();
        let (socket, pipe) = (pair.client.as_raw_fd(), into.as_raw_fd());
        // SAFETY: both descriptors live through the call, and no offsets are given.
        let spliced = unsafe { libc::splice(socket, none, pipe, none, 8, flags) };
        let error = std::io::Error::last_os_error();
        assert_eq!((spliced, error.kind()), (-1, ErrorKind::WouldBlock));
        assert!(arrives(&mut pair.client), "it was not lost");
    });
}

#[test]
fn what_waits_to_be_read_outlives_an_apply_and_an_unload() {
    const NONE: &str = "
default send allow
GROUP
drop send tcp from group pods to 10.0.0.0/8
";
    seeing(|place| {
        place.apply(WATCHED);
        let mut pairs = [(); 3].map(|()| place.pair(CLIENT4, "203.0.113.5", CLIENT));
        let mut at = 0;
        let mut more = |pairs: &mut [Pair; 3]| {
            for pair in pairs.iter_mut() {
                pair.server.write_all(&pattern(at, 5000)).unwrap();
                until("acknowledged", || is_acknowledged(&pair.server));
            }
            at += 5000;
        };
        more(&mut pairs);
        place.apply(&WATCHED.replace("all:", "every:"));
        more(&mut pairs);
        place.apply(NONE);
        more(&mut pairs);
        place.apply(WATCHED);
        more(&mut pairs);
        assert!(place.unload());
        more(&mut pairs);
        for pair in &mut pairs {
            pair.server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_pattern(&mut pair.client, 3000, |_| {}), 25_000);
        }
    });
}

#[test]
fn traffic_arrives_over_applies_and_an_unload() {
    seeing(|place| {
        place.apply(WATCHED);
        let Pair {
            client: mut reader,
            server: mut writer,
        } = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let counting = scope.spawn(|| numbers(&mut reader));
            let writing = scope.spawn(|| count_up(&mut writer, &stop, &sent));
            let further = || {
                let before = sent.load(Ordering::Acquire);
                until("more is sent", || {
                    sent.load(Ordering::Acquire) > before + 1000
                });
            };
            for text in [WATCHED, ARRIVALS, WATCHED, ARRIVALS] {
                further();
                place.apply(text);
            }
            further();
            place.unload();
            further();
            stop.store(true, Ordering::Release);
            writing.join().unwrap();
            assert_eq!(counting.join().unwrap(), sent.load(Ordering::Acquire));
        });
    });
}

#[test]
fn connections_that_were_there_before_escape_and_are_counted() {
    seeing(|place| {
        let hold = |pair: &Pair| Holder::new(place, pair.client.try_clone().unwrap().into());
        let pods = "pods".to_owned();
        let mut early = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let holder = hold(&early);
        let applied = place.apply(ARRIVALS);
        assert_eq!(applied.escaped, [(pods.clone(), 0)]);
        assert_eq!(applied.unseen, [(pods.clone(), 1)]);
        let late = ["192.0.2.5", "203.0.113.5"].map(|to| place.pair(CLIENT4, to, CLIENT));
        let _holders = late.each_ref().map(hold);
        assert_eq!(place.apply(ARRIVALS).unseen, [(pods, 1)]);
        // It would read what arrives.
        drop(holder);
        early.server.write_all(DATA).unwrap();
        assert!(arrives(&mut early.client));
    });
}

/// What a shortcut brings is not seen as it arrives, so it leads to no reader.
#[test]
fn a_shortcut_leads_to_no_reader() {
    seeing(|place| {
        place.apply(
            "
default send allow
default receive allow
GROUP
near: shortcut tcp within group pods
refused: drop receive tcp from 198.51.100.0/24 to group pods
",
        );
        let Pair {
            mut client,
            mut server,
        } = place.pair(CLIENT4, "203.0.113.5", BOTH);
        client.write_all(DATA).unwrap();
        until("acknowledged", || is_acknowledged(&client));
        assert!(!waits(&server));
        server.write_all(DATA).unwrap();
        assert!(arrives(&mut client));
        assert_eq!(place.counted("refused"), (1, 8));
    });
}
