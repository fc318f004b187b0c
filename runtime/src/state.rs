//! The state folder of one network namespace in the bpf file system, and its lock.
//!
//! ```text
//! BPFFS/sockc/NETNS-INODE/
//!     control              one u32: the generation in force, 0 for none; dispatchers follow its lowest bit
//!     outer                of a `for netns` block: the same map as the outer policy's `control`, and the block's own only
//!                          says since which generation of that one it is there
//!     trial                until when the generation in force is on trial, and which one comes back then; of a `for netns`
//!                          block the outer policy's
//!     delivery             one u32: the families for which a rule and a route were made, where any were
//!     slots/POINT          two programs: of even and of odd generations; one that sleeps for the side that is not in force
//!     link/HOOK            one pin an attachment; its name says what it is
//!     group/CGROUP-ID/MAP  maps that hold sockets, which survive generations
//!     pairs/NUMBER/MAP     maps of pairs of connections, which survive generations
//!     GENERATION/map/…     maps of the object and of the runtime
//!     GENERATION/prog/…    programs of the object and of the runtime
//!     GENERATION/record    what was applied
//!     GENERATION/entries   the entries of live maps
//!     current              a symbolic link for people, and the generation that the last command left; `control` is what counts
//! ```
//!
//! Beside it, `BPFFS/sockc-history` has the records of generations that were in force before ([`history`]), and what is kept for the next start of the machine
//! is on disk ([`at_start`]).
//!
//! The word in `control`, with `trial` beside it ([`trial`]), is the only truth about what is in force: it is one machine word that every dispatcher reads, also
//! those in the namespaces of `for netns` blocks. What this module does not do: decide what belongs in the folder. That is [`crate::reconcile`].

pub(crate) mod at_start;
pub(crate) mod author;
pub(crate) mod chunks;
pub(crate) mod gone;
pub(crate) mod hanging;
pub(crate) mod heirs;
pub(crate) mod history;
pub(crate) mod in_force;
mod lock;
pub(crate) mod namespaces;
pub(crate) mod pin;
pub(crate) mod pins;
pub(crate) mod record;
pub(crate) mod steered;
pub(crate) mod totals;
pub(crate) mod trial;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sockc_compiler::artifact::MapKind;

pub(crate) use lock::{Access, Lock};

use crate::error::{Error, Exposed, at, unreadable};
use crate::hook::{Hook, Point};
use crate::sys::retry::again;
use crate::sys::{bpffs, map, netns, token};

/// Programs in the slots of a point: one for even generations, one for odd.
pub(crate) const SIDES: u32 = 2;
/// The slots of a point: a program for each side, and what runs ahead of it for each.
pub(crate) const SLOTS: u32 = 2 * SIDES;
/// The name of the pin of the storage with the keys of a group's sockets.
pub(crate) const OWN: &str = "own";
/// That of the storage with the keys of their peers.
pub(crate) const OTHERS: &str = "others";

/// The side of a generation.
pub(crate) fn side(generation: u32) -> u32 {
    generation % SIDES
}

/// The state folder of one network namespace.
#[derive(Clone, Debug)]
pub(crate) struct State {
    root: PathBuf,
}

impl State {
    /// The folder for the namespace with this inode; an error if `bpffs` is not a bpf file system.
    pub(crate) fn at(bpffs: &Path, inode: u64) -> Result<Self, Error> {
        if !bpffs::is_bpffs(bpffs).map_err(|cause| unreadable(bpffs, cause))? {
            return Err(Error::NoBpffs {
                path: bpffs.to_owned(),
                apart: netns::is_apart(),
            });
        }
        let state = Self {
            root: bpffs.join("sockc").join(inode.to_string()),
        };
        check_owner(&state.root).map_err(|error| of_a_container(bpffs, error))?;
        Ok(state)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Removes the folder if nothing is in it. The caller holds the lock.
    pub(crate) fn remove_if_empty(&self) {
        let remove = |folder: &Path| again(|| fs::remove_dir(folder));
        let _ = remove(&self.root);
        // The folder of all namespaces goes with the last of them.
        let _ = self.root.parent().map(remove);
    }

    /// The pin of the word that says which generation is in force.
    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control")
    }

