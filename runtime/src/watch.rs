//! Waits until interfaces, names of network namespaces or ids of these come, go or change, or what is delivered here does, without
//! asking again and again.
//!
//! Takes the options of a caller, and the network namespaces of its blocks; tells that something happened, and not what: whoever
//! waits looks by itself, so that nothing is missed that happened between two looks. The kernel's own events are listened to:
//! those of interfaces in each namespace (RTNLGRP_LINK), those of ids of namespaces (RTNLGRP_NSID), those of routes of the table
//! `local`, and of table `main` inside what that delivers (RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE), those of rules of routing, the
//! first of which parts these two tables (RTNLGRP_IPV4_RULE), and changes of mounts, by which `ip netns` gives names. Not here: what
//! a policy is for, and what is done.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::error::{Error, at};
use crate::options::Options;
use crate::prefix::Prefix;
use crate::session;
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::local_table::{self, MAIN, TABLE};
use crate::sys::netns;
use crate::sys::retry::again;

/// What is being done when something cannot be listened to.
const LISTEN: &str = "listen to what the kernel tells of interfaces";

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something changed, or the time is over.
    Look,
    /// A signal that ends the command.
    End,
}

/// The events of some network namespaces.
#[derive(Debug)]
pub struct Events {
    epoll: Epoll,
    sockets: Vec<Ear>,
    _mounts: File,
}

const SIGNALS: u64 = 0;
const CHANGED: u64 = 1;

impl Events {
    /// Listens in the namespace of the options and in those of these names, which may be gone by now; `signals` ends it.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn listen(
        options: &Options,
        blocks: &[String],
        signals: BorrowedFd<'_>,
    ) -> Result<Self, Error> {
        let mut sockets = vec![socket(options)?];
        for block in blocks {
            match socket(&options.within(block)) {
                Err(error) if error.is_no_namespace() => {}
                there => sockets.push(there?),
            }
        }
        let mounts = File::open("/proc/self/mountinfo").map_err(at(LISTEN))?;
        let epoll = Epoll::new().map_err(at(LISTEN))?;
        let add = |fd: BorrowedFd<'_>, token, interest| epoll.add(fd, token, interest);
        add(signals, SIGNALS, Interest::Readable).map_err(at(LISTEN))?;
        add(mounts.as_fd(), CHANGED, Interest::Urgent).map_err(at(LISTEN))?;
        for socket in &sockets {
            add(socket.socket.as_fd(), CHANGED, Interest::Readable).map_err(at(LISTEN))?;
        }
        Ok(Self {
            epoll,
            sockets,
            _mounts: mounts,
        })
    }

    /// Waits until something happens, at most so long. Routes that say nothing of what is delivered here are nothing: a router
    /// learns and forgets many.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn wait(&self, at_most: Duration) -> Result<Woken, Error> {
        let end = Instant::now() + at_most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let events = self.epoll.wait(left).map_err(at(LISTEN))?;
            if events.iter().any(|event| event.token == SIGNALS) {
                return Ok(Woken::End);
            }
            let mut told = Told::default();
            for socket in &self.sockets {
                drain(socket, &mut told).map_err(at(LISTEN))?;
            }
            // Without a message it was the mounts.
            let only_routes = told.of_others && !told.to_look;
            if !only_routes || left.is_zero() {
                return Ok(Woken::Look);
            }
        }
    }
}

/// The interfaces in the namespace of the options and in those of these names, by number and name: what tells one from a later one
/// of its name.
///
/// # Errors
///
/// Any [`Error`].
pub fn present(options: &Options, blocks: &[String]) -> Result<Vec<(u32, String)>, Error> {
    let list = |options: &Options| {
        session::enter(options, |_| {
            netns::interfaces().map_err(at("list the interfaces"))
        })
    };
    let mut all = list(options)?;
    for block in blocks {
        match list(&options.within(block)) {
            Err(error) if error.is_no_namespace() => {}
            there => all.extend(there?),
        }
    }
    Ok(all)
}

/// A socket that hears of a namespace.
#[derive(Debug)]
struct Ear {
    socket: Socket,
    /// The prefixes for IPv4 that are delivered there: a route of table `main` inside one of these may take something away.
    delivered: Vec<Prefix>,
}

