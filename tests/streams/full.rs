//! An allowed connection whose queue is full: nothing gets lost there, and the kernel asks about each write.
//!
//! The kernel remembers an answer that lets go until all of a write is on its way (`tcp_bpf_send_verdict`). Who never lets
//! that happen must not go on after the policy has changed.

use std::ffi::c_int;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_testing::again;
use socket2::{SockRef, Socket};

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::shortcut::{PATIENCE, all_of, much, noise};
use crate::writes::{DATA, is_refused};

const SERVER4: &str = "203.0.113.5";
const SERVER6: &str = "2001:db8:3::5";

/// It counts what is written to the server, so its connections are taken in.
const LIVE: &str = "
default send allow
GROUP
live set banned max 10
stopped: drop send tcp from group pods to @banned
rest: count send tcp from group pods to any
";
pub(crate) const CLOSED: &str = "
default send allow
GROUP
stopped: drop send tcp from group pods to 203.0.113.0/24, 2001:db8:3::/48
";

/// More than the queues of both ends take at once.
pub(crate) const MUCH: usize = 1 << 22;

/// Writes until nothing more goes in; gives how many bytes did. The last write is cut short, then.
pub(crate) fn fill(client: &mut TcpStream) -> usize {
    client.set_nonblocking(true).unwrap();
    let (data, mut written) = (vec![7; MUCH], 0);
    loop {
        match client.write(&data) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads what is there already, and makes room; the client is not to write meanwhile.
pub(crate) fn drain(server: &mut TcpStream, bytes: usize) {
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut data = vec![0; bytes];
    server.read_exact(&mut data).unwrap();
}

pub(crate) fn wait_for_room(client: &TcpStream) {
    let waiting = PollFd::new(std::os::fd::AsFd::as_fd(client), PollFlags::POLLOUT);
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut [waiting], timeout).unwrap(), 1, "no room");
}

/// Fills a connection that is allowed, has the policy change, and sees that no byte follows.
fn nothing_follows(before: &str, to: &str, change: impl FnOnce(&Place)) {
    inside(|place| {
        place.apply(before);
        let from = if ip(to).is_ipv4() { CLIENT4 } else { CLIENT6 };
        let mut pair = place.pair(from, to, CLIENT);
        let written = fill(&mut pair.client);
        assert_eq!(place.escaped(), 0);
        change(place);
        drain(&mut pair.server, written / 2);
        wait_for_room(&pair.client);
        // Each as large as the one that was cut short.
        for _ in 0..3 {
            let more = pair.client.write(&vec![8; MUCH]);
            assert!(is_refused(&more), "{more:?}");
        }
        pair.client.shutdown(Shutdown::Write).unwrap();
        drain(&mut pair.server, written - written / 2);
        assert_eq!(all_of(&mut pair.server).len(), 0, "bytes that were refused");
        assert!(place.counted("stopped").0 > 0);
    });
}

#[test]
fn a_full_connection_is_refused_by_the_next_policy() {
    for to in [SERVER4, SERVER6] {
        nothing_follows(TALK, to, |place| {
            place.apply(CLOSED);
        });
    }
}

#[test]
fn a_full_connection_is_refused_by_a_live_set() {
    nothing_follows(LIVE, SERVER4, |place| {
        place.add_to_set("banned", ip(SERVER4))
    });
}

/// The kernel keeps the program's answer with the socket, not with the connection.
#[test]
fn a_full_socket_that_is_connected_elsewhere_is_asked_about_again() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, SERVER4, CLIENT);
        fill(&mut pair.client);
        let mut pair = reconnected(place, pair.client, "192.0.2.5");
        let written = pair.client.write(DATA);
        assert!(is_refused(&written), "{written:?}");
        drop(pair.client);
        assert_eq!(all_of(&mut pair.server).len(), 0);
    });
}

/// The same socket with another connection.
pub(crate) fn reconnected(place: &Place, client: TcpStream, to: &str) -> Pair {
    let socket = Socket::from(OwnedFd::from(client));
    disconnect(&socket);
    let local = SocketAddr::new(ip(to), 0);
    let listener = place.listener(&place.lab.server, local, false);
    socket.set_nonblocking(false).unwrap();
    socket
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    Pair {
        client: socket.into(),
        server: listener.accept().unwrap().0,
    }
}

