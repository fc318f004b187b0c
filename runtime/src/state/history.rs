//! The generations that were in force before, kept so that they can be looked at and come back.
//!
//! ```text
//! BPFFS/sockc-history/NETNS-INODE-COOKIE/GENERATION    another pin of that generation's record
//! ```
//!
//! A record is a map, which lives as long as one of its pins: the history has a second pin of it (a hard link, so nothing is
//! copied), made as soon as the generation is in force. What removes generations and whole state folders knows nothing of it, and
//! so it outlives an `unload`. The folder is named by the cookie of the namespace too: one whose inode is used again finds nothing
//! of another here. Nothing that comes into force or goes waits for the history: where it cannot be written, that is told, and all
//! else goes on. Not here: what a kept object says.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::readers::{self, Extent};
use super::record::Record;
use super::{State, check_owner, make_folder, names};
use crate::error::{Error, at, passes, unreadable};
use crate::sys::bpffs;
use crate::sys::retry::again;

/// So many generations are kept besides the one in force.
pub(crate) const KEPT: usize = 5;
/// The folder of all histories in the bpf file system.
const FOLDER: &str = "sockc-history";
/// What is being done when one is kept.
const KEEP: &str = "keep the generation for `sockc rollback`";

/// The folder that says that a first policy on trial was lost.
const LOST: &str = "lost";

/// No generation has this number or a higher one.
const ABSURD: u32 = 1 << 31;

/// The generations among some names: `+7` and `07` are no names of ours.
fn numbers(names: &[String]) -> impl Iterator<Item = u32> + '_ {
    let numbers = names.iter().map(|name| (name, name.parse::<u32>()));
    numbers.filter_map(|(name, number)| number.ok().filter(|one| one.to_string() == *name))
}

/// That a generation was not kept, and why.
pub(crate) fn unkept(error: &Error) -> String {
    format!(
        "what is in force now or was cannot be kept for `sockc rollback`: {}",
        error.bare()
    )
}

/// The history of a network namespace.
#[derive(Clone, Debug)]
pub(crate) struct History {
    root: PathBuf,
}

impl History {
    /// That of the namespace with this state folder and cookie.
    pub(crate) fn of(state: &State, cookie: Option<u64>) -> Self {
        let inode = state.root.file_name().unwrap_or_default();
        let mut name = inode.to_os_string();
        if let Some(cookie) = cookie {
            name.push(format!("-{cookie}"));
        }
        let bpffs = state.root.ancestors().nth(2).unwrap_or(Path::new("/"));
        Self {
            root: bpffs.join(FOLDER).join(name),
        }
    }

