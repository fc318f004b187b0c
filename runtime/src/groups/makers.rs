//! In which control group a socket was made: that says whose it is, and not who holds it now.
//!
//! The kernel's hooks go by that (`sk_cgrp_data` of `struct sock`; what `accept` gives has its listener's), and `sock_diag(7)`
//! tells it from Linux 5.8 on, in the network namespace of the socket. Takes connections; gives ids of control groups, and
//! which of them are a group's. Where nobody tells, it gives none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::connections::Held;
use crate::sys::diag::{self, Teller};
use crate::sys::{cgroup, netns, socket};

/// After so many questions about one network namespace the kernel is asked about all sockets in it at once.
const MANY: usize = 256;

/// Who tells where sockets were made.
#[derive(Default)]
pub(super) struct Makers {
    /// That of the namespace of the last socket: those of a process are mostly in the same one.
    teller: Option<Asked>,
    /// What is known by now, by the cookies of the sockets, which no other socket ever has.
    told: BTreeMap<u64, u64>,
    /// All control groups that there are, once somebody has asked.
    there: Option<Members>,
}

/// Who tells of a namespace.
struct Asked {
    /// The namespace's number. Who tells of it holds it, so that it is that of no other one.
    space: u64,
    teller: Teller,
    questions: usize,
}

impl Makers {
    /// The control group that a socket was made in, if it is that of a TCP connection.
    pub(super) fn of(&mut self, held: &Held) -> Option<u64> {
        let socket = held.socket.as_fd();
        let cookie = socket::cookie(socket)?;
        if let Some(maker) = self.told.get(&cookie) {
            return Some(*maker);
        }
        let connection = held.connection().filter(|one| !one.is_mptcp)?;
        let space = socket::namespace(socket).ok()?;
        let number = space.metadata().ok()?.ino();
        if self.teller.as_ref().is_none_or(|one| one.space != number) {
            let teller = netns::within(Some(&space), Teller::here).ok()?.ok()?;
            self.teller = Some(Asked {
                space: number,
                teller,
                questions: 0,
            });
        }
        let asked = self.teller.as_mut()?;
        asked.questions += 1;
        if asked.questions == MANY {
            // What it does not tell now is asked for one by one.
            let told = &mut self.told;
            let _ = asked.teller.all(|cookie, maker| {
                told.insert(cookie, maker);
            });
        }
        asked
            .teller
            .control_group(&diag::Asked {
                local: connection.local,
                remote: connection.remote,
                interface: socket::interface(socket),
                cookie,
            })
            .ok()?
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