/// `connect` to no address.
pub(crate) fn disconnect(socket: &Socket) {
    // SAFETY: all zeros are a valid address, of the family AF_UNSPEC.
    let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of_val(&nobody)).unwrap();
    // SAFETY: the address and the descriptor live through the call.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, size) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// Writes some of the data, which begins at an offset in the file; gives how much of it went in.
type Way = fn(&TcpStream, &[u8], &OwnedFd, usize) -> io::Result<usize>;

const WAYS: [(&str, Way); 6] = [
    ("write", |mut stream, data, _, _| stream.write(data)),
    ("writev", |mut stream, data, _, _| {
        let (one, other) = data.split_at(data.len() / 3);
        stream.write_vectored(&[IoSlice::new(one), IoSlice::new(other)])
    }),
    ("MSG_MORE", |stream, data, _, _| {
        send(stream, data, libc::MSG_MORE)
    }),
    ("MSG_DONTWAIT", |stream, data, _, _| {
        send(stream, data, libc::MSG_DONTWAIT)
    }),
    ("MSG_ZEROCOPY", |stream, data, _, _| {
        SockRef::from(stream).set_nonblocking(true).unwrap();
        zero_copy(stream);
        send(stream, data, libc::MSG_ZEROCOPY)
    }),
    ("sendfile", |stream, data, file, offset| {
        let mut offset = i64::try_from(offset).unwrap();
        // SAFETY: both descriptors and the offset live through the call.
        result(unsafe {
            let (to, from) = (stream.as_raw_fd(), file.as_raw_fd());
            libc::sendfile(to, from, &raw mut offset, data.len())
        })
    }),
];

fn result(done: isize) -> io::Result<usize> {
    usize::try_from(done).map_err(|_| io::Error::last_os_error())
}

fn send(stream: &TcpStream, data: &[u8], flags: c_int) -> io::Result<usize> {
    // SAFETY: the data and the descriptor live through the call.
    result(unsafe { libc::send(stream.as_raw_fd(), data.as_ptr().cast(), data.len(), flags) })
}

fn zero_copy(stream: &TcpStream) {
    let on: c_int = 1;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ZEROCOPY);
    // SAFETY: the option is an int and lives through the call.
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, (&raw const on).cast(), 4) };
    assert_eq!(set, 0);
}

/// The data as a file in memory.
fn file(data: &[u8]) -> OwnedFd {
    // SAFETY: the name is a static string; the descriptor is new and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"data".as_ptr(), 0)) };
    let mut whole = std::fs::File::from(file.try_clone().unwrap());
    whole.write_all(data).unwrap();
    file
}

/// Reads to the end, a little at a time and never at once.
fn slowly(mut server: TcpStream) -> Vec<u8> {
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut all, mut piece) = (Vec::new(), vec![0; 200_003]);
    loop {
        thread::yield_now();
        match again(|| server.read(&mut piece)).unwrap() {
            0 => return all,
            bytes => all.extend_from_slice(&piece[..bytes]),
        }
    }
}

/// Has `write` write all of the data in pieces to a reader that is slow, and compares what comes.
fn arrives_whole(
    place: &Place,
    data: &[u8],
    piece: usize,
    write: impl Fn(&TcpStream, &[u8], usize) -> io::Result<usize>,
) {
    let Pair { client, server } = place.pair(CLIENT4, SERVER4, CLIENT);
    SockRef::from(&server)
        .set_recv_buffer_size(1 << 14)
        .unwrap();
    client.set_nonblocking(true).unwrap();
    let (begin, begun) = mpsc::channel();
    let reader = thread::spawn(move || {
        // Else it may keep pace with the writer.
        let _ = begun.recv();
        slowly(server)
    });
    let (mut at, mut full) = (0, 0);
    while at < data.len() {
        let end = data.len().min(at + piece);
        match write(&client, &data[at..end], at) {
            Ok(bytes) => {
                assert!(bytes > 0 && bytes <= end - at, "{bytes} bytes");
                full += usize::from(bytes < end - at);
                at += bytes;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                full += 1;
                let _ = begin.send(());
                wait_for_room(&client);
            }
        }
    }
    client.shutdown(Shutdown::Write).unwrap();
    drop((client, begin));
    assert!(reader.join().unwrap() == data, "what was read");
    assert!(full > 0 || piece == 1, "the queue was never full");
}

