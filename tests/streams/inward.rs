//! Redirects of what arrives into the queues of sockets that were handed over: all of it, once, in order, where the rules say and
//! nowhere else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use sockc_runtime::EndPhase;
use sockc_testing::again;
use socket2::SockRef;

use crate::arrivals::{is_acknowledged, pattern, seeing, until, until_reset, write_pattern};
use crate::ends::{TO4, TO6, handed, is_silent, kinds, read, stream, tcp};
use crate::place::*;
use crate::shortcut::PATIENCE;
use crate::writes::DATA;

/// The server's addresses are the peers of the group.
const LOCAL: &str = "
default receive allow
GROUP
socket cache = registered
moved: redirect receive tcp from 203.0.113.0/24, 2001:db8:3::/48 to group pods to input of sock cache
";
const EGRESS: &str = "
default receive allow
GROUP
socket cache = registered
moved: redirect receive tcp from 203.0.113.0/24, 2001:db8:3::/48 to group pods to output of sock cache
";
/// How much is moved where every byte is looked at.
const LENGTH: usize = 4_000_000;

/// A connection of the group whose peer writes what is redirected.
fn source(place: &Place, to: &str) -> Pair {
    let from = if to == TO4 { CLIENT4 } else { CLIENT6 };
    place.pair(from, to, CLIENT)
}

/// Each cell of the table: what arrives comes out where it shall, and not at the connection's own reader.
fn every_kind(place: &Place, text: &str) {
    place.apply(text);
    for (name, join) in kinds() {
        let joined = join();
        if text == EGRESS && name.starts_with("udp") {
            let error = place.register("cache", joined.own.as_fd()).unwrap_err();
            assert!(
                error.to_string().contains("longer than a datagram"),
                "{error}"
            );
            continue;
        }
        handed(place, name, &joined).unwrap();
        let (out, quiet) = match text == EGRESS {
            true => (&joined.peer, &joined.own),
            false => (&joined.own, &joined.peer),
        };
        for to in [TO4, TO6] {
            let before = place.counted("moved");
            let mut pair = source(place, to);
            pair.server.write_all(DATA).unwrap();
            assert_eq!(read(out.as_fd(), DATA.len()), DATA, "{name} from {to}");
            assert!(is_silent(pair.client.as_fd()), "{name}: its reader got it");
            assert!(is_silent(quiet.as_fd()), "{name}");
            let after = place.counted("moved");
            assert_eq!((after.0 - before.0, after.1 - before.1), (1, 8));
            // The other direction is not asked about.
            pair.client.write_all(DATA).unwrap();
            assert_eq!(read(pair.server.as_fd(), DATA.len()), DATA);
        }
    }
}

#[test]
fn the_input_of_every_kind_of_socket_gets_what_arrives() {
    seeing(|place| every_kind(place, LOCAL));
}

#[test]
fn the_output_of_tcp_and_of_unix_sockets_takes_what_arrives() {
    seeing(|place| every_kind(place, EGRESS));
}

