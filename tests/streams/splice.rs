//! Pairs that a proxy hands over, joined in the kernel: what one end writes the other reads, all of it, in order, and once;
//! so are the end of each side and a reset.

use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};
use sockc_compiler::artifact::PairsPlan;
use sockc_runtime::probe;
use sockc_testing::again;
use socket2::SockRef;

use crate::again::Segment;
use crate::place::*;

/// A policy that only splices.
pub(crate) const ROOM: &str = "pairs relayed = registered\njoined: splice tcp pairs relayed\n";
pub(crate) const LO: [&str; 2] = ["127.0.0.1", "::1"];
/// How long something may take that comes at once.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const MEGABYTE: u64 = 1 << 20;

/// The first of both with `SOCKC_LARGE=1`, else the second.
fn amount(large: u64, usual: u64) -> u64 {
    match std::env::var_os("SOCKC_LARGE").is_some_and(|value| value == "1") {
        true => large,
        false => usual,
    }
}

/// A proxy that is done with its connections.
pub(crate) struct Proxy<'a> {
    pub(crate) place: &'a Place,
    pub(crate) keeper: OwnedFd,
    /// Where pairs are handed over.
    pub(crate) path: &'a Path,
}

/// Both ends of a connection through the proxy.
pub(crate) struct Joined {
    pub(crate) client: TcpStream,
    pub(crate) upstream: TcpStream,
}

/// Takes the policy away whatever happens, which ends the keeper.
struct Unloaded<'a>(&'a Place);

impl Drop for Unloaded<'_> {
    fn drop(&mut self) {
        self.0.unload();
    }
}

/// Runs a test with a policy and somebody who keeps its pairs.
pub(crate) fn spliced(text: &str, test: impl FnOnce(&Proxy<'_>)) {
    inside(|place| {
        if !probe().sk_skb_verdict {
            let refused = place.try_apply(text).unwrap_err().to_string();
            assert!(refused.contains("without losing data"), "{refused}");
            return skip("splice");
        }
        place.apply(text);
        let path = path();
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let keep = || place.keep("relayed", &path, &mut move || tell.send(()).unwrap());
            let keeper = scope.spawn(keep);
            let unloaded = Unloaded(place);
            told.recv().unwrap();
            test(&Proxy {
                place,
                keeper: connected(&path),
                path: &path,
            });
            drop(unloaded);
            let ended = keeper.join().unwrap().unwrap_err().to_string();
            assert!(ended.contains("does not declare them any more"), "{ended}");
        });
        assert!(!path.exists());
    });
}

pub(crate) fn path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "sockc-pairs-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    std::env::temp_dir().join(name)
}

pub(crate) fn connected(path: &Path) -> OwnedFd {
    let family = AddressFamily::Unix;
    let fd = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    fd
}

impl Proxy<'_> {
    /// A client's connection to the proxy, or the proxy's to an upstream: both ends.
    pub(crate) fn connection(&self, address: &str) -> (TcpStream, TcpStream) {
        let pair = self
            .place
            .pair_over_lo(&self.place.lab.server, address, NEITHER);
        for end in [&pair.client, &pair.server] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
            end.set_nodelay(true).unwrap();
        }
        (pair.client, pair.server)
    }

    /// A pair that is joined; `before` comes from both ends before the hand-over, `early` has been read by the proxy.
    fn joined(&self, address: &str, before: [&[u8]; 2], early: [&[u8]; 2]) -> Joined {
        let (mut client, to_client) = self.connection(address);
        let (to_upstream, mut upstream) = self.connection(address);
        for ((end, other), bytes) in [(&mut client, &to_client), (&mut upstream, &to_upstream)]
            .into_iter()
            .zip(before)
        {
            end.write_all(bytes).unwrap();
            arrived(other, bytes.len());
        }
        let answer = self.hand_over([to_client.as_raw_fd(), to_upstream.as_raw_fd()], early);
        assert_eq!(answer, "ok");
        Joined { client, upstream }
    }

    pub(crate) fn plain(&self) -> Joined {
        self.joined(LO[0], [b"", b""], [b"", b""])
    }

    pub(crate) fn hand_over(&self, sockets: [RawFd; 2], early: [&[u8]; 2]) -> String {
        let lengths = early.map(|bytes| u32::try_from(bytes.len()).unwrap());
        let mut message = Vec::new();
        for number in [1, lengths[0], lengths[1], 0] {
            message.extend(number.to_ne_bytes());
        }
        message.extend(early.concat());
        self.send(&message, &sockets)
    }

    pub(crate) fn send(&self, message: &[u8], descriptors: &[RawFd]) -> String {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let part = [IoSlice::new(message)];
        let fd = self.keeper.as_raw_fd();
        sendmsg::<()>(fd, &part, &rights, MsgFlags::empty(), None).unwrap();
        let mut answer = [0; 4096];
        let length = again(|| Ok(recv(fd, &mut answer, MsgFlags::empty())?)).unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    }
}

