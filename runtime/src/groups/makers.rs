//! In which control group a socket was made: that says whose it is, and not who holds it now.
//!
//! The kernel's hooks go by that (`sk_cgrp_data` of `struct sock`; what `accept` gives has its listener's), and `sock_diag(7)`
//! tells it from Linux 5.8 on, in the network namespace of the socket. Takes connections; gives ids of control groups, and
//! which of them are a group's. Where nobody tells, it gives none.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::connections::Connection;
use crate::sys::diag::{Asked, Teller};
use crate::sys::{cgroup, netns, socket};

/// Who tells where sockets were made.
#[derive(Default)]
pub(super) struct Makers {
    /// That of the namespace of the last socket: those of a process are mostly in the same one.
    teller: Option<(u64, Teller)>,
    /// All control groups that there are, once somebody has asked.
    there: Option<Members>,
}

impl Makers {
    /// The control group that the socket of a connection was made in.
    pub(super) fn of(&mut self, connection: &Connection) -> Option<u64> {
        if connection.is_mptcp {
            return None;
        }
        let socket = connection.socket.as_fd();
        let asked = Asked {
            local: connection.local,
            remote: connection.remote,
            interface: socket::interface(socket),
            cookie: socket::cookie(socket)?,
        };
        let space = socket::namespace(socket).ok()?;
        let inode = space.metadata().ok()?.ino();
        // Who tells of a namespace holds it, so that its number is that of no other one.
        if self.teller.as_ref().is_none_or(|(of, _)| *of != inode) {
            let teller = netns::within(Some(&space), Teller::here).ok()?.ok()?;
            self.teller = Some((inode, teller));
        }
        let (_, teller) = self.teller.as_ref()?;
        teller.control_group(&asked).ok()?
    }

    /// Whether there is a control group of this id, wherever. Programs that follow a path count sockets of those that are gone by
    /// the path that these had, which nobody can be asked for any more.
    pub(super) fn is_there(&mut self, id: u64) -> bool {
        let look = || {
            let root = cgroup::root().ok().flatten();
            root.and_then(|root| Members::of(&root).ok())
                .unwrap_or_default()
        };
        self.there.get_or_insert_with(look).have(id)
    }
}

/// The control groups of a group: its own, and those below.
#[derive(Default)]
pub(super) struct Members(BTreeSet<u64>);

impl Members {
    /// Those of the group in this folder; none if it is gone.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut ids = BTreeSet::new();
        for folder in cgroup::all_below(path)?
            .iter()
            .map(AsRef::as_ref)
            .chain([path])
        {
            let about = cgroup::unless_gone(fs::metadata(folder))?;
            ids.extend(about.map(|about| about.ino()));
        }
        Ok(Self(ids))
    }

    /// Whether one of them has this id.
    pub(super) fn have(&self, id: u64) -> bool {
        self.0.contains(&id)
    }
}
