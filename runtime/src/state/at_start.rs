//! What is to be in force when the machine has started again, kept on disk: what is pinned ends with the machine.
//!
//! ```text
//! /var/lib/sockc/host/last      what was put in force for good last, or that `unload` took it away
//! /var/lib/sockc/host/before    the other policy that was kept before it
//! ```
//!
//! The bytes of a file are those of [`seal`]. It is written whole next to the old one, synced, and moved there; so `last` is the old
//! one or the new one whenever a command is killed. Both are read only where nobody but root can have written them. The sum tells damage, not forgery; whether the object
//! is what its text compiles to is asked as of any object.
//!
//! The machine's own network namespace is the first one; that of process 1 of a container has a folder `container` of its own. Others come and go, and keep nothing, but where somebody made the
//! folder `netns/NAME` for one. Whoever writes holds the lock on the state of the namespace. Nothing waits for the disk: where it
//! cannot be written, that is told. Not here: who reads it when the machine starts.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::author::Author;
use super::exposed;
use super::record::Record;
use crate::error::Exposed;
use crate::sealed::{seal, unseal};
use crate::sys::netns::{self, Namespace};

/// How a file begins.
const MAGIC: &[u8] = b"\x7fsockc at start 1\n";
/// What every version of the format begins with.
const FAMILY: &[u8] = b"\x7fsockc at start ";
/// Larger is no file of ours: no object is.
const MOST: u64 = 1 << 30;
/// The files in the folder, the one that is being written, and the one that is about to be the one before.
const LAST: &str = "last";
const BEFORE: &str = "before";
const DRAFT: &str = "draft";
const NEXT: &str = "next";

/// What is known of a policy that is kept for the start of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtStart {
    /// Its generation, as it was numbered until the machine stopped.
    pub generation: u32,
    /// When it was put in force, in seconds since 1970.
    pub applied: Option<u64>,
    /// The policy's name.
    pub policy: String,
    /// By whom it was put in force.
    pub author: Option<Author>,
    /// The interfaces or patterns that were given instead of the policy's.
    pub interfaces: Vec<String>,
}

/// What a file says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Head {
    /// A policy.
    Policy(AtStart),
    /// Nothing, since the policy was taken away then.
    Unloaded(Option<u64>),
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptOnDisk {
    /// A policy, and its object.
    Policy(AtStart, Vec<u8>),
    /// That `unload` took the policy away, at this second since 1970.
    Unloaded(Option<u64>),
}

/// A file that is looked at when the machine starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds, or why it is not used.
    pub found: Result<KeptOnDisk, String>,
}

/// Where the policy of a network namespace is kept.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder of all namespaces.
    root: PathBuf,
    folder: PathBuf,
    is_host: bool,
}

impl Place {
    /// That of a namespace; `None` if nothing is kept of it.
    pub(crate) fn of(kept_in: Option<&Path>, namespace: &Namespace) -> Option<Self> {
        let root = kept_in?.to_owned();
        if let Some(own) = own_folder(namespace) {
            let (folder, is_host) = (root.join(own), true);
            return Some(Self {
                root,
                folder,
                is_host,
            });
        }
        let name = netns::name_of(namespace.inode)?;
        let (folder, is_host) = (root.join("netns").join(name), false);
        fs::symlink_metadata(&folder).ok()?;
        Some(Self {
            root,
            folder,
            is_host,
        })
    }

    /// What is kept: the last one, and the one before it.
    pub(crate) fn look(&self) -> [OnDisk; 2] {
        [LAST, BEFORE].map(|name| {
            let path = self.folder.join(name);
            let found = self.check_folders().and_then(|()| read(&path));
            OnDisk { path, found }
        })
    }

    /// Refuses folders that others made or can change.
    fn check_folders(&self) -> Result<(), String> {
        for folder in self.folders() {
            let said = |cause: io::Error| format!("{}: {cause}", folder.display());
            let about = fs::symlink_metadata(folder).map_err(said)?;
            if let Some(why) = exposed(&about) {
                return Err(format!("{}: {}", folder.display(), words(why)));
            }
        }
        Ok(())
    }