/// Writes to the end; every byte comes out, once and in order, to a reader of this slowness.
fn every_byte(place: &Place, out: BorrowedFd<'_>, piece: usize, slow: Duration) {
    let mut pair = source(place, TO4);
    let length = LENGTH.min(piece * 20_000);
    pair.server.set_nodelay(true).unwrap();
    let got = thread::scope(|scope| {
        scope.spawn(|| {
            write_pattern(&mut pair.server, length, piece);
            pair.server.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::new();
        while all.len() < length {
            let more = read(out, (length - all.len()).min(1 << 18));
            if more.is_empty() {
                break;
            }
            all.extend(more);
            thread::sleep(slow);
        }
        all
    });
    assert_eq!(got.len(), length);
    assert!(got == pattern(0, length), "other bytes");
    assert!(is_silent(out), "some came twice");
    let mut rest = Vec::new();
    pair.client.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "its own reader sees the end alone");
}

#[test]
fn every_byte_that_arrives_comes_out_once_and_in_order() {
    seeing(|place| {
        for text in [LOCAL, EGRESS] {
            place.apply(text);
            for (name, join) in kinds() {
                if text == EGRESS && name.starts_with("udp") {
                    continue;
                }
                let joined = join();
                handed(place, name, &joined).unwrap();
                let out = if text == EGRESS {
                    &joined.peer
                } else {
                    &joined.own
                };
                for (piece, slow) in [(100_000, 0), (50, 0), (1_000, 5)] {
                    println!("{name} {piece} {slow}");
                    every_byte(place, out.as_fd(), piece, Duration::from_millis(slow));
                }
            }
        }
    });
}

/// Nobody behind the name: it is gone and counted, as by a drop, and nothing of that is remembered.
#[test]
fn what_arrives_for_nobody_is_gone_and_the_connection_lives() {
    seeing(|place| {
        for text in [LOCAL, EGRESS] {
            place.apply(text);
            let mut pair = source(place, TO4);
            let mut lost = || {
                pair.server.write_all(DATA).unwrap();
                until("acknowledged", || is_acknowledged(&pair.server));
                assert!(is_silent(pair.client.as_fd()));
            };
            lost();
            assert_eq!(place.counted("moved"), (1, 8));
            assert!(place.ends()[0].held.is_none());
            let joined = tcp("127.0.0.1");
            place.register("cache", joined.own.as_fd()).unwrap();
            pair.server.write_all(b"reaches!").unwrap();
            let out = if text == EGRESS {
                &joined.peer
            } else {
                &joined.own
            };
            assert_eq!(read(out.as_fd(), 8), b"reaches!");
            drop(joined);
            until("it is absent", || place.ends()[0].held.is_none());
            let mut lost = || {
                pair.server.write_all(DATA).unwrap();
                until("acknowledged", || is_acknowledged(&pair.server));
                assert!(is_silent(pair.client.as_fd()));
            };
            lost();
            assert_eq!(place.counted("moved"), (3, 24));
            assert_eq!(place.nobody(), (2, 16));
            // The end comes, and the other way is open.
            pair.server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(again(|| pair.client.read(&mut [0; 8])).unwrap(), 0);
            pair.client.write_all(DATA).unwrap();
            assert_eq!(read(pair.server.as_fd(), 8), DATA);
            place.unload();
        }
    });
}

/// The target learns nothing of the end or the reset of a connection, and the connection nothing of the target's.
#[test]
fn ends_and_resets_are_not_passed_on() {
    seeing(|place| {
        place.apply(EGRESS);
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        let mut pair = source(place, TO4);
        pair.server.write_all(DATA).unwrap();
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(again(|| pair.client.read(&mut [0; 8])).unwrap(), 0);
        assert_eq!(read(joined.peer.as_fd(), 8), DATA);
        assert!(is_silent(joined.peer.as_fd()), "no end");
        let pair = source(place, TO4);
        SockRef::from(&pair.server)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(pair.server);
        until_reset(&pair.client);
        assert_eq!(place.ends()[0].held.unwrap().phase, EndPhase::Connected);
        assert!(is_silent(joined.peer.as_fd()), "no reset");
        // The other way round.
        let mut pair = source(place, TO4);
        let peer = TcpStream::from(joined.peer);
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        until("the reset has come", || {
            place.ends()[0]
                .held
                .is_none_or(|held| held.phase == EndPhase::Over)
        });
        pair.server.write_all(DATA).unwrap();
        until("acknowledged", || is_acknowledged(&pair.server));
        pair.client.write_all(DATA).unwrap();
        assert_eq!(read(pair.server.as_fd(), 8), DATA, "the connection lives");
        assert!(is_silent(pair.client.as_fd()));
        // Another socket takes what comes from then on.
        let joined = stream();
        place.register("cache", joined.own.as_fd()).unwrap();
        pair.server.write_all(b"reaches!").unwrap();
        assert_eq!(read(joined.peer.as_fd(), 8), b"reaches!");
    });
}

/// What arrives goes out again where it came from. Into its own input it cannot go: there the kernel would count it twice.
#[test]
fn a_socket_may_be_the_target_of_what_arrives_on_it() {
    seeing(|place| {
        place.apply(EGRESS);
        let mut pair = source(place, TO4);
        place.register("cache", pair.client.as_fd()).unwrap();
        for round in 0..20 {
            let data = pattern(round * 5_000, 5_000);
            pair.server.write_all(&data).unwrap();
            assert!(read(pair.server.as_fd(), 5_000) == data);
        }
        assert_eq!(place.counted("moved").1, 100_000);
        assert!(is_silent(pair.client.as_fd()));
        let applied = place.apply(LOCAL);
        let left_out = |note: &String| note.contains("that could stop");
        assert!(applied.notes.iter().any(left_out), "{:?}", applied.notes);
        let error = place.register("cache", pair.client.as_fd()).unwrap_err();
        assert!(error.to_string().contains("that could stop"), "{error}");
        place
            .register("cache", tcp("127.0.0.1").own.as_fd())
            .unwrap();
    });
}

/// Where what arrives goes changes between two pieces: each comes out at the one place where it shall.
#[test]
fn a_socket_is_replaced_and_the_policy_changes() {
    const PLAIN: &str = "default receive allow\nGROUP\nall: count receive tcp to group pods\n";
    seeing(|place| {
        place.apply(LOCAL);
        let (one, other) = (tcp("127.0.0.1"), stream());
        place.register("cache", one.own.as_fd()).unwrap();
        let Pair { client, mut server } = source(place, TO4);
        let mut at = 0;
        let mut comes = |out: BorrowedFd<'_>, what: &str| {
            let data = pattern(at, 100_000);
            at += data.len();
            server.write_all(&data).unwrap();
            assert!(read(out, data.len()) == data, "{what}");
        };
        comes(one.own.as_fd(), "the first");
        place.register("cache", other.own.as_fd()).unwrap();
        comes(other.own.as_fd(), "the second");
        place.apply(LOCAL);
        comes(other.own.as_fd(), "over an apply");
        let applied = place.apply(PLAIN);
        let note = "the socket \"cache\" is taken off: no rule of this policy leads to it";
        assert!(
            applied.notes.iter().any(|one| one.starts_with(note)),
            "{:?}",
            applied.notes
        );
        comes(client.as_fd(), "without the rule");
        place.apply(EGRESS);
        place.register("cache", other.own.as_fd()).unwrap();
        comes(other.peer.as_fd(), "the other queue");
        place.unload();
        comes(client.as_fd(), "without a policy");
        for quiet in [&one.own, &one.peer, &other.own, &other.peer] {
            assert!(is_silent(quiet.as_fd()));
        }
    });
}