    /// The pin of a point's program slots.
    pub(crate) fn slots(&self, point: Point) -> PathBuf {
        self.slots_folder().join(point.name())
    }

    /// The folder of all program slots.
    pub(crate) fn slots_folder(&self) -> PathBuf {
        self.root.join("slots")
    }

    /// The pin of a hook.
    pub(crate) fn link(&self, hook: &Hook) -> PathBuf {
        self.link_folder().join(hook.name())
    }

    /// The folder of all hooks.
    pub(crate) fn link_folder(&self) -> PathBuf {
        self.root.join("link")
    }

    /// The hooks that have a pin, the last to be attached first.
    pub(crate) fn hooks(&self) -> Result<Vec<Hook>, Error> {
        let mut hooks: Vec<Hook> = names(&self.link_folder())?
            .iter()
            .filter_map(|name| Hook::parse(name))
            .collect();
        hooks.sort();
        hooks.reverse();
        Ok(hooks)
    }

    /// The folder of the maps of a control group.
    pub(crate) fn group(&self, cgroup: u64) -> PathBuf {
        self.group_folder().join(cgroup.to_string())
    }

    /// The pin of the storage with the keys of a group's sockets, those that were left alone among them.
    pub(crate) fn own_keys(&self, cgroup: u64) -> PathBuf {
        self.group(cgroup).join(OWN)
    }

    /// The folder of all groups.
    pub(crate) fn group_folder(&self) -> PathBuf {
        self.root.join("group")
    }

    /// The folder of the maps of pairs.
    pub(crate) fn pairs(&self, number: u64) -> PathBuf {
        self.pairs_folder().join(number.to_string())
    }

    /// The folder of all pairs.
    pub(crate) fn pairs_folder(&self) -> PathBuf {
        self.root.join("pairs")
    }

    /// The folder of a generation.
    pub(crate) fn generation(&self, generation: u32) -> PathBuf {
        self.root.join(generation.to_string())
    }

    /// The pin of a map of a generation.
    pub(crate) fn map(&self, generation: u32, name: &str) -> PathBuf {
        self.generation(generation).join("map").join(name)
    }

