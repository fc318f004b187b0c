//! UNIX sockets that keep messages apart (SOCK_SEQPACKET), and whether a socket of any kind is bound to a path.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt,
    listen as begin, socket, sockopt::PeerCredentials,
};
use nix::sys::stat::{Mode, fchmod, umask};

use super::tcp;

/// How many may wait until they are accepted.
const WAITING: i32 = 1024;

/// A socket that listens at a path, whose file has this mode from its first moment on.
pub(crate) fn listen(path: &Path, mode: u32, kind: SockType) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, kind, flags, None)?;
    bind_with(&fd, &UnixAddr::new(path)?, mode)?;
    begin(&fd, Backlog::new(WAITING)?)?;
    Ok(fd)
}

/// Binds a socket. The file gets the mode of the socket, less the mask of the thread that binds it (`unix_bind_bsd` in
/// net/unix/af_unix.c): so a thread of its own does, which has its own mask. A mode that was changed once the file is there would
/// be another one until then, and of another file by then.
fn bind_with(fd: &OwnedFd, address: &UnixAddr, mode: u32) -> io::Result<()> {
    let work = || {
        unshare(CloneFlags::CLONE_FS)?;
        umask(Mode::empty());
        fchmod(fd, Mode::from_bits_truncate(mode))?;
        Ok(bind(fd.as_raw_fd(), address)?)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        let done = thread.join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether somebody listens at a path.
pub(crate) fn answers(path: &Path) -> bool {
    let connected = open().and_then(|fd| {
        let address = UnixAddr::new(path)?;
        Ok(connect(fd.as_raw_fd(), &address)?)
    });
    !connected.is_err_and(|error| error.raw_os_error() == Some(libc::ECONNREFUSED))
}

/// Whether a socket is bound to the file at a path, of whatever kind and namespace. The kernel looks for it by the file's inode
/// (`unix_find_bsd` of net/unix/af_unix.c): one of another kind is EPROTOTYPE, none is ECONNREFUSED.
pub(crate) fn is_bound(path: &Path) -> io::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let connected = connect(fd.as_raw_fd(), &UnixAddr::new(path)?);
    Ok(!matches!(
        connected,
        Err(Errno::ECONNREFUSED | Errno::ENOENT)
    ))
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