#[test]
fn what_a_write_says_is_what_arrives() {
    inside(|place| {
        place.apply(TALK);
        let data = noise(3, much() / 5);
        let file = file(&data);
        for (name, way) in WAYS {
            println!("{name}");
            arrives_whole(place, &data, 1_300_007, |stream, data, at| {
                way(stream, data, &file, at)
            });
        }
        println!("one byte at a time");
        let few = &data[..much() / 500];
        arrives_whole(place, few, 1, |mut stream, data, _| stream.write(data));
        assert_eq!(place.escaped(), 0);
    });
}

/// A write that waits ends with what went in: when its time is over, and when a signal comes.
#[test]
fn a_write_that_is_ended_says_how_much_went_in() {
    inside(|place| {
        place.apply(TALK);
        let data = noise(4, MUCH * 4);
        for signal in [false, true] {
            let Pair {
                mut client,
                mut server,
            } = place.pair(CLIENT4, SERVER4, CLIENT);
            let patience = if signal {
                PATIENCE
            } else {
                Duration::from_millis(300)
            };
            client.set_write_timeout(Some(patience)).unwrap();
            let id = AtomicU64::new(0);
            let (written, ended) = thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    // SAFETY: it only says which thread this is.
                    id.store(unsafe { libc::pthread_self() }, Ordering::Release);
                    let mut written = 0;
                    loop {
                        let mut write = || client.write(&data[written..]);
                        match if signal { write() } else { again(write) } {
                            Ok(bytes) => written += bytes,
                            Err(error) => return (written, error.kind()),
                        }
                    }
                });
                while signal && !writer.is_finished() {
                    interrupt(&server, &id);
                }
                writer.join().unwrap()
            });
            let wanted = match signal {
                true => ErrorKind::Interrupted,
                false => ErrorKind::WouldBlock,
            };
            assert_eq!(ended, wanted);
            assert!(written > 0 && written < data.len(), "{written}");
            drop(client);
            let read = all_of(&mut server);
            assert!(read == data[..written], "{} of {written}", read.len());
        }
    });
}

/// Sends a signal that has a handler to the thread that writes, once something has come.
fn interrupt(server: &TcpStream, writer: &AtomicU64) {
    extern "C" fn nothing(_: c_int) {}
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(again(|| server.peek(&mut [0])).unwrap(), 1);
    let handler: extern "C" fn(c_int) = nothing;
    // SAFETY: all zeros are a valid `sigaction`, without SA_RESTART; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    // SAFETY: the thread has written, and has not been joined.
    unsafe { libc::pthread_kill(writer.load(Ordering::Acquire), libc::SIGUSR2) };
    thread::yield_now();
}

#[test]
fn data_is_there_when_the_writer_closes_right_behind() {
    inside(|place| {
        place.apply(TALK);
        for round in 0..50 {
            let Pair {
                mut client,
                mut server,
            } = place.pair(CLIENT4, SERVER4, CLIENT);
            let data = noise(round, 100_000);
            client.write_all(&data).unwrap();
            if round % 2 == 0 {
                client.shutdown(Shutdown::Write).unwrap();
                server.write_all(DATA).unwrap();
                assert!(arrives(&mut client));
            }
            drop(client);
            assert!(all_of(&mut server) == data, "round {round}");
        }
    });
}

/// It kept the key of the connection that was left alone.
#[test]
fn a_socket_that_was_left_alone_before_is_asked_about_each_time_too() {
    let far = |verb: &str| {
        format!(
            "default send allow\nGROUP\nfar: {verb} send tcp from group pods to 203.0.113.0/24\n"
        )
    };
    inside(|place| {
        place.apply(&far("count"));
        let alone = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let mut pair = reconnected(place, alone.client, SERVER4);
        let written = fill(&mut pair.client);
        place.apply(&far("drop"));
        drain(&mut pair.server, written / 2);
        wait_for_room(&pair.client);
        let more = pair.client.write(&vec![8; MUCH]);
        assert!(is_refused(&more), "{more:?}");
    });
}
