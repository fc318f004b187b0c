//! UNIX sockets that keep messages apart (SOCK_SEQPACKET).

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt,
    listen as begin, socket, sockopt::PeerCredentials,
};

use super::tcp;

/// How many may wait until they are accepted.
const WAITING: i32 = 1024;

/// A socket that listens at a path.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let fd = open()?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    begin(&fd, Backlog::new(WAITING)?)?;
    Ok(fd)
}

/// Whether somebody listens at a path.
pub(crate) fn answers(path: &Path) -> bool {
    let connected = open().and_then(|fd| {
        let address = UnixAddr::new(path)?;
        Ok(connect(fd.as_raw_fd(), &address)?)
    });
    !connected.is_err_and(|error| error.raw_os_error() == Some(libc::ECONNREFUSED))
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        flags,
        None,
    )?)
}

/// One that has connected.
#[derive(Debug)]
pub(crate) struct Connection(OwnedFd);

impl Connection {
    /// Its descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Connection {
    /// The process that has connected, as it is numbered here (0: in no way), and its user.
    pub(crate) fn peer(&self) -> io::Result<(i32, u32)> {
        let peer = getsockopt(&self.0, PeerCredentials)?;
        Ok((peer.pid(), peer.uid()))
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tcp::write(self.fd(), bytes)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next that has connected; `None` if there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<Connection>> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes a descriptor, which lives through it, and no address.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        )
    };
    if fd < 0 {
        return match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        };
    }
    // SAFETY: the kernel has just made it for us.
    Ok(Some(Connection(unsafe { OwnedFd::from_raw_fd(fd) })))
}
