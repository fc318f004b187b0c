//! Redirects into the queues of sockets that were handed over: all of the data, in order, where the rules say and nowhere else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use sockc_runtime::{EndPhase, Error};
use sockc_testing::again;

use crate::place::*;
use crate::shortcut::{PATIENCE, much, noise};
use crate::writes::{DATA, is_refused};

const INPUT: &str = "
default send allow
GROUP
socket cache = registered
in-it: redirect send tcp from group pods to 203.0.113.0/24, 2001:db8:3::/48 to input of sock cache
";
const OUTPUT: &str = "
default send allow
GROUP
socket cache = registered
onward: redirect send tcp from group pods to 203.0.113.0/24, 2001:db8:3::/48 to output of sock cache
";
pub(crate) const TO4: &str = "203.0.113.5";
pub(crate) const TO6: &str = "2001:db8:3::5";

/// A socket that is handed over, and its peer.
pub(crate) struct Joined {
    pub(crate) own: OwnedFd,
    pub(crate) peer: OwnedFd,
}

/// Over `lo` of the test's own namespace.
pub(crate) fn tcp(address: &str) -> Joined {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = listener.accept().unwrap().0;
    Joined {
        own: own.into(),
        peer: peer.into(),
    }
}

fn udp(address: &str) -> Joined {
    let [own, peer] = [(); 2].map(|()| UdpSocket::bind((address, 0)).unwrap());
    own.connect(peer.local_addr().unwrap()).unwrap();
    peer.connect(own.local_addr().unwrap()).unwrap();
    Joined {
        own: own.into(),
        peer: peer.into(),
    }
}

pub(crate) fn stream() -> Joined {
    let (own, peer) = UnixStream::pair().unwrap();
    Joined {
        own: own.into(),
        peer: peer.into(),
    }
}

fn datagrams() -> Joined {
    let (own, peer) = UnixDatagram::pair().unwrap();
    Joined {
        own: own.into(),
        peer: peer.into(),
    }
}

/// A kind of socket: its name, and how one is made.
pub(crate) type Kind = (&'static str, fn() -> Joined);

/// Every kind that a queue may be of.
pub(crate) fn kinds() -> [Kind; 6] {
    [
        ("tcp4", || tcp("127.0.0.1")),
        ("tcp6", || tcp("::1")),
        ("udp4", || udp("127.0.0.1")),
        ("udp6", || udp("::1")),
        ("unix-stream", stream),
        ("unix-datagram", datagrams),
    ]
}

/// What comes out of a socket until so much has come, as a program reads that asks again after EAGAIN.
pub(crate) fn read(socket: BorrowedFd<'_>, wanted: usize) -> Vec<u8> {
    let (mut all, mut buffer, started) = (Vec::new(), vec![0; 1 << 18], Instant::now());
    while all.len() < wanted && started.elapsed() < PATIENCE {
        let mut ready = [PollFd::new(socket, PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(100u16)).unwrap() == 0 {
            continue;
        }
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => break,
            Ok(length) => all.extend(&buffer[..length]),
            Err(error) => assert_eq!(error, nix::errno::Errno::EAGAIN),
        }
    }
    all
}

/// Whether nothing is to be read.
pub(crate) fn is_silent(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0];
    let asked = recv(socket.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT);
    asked == Err(nix::errno::Errno::EAGAIN)
}

/// Hands a socket over; nothing, and a word of it, where the kernel puts no data into its queues.
pub(crate) fn handed(place: &Place, name: &str, joined: &Joined) -> Option<()> {
    match place.register("cache", joined.own.as_fd()) {
        Ok(kind) => {
            assert_eq!(kind, name);
            Some(())
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!name.starts_with("tcp"), "{name}: {text}");
            assert!(text.contains("hand over a TCP connection"), "{text}");
            skip("queues other than those of TCP");
            None
        }
    }
}

/// Hands a socket over on which arrivals are decided; not, and a word of it, where these would stop then.
fn is_taken(place: &Place, socket: BorrowedFd<'_>) -> bool {
    let Err(error) = place.register("cache", socket) else {
        return true;
    };
    let text = error.to_string();
    assert!(text.contains("could stop"), "{text}");
    skip("what arrives on sockets whose input takes data");
    false
}

