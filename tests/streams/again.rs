//! A segment that holds bytes which came before, as senders make them that send again: each byte is decided, counted and read
//! once.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData};
use nix::libc;
use sockc_runtime::lab::Space;
use sockc_testing::again;
use socket2::{Domain, Protocol, Socket, Type};

use crate::arrivals::until_reset;
use crate::place::*;

/// Looks at everything and drops nothing.
const WATCHED: &str = "
default receive allow
GROUP
all: count receive tcp to group pods
";
/// Drops what is in a set.
const BANNED: &str = "
default receive allow
GROUP
live set banned max 8 = { 127.0.0.1, ::1 }
gone: drop receive tcp from @banned to group pods
rest: count receive tcp to group pods
";
const LO: [&str; 2] = ["127.0.0.1", "::1"];
/// `TCP_SEND_QUEUE` and `TCP_RECV_QUEUE`
const QUEUES: [i32; 2] = [2, 1];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const FIN: u8 = 1;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// A segment that a socket might have sent, which it does not know of: so many bytes before what it writes next.
pub(crate) struct Segment<'a> {
    pub(crate) before: u32,
    pub(crate) data: &'a [u8],
    pub(crate) ends: bool,
}

impl Segment<'_> {
    pub(crate) fn send(&self, space: &Space, socket: &TcpStream) {
        let [from, to] = [socket.local_addr(), socket.peer_addr()].map(Result::unwrap);
        let [next, expected] = sequence(socket);
        let mut segment = Vec::new();
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        segment.extend(next.wrapping_sub(self.before).to_be_bytes());
        segment.extend(expected.to_be_bytes());
        // The length of the head, flags, the window, the checksum, no urgent data.
        let flags = ACK | PSH | if self.ends { FIN } else { 0 };
        segment.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(self.data);
        let sum = checksum(from.ip(), to.ip(), &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let domain = Domain::for_address(from);
        let raw = || Socket::new(domain, Type::RAW, Some(Protocol::TCP)).unwrap();
        let raw = space.run(raw).unwrap();
        raw.bind(&SocketAddr::new(from.ip(), 0).into()).unwrap();
        let to = SocketAddr::new(to.ip(), 0);
        assert_eq!(raw.send_to(&segment, &to.into()).unwrap(), segment.len());
    }
}

/// That of TCP over its pseudo header.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let length = u32::try_from(segment.len()).unwrap();
    let mut summed = [bytes(from), bytes(to)].concat();
    summed.extend(length.to_be_bytes());
    summed.extend([0, 0, 0, 6]);
    summed.extend(segment);
    let words = summed
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    !u16::try_from(((sum >> 16) + sum) & 0xffff).unwrap()
}

fn set(socket: &impl AsRawFd, option: i32, value: i32) {
    let value = std::ptr::from_ref(&value).cast();
    // SAFETY: the kernel reads 4 bytes, which are there.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, option, value, 4) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// The sequence numbers of what the socket writes next, and of what it expects.
fn sequence(socket: &TcpStream) -> [u32; 2] {
    set(socket, libc::TCP_REPAIR, 1);
    let numbers = QUEUES.map(|queue| {
        set(socket, libc::TCP_REPAIR_QUEUE, queue);
        let (mut number, mut length) = (0u32, 4);
        let value = (&raw mut number).cast();
        let (fd, option) = (socket.as_raw_fd(), libc::TCP_QUEUE_SEQ);
        // SAFETY: the kernel writes 4 bytes, which are there.
        let done =
            unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, option, value, &raw mut length) };
        assert_eq!(done, 0);
        number
    });
    set(socket, libc::TCP_REPAIR, -1);
    numbers
}

/// A connection of which both ends begin at these numbers; the first end is in the group.
fn numbered(place: &Place, address: &str, numbers: [u32; 2]) -> Pair {
    let local = SocketAddr::new(ip(address), 0);
    let ends = [true, false].map(|grouped| place.client(&place.lab.server, local, grouped));
    for (end, own) in ends.iter().zip([0, 1]) {
        set(end, libc::TCP_REPAIR, 1);
        for (queue, number) in QUEUES.into_iter().zip([numbers[own], numbers[1 - own]]) {
            set(end, libc::TCP_REPAIR_QUEUE, queue);
            set(end, libc::TCP_QUEUE_SEQ, number.cast_signed());
        }
    }
    for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        end.connect(&other.local_addr().unwrap()).unwrap();
    }
    // A probe of each side tells the other its window.
    for end in &ends {
        set(end, libc::TCP_REPAIR, 0);
    }
    let [client, server] = ends.map(TcpStream::from);
    patient(Pair { client, server })
}

