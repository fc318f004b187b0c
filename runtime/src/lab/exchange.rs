//! A write to a connected TCP socket, or a datagram, and what became of it.
//!
//! Both ends are in one namespace and joined by its `lo`, where no packet hook of a policy is. Both belong to the group; where
//! what arrives is in question, only the one that receives it. For the programs of a group to see them, they must be made after
//! those came into force.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockProtocol, SockType, SockaddrStorage,
    accept, bind, connect, listen, recv, send, sendto, setsockopt, shutdown, socket, sockopt,
};
use sockc_compiler::policy::Direction;
use sockc_compiler::protocol::IpProtocol;

use super::error::{Error, While};
use super::{Group, Netlink, Space, state};

/// How long anything may take to arrive, in milliseconds.
const PATIENCE: u16 = 5_000;
/// What is written.
const WORDS: &[u8] = b"sockc";

/// What became of what a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// It went on: the other end read what was written.
    Done,
    /// It failed with the error of a refusal.
    Denied,
    /// It succeeded, and what was written came out at this one of the other places that were watched.
    Elsewhere(usize),
    /// It succeeded, and nothing arrived.
    Lost,
}

/// Does what a direction is about in a group, by a protocol, from one address to another, and says what became of it. What is
/// written may come out at one of the `watched` descriptors.
pub fn play(
    space: &Space,
    direction: Direction,
    group: &Group,
    (protocol, from, to): (IpProtocol, SocketAddr, SocketAddr),
    watched: &[BorrowedFd<'_>],
) -> Result<Played, Error> {
    match direction {
        Direction::Send => exchange(space, group, (from, to), watched),
        Direction::Receive if protocol == IpProtocol::UDP => {
            joined(space, [from, to], || datagram(group, from, to))
        }
        Direction::Receive => joined(space, [from, to], || arrival(group, from, to, watched)),
        Direction::Connect => Ok(match call(space, group, protocol, to)? {
            Err(Errno::EPERM) => Played::Denied,
            Ok(()) | Err(_) => Played::Done,
        }),
        Direction::In | Direction::Out | Direction::Forward => Err(Error::new(
            format!("making a packet of {protocol}"),
            io::Error::from(io::ErrorKind::Unsupported),
        )),
    }
}

/// Connects a socket of the group on `from` to one on `to`, writes, and reads at the other end. Both addresses are the
/// space's own meanwhile.
pub fn exchange(
    space: &Space,
    group: &Group,
    (from, to): (SocketAddr, SocketAddr),
    watched: &[BorrowedFd<'_>],
) -> Result<Played, Error> {
    joined(space, [from, to], || between(group, from, to, watched))
}

/// Does something while both addresses are the space's own.
fn joined(
    space: &Space,
    [from, to]: [SocketAddr; 2],
    done: impl FnOnce() -> Result<Played, Error> + Send,
) -> Result<Played, Error> {
    space.run(|| {
        let length = if from.is_ipv4() { 32 } else { 128 };
        let mut netlink = Netlink::open()?;
        netlink.local(from.ip(), length)?;
        netlink.local(to.ip(), length)?;
        let written = done();
        netlink.remove_local(from.ip(), length)?;
        if from.ip() != to.ip() {
            netlink.remove_local(to.ip(), length)?;
        }
        written
    })?
}

/// A call of a process of the group for `to`: connect(2) for TCP, a datagram from an unconnected socket for UDP. What becomes
/// of it after that is nobody's concern here.
fn call(
    space: &Space,
    group: &Group,
    protocol: IpProtocol,
    to: SocketAddr,
) -> Result<nix::Result<()>, Error> {
    space.run(|| {
        let receiver = SockaddrStorage::from(to);
        let is_udp = protocol == IpProtocol::UDP;
        let socket = match is_udp {
            true => group.udp_socket(to)?,
            false => group.tcp_socket(to)?,
        };
        let prepared = for_both(&socket, to)
            .and_then(|()| fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop));
        prepared.doing(|| format!("preparing a socket that calls {to}"))?;
        Ok(match is_udp {
            true => sendto(socket.as_raw_fd(), WORDS, &receiver, MsgFlags::empty()).map(drop),
            false => connect(socket.as_raw_fd(), &receiver),
        })
    })?
}

/// An IPv6 socket may call for IPv4 addresses too.
fn for_both(socket: &OwnedFd, to: SocketAddr) -> nix::Result<()> {
    match to {
        SocketAddr::V4(_) => Ok(()),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6V6Only, &false),
    }
}

