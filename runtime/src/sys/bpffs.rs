//! The bpf file system: pins, and what a directory of them holds.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_cmd;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::bpf::{address, attr, call, call_fd, number};

/// Whether a path lies on a bpf file system.
pub(crate) fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|about| about.filesystem_type() == BPF_FS_MAGIC)
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
    let path = terminated(path);
    let mut a = attr();
    a.__bindgen_anon_4.pathname = address(path.as_slice());
    call_fd(bpf_cmd::BPF_OBJ_GET, &mut a)
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
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Removes a pin; fine if it is not there.
pub(crate) fn unpin(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

/// Removes a pin, or a directory and everything in it; fine if it is not there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    if !is_folder {
        return unpin(path);
    }
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
