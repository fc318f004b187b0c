//! Sockets in the states that `if socket …` asks about, made without a packet.
//!
//! A policy that is in force may forbid the very handshake a test needs. A TCP socket under repair goes straight to
//! ESTABLISHED, and a connected UDP socket never says so to its peer, so no rule is in the way.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    listen, setsockopt, socket, sockopt,
};

use super::error::{Error, While};
use sockc_compiler::protocol::IpProtocol;

/// A state of a socket condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A TCP listener, or an unconnected UDP socket.
    Listening,
    /// A connected socket.
    Established,
}

/// A socket that stays in its state until it is dropped.
#[derive(Debug)]
pub struct Held {
    _fd: OwnedFd,
}

/// Makes a socket with these ends in the calling thread's namespace; `protocol` is TCP or UDP. For
/// [`State::Established`], `local` must be the namespace's own and `remote` have a route.
pub fn hold(
    protocol: IpProtocol,
    local: SocketAddr,
    remote: SocketAddr,
    state: State,
) -> Result<Held, Error> {
    make(protocol, local, remote, state)
        .map(|fd| Held { _fd: fd })
        .doing(|| format!("making a socket on {local} (peer {remote}, {state:?})"))
}

fn make(
    protocol: IpProtocol,
    local: SocketAddr,
    remote: SocketAddr,
    state: State,
) -> nix::Result<OwnedFd> {
    if local.port() == 0 {
        // The kernel would choose another one.
        return Err(nix::Error::EADDRNOTAVAIL);
    }
    let fd = open(protocol, local)?;
    let repaired = protocol == IpProtocol::TCP && state == State::Established;
    if repaired {
        setsockopt(&fd, sockopt::TcpRepair, &1)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(local))?;
    match (state, protocol) {
        (State::Established, _) => connect(fd.as_raw_fd(), &SockaddrStorage::from(remote))?,
        (State::Listening, IpProtocol::TCP) => listen(&fd, Backlog::MAXCONN)?,
        (State::Listening, _) => {}
    }
    Ok(fd)
}

/// A socket that may take any address, for IPv6 no IPv4 ones.
pub(super) fn open(protocol: IpProtocol, local: SocketAddr) -> nix::Result<OwnedFd> {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let (kind, protocol) = match protocol {
        IpProtocol::TCP => (SockType::Stream, SockProtocol::Tcp),
        _ => (SockType::Datagram, SockProtocol::Udp),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, kind, flags, protocol)?;
    prepare(&fd, local)?;
    Ok(fd)
}

/// The options of every lab socket: any address, a port that was in use a moment ago, IPv6 for itself.
pub(super) fn prepare(fd: &OwnedFd, local: SocketAddr) -> nix::Result<()> {
    setsockopt(fd, sockopt::ReuseAddr, &true)?;
    setsockopt(fd, sockopt::IpFreebind, &true)?;
    if local.is_ipv6() {
        setsockopt(fd, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(())
}