/// Where a connection of the group goes whose data is redirected.
fn from(place: &Place, to: &str) -> Pair {
    let from = match to {
        TO4 => CLIENT4,
        _ => CLIENT6,
    };
    place.pair(from, to, CLIENT)
}

#[test]
fn the_input_of_every_kind_of_socket_gets_what_is_written() {
    inside(|place| {
        place.apply(INPUT);
        for (name, join) in kinds() {
            let joined = join();
            if handed(place, name, &joined).is_none() {
                continue;
            }
            for to in [TO4, TO6] {
                let mut pair = from(place, to);
                pair.client.write_all(DATA).unwrap();
                assert_eq!(
                    read(joined.own.as_fd(), DATA.len()),
                    DATA,
                    "{name} from {to}"
                );
                assert!(
                    is_silent(pair.server.as_fd()),
                    "{name}: the peer got it too"
                );
                assert!(is_silent(joined.peer.as_fd()), "{name}");
            }
        }
        let (writes, bytes) = place.counted("in-it");
        assert_eq!(bytes, writes * DATA.len() as u64);
        assert!(writes >= 4);
    });
}

#[test]
fn the_output_of_a_tcp_socket_takes_what_is_written_and_no_other_does() {
    inside(|place| {
        place.apply(OUTPUT);
        for (name, join) in kinds() {
            let joined = join();
            if !name.starts_with("tcp") {
                let error = place.register("cache", joined.own.as_fd()).unwrap_err();
                assert!(error.to_string().contains("`to input of`"), "{error}");
                continue;
            }
            handed(place, name, &joined).unwrap();
            for to in [TO4, TO6] {
                let mut pair = from(place, to);
                pair.client.write_all(DATA).unwrap();
                assert_eq!(
                    read(joined.peer.as_fd(), DATA.len()),
                    DATA,
                    "{name} from {to}"
                );
                assert!(
                    is_silent(pair.server.as_fd()),
                    "{name}: the peer got it too"
                );
                assert!(is_silent(joined.own.as_fd()), "{name}");
            }
        }
    });
}

/// How a test writes what it writes.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Whole,
    Bytes,
    Vectors,
    File,
    ThenClosed,
    WithoutWaiting,
}

fn write(stream: &mut TcpStream, data: &[u8], manner: Manner) {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    match manner {
        Manner::Whole | Manner::ThenClosed => stream.write_all(data).unwrap(),
        Manner::Bytes => data
            .iter()
            .for_each(|byte| stream.write_all(&[*byte]).unwrap()),
        Manner::Vectors => {
            for piece in data.chunks(60_013) {
                let (one, other) = piece.split_at(7.min(piece.len()));
                let slices = [one, other].map(std::io::IoSlice::new);
                let written = again(|| stream.write_vectored(&slices)).unwrap();
                stream.write_all(&piece[written..]).unwrap();
            }
        }
        Manner::File => {
            let mut file = tempfile(data);
            std::io::copy(&mut file, stream).unwrap();
        }
        Manner::WithoutWaiting => {
            stream.set_nonblocking(true).unwrap();
            let (mut rest, started) = (data, Instant::now());
            while !rest.is_empty() && started.elapsed() < PATIENCE {
                match stream.write(rest) {
                    Ok(length) => rest = &rest[length..],
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            assert!(rest.is_empty());
        }
    }
    if matches!(manner, Manner::ThenClosed) {
        stream.shutdown(Shutdown::Both).unwrap();
    }
}

/// A file without a name that holds the data; what copies it into a socket does so by `sendfile` or `splice`.
fn tempfile(data: &[u8]) -> std::fs::File {
    use std::io::Seek;
    let fd = nix::sys::memfd::memfd_create(c"sockc", nix::sys::memfd::MFdFlags::empty()).unwrap();
    let mut file = std::fs::File::from(fd);
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    file
}

/// Writes in each manner; a reader of this slowness gets every byte at the end that the queue leads to.
fn every_byte(place: &Place, names: &[&str], output: bool, slow: Duration) {
    use Manner::*;
    for (name, join) in kinds().into_iter().filter(|(name, _)| names.contains(name)) {
        let joined = join();
        if handed(place, name, &joined).is_none() {
            continue;
        }
        for (seed, manner) in (1..).zip([Whole, Bytes, Vectors, File, ThenClosed, WithoutWaiting]) {
            let length = match manner {
                Bytes => 5_000,
                _ if slow > Duration::ZERO => much() / 5,
                _ => much(),
            };
            let data = noise(seed, length);
            let mut pair = from(place, TO4);
            let reading = if output { &joined.peer } else { &joined.own };
            let read = thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut all = Vec::new();
                    while all.len() < length {
                        let more = read(reading.as_fd(), (length - all.len()).min(1 << 20));
                        if more.is_empty() {
                            break;
                        }
                        all.extend(more);
                        thread::sleep(slow);
                    }
                    all
                });
                write(&mut pair.client, &data, manner);
                reader.join().unwrap()
            });
            assert!(
                read == data,
                "{name} {manner:?}: {} of {length} bytes",
                read.len()
            );
        }
    }
}