    /// The pin of a generation's record.
    pub(crate) fn record(&self, generation: u32) -> PathBuf {
        self.root.join(generation.to_string())
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The generations that have a pin, the newest first.
    pub(crate) fn generations(&self) -> Result<Vec<u32>, Error> {
        check_owner(&self.root)?;
        let names = names(&self.root)?;
        let mut found: Vec<u32> = numbers(&names).collect();
        found.sort_unstable();
        found.reverse();
        Ok(found)
    }

    /// The highest number that a generation here has, 0 if there is none: also of one that is damaged, and where others can make
    /// names. One that is absurd is nobody's, so that numbers never run out.
    pub(crate) fn last(&self) -> Result<u32, Error> {
        match bpffs::names(&self.root) {
            Ok(names) => Ok(numbers(&names)
                .filter(|one| *one < ABSURD)
                .max()
                .unwrap_or(0)),
            // It is not known which numbers are taken, and the next time it will be.
            Err(cause) if passes(&cause) => Err(at("read which generations are kept")(cause)),
            Err(_) => Ok(0),
        }
    }

    /// What is kept of a generation but its manifest and object.
    pub(crate) fn read_bare(&self, generation: u32) -> Result<Record, Error> {
        let path = self.record(generation);
        let record = Record::read_bare(&path)?;
        self.check(generation, record)
    }

    /// All that is kept of a generation.
    pub(crate) fn read(&self, generation: u32) -> Result<(Record, Vec<u8>), Error> {
        let (record, object) = Record::read(&self.record(generation))?;
        Ok((self.check(generation, record)?, object))
    }

    /// Refuses a record that is not the one of this place, or not as it was written.
    fn check(&self, generation: u32, record: Record) -> Result<Record, Error> {
        let damaged = |cause: String| Error::State {
            path: self.record(generation),
            cause,
        };
        if record.generation != generation {
            let other = record.generation;
            return Err(damaged(format!("it is the record of generation {other}")));
        }
        if !record.is_sealed() {
            return Err(damaged(
                "who put it in force, when and where is not what was written".to_owned(),
            ));
        }
        Ok(record)
    }

    /// Keeps the generation that is in force now, of which this is the record, and lets go those that are too many. The caller
    /// holds the lock.
    pub(crate) fn keep(state: &State, record: &Record) -> Result<(), Error> {
        // A `for netns` block comes back with the policy that has it.
        if record.owner.is_some() {
            return Ok(());
        }
        // Where nothing tells namespaces of one inode apart (SO_NETNS_COOKIE, Linux 5.14), the next one would find what is kept.
        if record.cookie.is_none() {
            return Ok(());
        }
        let history = Self::of(state, record.cookie);
        check_owner(&history.root)?;
        make_folder(&history.root)?;
        check_owner(&history.root)?;
        readers::settle_history(&history.root, record.readers, Extent::Folder)?;
        history.link(&state.record(record.generation), record.generation)?;
        bpffs::remove_tree(&history.root.join(LOST)).map_err(at(KEEP))?;
        history.let_go_of_dead(state)?;
        history.let_go(Some(record))
    }

    /// Has the group that a record names read what is in force and what is kept, and nobody else.
    pub(crate) fn let_read(state: &State, record: &Record, extent: Extent) -> Result<(), Error> {
        readers::settle(state, record.readers, extent)?;
        let history = Self::of(state, record.cookie);
        readers::settle_history(&history.root, record.readers, extent)
    }

    /// Remembers that a policy was on trial where nothing was in force before, and is not any more: what was in force earlier is
    /// not what was before it.
    pub(crate) fn note_lost(state: &State, cookie: Option<u64>) -> Result<(), Error> {
        if cookie.is_none() {
            return Ok(());
        }
        let history = Self::of(state, cookie);
        check_owner(&history.root)?;
        make_folder(&history.root.join(LOST))
    }

    /// Whether that is so since the last policy that was in force for good.
    pub(crate) fn is_lost(&self) -> bool {
        self.root.join(LOST).exists()
    }

    /// Removes the histories of namespaces that had this inode before, and have ended.
    fn let_go_of_dead(&self, state: &State) -> Result<(), Error> {
        let inode = state.root.file_name().and_then(|name| name.to_str());
        let (Some(inode), Some(folder)) = (inode, self.root.parent()) else {
            return Ok(());
        };
        let mine = self.root.file_name().and_then(|name| name.to_str());
        for name in names(folder)? {
            let cookie = name
                .strip_prefix(inode)
                .and_then(|rest| rest.strip_prefix('-'));
            if cookie.is_some() && Some(name.as_str()) != mine {
                let path = folder.join(&name);
                bpffs::remove_tree(&path).map_err(at(format!("remove {}", path.display())))?;
            }
        }
        Ok(())
    }

    /// Pins a record here too, in the place of whatever has its name.
    fn link(&self, record: &Path, generation: u32) -> Result<(), Error> {
        let path = self.record(generation);
        let about = again(|| fs::symlink_metadata(record)).map_err(at(KEEP))?;
        match again(|| fs::symlink_metadata(&path)) {
            Ok(there) if (there.dev(), there.ino()) == (about.dev(), about.ino()) => return Ok(()),
            Ok(_) => bpffs::remove_tree(&path).map_err(at(KEEP))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
        again(|| fs::hard_link(record, &path)).map_err(at(KEEP))
    }

    /// Lets go what is too much besides the one in force: of generations one behind the other that are the same the last one
    /// stands for all, and of what is left then the last ones are kept.
    pub(crate) fn let_go(&self, in_force: Option<&Record>) -> Result<(), Error> {
        let mut kept = self.generations()?;
        if let Some(record) = in_force {
            kept.retain(|one| *one != record.generation);
            if let Some(before) = kept.first().copied()
                && self.is_same(before, record)
            {
                self.remove(before)?;
                kept.remove(0);
            }
        }
        for old in kept.into_iter().skip(KEPT) {
            self.remove(old)?;
        }
        Ok(())
    }

    /// Whether a kept generation is the same as the one of this record: the same object on the same interfaces.
    fn is_same(&self, generation: u32, record: &Record) -> bool {
        let before = self.read_bare(generation);
        before.is_ok_and(|before| {
            before.object_sum.is_some()
                && before.object_sum == record.object_sum
                && before.interfaces == record.interfaces
        })
    }

    fn remove(&self, generation: u32) -> Result<(), Error> {
        let path = self.record(generation);
        bpffs::remove_tree(&path).map_err(at(format!("remove {}", path.display())))
    }
}