/// Waits until so many bytes can be read.
pub(crate) fn arrived(stream: &TcpStream, count: usize) {
    let mut bytes = vec![0; count];
    while count > 0 && again(|| stream.peek(&mut bytes)).unwrap() < count {
        thread::yield_now();
    }
}

fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes)
}

/// Bytes that say where they are: no shift by a power of two looks alike.
fn pattern() -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..65_521).map(next).collect()
}

/// Writes so many bytes of the pattern, then ends.
fn write_all(mut stream: &TcpStream, mut left: u64) {
    let pattern = pattern();
    while left > 0 {
        let count = pattern.len().min(usize::try_from(left).unwrap());
        stream.write_all(&pattern[..count]).unwrap();
        left -= count as u64;
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Reads until the end; how many bytes came, all of them those of the pattern.
fn read_all(stream: &TcpStream, pause: Duration) -> u64 {
    read_pausing(stream, || thread::sleep(pause))
}

/// The same; this is done after each piece.
fn read_pausing(mut stream: &TcpStream, mut pause: impl FnMut()) -> u64 {
    let pattern = pattern();
    let (mut at, mut count) = (0, 0);
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = again(|| stream.read(&mut bytes)).unwrap();
        if read == 0 {
            return count;
        }
        let mut came = &bytes[..read];
        while !came.is_empty() {
            let next = came.len().min(pattern.len() - at);
            assert_eq!(came[..next], pattern[at..at + next], "after {count} bytes");
            came = &came[next..];
            at = (at + next) % pattern.len();
        }
        count += read as u64;
        pause();
    }
}

/// Both ends write so much at once and end; what each has read.
pub(crate) fn both_ways(joined: &Joined, count: u64, pause: Duration) -> [u64; 2] {
    let Joined { client, upstream } = joined;
    thread::scope(|scope| {
        scope.spawn(|| write_all(client, count));
        scope.spawn(|| write_all(upstream, count));
        let read = [(upstream, pause), (client, Duration::ZERO)];
        let read = read.map(|(end, pause)| scope.spawn(move || read_all(end, pause)));
        read.map(|one| one.join().unwrap())
    })
}

#[test]
fn what_came_before_comes_first_and_each_end_is_passed_on() {
    spliced(ROOM, |proxy| {
        for address in LO {
            for first in [0, 1] {
                let joined = proxy.joined(address, [b"queued ", b"there "], [b"read ", b"hello "]);
                let mut ends = [joined.client, joined.upstream];
                let whole: [&[u8]; 2] = [b"read queued more", b"hello there back"];
                for (turn, which) in [first, 1 - first].into_iter().enumerate() {
                    let more: &[u8] = if which == 0 { b"more" } else { b"back" };
                    ends[which].write_all(more).unwrap();
                    ends[which].shutdown(Shutdown::Write).unwrap();
                    let got = rest(&mut ends[1 - which]).unwrap();
                    assert_eq!(got, whole[which], "{address} {first} {turn}");
                }
            }
        }
    });
}

/// The kernel hands on a segment as a whole, whatever of it the proxy has read.
#[test]
fn what_was_read_in_part_comes_once() {
    spliced(ROOM, |proxy| {
        for address in LO {
            let (mut client, mut to_client) = proxy.connection(address);
            let (to_upstream, mut upstream) = proxy.connection(address);
            client.write_all(b"head body").unwrap();
            arrived(&to_client, 9);
            let mut head = [0; 5];
            to_client.read_exact(&mut head).unwrap();
            let both = [to_client.as_raw_fd(), to_upstream.as_raw_fd()];
            assert_eq!(proxy.hand_over(both, [&head, b""]), "ok");
            client.write_all(b" more").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut upstream).unwrap(), b"head body more");
        }
    });
}