#[test]
fn every_byte_comes_into_an_input() {
    inside(|place| {
        place.apply(INPUT);
        let all = kinds().map(|(name, _)| name);
        every_byte(place, &all, false, Duration::ZERO);
        every_byte(place, &["tcp4"], false, Duration::from_millis(5));
    });
}

#[test]
fn every_byte_goes_out_of_an_output() {
    inside(|place| {
        place.apply(OUTPUT);
        every_byte(place, &["tcp4", "tcp6"], true, Duration::ZERO);
        every_byte(place, &["tcp4"], true, Duration::from_millis(5));
    });
}

/// Where a socket is absent, its `if absent` holds, and that is a refusal in both words.
#[test]
fn writes_for_a_socket_that_is_absent_are_refused() {
    inside(|place| {
        for text in [INPUT, OUTPUT] {
            place.apply(text);
            let mut pair = from(place, TO4);
            assert!(is_refused(&pair.client.write(DATA)));
            assert!(place.ends()[0].held.is_none());
            let joined = tcp("127.0.0.1");
            place.register("cache", joined.own.as_fd()).unwrap();
            let mut pair = from(place, TO4);
            pair.client.write_all(DATA).unwrap();
            // One that is closed is absent again.
            drop(joined);
            let started = Instant::now();
            while place.ends()[0].held.is_some() && started.elapsed() < PATIENCE {}
            assert!(place.ends()[0].held.is_none());
            let mut pair = from(place, TO4);
            assert!(is_refused(&pair.client.write(DATA)));
            assert!(is_silent(pair.server.as_fd()));
        }
    });
}

/// The kernel remembers a refusal; what was refused for want of a socket goes on once there is one.
#[test]
fn a_connection_that_was_refused_goes_on_when_a_socket_is_handed_over() {
    inside(|place| {
        for text in [INPUT, OUTPUT] {
            place.apply(text);
            let mut early = from(place, TO4);
            assert!(is_refused(&early.client.write(DATA)));
            place.apply(text);
            assert!(is_refused(&early.client.write(DATA)), "nobody is there");
            let joined = tcp("127.0.0.1");
            place.register("cache", joined.own.as_fd()).unwrap();
            early.client.write_all(DATA).unwrap();
            let out = match text == INPUT {
                true => &joined.own,
                false => &joined.peer,
            };
            assert_eq!(read(out.as_fd(), DATA.len()), DATA);
            assert!(is_silent(early.server.as_fd()));
        }
    });
}