/// As data flows: the policies lead it to the socket and to its reader by turns, and no byte is lost or comes twice.
#[test]
fn applies_lose_nothing_of_what_flows() {
    let turned = LOCAL.replace(
        "socket",
        "allow receive tcp from 203.0.113.0/24 to group pods\nsocket",
    );
    seeing(|place| {
        place.apply(LOCAL);
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        let Pair { client, mut server } = source(place, TO4);
        let [stop, done] = [(); 2].map(|()| AtomicBool::new(false));
        let [written, got] = [(); 2].map(|()| AtomicUsize::new(0));
        let all = |fd: BorrowedFd<'_>| {
            let (mut all, started) = (Vec::new(), Instant::now());
            let is_over = || {
                let ended = done.load(Ordering::Acquire);
                ended && got.load(Ordering::Acquire) >= written.load(Ordering::Acquire)
            };
            while !is_over() && started.elapsed() < PATIENCE {
                let more = waiting(fd);
                got.fetch_add(more.len(), Ordering::AcqRel);
                all.extend(more);
            }
            all
        };
        let shares = thread::scope(|scope| {
            let writing = scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let at = written.load(Ordering::Acquire);
                    server.write_all(&pattern(at, 4_000)).unwrap();
                    written.store(at + 4_000, Ordering::Release);
                    thread::sleep(Duration::from_micros(100));
                }
            });
            let reading =
                [client.as_fd(), joined.own.as_fd()].map(|fd| scope.spawn(move || all(fd)));
            for text in [&turned, LOCAL, &turned, LOCAL] {
                let before = written.load(Ordering::Acquire);
                until("more is written", || {
                    written.load(Ordering::Acquire) > before + 400_000
                });
                place.apply(text);
            }
            stop.store(true, Ordering::Release);
            writing.join().unwrap();
            done.store(true, Ordering::Release);
            reading.map(|reader| reader.join().unwrap())
        });
        let total = written.load(Ordering::Acquire);
        assert_eq!(shares.each_ref().map(Vec::len).iter().sum::<usize>(), total);
        let whole = pattern(0, total);
        for share in shares {
            assert!(share.len() > 400_000, "{}", share.len());
            let mut rest = whole.iter();
            assert!(share.iter().all(|byte| rest.any(|other| other == byte)));
        }
    });
}

/// What is to be read now, or within a moment.
fn waiting(fd: BorrowedFd<'_>) -> Vec<u8> {
    let mut ready = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::from(10u16)).unwrap();
    let mut buffer = vec![0; 1 << 18];
    let length = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
    buffer.truncate(length.unwrap_or(0));
    buffer
}

/// What TCP takes for urgent is ordinary data where it is put.
#[test]
fn urgent_data_is_ordinary_data() {
    seeing(|place| {
        for text in [LOCAL, EGRESS] {
            place.apply(text);
            let joined = tcp("127.0.0.1");
            place.register("cache", joined.own.as_fd()).unwrap();
            let mut pair = source(place, TO4);
            pair.server.write_all(b"before ").unwrap();
            send(pair.server.as_raw_fd(), b"urgent ", MsgFlags::MSG_OOB).unwrap();
            pair.server.write_all(b"after").unwrap();
            let out = if text == EGRESS {
                &joined.peer
            } else {
                &joined.own
            };
            assert_eq!(read(out.as_fd(), 19), b"before urgent after");
        }
    });
}