/// TCP takes a segment of which a part came before, as senders make them that send again; so here, where somebody sends ahead.
#[test]
fn what_a_segment_has_again_comes_once() {
    spliced(ROOM, |proxy| {
        let data = &pattern()[..60_000];
        for ahead in [1, 4095, 4096, 50_000, 59_999] {
            let Joined {
                mut client,
                mut upstream,
            } = proxy.plain();
            client.write_all(b"first").unwrap();
            let mut got = vec![0; 5];
            upstream.read_exact(&mut got).unwrap();
            let segment = Segment {
                before: 0,
                data: &data[..ahead],
                ends: false,
            };
            segment.send(&proxy.place.lab.server, &client);
            let mut got = vec![0; ahead];
            upstream.read_exact(&mut got).unwrap();
            client.write_all(data).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            got.extend(rest(&mut upstream).unwrap());
            assert!(got == data, "{ahead}: {} bytes", got.len());
        }
    });
}

/// Nothing new comes with the end then, which is the end of the side all the same.
#[test]
fn an_end_with_old_data_is_an_end() {
    spliced(ROOM, |proxy| {
        let mut joined = proxy.plain();
        joined.client.write_all(b"abc").unwrap();
        arrived(&joined.upstream, 3);
        let segment = Segment {
            before: 3,
            data: b"abc",
            ends: true,
        };
        segment.send(&proxy.place.lab.server, &joined.client);
        assert_eq!(rest(&mut joined.upstream).unwrap(), b"abc");
    });
}

#[test]
fn everything_goes_each_way() {
    spliced(ROOM, |proxy| {
        for address in LO {
            let joined = proxy.joined(address, [b"", b""], [b"", b""]);
            let count = amount(50, 10) * MEGABYTE;
            assert_eq!(both_ways(&joined, count, Duration::ZERO), [count; 2]);
        }
    });
}

/// So little that no side is ever held.
#[test]
fn what_the_kernel_moves_is_counted_each_way() {
    spliced(ROOM, |proxy| {
        let joined = proxy.plain();
        write_all(&joined.client, MEGABYTE);
        assert_eq!(read_all(&joined.upstream, Duration::ZERO), MEGABYTE);
        write_all(&joined.upstream, 2 * MEGABYTE);
        assert_eq!(read_all(&joined.client, Duration::ZERO), 2 * MEGABYTE);
        let (segments, bytes) = proxy.place.counted("joined");
        assert!(segments > 0);
        assert_eq!(bytes, MEGABYTE);
        assert_eq!(proxy.place.counted_back().1, 2 * MEGABYTE);
    });
}

#[test]
fn a_slow_reader_gets_everything() {
    spliced(ROOM, |proxy| {
        let count = amount(16, 4) * MEGABYTE;
        let read = both_ways(&proxy.plain(), count, Duration::from_millis(1));
        assert_eq!(read, [count; 2]);
    });
}

/// The kernel itself takes whatever arrives: without the keeper's bound this would not end before memory does.
#[test]
fn a_reader_that_stalls_stops_the_writer() {
    const MOST: u64 = 64 * MEGABYTE;
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        client
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let pattern = pattern();
        let (mut count, mut at) = (0, 0);
        while count < 4 * MOST {
            match again(|| (&client).write(&pattern[at..])) {
                Ok(written) => {
                    count += written as u64;
                    at = (at + written) % pattern.len();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(count < MOST, "{count}");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&upstream, Duration::ZERO), count);
    });
}

