//! Sockets that are made and bound here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen,
    setsockopt, socket, sockopt,
};
use sockc_compiler::protocol::IpProtocol;

/// As many connections may wait as the machine lets (`net.core.somaxconn`).
const WAITING: i32 = 4096;

/// A TCP socket that listens at an address, or a UDP socket that is bound to it. One of IPv6 is of IPv6 alone. It blocks, as those do
/// that systemd hands over.
pub(crate) fn bound(protocol: IpProtocol, address: SocketAddr) -> io::Result<OwnedFd> {
    let is_tcp = protocol == IpProtocol::TCP;
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let (kind, number) = match is_tcp {
        true => (SockType::Stream, SockProtocol::Tcp),
        false => (SockType::Datagram, SockProtocol::Udp),
    };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, number)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    if is_tcp {
        // Connections of the one before may still be closing.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    if is_tcp {
        listen(&fd, Backlog::new(WAITING)?)?;
    }
    Ok(fd)
}