    /// The folders from that of all namespaces on.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        let all: Vec<&Path> = self.folder.ancestors().collect();
        let below = all.into_iter().rev();
        below.skip_while(|folder| *folder != self.root)
    }

    /// Makes the folders that are not there; that of another namespace was made by hand.
    fn make_folders(&self) -> io::Result<()> {
        for folder in self.folders().filter(|_| self.is_host) {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made?;
                    sync(folder.parent().unwrap_or(folder))?;
                }
            }
        }
        self.check_folders().map_err(io::Error::other)
    }

    /// Writes what is to be in force then. A policy that is kept already is not written again, and one that goes is the one before.
    fn write(&self, head: &Head, object: &[u8]) -> io::Result<()> {
        self.make_folders()?;
        let last = self.folder.join(LAST);
        let before = self.folder.join(BEFORE);
        let there = read(&last).ok();
        let same = there
            .as_ref()
            .is_some_and(|there| is_same(there, (head, object)));
        if same && matches!(head, Head::Policy(_)) {
            return sync(&self.folder);
        }
        let draft = self.folder.join(DRAFT);
        let bytes = seal(MAGIC, head, object)?;
        write_whole(&draft, &bytes).inspect_err(|_| {
            // The first error is the one worth telling.
            let _ = fs::remove_file(&draft);
        })?;
        match (head, there) {
            (Head::Policy(_), Some(KeptOnDisk::Policy(..))) => self.link_before(&last, &before)?,
            // Of an unload that was ended on the way.
            (Head::Policy(_), Some(KeptOnDisk::Unloaded(_))) => unlink(&before)?,
            // What is damaged is nothing to go back to.
            _ => {}
        }
        fs::rename(&draft, &last)?;
        sync(&self.folder)?;
        if matches!(head, Head::Unloaded(_)) {
            unlink(&before)?;
            sync(&self.folder)?;
        }
        Ok(())
    }

    /// Writes it; gives what a person has to know if that cannot be done, as `unkept` says it of the cause.
    fn write_or_say(
        &self,
        head: &Head,
        object: &[u8],
        unkept: impl FnOnce(&io::Error) -> String,
    ) -> Option<String> {
        let cause = self.write(head, object).err()?;
        Some(match self.unsure(head) {
            Some(unsure) => format!("{unsure}: {cause}"),
            None => {
                let (outlook, unkept) = (self.outlook(), unkept(&cause));
                format!("{unkept}; `sockc apply --boot` would put {outlook}")
            }
        })
    }

    /// Gives the last file its second name, in the place of the one before it, and lets it have its own until the next one has it.
    fn link_before(&self, last: &Path, before: &Path) -> io::Result<()> {
        let next = self.folder.join(NEXT);
        unlink(&next)?;
        second(last, &next)?;
        fs::rename(&next, before)?;
        // Where both names were of one file already, as after a kill, the third one stays.
        unlink(&next)
    }

    /// What is said where all is in its place and the system would not say that the disk has it.
    fn unsure(&self, head: &Head) -> Option<&'static str> {
        let [last, _] = self.look();
        let is_there = match (last.found.ok()?, head) {
            (KeptOnDisk::Policy(about, _), Head::Policy(next)) => about == *next,
            (KeptOnDisk::Unloaded(then), Head::Unloaded(now)) => then == *now,
            _ => false,
        };
        is_there.then_some("what is to be in force at the next start of the machine is written, but not all of that may be on the disk")
    }

    /// What would be in force when the machine starts now, in words.
    fn outlook(&self) -> String {
        let [last, before] = self.look();
        match (last.found, before.found) {
            (Ok(KeptOnDisk::Unloaded(_)), _) => {
                "nothing in force then, since a policy was taken away by `sockc unload` last".into()
            }
            (Ok(KeptOnDisk::Policy(about, _)), _) | (_, Ok(KeptOnDisk::Policy(about, _))) => {
                format!(
                    "generation {} of the policy \"{}\" in force then",
                    about.generation, about.policy
                )
            }
            _ => "a minimal policy in force then, since nothing is kept that it can use".into(),
        }
    }
}

/// The folder of a namespace that comes back: the machine's own, which is the first one there was, or that of process 1, as in a
/// container. Who has the disk of the machine and another network must not write what the machine starts with; where there are no
/// cookies nothing tells both apart.
fn own_folder(namespace: &Namespace) -> Option<&'static str> {
    // The first one's inode, where the kernel has a number for it (PROC_NET_INIT_INO, Linux 6.17); before, the first cookie.
    const INODE: u64 = 0xefff_fff9;
    const COOKIE: u64 = 1;
    let of_first = fs::metadata("/proc/1/ns/net").map(|about| about.ino());
    let of_first = of_first.is_ok_and(|inode| inode == namespace.inode);
    match (namespace.inode, namespace.cookie) {
        (INODE, _) | (_, Some(COOKIE)) => Some("host"),
        (_, Some(_)) => of_first.then_some("container"),
        (_, None) => of_first.then_some("host"),
    }
}

/// That a generation is not kept, and why.
pub(crate) fn unread(record: &Record, cause: impl Display) -> String {
    let generation = record.generation;
    format!("generation {generation} is not kept for the next start of the machine: {cause}")
}

/// Keeps what is in force, of which this is the record; gives what a person has to know if it cannot be kept.
pub(crate) fn keep(
    kept_in: Option<&Path>,
    namespace: &Namespace,
    (record, object): (&Record, &[u8]),
) -> Option<String> {
    // A `for netns` block comes back with the policy that has it.
    if record.owner.is_some() {
        return None;
    }
    let place = Place::of(kept_in, namespace)?;
    place.write_or_say(&head(record), object, |cause| unread(record, cause))
}

