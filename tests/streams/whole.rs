//! Whole streams: what is written comes out at the other end, byte for byte, by every way that data takes under a policy and in every
//! manner of writing, reading and ending; or it is what the manual says of that cell.
//!
//! A way is a row of [`WAYS`], a manner one of [`MANNERS`]. Little data each, or 50 MB with `SOCKC_LARGE=1`.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_testing::again;
use socket2::SockRef;

use crate::place::*;
use crate::shortcut::{PATIENCE, noise};
use crate::splice::{ROOM, spliced};

/// Where rules are about.
const TO: &str = "192.0.2.5";

/// The way that data takes.
struct Way {
    name: &'static str,
    policy: &'static str,
    /// Who reads.
    reader: Reader,
    /// Whether what is read stands in another queue than that of TCP: splice(2) finds nothing there.
    queued: bool,
    /// Whether what is urgent is ordinary where it is read.
    ordinary: bool,
    /// Whether the reader sees the end of the writer.
    ends: bool,
}

/// Who reads what the client writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The other end of the connection.
    Server,
    /// The socket that was registered.
    Input,
    /// The peer of that.
    Output,
    /// The socket that was registered, what the server writes.
    InputOfServer,
    /// The peer of that, what the server writes.
    OutputOfServer,
}

const WAYS: [Way; 9] = [
    Way {
        name: "no policy",
        policy: "",
        reader: Reader::Server,
        queued: false,
        ordinary: false,
        ends: true,
    },
    Way {
        name: "send",
        policy: "default send allow\nGROUP\ncount send tcp from group pods\n",
        reader: Reader::Server,
        queued: false,
        ordinary: false,
        ends: true,
    },
    Way {
        name: "receive",
        policy: "default receive allow\nGROUP\ncount receive tcp to group pods\n",
        reader: Reader::Server,
        queued: true,
        ordinary: true,
        ends: true,
    },
    Way {
        name: "send and receive",
        policy: "default send allow\ndefault receive allow\nGROUP\ncount send tcp from group pods\ncount receive tcp to group pods\n",
        reader: Reader::Server,
        queued: true,
        ordinary: true,
        ends: true,
    },
    Way {
        name: "shortcut",
        policy: "default send allow\nGROUP\nshortcut tcp within group pods\n",
        reader: Reader::Server,
        queued: true,
        ordinary: true,
        ends: true,
    },
    Way {
        name: "to input",
        policy: "default send allow\nGROUP\nsocket cache = registered\nredirect send tcp from group pods to 192.0.2.0/24 to input of sock cache\n",
        reader: Reader::Input,
        queued: true,
        ordinary: true,
        ends: false,
    },
    Way {
        name: "to output",
        policy: "default send allow\nGROUP\nsocket cache = registered\nredirect send tcp from group pods to 192.0.2.0/24 to output of sock cache\n",
        reader: Reader::Output,
        queued: false,
        ordinary: false,
        ends: false,
    },
    Way {
        name: "what arrives to input",
        policy: "default receive allow\nGROUP\nsocket cache = registered\nredirect receive tcp from 192.0.2.0/24 to group pods to input of sock cache\n",
        reader: Reader::InputOfServer,
        queued: true,
        ordinary: true,
        ends: false,
    },
    Way {
        name: "what arrives to output",
        policy: "default receive allow\nGROUP\nsocket cache = registered\nredirect receive tcp from 192.0.2.0/24 to group pods to output of sock cache\n",
        reader: Reader::OutputOfServer,
        queued: false,
        ordinary: true,
        ends: false,
    },
];

/// The way through a pair that was handed over: both ends are others' connections, and no rule of a group is asked.
const SPLICED: Way = Way {
    name: "splice",
    policy: ROOM,
    reader: Reader::Server,
    queued: false,
    ordinary: true,
    ends: true,
};

/// A stream under a way: who writes, who reads, and what else has to stay open.
struct Stream {
    writer: TcpStream,
    reader: TcpStream,
    kept: Vec<TcpStream>,
}

