//! What is tried on a connection that stands in a table: each trial gives whether the kernel does otherwise there than on one that
//! does not.
//!
//! A read that should wait has a time after which it gives up; whether it came back at once tells. The kernels that are known do,
//! so that none of these times passes. Not here: how the connection came into the table, and the calls ([`super::calls`]).

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::calls::{beside, no_peer, read, ready, received, set, unsent, write};
use super::{PATIENCE, Pair, Way};
use crate::sys::socket;

/// One that is tried.
pub(crate) type Trial = fn(&Pair) -> io::Result<bool>;

/// What is written.
const DATA: &[u8; 8] = b"12345678";
/// When a read came back at once.
const AT_ONCE: Duration = Duration::from_millis(250);

/// `TCP_INQ` of `linux/tcp.h`.
const TCP_INQ: i32 = 36;
/// Where `ee_info` and `ee_data` stand in `struct sock_extended_err`.
const NUMBERS: std::ops::Range<usize> = 8..16;

/// A read while the end of what is written is acknowledged: EAGAIN, and not a wait. The peer holds the acknowledgement back for 40
/// ms, or until it is asked for quick ones.
pub(crate) fn half_close(pair: &Pair) -> io::Result<bool> {
    let reader = File::open("/proc/thread-self/syscall")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !waits_in_a_read(&reader) {
                thread::yield_now();
            }
            pair.near.shutdown(Shutdown::Write)?;
            set(pair.far.as_fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, 1)
        });
        let began = Instant::now();
        let read = read(pair.near.as_fd(), &mut [0], 0);
        let again = read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        Ok(again && began.elapsed() < AT_ONCE)
    })
}

/// Whether a thread waits in the kernel in a read, or that cannot be known.
fn waits_in_a_read(call: &File) -> bool {
    let mut text = [0; 64];
    let Ok(length) = call.read_at(&mut text, 0) else {
        return true;
    };
    // The number of the call, then what it was given; of one that runs there is no number.
    let call = format!("{} ", libc::SYS_recvfrom);
    text[..length].starts_with(call.as_bytes())
}

/// FIONREAD while data waits.
pub(crate) fn unread(pair: &Pair) -> io::Result<bool> {
    arrive(pair)?;
    let waiting = socket::unread(pair.near.as_fd());
    Ok(waiting.and_then(|bytes| usize::try_from(bytes).ok()) != Some(DATA.len()))
}

/// A read with MSG_WAITALL for more than there is.
pub(crate) fn wait_for_all(pair: &Pair) -> io::Result<bool> {
    arrive(pair)?;
    returns_at_once(pair, libc::MSG_WAITALL)
}

/// A read where SO_RCVLOWAT asks for more than there is.
pub(crate) fn low_water(pair: &Pair) -> io::Result<bool> {
    let (near, wanted) = (pair.near.as_fd(), 2 * DATA.len() as i32);
    set(near, libc::SOL_SOCKET, libc::SO_RCVLOWAT, wanted)?;
    (&pair.far).write_all(DATA)?;
    returns_at_once(pair, 0)
}

/// Whether reads for more than there is come back at once. That the process is stopped for a moment ends one of them too.
fn returns_at_once(pair: &Pair, flags: i32) -> io::Result<bool> {
    let once = comes_back_at_once(pair, flags)?;
    if once {
        (&pair.far).write_all(DATA)?;
    }
    Ok(once && comes_back_at_once(pair, flags)?)
}

fn comes_back_at_once(pair: &Pair, flags: i32) -> io::Result<bool> {
    let began = Instant::now();
    match read(pair.near.as_fd(), &mut [0; 2 * DATA.len()], flags) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        read => read.map(|_| began.elapsed() < AT_ONCE),
    }
}

/// splice(2) where data waits.
pub(crate) fn spliced(pair: &Pair) -> io::Result<bool> {
    arrive(pair)?;
    // The flag below is about the pipe alone (`tcp_splice_read`).
    pair.near.set_nonblocking(true)?;
    let (_out, into) = nix::unistd::pipe()?;
    let none = std::ptr::null_mut();
    let (from, length) = (pair.near.as_raw_fd(), DATA.len());
    let flags = libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open, and no offset is given.
    let moved = unsafe { libc::splice(from, none, into.as_raw_fd(), none, length, flags) };
    Ok(moved <= 0)
}