/// Whether the next start of the machine would put in force what this record says, or nothing is kept of its namespace.
pub(crate) fn is_kept(
    kept_in: Option<&Path>,
    namespace: &Namespace,
    (record, object): (&Record, &[u8]),
) -> bool {
    let place = Place::of(kept_in, namespace).filter(|_| record.owner.is_none());
    place.is_none_or(|place| {
        let [last, _] = place.look();
        let last = last.found.as_ref();
        last.is_ok_and(|there| is_same(there, (&head(record), object)))
    })
}

/// What a file says of a policy that is kept.
fn head(record: &Record) -> Head {
    Head::Policy(AtStart {
        generation: record.generation,
        applied: record.applied,
        policy: record.manifest.policy.clone(),
        author: record.author.clone(),
        interfaces: record.interfaces.clone(),
    })
}

/// Whether something is written yet of a namespace that is kept, and whether it is that nothing is to be in force.
pub(crate) fn standing(kept_in: Option<&Path>, namespace: &Namespace) -> Option<Standing> {
    let place = Place::of(kept_in, namespace)?;
    let [last, before] = place.look();
    let is_there = |file: &OnDisk| fs::symlink_metadata(&file.path).is_ok();
    Some(match last.found {
        Ok(KeptOnDisk::Unloaded(_)) => Standing::Unloaded,
        _ if is_there(&last) || is_there(&before) => Standing::Kept,
        _ => Standing::Nothing,
    })
}

/// What is written of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// That nothing is to be in force.
    Unloaded,
    /// A policy, or what may have been one.
    Kept,
    /// Nothing yet.
    Nothing,
}

/// Has nothing come back when the machine starts; gives what a person has to know if that cannot be written.
pub(crate) fn forget(kept_in: Option<&Path>, namespace: &Namespace) -> Option<String> {
    let place = Place::of(kept_in, namespace)?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let head = Head::Unloaded(since.ok().map(|since| since.as_secs()));
    place.write_or_say(&head, &[], |cause| {
        format!(
            "that nothing is to be in force at the next start of the machine cannot be kept: {cause}"
        )
    })
}

/// Whether a file holds that already, but for when and by whom it was put in force.
fn is_same(there: &KeptOnDisk, (head, object): (&Head, &[u8])) -> bool {
    match (there, head) {
        (KeptOnDisk::Policy(about, kept), Head::Policy(next)) => {
            about.interfaces == next.interfaces && kept == object
        }
        (KeptOnDisk::Unloaded(_), Head::Unloaded(_)) => true,
        _ => false,
    }
}

/// What a file's bytes say, or what is wrong with them.
fn parse(bytes: &[u8]) -> Result<KeptOnDisk, &'static str> {
    let damaged = "it is damaged: not what was written";
    if !bytes.starts_with(MAGIC) {
        return Err(match (bytes.is_empty(), bytes.starts_with(FAMILY)) {
            (true, _) => "it is empty",
            (_, true) => "another version of sockc wrote it",
            _ => damaged,
        });
    }
    let (head, object) = unseal(MAGIC, bytes).ok_or(damaged)?;
    Ok(match head {
        Head::Policy(about) => KeptOnDisk::Policy(about, object.to_vec()),
        Head::Unloaded(when) => KeptOnDisk::Unloaded(when),
    })
}

/// What a file holds that nobody but root can have written.
fn read(path: &Path) -> Result<KeptOnDisk, String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options
        .open(path)
        .map_err(|cause| match cause.raw_os_error() {
            Some(libc::ELOOP) => "it is a symbolic link, which is not followed".to_owned(),
            _ => cause.to_string(),
        })?;
    let about = file.metadata().map_err(|cause| cause.to_string())?;
    if let Some(why) = unfit(&about) {
        return Err(why);
    }
    let mut bytes = Vec::new();
    let taken = file.take(MOST).read_to_end(&mut bytes);
    taken.map_err(|cause| cause.to_string())?;
    parse(&bytes).map_err(str::to_owned)
}

/// Why a file is not read.
fn unfit(about: &fs::Metadata) -> Option<String> {
    if !about.is_file() {
        return Some("it is no regular file".to_owned());
    }
    let owner = about.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Some(words(Exposed::Owner(owner)));
    }
    if about.mode() & 0o022 != 0 {
        return Some(words(Exposed::Mode));
    }
    (about.len() > MOST).then(|| format!("it is larger than {} MiB", MOST >> 20))
}

fn words(why: Exposed) -> String {
    match why {
        Exposed::Mode => "others than its owner can write to it".to_owned(),
        Exposed::Owner(owner) => format!("it belongs to the user {owner}"),
        Exposed::Container => "it is of another user namespace".to_owned(),
        Exposed::NoFolder => "it is no folder".to_owned(),
    }
}

/// Writes a file that was not there, and waits until the disk has it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Of a command that was killed.
    unlink(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn unlink(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Gives a file a second name; where the file system has one name for each file, as FAT, a second file that holds the same.
fn second(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Err(error) if knows_no_links(&error) => write_whole(name, &fs::read(file)?),
        linked => linked,
    }
}

/// Whether a refusal of link(2) is for good. EPERM is what the kernel says for file systems without it (vfs_link).
fn knows_no_links(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK)
    )
}

/// Waits until the disk has the names in a folder.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