/// A write that is redirected, or refused since nobody is there, is that of its rule: of no later one.
#[test]
fn what_is_redirected_is_counted_by_its_rule_alone() {
    inside(|place| {
        for (text, label) in [(INPUT, "in-it"), (OUTPUT, "onward")] {
            let counted = text.replace(
                "socket cache",
                "all: count send tcp from group pods to 203.0.113.0/24\nsocket cache",
            );
            place.apply(&format!(
                "{counted}later: allow send tcp from group pods to 203.0.113.0/24, 192.0.2.0/24\n"
            ));
            let before = place.counted(label);
            assert_eq!(before, (0, 0));
            let length = DATA.len() as u64;
            let mut early = from(place, TO4);
            assert!(is_refused(&early.client.write(DATA)));
            assert_eq!(place.counted(label), (1, length));
            assert_eq!(place.nobody(), (1, length));
            let joined = tcp("127.0.0.1");
            place.register("cache", joined.own.as_fd()).unwrap();
            let mut pair = from(place, TO4);
            for _ in 0..3 {
                pair.client.write_all(DATA).unwrap();
            }
            assert_eq!(place.counted(label), (4, 4 * length));
            assert_eq!(place.counted("all"), (4, 4 * length));
            assert_eq!(place.counted("later"), (0, 0));
            let reading = if text == INPUT {
                &joined.own
            } else {
                &joined.peer
            };
            assert_eq!(read(reading.as_fd(), 3 * DATA.len()), DATA.repeat(3));
            assert!(is_silent(reading.as_fd()), "it came twice");
            assert!(is_silent(pair.server.as_fd()), "the peer got it too");
            let mut other = place.pair(CLIENT4, "192.0.2.5", CLIENT);
            other.client.write_all(DATA).unwrap();
            assert_eq!(place.counted("later"), (1, length));
            assert_eq!(place.counted(label), (4, 4 * length));
            assert_eq!(place.nobody(), (1, length));
            place.unload();
        }
    });
}

#[test]
fn a_socket_stays_over_an_apply_and_goes_with_the_policy() {
    inside(|place| {
        place.apply(INPUT);
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        let mut pair = from(place, TO4);
        pair.client.write_all(b"one").unwrap();
        // What waits in the queue stays there, wherever the slot of the name is.
        let other = INPUT.replace(
            "socket cache",
            "socket first = registered\nnear: redirect send tcp from group pods to 192.0.2.0/24 to input of sock first\nsocket cache",
        );
        place.apply(&other);
        assert_eq!(place.drift(), 0);
        pair.client.write_all(b"two").unwrap();
        place.apply(OUTPUT);
        assert_eq!(read(joined.own.as_fd(), 6), b"onetwo");
        pair.client.write_all(b"six").unwrap();
        assert_eq!(read(joined.peer.as_fd(), 3), b"six");
        assert!(place.unload());
        pair.client.write_all(b"end").unwrap();
        assert_eq!(read(pair.server.as_fd(), 3), b"end");
        assert!(is_silent(joined.peer.as_fd()));
    });
}

/// A policy whose rules the socket cannot serve leaves it out, and says so.
#[test]
fn a_socket_that_cannot_take_what_comes_next_is_left_out() {
    inside(|place| {
        place.apply(INPUT);
        let joined = stream();
        if handed(place, "unix-stream", &joined).is_none() {
            return;
        }
        let applied = place.apply(OUTPUT);
        let note = "the socket \"cache\" is absent: it cannot take what the rules put there now";
        assert!(
            applied.notes.iter().any(|one| one.starts_with(note)),
            "{:?}",
            applied.notes
        );
        assert!(place.ends()[0].held.is_none());
    });
}

#[test]
fn sockets_that_cannot_take_data_are_refused_with_what_to_hand_over() {
    inside(|place| {
        place.apply(INPUT);
        let refused = |socket: BorrowedFd<'_>, why: &str| {
            let error = place.register("cache", socket).unwrap_err();
            assert!(matches!(error, Error::Socket { .. }), "{error:?}");
            assert!(error.to_string().contains(why), "{error}");
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        refused(listener.as_fd(), "the socket listens");
        let lone = UdpSocket::bind("127.0.0.1:0").unwrap();
        refused(lone.as_fd(), "is not connected");
        refused(UnixDatagram::unbound().unwrap().as_fd(), "is not connected");
        let ended = tcp("127.0.0.1");
        TcpStream::from(ended.own.try_clone().unwrap())
            .shutdown(Shutdown::Write)
            .unwrap();
        refused(ended.own.as_fd(), "one of its sides has ended");
        refused(tempfile(DATA).as_fd(), "is no socket");
        let packets = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None);
        refused(packets.unwrap().0.as_fd(), "UNIX streams and datagrams");
        assert!(place.ends()[0].held.is_none());
    });
}

