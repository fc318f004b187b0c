//! Waits until interfaces, names of network namespaces or ids of these come, go or change, without asking again and again.
//!
//! Takes the options of a caller, and the network namespaces of its blocks; tells that something happened, and not what: whoever
//! waits looks by itself, so that nothing is missed that happened between two looks. The kernel's own events are listened to:
//! those of interfaces in each namespace (RTNLGRP_LINK), those of ids of namespaces (RTNLGRP_NSID), and changes of mounts, by
//! which `ip netns` gives names. Not here: what a policy is for, and what is done.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
use crate::sys::epoll::{Epoll, Interest};
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
    sockets: Vec<Socket>,
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
            add(socket.as_fd(), CHANGED, Interest::Readable).map_err(at(LISTEN))?;
        }
        Ok(Self {
            epoll,
            sockets,
            _mounts: mounts,
        })
    }

    /// Waits until something happens, at most so long.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn wait(&self, at_most: Duration) -> Result<Woken, Error> {
        let events = self.epoll.wait(at_most).map_err(at(LISTEN))?;
        if events.iter().any(|event| event.token == SIGNALS) {
            return Ok(Woken::End);
        }
        for socket in &self.sockets {
            drain(socket).map_err(at(LISTEN))?;
        }
        Ok(Woken::Look)
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

/// A socket that hears of interfaces, and of ids of namespaces, in the namespace of the options.
fn socket(options: &Options) -> Result<Socket, Error> {
    session::enter(options, |_| {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            for group in [libc::RTNLGRP_LINK, libc::RTNLGRP_NSID] {
                socket.add_membership(group)?;
            }
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        open().map_err(at(LISTEN))
    })
}

/// Takes all that waits in a socket: whoever is told looks at everything. Where more came than there was room for, so it is as well.
fn drain(socket: &Socket) -> io::Result<()> {
    let mut room = Vec::with_capacity(1 << 16);
    loop {
        room.clear();
        match again(|| socket.recv(&mut room, libc::MSG_DONTWAIT)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
}