/// What the program leaves to the keeper and what it moves come in one order, however often one follows the other.
#[test]
fn a_reader_that_stalls_again_and_again_gets_everything() {
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        let count = amount(200, 40) * MEGABYTE;
        let mut turn = 0;
        let pause = || {
            turn += 1;
            if turn % 300 == 0 {
                thread::sleep(Duration::from_millis(60));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| write_all(&client, count));
            assert_eq!(read_pausing(&upstream, pause), count);
        });
    });
}

/// Both ends write; one reads slowly at first, the other only when it has written all, which needs the first to read.
#[test]
fn an_end_that_reads_when_it_has_written_gets_everything() {
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        let count = amount(50, 16) * MEGABYTE;
        thread::scope(|scope| {
            scope.spawn(|| write_all(&client, count));
            scope.spawn(|| {
                write_all(&upstream, count);
                assert_eq!(read_all(&upstream, Duration::ZERO), count);
            });
            assert_eq!(read_all(&client, Duration::from_micros(100)), count);
        });
    });
}

/// Data that goes one way and cannot be delivered does not keep back what comes the other way.
#[test]
fn a_direction_that_stands_still_does_not_stop_the_other() {
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        let count = 20 * MEGABYTE;
        let full = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                write_all(&client, 4 * count);
                assert!(full.load(Ordering::Relaxed), "nobody reads it");
            });
            // What nobody reads fills everything that it may fill.
            stands_still(&client);
            scope.spawn(|| write_all(&upstream, count));
            assert_eq!(read_all(&client, Duration::ZERO), count);
            assert!(proxy.place.counted("joined").1 < 4 * count);
            full.store(true, Ordering::Relaxed);
            assert_eq!(read_all(&upstream, Duration::ZERO), 4 * count);
        });
    });
}

/// Waits until a socket has sent nothing for a while though it has something to send.
fn stands_still(stream: &TcpStream) {
    let mut last = (0, Instant::now());
    loop {
        let mut unsent: libc::c_int = 0;
        // SAFETY: the request writes an int.
        let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut unsent) };
        assert_eq!(asked, 0);
        if unsent != last.0 || unsent == 0 {
            last = (unsent, Instant::now());
        }
        if last.1.elapsed() > Duration::from_millis(500) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_close_with_data_on_the_way_loses_none() {
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        let count = 8 * MEGABYTE;
        let reader = thread::spawn(move || read_all(&upstream, Duration::from_micros(500)));
        write_all(&client, count);
        drop(client);
        assert_eq!(reader.join().unwrap(), count);
    });
}