impl Way {
    fn stream(&self, place: &Place) -> Stream {
        let sides = Sides {
            client: true,
            server: self.reader == Reader::Server,
        };
        let Pair { client, server } = place.pair(CLIENT4, TO, sides);
        if self.reader == Reader::Server {
            return Stream {
                writer: client,
                reader: server,
                kept: Vec::new(),
            };
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = listener.accept().unwrap().0;
        place.register("cache", own.as_fd()).unwrap();
        let (writer, other) = match self.reader {
            Reader::InputOfServer | Reader::OutputOfServer => (server, client),
            _ => (client, server),
        };
        let (reader, quiet) = match self.reader {
            Reader::Input | Reader::InputOfServer => (own, peer),
            _ => (peer, own),
        };
        Stream {
            writer,
            reader,
            kept: vec![quiet, other],
        }
    }
}

/// In what manner a stream is written, read and ended.
struct Manner {
    name: &'static str,
    write: fn(&TcpStream, &[u8]) -> io::Result<()>,
    read: fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
    end: End,
}

/// How the writer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It stays.
    Open,
    /// Right behind what is written.
    Close,
    Shutdown,
    /// When all is read: before, it would take what waits along.
    Reset,
}

const fn manner(
    name: &'static str,
    write: fn(&TcpStream, &[u8]) -> io::Result<()>,
    read: fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
    end: End,
) -> Manner {
    Manner {
        name,
        write,
        read,
        end,
    }
}

const STALLED: &str = "stalled reader";
const SPLICE: &str = "splice";
const URGENT: &str = "urgent";
const MANNERS: [Manner; 11] = [
    manner("plain", whole, some, End::Open),
    manner("close", whole, some, End::Close),
    manner("half-close", whole, some, End::Shutdown),
    manner("reset", whole, some, End::Reset),
    manner(STALLED, whole, some, End::Close),
    manner("slow reader", whole, little, End::Close),
    manner(SPLICE, whole, by_splice, End::Close),
    manner("single bytes", single, some, End::Close),
    manner("sendfile", from_file, some, End::Close),
    manner("zero-copy", without_copies, some, End::Close),
    manner(URGENT, with_urgent, some, End::Close),
];

#[test]
fn what_is_written_is_what_is_read() {
    inside(|place| {
        let reads = sockc_runtime::probe().sk_skb_verdict;
        let can = |way: &&Way| reads || !way.policy.contains("receive");
        for way in WAYS.iter().filter(can) {
            place.unload();
            if !way.policy.is_empty() {
                place.apply(way.policy);
            }
            every_manner(way, || way.stream(place));
        }
        if !reads {
            skip("sk_skb programs without a parser");
        }
    });
}

#[test]
fn what_is_written_is_what_is_read_through_a_pair() {
    spliced(ROOM, |proxy| {
        every_manner(&SPLICED, || {
            let joined = proxy.plain();
            Stream {
                writer: joined.client,
                reader: joined.upstream,
                kept: Vec::new(),
            }
        });
    });
}

/// One row of the table, both ways where there are two.
fn every_manner(way: &Way, stream: impl Fn() -> Stream) {
    let large = std::env::var_os("SOCKC_LARGE").is_some();
    let data = noise(7, if large { 50 << 20 } else { 64 << 10 });
    // The manual says that splice(2) finds nothing in another queue than that of TCP.
    let manners = MANNERS.iter();
    for manner in manners.filter(|manner| !(way.queued && manner.name == SPLICE)) {
        for back in [false, true] {
            if !back || way.ends {
                one(way, stream(), manner, &data, back);
            }
        }
    }
}

/// One cell of the table, to the server or back.
fn one(way: &Way, stream: Stream, manner: &Manner, data: &[u8], back: bool) {
    let Stream {
        mut writer,
        mut reader,
        kept,
    } = stream;
    if back {
        (writer, reader) = (reader, writer);
    }
    // A system call for each byte takes its time.
    let data = match manner.name {
        "single bytes" => &data[..2_000],
        // What goes by TCP beyond the bound of a shortcut stays urgent.
        URGENT => &data[..data.len().min(1 << 20)],
        _ => data,
    };
    let mut wanted = data.to_vec();
    if manner.name == URGENT && way.ordinary {
        wanted.insert(data.len() / 2, b'!');
    }
    let cell = format!("{}, {}, back: {back}", way.name, manner.name);
    println!("{cell}");
    let (got, writer) = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            (manner.write)(&writer, data).unwrap();
            match manner.end {
                End::Close => drop(writer),
                End::Shutdown => writer.shutdown(Shutdown::Write).unwrap(),
                End::Open | End::Reset => return Some(writer),
            }
            None
        });
        // One that stalls reads when nothing more is written.
        let began = Instant::now();
        while manner.name == STALLED && !writing.is_finished() && began.elapsed() < STALL {
            thread::yield_now();
        }
        let got = read(&reader, wanted.len(), manner.read);
        (got, writing.join().unwrap())
    });
    assert_eq!(got.len(), wanted.len(), "{cell}");
    assert!(sum(&got) == sum(&wanted), "{cell}: other bytes");
    let is_end = match manner.end {
        End::Open => false,
        End::Close | End::Shutdown => way.ends,
        End::Reset => {
            let writer = writer.unwrap();
            let linger = SockRef::from(&writer).set_linger(Some(Duration::ZERO));
            linger.unwrap();
            way.ends
        }
    };
    if is_end {
        let end = next(&reader, &mut [0], some);
        match manner.end {
            End::Reset => assert_eq!(
                end.unwrap_err().kind(),
                ErrorKind::ConnectionReset,
                "{cell}"
            ),
            _ => assert_eq!(end.unwrap(), 0, "{cell}"),
        }
    }
    drop(kept);
}

