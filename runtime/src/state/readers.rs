//! The group whose members may read what is in force, by the modes of folders and pins.
//!
//! ```text
//! BPFFS/sockc, BPFFS/sockc-history    0751 once a group reads below; 0750 else
//! BPFFS/sockc/INODE and below         2710 root:GROUP; 0750 else
//! BPFFS/sockc-history/INODE-COOKIE    2750 root:GROUP; 0750 else
//! pins of maps                        0640 root:GROUP; 0600 else
//! pins of programs and links          0600 always
//! ```
//!
//! Takes a state folder and the number of a group, as the record in force says it; makes the modes agree with that. The set-group-ID
//! bit of a folder is what makes a new pin or folder in it the group's (`bpf_get_inode` of kernel/bpf/inode.c asks
//! `inode_init_owner`), and what [`bpffs::pin`] reads; a pin is made with 0600, and opened for the group after that. Members pass
//! through folders, and do not list them: who may open a folder may lock it too, and hold up every apply. A program stays closed,
//! since whoever has its descriptor may run it (`BPF_PROG_TEST_RUN` asks for no right), and it would count. Not here: who asks for a
//! group, and what members are shown.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use super::record::Record;
use super::{State, check_owner, make_folder};
use crate::error::{Error, at};
use crate::sys::bpffs::{self, PASSED, SHARED};
use crate::sys::retry::again;

/// What is being done.
const GIVE: &str = "let a group read what is in force, or no group";
/// Whether programs may be loaded without rights: 0 says that they may.
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";
/// What is mounted here.
const MOUNTS: &str = "/proc/self/mounts";
/// The bit by which whoever is neither owner nor of the group may pass through a folder.
const OTHERS_PASS: u32 = 0o001;
/// The modes of a folder that nobody but its owner passes through, of one that is no group's, and of a history that a group lists.
const CLOSED: u32 = 0o700;
const OWN: u32 = 0o750;
const LISTED: u32 = 0o2750;

/// How closely is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// At the folder, which is the last thing that is changed.
    Folder,
    /// At everything in it.
    Everything,
}

/// The group that a folder is for.
fn group_of(about: &Metadata) -> Option<u32> {
    bpffs::is_shared(about).then(|| about.gid())
}

/// Makes the modes in a state folder those of the group that the record in force names.
pub(crate) fn settle(state: &State, readers: Option<u32>, extent: Extent) -> Result<(), Error> {
    settle_below(state.root(), PASSED, readers, extent).map_err(at(GIVE))
}

/// The same of the folder of a history, which members list.
pub(crate) fn settle_history(
    root: &Path,
    readers: Option<u32>,
    extent: Extent,
) -> Result<(), Error> {
    // Whoever may make names in the bpf file system may have made this one lead anywhere. Who keeps a generation is told so.
    if check_owner(root).is_err() {
        return Ok(());
    }
    settle_below(root, LISTED, readers, extent).map_err(at(GIVE))
}

/// Makes the folder of a generation, which nobody but the group of that generation may read at any time, whoever reads what is in
/// force until the switch.
pub(crate) fn make_generation(state: &State, record: &Record) -> Result<(), Error> {
    let path = state.generation(record.generation);
    make_folder(&path)?;
    let about = again(|| fs::symlink_metadata(&path)).map_err(at(GIVE))?;
    match group_of(&about) == record.readers {
        true => Ok(()),
        false => set(
            &path,
            &about,
            folder_mode(PASSED, record.readers),
            record.readers,
        )
        .map_err(at(GIVE)),
    }
}

/// Refuses a group where its members could not come to what is in force, or could change it.
///
/// # Errors
///
/// [`Error::NoReaders`], which says what to do.
pub fn check_readers(bpffs: &Path, group: u32) -> Result<(), Error> {
    let refused = |why: String| Err(Error::NoReaders { why });
    if !geteuid().is_root() {
        return refused("what another user than root puts in force is that user's alone; run the command as root".to_owned());
    }
    if fs::read_to_string(UNPRIVILEGED).is_ok_and(|value| value.trim() == "0") {
        return refused("kernel.unprivileged_bpf_disabled is 0, so whoever may read a map may have a program of their own write to it; `sysctl -w kernel.unprivileged_bpf_disabled=2` ends that".to_owned());
    }
    if let Some((folder, mode)) = writable(group) {
        let path = folder.display();
        return refused(format!(
            "its members may make names in {path}, which has the mode {mode:04o}: whoever may read a map may pin it there as their own, and write to it then; `chmod go-w {path}` ends that"
        ));
    }
    let whole = fs::canonicalize(bpffs).unwrap_or_else(|_| bpffs.to_owned());
    for folder in whole.ancestors() {
        let Ok(about) = fs::metadata(folder) else {
            continue;
        };
        if !lets_pass(&about, group) {
            let (path, mode) = (folder.display(), about.mode() & 0o7777);
            return refused(format!(
                "its members cannot come to {}: {path} has the mode {mode:04o}; `chmod o+x {path}` lets them pass, and show them nothing",
                bpffs.display()
            ));
        }
    }
    Ok(())
}