#[test]
fn a_reset_is_passed_on_after_the_data() {
    spliced(ROOM, |proxy| {
        for from in [0, 1] {
            let joined = proxy.plain();
            let mut ends = [Some(joined.client), Some(joined.upstream)];
            let mut source = ends[from].take().unwrap();
            let mut target = ends[1 - from].take().unwrap();
            source.write_all(&[7; 40_000]).unwrap();
            arrived(&target, 40_000);
            let set = SockRef::from(&source).set_linger(Some(Duration::ZERO));
            set.unwrap();
            drop(source);
            let mut bytes = vec![0; 40_000];
            target.read_exact(&mut bytes).unwrap();
            let error = rest(&mut target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{from}");
        }
    });
}

#[test]
fn single_bytes_keep_their_order() {
    spliced(ROOM, |proxy| {
        let Joined { client, upstream } = proxy.plain();
        let pattern = pattern();
        thread::scope(|scope| {
            let reader = scope.spawn(|| read_all(&upstream, Duration::ZERO));
            for byte in &pattern[..5_000] {
                (&client).write_all(std::slice::from_ref(byte)).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join().unwrap(), 5_000);
        });
    });
}

#[test]
fn short_pairs_one_after_the_other() {
    spliced(ROOM, |proxy| {
        for number in 0..amount(5000, 300) as usize {
            let early = format!("early {number} ");
            let mut joined = proxy.joined(LO[number % 2], [b"", b""], [early.as_bytes(), b""]);
            joined.client.write_all(b"request").unwrap();
            joined.client.shutdown(Shutdown::Write).unwrap();
            let got = rest(&mut joined.upstream).unwrap();
            assert_eq!(got, format!("{early}request").as_bytes());
            joined.upstream.write_all(b"answer").unwrap();
            drop(joined.upstream);
            assert_eq!(rest(&mut joined.client).unwrap(), b"answer", "{number}");
        }
        // The keeper parts them when both ends have ended, which the client cannot see.
        while proxy.place.joined_pairs() > 0 {
            thread::yield_now();
        }
    });
}

/// Says that it is done, also where it has failed: who waits for that ends then, too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One policy after the other is applied while both ends write; each declares the pairs.
#[test]
fn an_apply_in_the_middle_loses_no_byte() {
    spliced(ROOM, |proxy| {
        let count = amount(50, 20) * MEGABYTE;
        let policies = [
            ROOM.replace("registered", "registered max 17"),
            format!("{ROOM}pairs others = registered\nsplice tcp pairs others\n"),
            ROOM.to_owned(),
        ];
        proxy.place.apply(&policies[0]);
        for turn in 0..amount(100, 1) {
            let joined = proxy.plain();
            let done = AtomicBool::new(false);
            let applies = thread::scope(|scope| {
                let applies = scope.spawn(|| {
                    let mut applies = 0;
                    for text in policies.iter().cycle() {
                        proxy.place.apply(text);
                        applies += 1;
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    applies
                });
                let read = {
                    let _done = Done(&done);
                    both_ways(&joined, count, Duration::ZERO)
                };
                assert_eq!(read, [count; 2], "{turn}");
                applies.join().unwrap()
            });
            println!("turn {turn}: {count} bytes each way over {applies} applies");
        }
    });
}

/// Nobody takes an end for a clean one that is none.
#[test]
fn an_unload_resets_both_ends() {
    spliced(ROOM, |proxy| {
        let Joined {
            mut client,
            mut upstream,
        } = proxy.plain();
        client.write_all(b"before").unwrap();
        arrived(&upstream, 6);
        proxy.place.unload();
        for end in [&mut client, &mut upstream] {
            let error = rest(end).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

/// Where the program cannot say that a side has come further, since the ring is full, the keeper finds it by itself.
#[test]
fn a_ring_that_is_full_stops_nobody() {
    spliced(ROOM, |proxy| {
        let pinned = |pin: &str| {
            let open = || MapData::from_pin(pins_of_pairs().join(pin)).unwrap();
            proxy.place.lab.server.run(open).unwrap()
        };
        fill(&pinned("moved"));
        let count = 24 * MEGABYTE;
        let joined = proxy.plain();
        assert_eq!(both_ways(&joined, count, Duration::ZERO), [count; 2]);
        let allowed: Array<_, [u64; 2]> = Array::try_from(Map::Array(pinned("allowed"))).unwrap();
        let unsaid = allowed.get(&PairsPlan::ROOM, 0).unwrap()[0];
        assert!(unsaid > 0);
    });
}

/// Where the only pairs of this network namespace are pinned.
fn pins_of_pairs() -> PathBuf {
    let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    let pairs = format!("/sys/fs/bpf/sockc/{inode}/pairs");
    fs::read_dir(pairs).unwrap().next().unwrap().unwrap().path()
}

/// Makes a ring look as if nobody had read what its whole room holds. Nobody is woken by that.
fn fill(ring: &MapData) {
    const PAGE: usize = 4096;
    let map = |protection, page: usize| {
        let (fd, offset) = (ring.fd().as_fd().as_raw_fd(), (page * PAGE) as libc::off_t);
        // SAFETY: a new mapping of one page, which is never taken away.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                protection,
                libc::MAP_SHARED,
                fd,
                offset,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        at.cast::<AtomicU64>()
    };
    let read = map(libc::PROT_READ | libc::PROT_WRITE, 0);
    let written = map(libc::PROT_READ, 1);
    // SAFETY: both pages begin with a number of 64 bits.
    unsafe {
        let before = (*written).load(Ordering::SeqCst).wrapping_sub(1 << 16);
        (*read).store(before, Ordering::SeqCst);
    }
}