    /// Opens a map of a generation. The record is written last: where it is, the map was there, too.
    /// A map of another kind is not the one that is meant.
    pub(crate) fn open_map(
        &self,
        generation: u32,
        name: &str,
        kind: MapKind,
    ) -> Result<OwnedFd, Error> {
        let path = self.map(generation, name);
        match bpffs::open(&path).and_then(|pinned| map::of_kind(pinned, kind as u32)) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && !self.has_record(generation)? =>
            {
                Err(Error::Object {
                    cause: format!("it lacks the map \"{name}\""),
                })
            }
            map => map.map_err(|cause| unreadable(&path, cause)),
        }
    }

    fn has_record(&self, generation: u32) -> Result<bool, Error> {
        let path = self.record(generation);
        again(|| path.try_exists()).map_err(|cause| unreadable(&path, cause))
    }

    /// The pin of a program of a generation.
    pub(crate) fn program(&self, generation: u32, name: &str) -> PathBuf {
        self.generation(generation).join("prog").join(name)
    }

    /// The pin of a generation's record.
    pub(crate) fn record(&self, generation: u32) -> PathBuf {
        self.generation(generation).join("record")
    }

    /// The pin of the word that says for which families we made a rule and a route.
    pub(crate) fn delivery(&self) -> PathBuf {
        self.root.join("delivery")
    }

    /// The generations that have a folder, in order.
    pub(crate) fn generations(&self) -> Result<Vec<u32>, Error> {
        let mut found: Vec<u32> = names(&self.root)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The pin of the outer policy's word, of a `for netns` block.
    pub(crate) fn outer(&self) -> PathBuf {
        self.root.join("outer")
    }

    /// Whether the folder is that of a `for netns` block.
    pub(crate) fn is_block(&self) -> Result<bool, Error> {
        Ok(read_word(&self.outer())?.is_some())
    }

    /// The state folder of another namespace in the same bpf file system.
    pub(crate) fn sibling(&self, inode: u64) -> Self {
        Self {
            root: self.root.with_file_name(inode.to_string()),
        }
    }

    /// Whether this is the folder of the namespace with this inode.
    pub(crate) fn is_of(&self, inode: u64) -> bool {
        self.root.ends_with(inode.to_string())
    }

    /// The inodes of the other namespaces that have a folder, in order.
    pub(crate) fn others(&self) -> Result<Vec<u64>, Error> {
        let above = self.root.parent().unwrap_or(&self.root);
        let found = names(above)?;
        let inodes = found.iter().filter_map(|name| name.parse().ok());
        Ok(inodes.filter(|inode| !self.is_of(*inode)).collect())
    }

    /// The generation in force, by the word and by the trial beside it, 0 for none; `None` if there is no word.
    pub(crate) fn word(&self) -> Result<Option<u32>, Error> {
        let trial = self.kept_trial()?;
        let Some(own) = read_word(&self.control())? else {
            return Ok(None);
        };
        Ok(Some(match read_word(&self.outer())? {
            Some(outer) => in_force(own, Some(trial::in_force(trial, outer))),
            None => trial::in_force(trial, own),
        }))
    }

    /// Whether pins are there that hooks or a generation need.
    pub(crate) fn has_pins(&self) -> Result<bool, Error> {
        let folders = [self.link_folder(), self.slots_folder()];
        for folder in folders {
            if !names(&folder)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(!self.generations()?.is_empty())
    }

    /// Puts a generation in force, at every hook at once; with 0, nothing.
    pub(crate) fn switch_to(&self, generation: u32) -> Result<(), Error> {
        let what = match generation {
            0 => "take the policy out of force",
            _ => "switch to the policy",
        };
        if generation == 0 {
            // Whoever finds this link next to the word 0 takes the word for somebody else's.
            bpffs::remove_tree(&self.current()).map_err(at(what))?;
        }
        let path = self.control();
        let gone = || unreadable(&path, io::Error::from_raw_os_error(libc::ENOENT));
        let control = open_word(&path)?.ok_or_else(gone)?;
        map::update(control.as_fd(), &[0; 4], &generation.to_ne_bytes()).map_err(at(what))
    }

    fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The generation that one of our commands left in force when it ended; `None` if it left nothing, or did not end.
    pub(crate) fn left_in_force(&self) -> Result<Option<u32>, Error> {
        let path = self.current();
        match again(|| fs::read_link(&path)) {
            Ok(target) => Ok(target.to_str().and_then(|target| target.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Not a link: somebody else's.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(unreadable(&path, error)),
        }
    }

    /// Moves the symbolic link `current`, for people who look into the folder.
    pub(crate) fn point_current(&self, generation: u32) -> io::Result<()> {
        let next = self.root.join("next");
        bpffs::remove_tree(&next)?;
        std::os::unix::fs::symlink(generation.to_string(), &next)?;
        match fs::rename(&next, self.current()) {
            // Somebody put a folder there.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                bpffs::remove_tree(&self.current())?;
                fs::rename(&next, self.current())
            }
            moved => moved,
        }
    }
}

/// The names in a folder of the state.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    bpffs::names(folder).map_err(|cause| unreadable(folder, cause))
}

/// Opens what a policy in force has pinned: if it is gone, somebody else removed it.
pub(crate) fn pinned(path: &Path) -> Result<OwnedFd, Error> {
    bpffs::open(path).map_err(|cause| unreadable(path, cause))
}

/// Opens what may be pinned at a path; `None` if nothing is.
pub(crate) fn pinned_there(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match bpffs::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        pinned => pinned.map(Some).map_err(|cause| unreadable(path, cause)),
    }
}

/// The generation in force by the words of a namespace. That of a block begins with the outer policy's generation at which it was
/// made, and is 0 after it was removed; from then on the outer word decides.
fn in_force(own: u32, outer: Option<u32>) -> u32 {
    match outer {
        Some(outer) if own == 0 || outer < own => 0,
        Some(outer) => outer,
        None => own,
    }
}

/// Opens a map that a policy in force has pinned: if it is of another kind, somebody else put it there.
pub(crate) fn pinned_map(path: &Path, kind: MapKind) -> Result<OwnedFd, Error> {
    let pinned = bpffs::open(path).and_then(|pinned| map::of_kind(pinned, kind as u32));
    pinned.map_err(|cause| unreadable(path, cause))
}

/// The shape of a word.
pub(crate) const WORD: map::Shape = map::Shape::array(4, 1);