/// What is put into the output of a socket of the group is written by nobody: no rule is asked again.
#[test]
fn data_for_the_output_of_a_socket_of_the_group_is_not_asked_about_again() {
    inside(|place| {
        let also = "quiet: drop send tcp from group pods to 192.0.2.0/24";
        place.apply(&format!("{OUTPUT}{also}\n"));
        let mut kept = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        place.register("cache", kept.client.as_fd()).unwrap();
        let mut pair = from(place, TO4);
        pair.client.write_all(DATA).unwrap();
        assert_eq!(read(kept.server.as_fd(), DATA.len()), DATA);
        assert_eq!(place.counted("quiet").0, 0);
        assert!(is_refused(&kept.client.write(DATA)), "its own writes are");
    });
}

/// It comes by no connection, so what `receive` says of the socket's own is not asked.
#[test]
fn data_for_the_input_of_a_socket_of_the_group_is_not_asked_about_as_it_arrives() {
    if nix::unistd::geteuid().is_root() && !sockc_runtime::probe().sk_skb_verdict {
        return skip("sk_skb programs without a parser");
    }
    inside(|place| {
        let also = "default receive allow\nheard: drop receive tcp from 192.0.2.0/24 to group pods";
        place.apply(&format!("{INPUT}{also}\n"));
        let mut kept = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        if !is_taken(place, kept.client.as_fd()) {
            return;
        }
        let mut pair = from(place, TO4);
        pair.client.write_all(DATA).unwrap();
        assert_eq!(read(kept.client.as_fd(), DATA.len()), DATA);
        assert_eq!(place.counted("heard").0, 0);
        kept.server.write_all(b"peer").unwrap();
        let started = Instant::now();
        while place.counted("heard").1 < 4 && started.elapsed() < PATIENCE {}
        assert_eq!(place.counted("heard").1, 4, "its own connection is");
        assert!(is_silent(kept.client.as_fd()));
    });
}

#[test]
fn status_says_how_far_the_connection_is() {
    inside(|place| {
        place.apply(INPUT);
        let phase = || place.ends()[0].held.map(|held| held.phase);
        let comes = |wanted| {
            let started = Instant::now();
            while phase() != Some(wanted) && started.elapsed() < PATIENCE {}
            assert_eq!(phase(), Some(wanted));
        };
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        assert_eq!(phase(), Some(EndPhase::Connected));
        let own = TcpStream::from(joined.own);
        own.shutdown(Shutdown::Write).unwrap();
        comes(EndPhase::Ended);
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        TcpStream::from(joined.peer)
            .shutdown(Shutdown::Write)
            .unwrap();
        comes(EndPhase::PeerEnded);
        assert_eq!(place.unregister("cache"), Some("tcp4".to_owned()));
        assert_eq!(phase(), None);
        assert_eq!(place.unregister("cache"), None);
    });
}

/// The queue of a socket that sends is as long as its buffer: who writes waits, and goes on.
#[test]
fn a_reader_that_stalls_behind_an_output_stops_the_writer() {
    inside(|place| {
        place.apply(OUTPUT);
        let joined = tcp("127.0.0.1");
        place.register("cache", joined.own.as_fd()).unwrap();
        let mut pair = from(place, TO4);
        pair.client.set_nonblocking(true).unwrap();
        let data = noise(7, 1 << 26);
        let (mut rest, mut stalled) = (&data[..], 0);
        while stalled < 100 && !rest.is_empty() {
            match pair.client.write(&rest[..rest.len().min(1 << 16)]) {
                Ok(length) => (rest, stalled) = (&rest[length..], 0),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    stalled += 1;
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
        assert!(!rest.is_empty(), "all of it was taken, and nobody reads");
        let sent = data.len() - rest.len();
        assert!(read(joined.peer.as_fd(), sent) == data[..sent]);
        let mut byte = [0];
        pair.client.set_nonblocking(false).unwrap();
        pair.client.write_all(b"!").unwrap();
        let mut peer = TcpStream::from(joined.peer);
        peer.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    });
}

/// Whoever the name says owns it, and nobody else.
#[test]
fn a_socket_of_somebody_else_is_refused() {
    inside(|place| {
        place.apply(&INPUT.replace("registered", "registered owner uid 0"));
        place
            .register("cache", tcp("127.0.0.1").own.as_fd())
            .unwrap();
        place.apply(&INPUT.replace("registered", "registered owner uid 4242"));
        let error = place.register("cache", tcp("127.0.0.1").own.as_fd());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the user 4242"), "{error}");
    });
}
