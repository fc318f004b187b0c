//! How full the kernel's tables of a group are, and whether there is a control group where a group's is looked for.
//!
//! Takes the record of the policy; gives for each group whose connections are taken in how many stand in its tables, of how
//! many places. A connection that comes when a table is full goes by TCP as the default says, and is counted. Connections come and go
//! while the table is read, so that this is a count for a person. Not here: those that escaped ([`super::escaped`]).

use std::os::fd::{AsFd, BorrowedFd};
use std::{io, path::Path};

use sockc_compiler::artifact::MapKind;

use crate::attach::guard;
use crate::error::{Error, at, unless_passing};
use crate::hook::{PEERS, Point, READERS};
use crate::state::record::Record;
use crate::state::{State, pinned_map};
use crate::sys::{cgroup, map};

/// A group whose connections are taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Its name.
    pub group: String,
    /// The folder of its control group.
    pub path: String,
    /// Whether there is none at that path now, and the rules hold for the next one that is made there.
    pub awaited: bool,
    /// Whether connections that are not taken in may write nothing.
    pub refuses: bool,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// A table of the kernel that connections of a group stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The direction whose rules are asked about them: `send`, which shortcuts belong to, or `receive`.
    pub direction: &'static str,
    /// How many connections stand in it.
    pub connections: u32,
    /// How many have room in it.
    pub places: u32,
}

impl Table {
    /// Whether four of five places are taken.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        u64::from(self.connections) * 5 >= u64::from(self.places) * 4
    }

    /// Whether the next connection finds no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.connections >= self.places
    }
}

/// The groups of a record whose connections are taken in.
pub(crate) fn look(state: &State, record: &Record) -> Result<Vec<GroupStatus>, Error> {
    let root = super::mounted()?;
    let mut found = Vec::new();
    for (plan, number) in record.taken_in() {
        let path = plan.cgroup.trim_start_matches('/');
        let path = root.as_ref().map(|root| root.join(path));
        let path = path.unwrap_or_else(|| plan.cgroup.clone().into());
        let followed = guard::followed(&path.to_string_lossy(), number).is_some();
        let folder = state.group(number);
        let directions = [
            ("send", PEERS, Point::Send(number)),
            ("receive", READERS, Point::Receive(number)),
        ];
        let mut tables = Vec::new();
        for (direction, pin, point) in directions {
            if record.points.contains(&point) {
                tables.extend(table(direction, &folder.join(pin))?);
            }
        }
        found.push(GroupStatus {
            group: plan.name.clone(),
            awaited: followed && root.is_some() && is_gone(&path)?,
            path: path.display().to_string(),
            refuses: record.points.contains(&Point::Leaving(number)),
            tables,
        });
    }
    Ok(found)
}

/// Whether there is no control group in a folder.
fn is_gone(path: &Path) -> Result<bool, Error> {
    match cgroup::open(path) {
        Ok(_) => Ok(false),
        Err(error) if cgroup::is_gone(&error) => Ok(true),
        Err(error) => Err(at(format!("look at {}", path.display()))(error)),
    }
}

/// The table that is pinned at a path. One that is gone, or another, is told by its pin.
fn table(direction: &'static str, path: &Path) -> Result<Option<Table>, Error> {
    let sockets = match pinned_map(path, MapKind::SockHash) {
        Err(Error::State { .. }) => return Ok(None),
        sockets => sockets?,
    };
    let counted = count(direction, sockets.as_fd()).map(Some);
    unless_passing(path, counted)
}

/// Counts what stands in it. The kernel tells the keys of such a map one by one (`sock_hash_ops` in `net/core/sock_map.c` knows
/// no batches); a key that goes while it is asked for the next one has the walk begin anew, so that each is counted once.
fn count(direction: &'static str, sockets: BorrowedFd<'_>) -> io::Result<Table> {
    let mut keys = map::keys(sockets)?;
    keys.sort_unstable();
    keys.dedup();
    Ok(Table {
        direction,
        connections: u32::try_from(keys.len()).unwrap_or(u32::MAX),
        places: map::shape(sockets)?.entries,
    })
}