/// The map of a word that is pinned at a path; `None` if nothing is pinned there.
fn open_word(path: &Path) -> Result<Option<OwnedFd>, Error> {
    let Some(pinned) = pinned_there(path)? else {
        return Ok(None);
    };
    let shape = map::shape(pinned.as_fd()).map_err(|cause| unreadable(path, cause))?;
    if shape != WORD {
        return Err(Error::State {
            path: path.to_owned(),
            cause: "it is not the map that sockc left there".to_owned(),
        });
    }
    Ok(Some(pinned))
}

/// The word that is pinned at a path; `None` if nothing is pinned there.
pub(crate) fn read_word(path: &Path) -> Result<Option<u32>, Error> {
    let Some(pinned) = open_word(path)? else {
        return Ok(None);
    };
    let mut word = [0; 4];
    match map::lookup(pinned.as_fd(), &[0; 4], &mut word) {
        Ok(true) => Ok(Some(u32::from_ne_bytes(word))),
        // An array has all its elements: an answer that cannot be is no answer.
        Ok(false) => Err(at(READ_WORD)(io::Error::from_raw_os_error(libc::ENOENT))),
        Err(cause) => Err(at(READ_WORD)(cause)),
    }
}

/// What is being done when the word is read.
const READ_WORD: &str = "read which policy is in force";

/// Refuses a folder, or the one that it is in, that others made or can change. Everybody may make names in a bpf file system that is mounted
/// without a mode, and we remove names as root: `sockc`, or what is in it, could be a symbolic link to anywhere.
fn check_owner(root: &Path) -> Result<(), Error> {
    for folder in root.parent().into_iter().chain([root]) {
        let about = match again(|| fs::symlink_metadata(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            about => about.map_err(|cause| unreadable(folder, cause))?,
        };
        if let Some(why) = exposed(&about) {
            let path = folder.to_owned();
            return Err(Error::Untrusted { path, why });
        }
    }
    Ok(())
}

/// The same refusal where the folder is a container's: nothing is wrong with it there, and its owner cannot be changed from here
/// (`notify_change` of fs/attr.c refuses users that are none in the user namespace of the file system).
fn of_a_container(bpffs: &Path, error: Error) -> Error {
    match error {
        Error::Untrusted {
            path,
            why: Exposed::Owner(_),
        } if token::is_of_others(bpffs) => Error::Untrusted {
            path,
            why: Exposed::Container,
        },
        error => error,
    }
}

/// Why a folder is not used: it is none, or others than root and we can change what is in it.
fn exposed(about: &fs::Metadata) -> Option<Exposed> {
    let owner = about.uid();
    let ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    match (about.is_dir(), ours, about.mode() & 0o022) {
        (false, ..) => Some(Exposed::NoFolder),
        (true, false, _) => Some(Exposed::Owner(owner)),
        (true, true, 0) => None,
        (true, true, _) => Some(Exposed::Mode),
    }
}

/// Makes a folder and those above it, for the owner and the group.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path);
    made.map_err(|cause| match cause.raw_os_error() {
        // This process's user is none in the user namespace of the file system (`may_create` of fs/namei.c).
        Some(libc::EOVERFLOW) => Error::Untrusted {
            path: path.to_owned(),
            why: Exposed::Container,
        },
        _ => at(format!("make the folder {}", path.display()))(cause),
    })
}

/// Opens the map that is pinned at `path`, or makes it and pins it there.
pub(crate) fn open_or_make(path: &Path, title: &str, shape: map::Shape) -> Result<OwnedFd, Error> {
    match bpffs::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(|cause| unreadable(path, cause)),
    }
    let fd = map::create(title, shape).map_err(at(format!("make the map {title}")))?;
    bpffs::pin(fd.as_fd(), path).map_err(at(format!("pin {}", path.display())))?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_words_say_what_is_in_force_in_a_block() {
        assert_eq!([0, 4].map(|own| in_force(own, None)), [0, 4]);
        for (own, outer, now) in [(0, 4, 0), (4, 0, 0), (4, 3, 0), (4, 4, 4), (4, 5, 5)] {
            assert_eq!(in_force(own, Some(outer)), now, "{own} {outer}");
        }
    }
}
