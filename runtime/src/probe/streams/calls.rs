//! The calls that trials make on sockets, with flags and options that the library has no words for. What a signal interrupts is
//! made again: of a call that has a time limit the kernel leaves that to us, and an interrupted one says nothing of the kernel.
//!
//! Not here: what their answers mean.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::retry::again;

/// `SIOCOUTQ` of `linux/sockios.h`.
const SIOCOUTQ: libc::c_ulong = 0x5411;
/// Where `tcpi_bytes_received` stands in `struct tcp_info`.
const BYTES_RECEIVED: std::ops::Range<usize> = 128..136;
/// Room for what is told beside a read, in words of 64 bits.
const TOLD: usize = 32;

/// Waits until something is so of a socket.
pub(super) fn ready(socket: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    let mut asked = [PollFd::new(socket, what)];
    match again(|| Ok(poll(&mut asked, PollTimeout::from(1_000u16))?))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// recv(2).
pub(super) fn read(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let (to, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    again(|| {
        // SAFETY: the kernel writes no more than the length that is passed with the buffer.
        let read = unsafe { libc::recv(socket.as_raw_fd(), to, length, flags) };
        usize::try_from(read).map_err(|_| io::Error::last_os_error())
    })
}

/// send(2), without a signal.
pub(super) fn write(socket: BorrowedFd<'_>, data: &[u8], flags: i32) -> io::Result<usize> {
    let (from, length) = (data.as_ptr().cast(), data.len());
    let flags = flags | libc::MSG_NOSIGNAL;
    again(|| {
        // SAFETY: the kernel reads no more than the length that is passed with the data.
        let written = unsafe { libc::send(socket.as_raw_fd(), from, length, flags) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    })
}

/// What is told beside the data of a read that does not wait; nothing where nothing is told, or there is no data.
pub(super) fn beside(socket: BorrowedFd<'_>, flags: i32) -> io::Result<Option<Vec<u8>>> {
    let (mut data, mut told) = ([0u8; 8], [0u64; TOLD]);
    let mut part = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: the structure is numbers and pointers, for which all zeros is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = told.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&told) as _;
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: all that the message points to lives until the call returns.
    if unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) } < 0 {
        let error = io::Error::last_os_error();
        let none = error.kind() == io::ErrorKind::WouldBlock;
        return if none { Ok(None) } else { Err(error) };
    }
    let bytes: Vec<u8> = told.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (head, end) = (
        mem::size_of::<libc::cmsghdr>(),
        message.msg_controllen as usize,
    );
    Ok(bytes.get(head..end).map(<[u8]>::to_vec))
}

/// Bytes that a socket has yet to get acknowledged.
pub(super) fn unsent(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes an `int`.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQ as _, &raw mut bytes) };
    done(asked).map(|()| bytes)
}

/// Bytes that have come to a socket, as TCP_INFO counts them.
pub(super) fn received(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut told = [0u8; BYTES_RECEIVED.end];
    let mut length = told.len() as libc::socklen_t;
    // SAFETY: the kernel writes no more than the length that is passed with the buffer.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            told.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    done(asked).map(|()| told[BYTES_RECEIVED].to_vec())
}

/// Ends a connection with a reset, and leaves the socket: what a close does that does not wait.
pub(super) fn no_peer(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let length = mem::size_of_val(&nobody) as libc::socklen_t;
    // SAFETY: the address has the length that is passed with it.
    done(unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) })
}

/// setsockopt(2) with a number.
pub(super) fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: the value has the length that is passed with it.
    done(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) })
}

/// What a call that gives 0 has done.
pub(super) fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::sys::pelted::pelted;

    /// The kernel makes a read that has a time limit not again by itself.
    #[test]
    fn a_read_that_a_signal_interrupts_ends_with_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_read_timeout(Some(Duration::from_millis(400)))
            .unwrap();
        let ended = pelted(5, Duration::from_millis(20), |target| {
            let _signals = target.here();
            read(near.as_fd(), &mut [0], 0).map_err(|error| error.kind())
        });
        assert_eq!(ended, Err(io::ErrorKind::WouldBlock));
    }
}