/// MSG_PEEK after two writes.
pub(crate) fn peeked(pair: &Pair) -> io::Result<bool> {
    arrive(pair)?;
    arrive(pair)?;
    let mut all = [0; 2 * DATA.len()];
    let began = Instant::now();
    while began.elapsed() < PATIENCE / 10 {
        if read(pair.near.as_fd(), &mut all, libc::MSG_PEEK)? == all.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// MSG_PEEK behind an offset that was set.
pub(crate) fn peeked_behind(pair: &Pair) -> io::Result<bool> {
    const OFFSET: usize = 3;
    let near = pair.near.as_fd();
    // Kernels before 6.9 have none for TCP.
    if set(near, libc::SOL_SOCKET, libc::SO_PEEK_OFF, OFFSET as i32).is_err() {
        return Ok(false);
    }
    arrive(pair)?;
    let mut first = [0];
    read(near, &mut first, libc::MSG_PEEK)?;
    Ok(first[0] != DATA[OFFSET])
}

/// MSG_TRUNC, which throws data away and copies none.
pub(crate) fn thrown_away(pair: &Pair) -> io::Result<bool> {
    arrive(pair)?;
    let mut untouched = [0; DATA.len()];
    read(pair.near.as_fd(), &mut untouched, libc::MSG_TRUNC)?;
    Ok(untouched != [0; DATA.len()])
}

/// The length of what is left, beside a read.
pub(crate) fn left_beside(pair: &Pair) -> io::Result<bool> {
    let near = pair.near.as_fd();
    set(near, libc::IPPROTO_TCP, TCP_INQ, 1)?;
    arrive(pair)?;
    Ok(beside(near, 0)?.is_none())
}

/// How much has come, as TCP_INFO says.
pub(crate) fn told_of(pair: &Pair) -> io::Result<bool> {
    let before = received(pair.near.as_fd())?;
    arrive(pair)?;
    Ok(received(pair.near.as_fd())? == before)
}

/// An ordinary read where one byte of urgent data waits.
pub(crate) fn urgent(pair: &Pair) -> io::Result<bool> {
    let (writer, reader) = match pair.way {
        Way::Send => (&pair.near, &pair.far),
        Way::Shortcut | Way::Receive => (&pair.far, &pair.near),
    };
    write(writer.as_fd(), b"!", libc::MSG_OOB)?;
    ready(reader.as_fd(), PollFlags::POLLIN | PollFlags::POLLPRI)?;
    Ok(read(reader.as_fd(), &mut [0], libc::MSG_DONTWAIT).is_ok())
}

/// A write of no bytes after the own side has ended.
pub(crate) fn nothing_written(pair: &Pair) -> io::Result<bool> {
    pair.near.shutdown(Shutdown::Write)?;
    Ok(write(pair.near.as_fd(), &[], 0).is_ok())
}

/// The second write after a reset.
pub(crate) fn reset(pair: &Pair) -> io::Result<bool> {
    no_peer(pair.far.as_fd())?;
    ready(pair.near.as_fd(), PollFlags::POLLHUP)?;
    let write = || write(pair.near.as_fd(), DATA, 0);
    let _ = write();
    let second = write().map_err(|error| error.raw_os_error());
    Ok(second != Err(Some(libc::EPIPE)))
}

/// The numbers that one write with MSG_ZEROCOPY takes in the error queue: one, the first.
pub(crate) fn numbered(pair: &Pair) -> io::Result<bool> {
    let near = pair.near.as_fd();
    set(near, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    let written = write(near, &vec![0; 50_000], libc::MSG_ZEROCOPY)?;
    (&pair.far).read_exact(&mut vec![0; written])?;
    // The kernel is done with the data when all of it is acknowledged.
    let began = Instant::now();
    while unsent(near)? > 0 && began.elapsed() < PATIENCE {
        thread::yield_now();
    }
    let mut highest = None;
    while let Some(told) = beside(near, libc::MSG_ERRQUEUE)? {
        let numbers = told.get(NUMBERS).unwrap_or_default();
        let numbers = numbers
            .chunks_exact(4)
            .filter_map(|one| one.try_into().ok());
        highest = highest.max(numbers.map(u32::from_ne_bytes).max());
    }
    Ok(highest != Some(0))
}

/// Has data come to the one that is looked at.
fn arrive(pair: &Pair) -> io::Result<()> {
    (&pair.far).write_all(DATA)?;
    ready(pair.near.as_fd(), PollFlags::POLLIN)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::apart;
    use super::*;
    use crate::sys::pelted::pelted;

    fn in_no_table() -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let way = Way::Send;
        Pair { way, near, far }
    }

    /// A signal has a read for more than there is come back with what there is: as the kernel itself does on a socket in a table.
    #[test]
    fn a_socket_that_is_in_no_table_waits_whatever_signals_come() {
        for trial in [half_close, wait_for_all, low_water] {
            let found = pelted(100, Duration::from_millis(5), |target| {
                apart(|| {
                    let _signals = target.here();
                    trial(&in_no_table()).unwrap()
                })
            });
            assert!(!found);
        }
    }
}
