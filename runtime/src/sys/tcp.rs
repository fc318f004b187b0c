//! What TCP says of a connection, and what is done with one whose data the kernel moves.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `TCP_ESTABLISHED` of `net/tcp_states.h`.
const ESTABLISHED: u8 = 1;
/// `TCP_CLOSE`
const CLOSE: u8 = 7;
/// Where `struct tcp_info` of `linux/tcp.h` has the state, and the bytes that were acknowledged and received.
const STATE: usize = 0;
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;
/// So much of it Linux has had since 4.2.
const INFO: usize = 136;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether both sides may send.
    pub(crate) established: bool,
    /// Bytes that came, in order; the end of the other side is one of them.
    pub(crate) received: u64,
    /// Bytes that the other side has confirmed.
    pub(crate) acked: u64,
    /// Whether it is over.
    pub(crate) closed: bool,
}

/// Where a connection stands. The kernel finishes what it does with arriving data first (`lock_sock_fast` in `tcp_get_info`).
pub(crate) fn standing(socket: BorrowedFd<'_>) -> io::Result<Standing> {
    let mut info = [0u8; INFO];
    let mut length = INFO as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which are there.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    checked(done)?;
    if (length as usize) < INFO {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&info[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    Ok(Standing {
        established: info[STATE] == ESTABLISHED,
        received: number(BYTES_RECEIVED),
        acked: number(BYTES_ACKED),
        closed: info[STATE] == CLOSE,
    })
}

/// Bytes that were written so far, from a beginning that never changes. What is confirmed between the two questions is
/// missing once, so it is never too much.
pub(crate) fn written(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let acked = standing(socket)?.acked;
    Ok(acked + u64::from(unconfirmed(socket)?))
}

/// The same, exactly: of a connection that nobody writes to meanwhile, and that has little to send.
pub(crate) fn all_written(socket: BorrowedFd<'_>) -> io::Result<u64> {
    loop {
        let before = standing(socket)?.acked;
        let rest = unconfirmed(socket)?;
        if standing(socket)?.acked == before {
            return Ok(before + u64::from(rest));
        }
    }
}

/// Bytes that were written and that the other side has not confirmed.
pub(crate) fn unconfirmed(socket: BorrowedFd<'_>) -> io::Result<u32> {
    asked(socket, libc::TIOCOUTQ)
}

/// Bytes that came and that nobody has read.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> io::Result<u32> {
    asked(socket, libc::FIONREAD)
}

fn asked(socket: BorrowedFd<'_>, what: libc::Ioctl) -> io::Result<u32> {
    let mut count: libc::c_int = 0;
    // SAFETY: both questions are answered by one `int`.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut count) })?;
    Ok(count.unsigned_abs())
}

/// Has the kernel look at what waits to be read, as it does when data comes: `tcp_set_rcvlowat` calls `tcp_data_ready`.
pub(crate) fn look_again(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_RCVLOWAT, &1i32)
}

/// Makes room for so many bytes that are to be sent, and for as much again that the kernel needs for itself; more than this
/// process may have otherwise (`sock_setsockopt` doubles it).
pub(crate) fn make_room(socket: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    set(socket, libc::SO_SNDBUFFORCE, &bytes)
}

/// Says whether closing the socket resets the connection, whoever closes it last, or ends it after what is still to be sent.
pub(crate) fn close_resets(socket: BorrowedFd<'_>, resets: bool) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: resets.into(),
        l_linger: 0,
    };
    set(socket, libc::SO_LINGER, &linger)
}

fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    set_at(socket, libc::SOL_SOCKET, option, value)
}

fn set_at<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads the value, which has the size that is said.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(done)
}

/// Says the other side that nothing more comes, after what is still to be sent.
pub(crate) fn end(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: shutdown(2) takes a descriptor, which lives through the call, and a number.
    checked(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) })
}

/// Writes what there is room for; `None` if there is none.
pub(crate) fn write(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the bytes, which live through the call.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    };
    moved(sent)
}

/// Reads what there is, 0 at the end; `None` if nothing has come.
pub(crate) fn read(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: the kernel writes at most as many bytes as there are.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
        )
    };
    moved(got)
}

/// What a call moved; `None` if it would have waited.
pub(super) fn moved(count: isize) -> io::Result<Option<usize>> {
    if let Ok(count) = usize::try_from(count) {
        return Ok(Some(count));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}

fn checked(done: libc::c_int) -> io::Result<()> {
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
