//! The bpf file system: pins, and what a directory of them holds.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_cmd;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::bpf::{address, attr, call, call_fd, number};
use super::retry::again;

/// Whether a path lies on a bpf file system.
pub(crate) fn is_bpffs(path: &Path) -> io::Result<bool> {
    match again(|| Ok(statfs(path)?)) {
        Ok(about) => Ok(about.filesystem_type() == BPF_FS_MAGIC),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether nothing can be changed there, as it is mounted; where it cannot be asked nothing is said of it.
pub(crate) fn is_read_only(path: &Path) -> bool {
    let flags = again(|| statvfs(path).map_err(io::Error::from)).map(|about| about.flags());
    flags.is_ok_and(|flags| flags.contains(FsFlags::ST_RDONLY))
}

/// Pins a map, program or link.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = terminated(path);
    let mut a = attr();
    a.__bindgen_anon_4.pathname = address(path.as_slice());
    a.__bindgen_anon_4.bpf_fd = number(fd);
    call(bpf_cmd::BPF_OBJ_PIN, &mut a).map(drop)
}

/// Opens what is pinned.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let bytes = terminated(path);
    let mut a = attr();
    a.__bindgen_anon_4.pathname = address(bytes.as_slice());
    call_fd(bpf_cmd::BPF_OBJ_GET, &mut a).map_err(|error| no_pin(path, error))
}

/// The kernel says of a folder, and of what a symbolic link leads to, what it says of a pin that this process may not open
/// (`bpf_inode_type` of kernel/bpf/inode.c). sockc makes no such links, and pins are files of a bpf file system.
fn no_pin(path: &Path, error: io::Error) -> io::Error {
    let refused = error.raw_os_error() == Some(libc::EACCES);
    let about = fs::symlink_metadata(path);
    if refused && about.is_ok_and(|about| !about.is_file()) {
        return io::Error::other("it is no pin");
    }
    error
}

fn terminated(path: &Path) -> Vec<u8> {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// What a descriptor of the kernel's BPF is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link.
    Link,
}

/// What a descriptor is. bpf(2) describes all three by one command, and does not say which of them it did.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let name = fs::read_link(path)?.display().to_string();
    // Some kernels say `bpf-link`, others `bpf_link`.
    match name.replace('_', "-").rsplit(':').next() {
        Some("bpf-map") => Ok(Kind::Map),
        Some("bpf-prog") => Ok(Kind::Program),
        Some("bpf-link") => Ok(Kind::Link),
        _ => Err(io::Error::other(format!("{name} is none of BPF's"))),
    }
}

/// The names in a directory, sorted; none if the directory is not there.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    match again(|| read_names(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

fn read_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Removes a pin; fine if it is not there.
pub(crate) fn unpin(path: &Path) -> io::Result<()> {
    absent_is_fine(again(|| fs::remove_file(path)))
}

/// Removes a pin, or a directory and everything in it; fine if it is not there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let is_folder = match again(|| fs::symlink_metadata(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?.is_dir(),
    };
    if !is_folder {
        return unpin(path);
    }
    absent_is_fine(again(|| fs::remove_dir_all(path)))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