/// A bpf file system in which members of a group may make names, and its mode: the kernel pins what is open for reading alone, and
/// gives it to whoever owns the pin for writing (`bpf_obj_pin_user` and `bpf_obj_get_user` of kernel/bpf/inode.c).
fn writable(group: u32) -> Option<(PathBuf, u32)> {
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    let all = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let folder = fields.next()?;
        (fields.next()? == "bpf").then(|| PathBuf::from(folder))
    });
    let mut open = all.filter_map(|folder| {
        let about = fs::metadata(&folder).ok()?;
        let bits = if about.gid() == group { 0o022 } else { 0o002 };
        (about.mode() & bits != 0).then_some((folder, about.mode() & 0o7777))
    });
    open.next()
}

fn lets_pass(about: &Metadata, group: u32) -> bool {
    let bit = match about.gid() == group {
        true => 0o010,
        false => OTHERS_PASS,
    };
    about.mode() & bit != 0
}

/// Refuses whoever has not the rights that miss and is no member of the group that may read.
pub(crate) fn admit(state: &State, missing: Vec<&'static str>) -> Result<(), Error> {
    let about = fs::symlink_metadata(state.root());
    if about.ok().as_ref().and_then(group_of).is_none() {
        return Err(Error::Rights { missing });
    }
    match bpffs::open(&state.control()) {
        Ok(_) => Ok(()),
        // Before Linux 5.19 the switch `unprivileged_bpf_disabled` closes all of bpf(2), whatever a pin's mode says.
        Err(cause) if cause.raw_os_error() == Some(libc::EPERM) => {
            Err(Error::RightsToRead { missing })
        }
        Err(_) => Err(Error::Rights { missing }),
    }
}

/// The mode of a folder that is `shared` so with a group, if it is.
fn folder_mode(shared: u32, readers: Option<u32>) -> u32 {
    readers.map_or(OWN, |_| shared)
}

/// Settles a folder with all that is in it, and the one above it; nothing where it is not there. While something in it is another
/// group's nobody passes through it, so that whenever this is killed nothing is open wider than before or after.
fn settle_below(root: &Path, shared: u32, readers: Option<u32>, extent: Extent) -> io::Result<()> {
    let about = match again(|| fs::symlink_metadata(root)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    // One that is closed was being settled when a command was killed.
    let is_closed = about.mode() & 0o7777 == CLOSED;
    let is_settled = group_of(&about) == readers && !is_closed;
    if is_settled && (readers.is_none() || extent == Extent::Folder) {
        return settle_above(root, readers);
    }
    if !is_settled {
        set_mode(root, CLOSED)?;
    }
    settle_in(root, readers)?;
    if !is_settled {
        let closed = again(|| fs::symlink_metadata(root))?;
        set(root, &closed, folder_mode(shared, readers), readers)?;
    }
    settle_above(root, readers)
}

/// Settles the folder above, also where an earlier command was killed ahead of that, or another namespace took its own group away.
fn settle_above(root: &Path, readers: Option<u32>) -> io::Result<()> {
    match readers {
        Some(_) => let_others_pass(root),
        None => keep_others_out(root),
    }
}

/// Settles what is in a folder.
fn settle_in(folder: &Path, readers: Option<u32>) -> io::Result<()> {
    for name in bpffs::names(folder)? {
        let path = folder.join(name);
        let about = again(|| fs::symlink_metadata(&path))?;
        if about.is_dir() {
            settle_in(&path, readers)?;
            set(&path, &about, folder_mode(PASSED, readers), readers)?;
        } else if about.is_file() {
            set(&path, &about, pin_mode(&path, readers), readers)?;
        }
    }
    Ok(())
}

/// The mode of a pin, by the folder that it is in.
fn pin_mode(path: &Path, readers: Option<u32>) -> u32 {
    let folder = path.parent().and_then(Path::file_name);
    let is_map = folder.is_none_or(|folder| folder != "prog" && folder != "link");
    match readers {
        Some(_) if is_map => SHARED,
        _ => 0o600,
    }
}

/// Gives a pin or a folder to a group, or to none: closed first, if it changes hands.
fn set(path: &Path, about: &Metadata, mode: u32, readers: Option<u32>) -> io::Result<()> {
    let group = readers.unwrap_or_else(|| getegid().as_raw());
    if about.gid() != group {
        set_mode(path, about.mode() & CLOSED)?;
        again(|| chown(path, None, Some(group)))?;
    } else if about.mode() & 0o7777 == mode {
        return Ok(());
    }
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    again(|| fs::set_permissions(path, Permissions::from_mode(mode)))
}

/// Has members of any group pass through the folder above, whose names are numbers of namespaces, and which nobody lists by it.
fn let_others_pass(root: &Path) -> io::Result<()> {
    let Some(above) = root.parent() else {
        return Ok(());
    };
    let mode = again(|| fs::symlink_metadata(above))?.mode() & 0o7777;
    match mode & OTHERS_PASS {
        0 => set_mode(above, mode | OTHERS_PASS),
        _ => Ok(()),
    }
}

/// Ends that, unless a group reads something else there.
fn keep_others_out(root: &Path) -> io::Result<()> {
    let Some(above) = root.parent() else {
        return Ok(());
    };
    if again(|| fs::symlink_metadata(above))?.mode() & 0o7777 != OWN | OTHERS_PASS {
        return Ok(());
    }
    for name in bpffs::names(above)? {
        let about = again(|| fs::symlink_metadata(above.join(&name)));
        if about.ok().as_ref().and_then(group_of).is_some() {
            return Ok(());
        }
    }
    set_mode(above, OWN)
}