fn between(
    group: &Group,
    from: SocketAddr,
    to: SocketAddr,
    watched: &[BorrowedFd<'_>],
) -> Result<Played, Error> {
    let (server, client) = (group.tcp_socket(to)?, group.tcp_socket(from)?);
    let accepted =
        join(&server, to, &client, from).doing(|| format!("connecting {from} to {to}"))?;
    write(&client, &accepted, watched).doing(|| format!("writing from {from} to {to}"))
}

/// A socket outside of the group writes to one of the group, and writes no more: what arrives is that, or its end alone.
/// What is put elsewhere arrives there in its own time, so after the end it is waited for.
fn arrival(
    group: &Group,
    from: SocketAddr,
    to: SocketAddr,
    watched: &[BorrowedFd<'_>],
) -> Result<Played, Error> {
    let server = group.tcp_socket(to)?;
    let client = outside(from).doing(|| format!("making a socket at {from}"))?;
    let accepted =
        join(&server, to, &client, from).doing(|| format!("connecting {from} to {to}"))?;
    let received = || {
        send(client.as_raw_fd(), WORDS, MsgFlags::MSG_NOSIGNAL)?;
        shutdown(client.as_raw_fd(), Shutdown::Write)?;
        match arrived(&accepted, &[])? {
            Played::Lost if !watched.is_empty() => came_out(watched),
            seen => Ok(seen),
        }
    };
    received().doing(|| format!("receiving from {from} at {to}"))
}

/// A socket outside of the group sends a datagram to one of the group. That one is connected, so that no lookup program gives
/// the datagram to another.
fn datagram(group: &Group, from: SocketAddr, to: SocketAddr) -> Result<Played, Error> {
    let receiver = group.udp_socket(to)?;
    let sent = || {
        let sender = made(from, SockType::Datagram, SockProtocol::Udp)?;
        for (socket, own, other) in [(&receiver, to, from), (&sender, from, to)] {
            bind(socket.as_raw_fd(), &SockaddrStorage::from(own))?;
            connect(socket.as_raw_fd(), &SockaddrStorage::from(other))?;
        }
        send(sender.as_raw_fd(), WORDS, MsgFlags::empty())?;
        came_or_dropped(&receiver)
    };
    sent().doing(|| format!("sending a datagram from {from} to {to}"))
}

/// What became of the one datagram that is on its way to a socket.
fn came_or_dropped(receiver: &OwnedFd) -> io::Result<Played> {
    let end = Instant::now() + Duration::from_millis(PATIENCE.into());
    while Instant::now() < end {
        let mut ready = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
        if waits(&mut ready, PollTimeout::from(1u8))? > 0 {
            return Ok(arrived(receiver, &[])?);
        }
        if drops(receiver.as_fd())? > 0 {
            return Ok(Played::Lost);
        }
    }
    Err(Errno::ETIMEDOUT.into())
}

/// How many packets a socket had no use for (`SK_MEMINFO_DROPS` of SO_MEMINFO).
pub fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    const DROPS: usize = 8;
    let mut numbers = [0u32; DROPS + 1];
    let mut size = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or(0);
    // SAFETY: the kernel writes at most `size` bytes, and as many are there.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    Errno::result(status)?;
    Ok(numbers[DROPS])
}

fn outside(like: SocketAddr) -> io::Result<OwnedFd> {
    made(like, SockType::Stream, SockProtocol::Tcp)
}

fn made(like: SocketAddr, kind: SockType, protocol: SockProtocol) -> io::Result<OwnedFd> {
    let family = match like {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let made = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    state::prepare(&made, like)?;
    Ok(made)
}

/// Connects the two; gives the accepted socket.
fn join(
    server: &OwnedFd,
    to: SocketAddr,
    client: &OwnedFd,
    from: SocketAddr,
) -> nix::Result<OwnedFd> {
    bind(server.as_raw_fd(), &SockaddrStorage::from(to))?;
    listen(server, Backlog::MAXCONN)?;
    bind(client.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(client.as_raw_fd(), &SockaddrStorage::from(to))?;
    if !readable(server)? {
        // Connected, but not to us: a lookup program gave the connection to another listener.
        return Err(Errno::ETIMEDOUT);
    }
    let accepted = accept(server.as_raw_fd())?;
    // SAFETY: `accept` has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

fn write(client: &OwnedFd, accepted: &OwnedFd, watched: &[BorrowedFd<'_>]) -> nix::Result<Played> {
    match send(client.as_raw_fd(), WORDS, MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EACCES) => return Ok(Played::Denied),
        other => other?,
    };
    arrived(accepted, watched)
}

/// Where what was written comes out: at the reader, or at one of the watched.
fn arrived(reader: &OwnedFd, watched: &[BorrowedFd<'_>]) -> nix::Result<Played> {
    let places: Vec<BorrowedFd<'_>> = std::iter::once(reader.as_fd())
        .chain(watched.iter().copied())
        .collect();
    let Some(place) = first_readable(&places)? else {
        return Ok(Played::Lost);
    };
    Ok(match (gives_words(places[place])?, place) {
        (false, _) => Played::Lost,
        (true, 0) => Played::Done,
        (true, place) => Played::Elsewhere(place - 1),
    })
}

/// At which of several what was written comes out.
fn came_out(watched: &[BorrowedFd<'_>]) -> nix::Result<Played> {
    let Some(place) = first_readable(watched)? else {
        return Ok(Played::Lost);
    };
    Ok(match gives_words(watched[place])? {
        true => Played::Elsewhere(place),
        false => Played::Lost,
    })
}

fn gives_words(place: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut buffer = [0; 16];
    let length = recv(place.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
    Ok(buffer.get(..length) == Some(WORDS))
}

/// The first of several that something is to be read from.
fn first_readable(places: &[BorrowedFd<'_>]) -> nix::Result<Option<usize>> {
    let asked = places.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let mut asked: Vec<PollFd<'_>> = asked.collect();
    waits(&mut asked, PollTimeout::from(PATIENCE))?;
    Ok(asked.iter().position(|one| one.any().unwrap_or(false)))
}

fn readable(fd: &OwnedFd) -> nix::Result<bool> {
    let mut ready = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    waits(&mut ready, PollTimeout::from(PATIENCE)).map(|count| count > 0)
}

/// poll(2), again where a signal ends it: that is no answer.
fn waits(asked: &mut [PollFd<'_>], at_most: PollTimeout) -> nix::Result<libc::c_int> {
    loop {
        match poll(asked, at_most) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}