/// What is not there in time is not there.
fn patient(pair: Pair) -> Pair {
    for end in [&pair.client, &pair.server] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    pair
}

/// Runs a test where what arrives can be decided, over `lo`, for both families: the client's end is in the group.
fn arriving(text: &str, mut test: impl FnMut(&Place, Pair)) {
    if nix::unistd::geteuid().is_root() && !sockc_runtime::probe().sk_skb_verdict {
        return skip("sk_skb programs without a parser");
    }
    inside(|place| {
        place.apply(text);
        for address in LO {
            test(place, pair_in(place, address));
        }
    });
}

fn pair_in(place: &Place, address: &str) -> Pair {
    patient(place.pair_over_lo(&place.lab.server, address, CLIENT))
}

fn pattern(length: usize) -> Vec<u8> {
    let byte = |at: usize| {
        (at as u64 / 8)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()[at % 8]
    };
    (0..length).map(byte).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Reads exactly so much.
fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Part of it is sent ahead, then all of it: what is read is all of it, once.
fn ahead(place: &Place, pair: &mut Pair, data: &[u8], ahead: usize) {
    let Pair { client, server } = pair;
    let segment = Segment {
        before: 0,
        data: &data[..ahead],
        ends: false,
    };
    segment.send(&place.lab.server, server);
    assert!(read(client, ahead) == data[..ahead], "{ahead}");
    server.write_all(data).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let more = rest(client);
    assert!(more == data[ahead..], "{ahead}: {} more", more.len());
}

#[test]
fn what_a_segment_has_again_is_read_and_counted_once() {
    let data = pattern(60_000);
    let lengths = [1, 4095, 4096, 50_000, 59_999];
    let mut turns = 0;
    arriving(WATCHED, |place, mut pair| {
        ahead(place, &mut pair, &data, lengths[0]);
        for length in &lengths[1..] {
            let address = pair.server.local_addr().unwrap().ip().to_string();
            let mut pair = pair_in(place, &address);
            ahead(place, &mut pair, &data, *length);
        }
        turns += lengths.len();
        assert_eq!(place.counted("all").1, (turns * data.len()) as u64);
    });
}

/// Nothing is kept of connections that are closed, whichever way; so there is always room for new ones.
#[test]
fn what_is_known_of_a_connection_ends_with_it() {
    arriving(WATCHED, |place, pair| {
        assert_eq!(known(place), 1);
        drop(pair.client);
        drop(pair.server);
        let address = LO[0];
        let mut pairs: Vec<Pair> = (0..20)
            .map(|_| place.pair_over_lo(&place.lab.server, address, BOTH))
            .collect();
        until("closed", || known(place) == 40);
        for (number, pair) in pairs.iter_mut().enumerate() {
            pair.server.write_all(b"abc").unwrap();
            let end = [&pair.client, &pair.server][number % 2];
            if number % 4 < 2 {
                socket2::SockRef::from(end)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
        }
        drop(pairs);
        until("closed", || known(place) == 0);
    });
}

/// Of how many connections the kernel keeps what comes next.
fn known(place: &Place) -> usize {
    let count = || {
        let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let groups = PathBuf::from(format!("/sys/fs/bpf/sockc/{inode}/group"));
        let group = fs::read_dir(groups).unwrap().next().unwrap().unwrap();
        let next = MapData::from_pin(group.path().join("next")).unwrap();
        let next: HashMap<_, u64, u32> = HashMap::try_from(Map::HashMap(next)).unwrap();
        next.keys().count()
    };
    place.lab.server.run(count).unwrap()
}

/// What is dropped has come: what holds it again has only the rest that is new.
#[test]
fn what_was_dropped_before_is_dropped_once_and_not_read_later() {
    let data = pattern(3000);
    arriving(BANNED, |place, mut pair| {
        let banned = pair.server.local_addr().unwrap().ip();
        let before = (place.counted("gone").1, place.counted("rest").1);
        let segment = Segment {
            before: 0,
            data: &data[..1000],
            ends: false,
        };
        segment.send(&place.lab.server, &pair.server);
        until("dropped", || place.counted("gone").1 == before.0 + 1000);
        // All that is new is dropped, too: the first 2000 bytes are gone.
        pair.server.write_all(&data[..2000]).unwrap();
        until("dropped", || place.counted("gone").1 == before.0 + 2000);
        place.take_from_set("banned", banned);
        let segment = Segment {
            before: 0,
            data: &data[2000..2500],
            ends: false,
        };
        segment.send(&place.lab.server, &pair.server);
        pair.server.write_all(&data[2000..]).unwrap();
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&mut pair.client) == data[2000..]);
        assert_eq!(place.counted("gone").1, before.0 + 2000);
        assert_eq!(place.counted("rest").1, before.1 + 1000);
        place.add_to_set("banned", banned);
    });
}

