//! The sockets that are bound in a namespace, which processes have them, and whose they are.
//!
//! Takes what the kernel tells of the calling thread's namespace, and `/proc`. Of slots it knows nothing but the address.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;

use sockc_compiler::artifact::Slot;

use super::lookup::Who;
use crate::code::owner::Belongs;
use crate::sys::diag::{self, Open};
use crate::sys::{cgroup, netns, process};

/// What is done where the kernel does not tell of the sockets. Whose they are is not guessed.
pub(crate) const WHOSE: &str = "look at whose the sockets are";

/// The open sockets of a namespace.
#[derive(Debug)]
pub(crate) struct Machine {
    open: Vec<Open>,
    /// For each inode a process and its descriptor.
    holders: BTreeMap<u64, (u32, i32)>,
}

impl Machine {
    /// Looks; processes are looked for only for sockets of these protocols and ports, and of these cookies.
    pub(crate) fn look(wanted: impl Fn(&Open) -> bool) -> io::Result<Self> {
        let open = diag::open_sockets()?;
        let inodes = open.iter().filter(|one| wanted(one)).map(|one| one.inode);
        let inodes: BTreeSet<u64> = inodes.filter(|inode| *inode != 0).collect();
        let holders = process::holders(&inodes);
        Ok(Self { open, holders })
    }

    /// The sockets that are bound at exactly the address of a slot.
    pub(crate) fn at(&self, slot: &Slot) -> impl Iterator<Item = &Open> {
        let address = SocketAddr::new(slot.address, slot.port);
        let protocol = slot.protocol;
        let open = self.open.iter();
        open.filter(move |one| one.protocol == protocol && one.local == address)
    }

    /// The socket with this cookie.
    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<&Open> {
        self.open.iter().find(|one| one.cookie == cookie)
    }

    /// Whether the socket with this cookie belongs to an owner. One of which the kernel tells nothing does not.
    pub(crate) fn is_of(&self, cookie: Option<u64>, owner: &Belongs) -> io::Result<bool> {
        let open = cookie.and_then(|cookie| self.by_cookie(cookie));
        open.map_or(Ok(false), |open| belongs(open, owner))
    }

    /// The process that has a socket, and its descriptor.
    pub(crate) fn holder(&self, open: &Open) -> Option<(u32, i32)> {
        self.holders.get(&open.inode).copied()
    }

    /// The same, as it is told.
    pub(crate) fn who(&self, open: &Open) -> Who {
        let process = self.holder(open).map(|(pid, _)| (pid, name_of(pid)));
        Who {
            process,
            local: open.local,
            uid: open.uid,
            inode: open.inode,
            cookie: open.cookie,
            transparent: open.transparent,
            interface: (open.interface != 0).then(|| interface(open.interface)),
        }
    }

    /// Whether a socket for every address would take what comes for the slot.
    pub(crate) fn has_wildcard(&self, slot: &Slot) -> bool {
        self.open.iter().any(|one| {
            let covers = one.local.is_ipv6() || slot.address.is_ipv4();
            let same = one.protocol == slot.protocol && one.local.port() == slot.port;
            same && one.local.ip().is_unspecified() && covers
        })
    }
}

/// Whether a socket belongs to an owner.
pub(crate) fn belongs(open: &Open, owner: &Belongs) -> io::Result<bool> {
    let names = match owner {
        Belongs::User(uid) => return Ok(open.uid == *uid),
        Belongs::Cgroup(names) => names,
    };
    let (Some(root), Some(id)) = (cgroup::root()?, open.cgroup) else {
        return Ok(false);
    };
    let path = names.iter().fold(root, |path, name| path.join(name));
    cgroup::holds(&path, id)
}

/// The name of an interface of the calling thread's namespace; its number, if it is gone.
fn interface(number: u32) -> String {
    let there = netns::interfaces().unwrap_or_default();
    let named = there.into_iter().find(|(index, _)| *index == number);
    named.map_or_else(|| format!("number {number}"), |(_, name)| name)
}

fn name_of(process: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sockc_compiler::protocol::IpProtocol;

    use super::*;

    #[test]
    fn whose_a_socket_is_is_not_guessed_where_the_groups_cannot_be_read() {
        let open = Open {
            protocol: IpProtocol::TCP,
            local: (Ipv4Addr::LOCALHOST, 80).into(),
            uid: 0,
            inode: 0,
            cookie: 1,
            interface: 0,
            cgroup: Some(1),
            mptcp: false,
            transparent: None,
        };
        let of = |name: &str| belongs(&open, &Belongs::cgroup(name));
        assert!(!of("/there-is-none").unwrap());
        // No path has a zero byte, so this one cannot be asked for.
        of("/un\0readable").unwrap_err();
        // Every group lies in the root, but not that of a socket of which the kernel tells none.
        let untold = Open {
            cgroup: None,
            ..open
        };
        assert!(!belongs(&untold, &Belongs::cgroup("/")).unwrap());
        // One that is not listed, and none.
        let machine = Machine {
            open: vec![untold],
            holders: BTreeMap::new(),
        };
        for (cookie, is_of) in [(Some(1), true), (Some(2), false), (None, false)] {
            let found = machine.is_of(cookie, &Belongs::User(0)).unwrap();
            assert_eq!(found, is_of, "{cookie:?}");
        }
    }
}
