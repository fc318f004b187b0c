//! What an open socket is.

use std::fs::File;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

use nix::sys::socket::{
    MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, getpeername, getsockname, recv,
};

/// `IPPROTO_MPTCP`.
pub(crate) const MPTCP: i32 = 262;

/// Gives the network namespace of a socket (`linux/sockios.h`, since Linux 4.10).
const SIOCGSKNS: libc::c_ulong = 0x894c;

/// A socket of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// The IP protocol: 6, 17, or another one such as [`MPTCP`].
    pub(crate) protocol: i32,
    /// Where it is bound, not as a mapped address; port 0 if it is not.
    pub(crate) local: SocketAddr,
    /// Whether it is a listener of a protocol with connections.
    pub(crate) listens: bool,
    /// Its peer, not as a mapped address, if it has one.
    pub(crate) remote: Option<SocketAddr>,
    /// The inode of its network namespace.
    pub(crate) namespace: u64,
}

/// What a descriptor is; `None` if it is a socket of another family.
pub(crate) fn about(socket: BorrowedFd<'_>) -> io::Result<Option<About>> {
    let local: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let Some(local) = address(&local) else {
        return Ok(None);
    };
    Ok(Some(About {
        protocol: protocol(socket)?,
        local,
        listens: option(socket, libc::SO_ACCEPTCONN)? != 0,
        remote: getpeername(socket.as_raw_fd())
            .ok()
            .as_ref()
            .and_then(address),
        namespace: namespace(socket)?.metadata()?.ino(),
    }))
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().copied();
    let six = address.as_sockaddr_in6().copied();
    let four = four.map(|four: SockaddrIn| SocketAddr::new(four.ip().into(), four.port()));
    let six = six.map(|six: SockaddrIn6| SocketAddr::new(six.ip().to_canonical(), six.port()));
    four.or(six)
}

/// The kernel's cookie of a socket, never used twice.
pub(crate) fn cookie(socket: BorrowedFd<'_>) -> Option<u64> {
    option(socket, libc::SO_COOKIE).ok()
}

/// What went wrong with a socket since it was asked last; 0 for nothing.
pub(crate) fn error(socket: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(option(socket, libc::SO_ERROR)? as i32)
}

/// The protocol of a socket.
pub(crate) fn protocol(socket: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(option(socket, libc::SO_PROTOCOL)? as i32)
}

/// A socket option of the socket level that is a number of 32 or 64 bits.
pub(crate) fn option(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<u64> {
    number(socket, libc::SOL_SOCKET, option)
}

/// The same of any level.
fn number(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<u64> {
    let mut value = 0u64;
    let mut length = mem::size_of::<u64>() as libc::socklen_t;
    // SAFETY: the buffer has the length that is passed with it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether it answers in the name of any address. Both families have one word for it, and a socket may know it by the name that
/// either gives it.
pub(crate) fn is_transparent(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let six = number(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT);
    let value = six.or_else(|_| number(socket, libc::SOL_IP, libc::IP_TRANSPARENT))?;
    Ok(value != 0)
}

/// Whether it is a connection of which neither side has ended.
pub(crate) fn is_established(socket: BorrowedFd<'_>) -> bool {
    // `TCP_ESTABLISHED` of `include/net/tcp_states.h`, the first byte of `struct tcp_info`.
    const ESTABLISHED: u8 = 1;
    let (mut state, mut length) = (0u8, 1 as libc::socklen_t);
    // SAFETY: the kernel writes no more than the length that is passed with the buffer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    result == 0 && state == ESTABLISHED
}

/// Whether another protocol, as that of TLS, stands between the process and TCP.
pub(crate) fn is_layered(socket: BorrowedFd<'_>) -> bool {
    // `TCP_ULP_NAME_MAX` of `include/net/tcp.h`; one that has none gives a length of 0.
    let mut name = [0u8; 16];
    let mut length = name.len() as libc::socklen_t;
    // SAFETY: the buffer has the length that is passed with it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ULP,
            name.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    result == 0 && length > 0
}

/// The number of the interface that it is bound to; 0 if it is bound to none.
pub(crate) fn interface(socket: BorrowedFd<'_>) -> u32 {
    let index = option(socket, libc::SO_BINDTOIFINDEX);
    index.map_or(0, |index| index as u32)
}

/// What FIONREAD says; `None` if it says nothing.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> Option<i32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes an `int`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    (result == 0).then_some(bytes)
}

/// Whether a read would give data now.
pub(crate) fn has_data(socket: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket.as_raw_fd(), &mut [0], flags).is_ok_and(|bytes| bytes > 0)
}

/// The network namespace of a socket.
pub(crate) fn namespace(socket: BorrowedFd<'_>) -> io::Result<File> {
    // SAFETY: the request takes no argument and gives a new descriptor.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}