/// Who hears of interfaces, routes, and ids of namespaces, in the namespace of the options.
fn socket(options: &Options) -> Result<Ear, Error> {
    session::enter(options, |_| {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            for group in GROUPS {
                socket.add_membership(group)?;
            }
            socket.set_non_blocking(true)?;
            // After it listens: a prefix that comes later is told.
            let delivered = delivered_prefixes()?;
            Ok(Ear { socket, delivered })
        };
        open().map_err(at(LISTEN))
    })
}

/// The prefixes of table `local` for IPv4 that are more than one address.
fn delivered_prefixes() -> io::Result<Vec<Prefix>> {
    let entries = local_table::entries()?.into_iter();
    let entries = entries.filter(|entry| entry.is_local);
    let prefixes = entries.map(|entry| entry.prefix);
    let wide = prefixes.filter(|one| one.address().is_ipv4() && one.length() < 32);
    Ok(wide.collect())
}

/// What is listened to.
const GROUPS: [u32; 5] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NSID,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
];

/// What the messages were about that waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    /// Something that a policy may depend on.
    to_look: bool,
    /// Routes that say nothing of what is delivered here.
    of_others: bool,
}

/// Takes all that waits in a socket: whoever is told looks at everything. Where more came than there was room for, so it is as well.
fn drain(ear: &Ear, told: &mut Told) -> io::Result<()> {
    let mut room = Vec::with_capacity(1 << 16);
    loop {
        room.clear();
        match again(|| ear.socket.recv(&mut room, libc::MSG_DONTWAIT)) {
            Ok(_) if is_nothing(&room, &ear.delivered) => told.of_others = true,
            Ok(_) => told.to_look = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => told.to_look = true,
            Err(error) => return Err(error),
        }
    }
}

/// Whether a message tells of a route that says nothing of what is delivered here; the kernel sends each event as a message of
/// its own.
fn is_nothing(message: &[u8], delivered: &[Prefix]) -> bool {
    // The type stands after the length in `nlmsghdr`, the table fifth in `rtmsg`, which follows the 16 bytes of that.
    let kind = message.get(4..6).and_then(|kind| kind.try_into().ok());
    let is_route = kind
        .map(u16::from_ne_bytes)
        .is_some_and(|kind| [libc::RTM_NEWROUTE, libc::RTM_DELROUTE].contains(&kind));
    let table = message.get(20).filter(|_| is_route);
    match table {
        None | Some(&TABLE) => false,
        Some(&MAIN) => !is_inside(message, delivered),
        Some(_) => true,
    }
}

/// Whether a route of table `main` lies inside what is delivered here.
fn is_inside(message: &[u8], delivered: &[Prefix]) -> bool {
    let route = local_table::told_of_main(message);
    route.is_some_and(|route| delivered.iter().any(|outer| outer.covers(route.prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of a route for IPv4, with this prefix.
    fn message(kind: u16, table: u8, prefix: Prefix) -> Vec<u8> {
        let std::net::IpAddr::V4(address) = prefix.address() else {
            panic!("{prefix}");
        };
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(&36_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[16..18].copy_from_slice(&[libc::AF_INET as u8, prefix.length()]);
        bytes[20] = table;
        bytes[28..30].copy_from_slice(&8_u16.to_ne_bytes());
        bytes[30..32].copy_from_slice(&libc::RTA_DST.to_ne_bytes());
        bytes[32..].copy_from_slice(&address.octets());
        bytes
    }

    #[test]
    fn routes_that_say_nothing_of_what_is_delivered_are_nothing_to_look_for() {
        let prefix = |last: [u8; 4], length| Prefix::new(last.into(), length).unwrap();
        let (inside, outside) = (prefix([10, 1, 0, 0], 16), prefix([11, 0, 0, 0], 16));
        let delivered = [prefix([10, 0, 0, 0], 8)];
        for (message, is_none) in [
            (message(libc::RTM_NEWROUTE, MAIN, outside), true),
            (message(libc::RTM_NEWROUTE, MAIN, inside), false),
            (message(libc::RTM_DELROUTE, MAIN, inside), false),
            (message(libc::RTM_DELROUTE, 0, inside), true),
            (message(libc::RTM_NEWROUTE, TABLE, outside), false),
            (message(libc::RTM_DELROUTE, TABLE, outside), false),
            (message(libc::RTM_NEWLINK, MAIN, outside), false),
            (
                message(libc::RTM_NEWROUTE, MAIN, inside)[..20].to_vec(),
                false,
            ),
            (Vec::new(), false),
        ] {
            assert_eq!(is_nothing(&message, &delivered), is_none, "{message:?}");
        }
    }
}