/// How long a reader stalls while its writer waits for it.
const STALL: Duration = Duration::from_millis(20);

/// What comes until so much has come, or the end.
fn read(
    reader: &TcpStream,
    wanted: usize,
    how: fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
    while all.len() < wanted {
        match next(reader, &mut buffer, how).unwrap() {
            0 => break,
            length => all.extend(&buffer[..length]),
        }
    }
    all
}

/// The next that comes, as a program reads that asks again after EAGAIN.
fn next(
    reader: &TcpStream,
    buffer: &mut [u8],
    how: fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let began = Instant::now();
    reader.set_nonblocking(true)?;
    loop {
        match how(reader, buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                let mut ready = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
                poll(&mut ready, PollTimeout::from(100u16))?;
            }
            read => return read,
        }
    }
}

fn some(mut reader: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    again(|| reader.read(buffer))
}

fn little(mut reader: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    thread::yield_now();
    let room = buffer.len().min(1_000);
    again(|| reader.read(&mut buffer[..room]))
}

fn by_splice(reader: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (from, into) = nix::unistd::pipe()?;
    // As much as a pipe takes.
    let room = buffer.len().min(1 << 16);
    let none = ptr::null_mut();
    let (socket, pipe) = (reader.as_raw_fd(), into.as_raw_fd());
    // SAFETY: both descriptors live through the call, and no offsets are given.
    let moved = unsafe { libc::splice(socket, none, pipe, none, room, libc::SPLICE_F_NONBLOCK) };
    let moved = usize::try_from(moved).map_err(|_| io::Error::last_os_error())?;
    File::from(from).read_exact(&mut buffer[..moved])?;
    Ok(moved)
}

fn whole(mut writer: &TcpStream, data: &[u8]) -> io::Result<()> {
    writer.write_all(data)
}

fn single(mut writer: &TcpStream, data: &[u8]) -> io::Result<()> {
    data.chunks(1).try_for_each(|byte| writer.write_all(byte))
}

fn from_file(writer: &TcpStream, data: &[u8]) -> io::Result<()> {
    // SAFETY: the name is a static string; the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"data".as_ptr(), 0)) };
    file.write_all(data)?;
    let mut offset = 0;
    while (offset as usize) < data.len() {
        let (socket, length) = (writer.as_raw_fd(), data.len());
        // SAFETY: both descriptors and the offset live through the call.
        let sent = unsafe { libc::sendfile(socket, file.as_raw_fd(), &raw mut offset, length) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    }
    Ok(())
}

fn without_copies(writer: &TcpStream, data: &[u8]) -> io::Result<()> {
    let socket = writer.as_raw_fd();
    let on: libc::c_int = 1;
    let (level, name, value) = (libc::SOL_SOCKET, libc::SO_ZEROCOPY, (&raw const on).cast());
    // SAFETY: the option is an int and lives through the call.
    let set = unsafe { libc::setsockopt(socket, level, name, value, 4) };
    assert_eq!(set, 0);
    let mut rest = data;
    while !rest.is_empty() {
        let (from, length) = (rest.as_ptr().cast(), rest.len().min(1 << 16));
        // SAFETY: the data lives longer than the socket, whose peer has read it then.
        let sent = unsafe { libc::send(socket, from, length, libc::MSG_ZEROCOPY) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// One urgent byte in the middle, which an ordinary read does not give.
fn with_urgent(mut writer: &TcpStream, data: &[u8]) -> io::Result<()> {
    let (before, after) = data.split_at(data.len() / 2);
    writer.write_all(before)?;
    assert_eq!(SockRef::from(writer).send_out_of_band(b"!")?, 1);
    writer.write_all(after)
}

fn sum(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}