/// A drop ends in the middle of what comes again: its beginning had been dropped, and stays so.
#[test]
fn what_was_dropped_does_not_come_by_a_segment_that_is_allowed() {
    let data = pattern(30_000);
    arriving(BANNED, |place, mut pair| {
        let banned = pair.server.local_addr().unwrap().ip();
        let before = place.counted("gone").1;
        let segment = Segment {
            before: 0,
            data: &data[..10_000],
            ends: false,
        };
        segment.send(&place.lab.server, &pair.server);
        until("dropped", || place.counted("gone").1 == before + 10_000);
        place.take_from_set("banned", banned);
        pair.server.write_all(&data).unwrap();
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&mut pair.client) == data[10_000..]);
        place.add_to_set("banned", banned);
    });
}

/// The end of a stream may come with nothing but data that came before.
#[test]
fn an_end_with_old_data_is_an_end() {
    arriving(WATCHED, |place, mut pair| {
        let before = place.counted("all").1;
        pair.server.write_all(b"abc").unwrap();
        assert_eq!(read(&mut pair.client, 3), b"abc");
        let segment = Segment {
            before: 3,
            data: b"abc",
            ends: true,
        };
        segment.send(&place.lab.server, &pair.server);
        assert_eq!(rest(&mut pair.client), b"");
        assert_eq!(place.counted("all").1, before + 3);
    });
}

/// So may the end come with data of which a part came before.
#[test]
fn an_end_with_data_that_is_new_in_part_brings_that() {
    arriving(WATCHED, |place, mut pair| {
        pair.server.write_all(b"abc").unwrap();
        assert_eq!(read(&mut pair.client, 3), b"abc");
        let segment = Segment {
            before: 2,
            data: b"bcdef",
            ends: true,
        };
        segment.send(&place.lab.server, &pair.server);
        assert_eq!(rest(&mut pair.client), b"def");
    });
}

#[test]
fn a_reset_after_what_came_again_is_a_reset() {
    arriving(WATCHED, |place, mut pair| {
        let segment = Segment {
            before: 0,
            data: b"abc",
            ends: false,
        };
        segment.send(&place.lab.server, &pair.server);
        pair.server.write_all(b"abcdef").unwrap();
        assert_eq!(read(&mut pair.client, 6), b"abcdef");
        socket2::SockRef::from(&pair.server)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(pair.server);
        until_reset(&pair.client);
        let error = again(|| pair.client.read(&mut [0])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// Numbers of 32 bits begin again at 0. The ends have agreed on nothing, so they take small segments and a few of them.
#[test]
fn numbers_that_begin_again_are_still_numbers() {
    let data = pattern(40);
    arriving(WATCHED, |place, first| {
        let address = first.server.local_addr().unwrap().ip().to_string();
        let before = place.counted("all").1;
        for (first, length) in [
            (u32::MAX - 9, 5),
            (u32::MAX - 9, 10),
            (u32::MAX - 9, 20),
            (i32::MAX.unsigned_abs() - 9, 20),
            (0, 1),
        ] {
            let mut pair = numbered(place, &address, [77, first]);
            ahead(place, &mut pair, &data, length);
        }
        assert_eq!(place.counted("all").1, before + 5 * 40);
    });
}

/// What an apply goes on with knows which byte comes next.
#[test]
fn an_apply_in_the_middle_forgets_nothing() {
    arriving(WATCHED, |place, mut pair| {
        let segment = Segment {
            before: 0,
            data: b"abc",
            ends: false,
        };
        segment.send(&place.lab.server, &pair.server);
        assert_eq!(read(&mut pair.client, 3), b"abc");
        place.apply(&format!("{WATCHED}\nmore: count receive tcp from port 9\n"));
        pair.server.write_all(b"abcdef").unwrap();
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut pair.client), b"def");
    });
}

/// Where a segment begins is read from the kernel's memory, which a lockdown hides.
#[test]
fn a_kernel_that_hides_where_segments_begin_is_told_and_nothing_changes() {
    inside_mut("", |place| {
        place.use_features(sockc_runtime::Features {
            sk_skb_verdict: true,
            segments: false,
            ..sockc_runtime::probe()
        });
        let refused = place.try_apply(WATCHED).unwrap_err().to_string();
        assert!(refused.contains("data could come twice"), "{refused}");
        assert!(refused.contains("by packets with `in`"), "{refused}");
        assert!(!place.unload(), "nothing was left");
    });
}
