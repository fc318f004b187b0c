//! The BPF token: what a bpf file system delegates to the user namespace that it was mounted in (BPF_TOKEN_CREATE, Linux 6.9).
//!
//! Takes the folder of that file system, once, before the first map; gives the calls that make maps, programs and types what
//! they pass on to the kernel. Capabilities, and so a token, belong to the process, and so this is kept for the process. In the
//! first user namespace nothing is asked for: capabilities count there, and the kernel makes no token for it
//! (`bpf_token_create` of kernel/bpf/token.c). What else the capabilities of a user namespace allow is `caps`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use aya_obj::generated::{BPF_F_TOKEN_FD, bpf_cmd};

use super::bpf::{attr, call_fd, number};
use super::bpffs;

static TOKEN: OnceLock<OwnedFd> = OnceLock::new();
/// Why there is none, as it was found last.
static NONE: OnceLock<Inside> = OnceLock::new();

/// How it stands with rights in a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// What the machine keeps for its own rights, token or not.
    Beyond,
    /// There is a token, so that capabilities of the user namespace count.
    Delegated,
    /// The bpf file system is one of another user namespace, or delegates nothing or not what every policy takes.
    NotDelegated,
    /// CAP_BPF misses in the user namespace itself: `bpf_token_create` takes nothing in its place.
    NoCapability,
    /// Where it was looked for is no root of a bpf file system.
    NoFileSystem,
}

/// CAP_BPF (`linux/capability.h`).
const CAP_BPF: u32 = 39;

/// The commands that no policy does without.
const COMMANDS: [bpf_cmd; 3] = [
    bpf_cmd::BPF_MAP_CREATE,
    bpf_cmd::BPF_PROG_LOAD,
    bpf_cmd::BPF_BTF_LOAD,
];
/// What else is delegated: as the kernel names it in /proc (`bpf_token_show_fdinfo`), and as an option of the mount.
const KINDS: [(&str, &str); 3] = [
    ("allowed_maps", "delegate_maps"),
    ("allowed_progs", "delegate_progs"),
    ("allowed_attachs", "delegate_attachs"),
];

/// Whether this process is in another user namespace than the first one, whose capabilities alone hold for the machine: those of
/// others say nothing to bpf(2). The first one maps every user to itself; a kernel without user namespaces has no such file.
pub(crate) fn is_inside() -> bool {
    fs::read_to_string("/proc/thread-self/uid_map").is_ok_and(|map| !maps_everybody(&map))
}

fn maps_everybody(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The effective capabilities of this thread, by their bits, whatever user namespace they are of; nothing if the kernel does not tell.
pub(crate) fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    effective(&status)
}

fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Asks the bpf file system at this folder for a token, where this process is in a user namespace of its own. Where it gives
/// none, or none for what every policy takes, capabilities that miss are refused as they are without.
pub(crate) fn seek(bpffs: &Path) {
    if TOKEN.get().is_some() || !is_inside() {
        return;
    }
    let token = match create(bpffs) {
        Ok(token) => token,
        Err(error) => {
            let _ = NONE.set(why(&error, bpffs));
            return;
        }
    };
    let about = about(token.as_fd());
    let commands = COMMANDS.iter().fold(0, |bits, one| bits | 1 << *one as u32);
    if allowed(&about, "allowed_cmds") & commands == commands {
        // Another thread that was faster has the same.
        let _ = TOKEN.set(token);
    }
}

/// How it stands with the rights of this process; nothing in the first user namespace.
pub(crate) fn inside() -> Option<Inside> {
    let none = || NONE.get().copied().unwrap_or(Inside::NotDelegated);
    is_inside().then(|| match is_held() {
        true => Inside::Delegated,
        false => none(),
    })
}

/// Why the kernel gave none (`bpf_token_create` of kernel/bpf/token.c). EPERM is what it says of a file system of another user
/// namespace, too; a kernel before 6.9 says EINVAL of every command that it does not know, and of what is no root.
fn why(error: &io::Error, bpffs: &Path) -> Inside {
    let has_bpf = || capabilities().is_none_or(|bits| bits >> CAP_BPF & 1 == 1);
    match error.raw_os_error() {
        Some(libc::EPERM) if !has_bpf() => Inside::NoCapability,
        Some(libc::EINVAL) if !is_root_of_bpffs(bpffs) => Inside::NoFileSystem,
        Some(libc::ENOENT | libc::ENOTDIR) if !bpffs.is_dir() => Inside::NoFileSystem,
        _ => Inside::NotDelegated,
    }
}

/// A mount point is a root, and a folder in it is on the same device as the folder above.
fn is_root_of_bpffs(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    let above = folder.join("..");
    bpffs::is_bpffs(folder).unwrap_or_default() && device(folder) != device(&above)
}

/// The kernel wants a descriptor of the root of the file system, opened for reading.
fn create(bpffs: &Path) -> io::Result<OwnedFd> {
    let mut folder = OpenOptions::new();
    folder.read(true).custom_flags(libc::O_DIRECTORY);
    let folder = folder.open(bpffs)?;
    let mut a = attr();
    a.token_create.bpffs_fd = number(folder.as_fd());
    call_fd(bpf_cmd::BPF_TOKEN_CREATE, &mut a)
}

/// What the kernel says of a token; nothing where it does not, and then it allows nothing.
fn about(token: BorrowedFd<'_>) -> String {
    let place = format!("/proc/self/fdinfo/{}", token.as_raw_fd());
    fs::read_to_string(place).unwrap_or_default()
}

/// The bits of what it allows.
fn allowed(about: &str, name: &str) -> u64 {
    let mut lines = about.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(one, _)| *one == name);
    match found.map(|(_, value)| value.trim()) {
        Some("any") => u64::MAX,
        Some(bits) => u64::from_str_radix(bits.trim_start_matches("0x"), 16).unwrap_or(0),
        None => 0,
    }
}

/// Whether there is one.
pub(crate) fn is_held() -> bool {
    TOKEN.get().is_some()
}

/// The options of the mount by which not all is delegated, where there is a token.
pub(crate) fn narrowed() -> Option<Vec<&'static str>> {
    let about = about(TOKEN.get()?.as_fd());
    Some(narrowed_of(&about))
}

fn narrowed_of(about: &str) -> Vec<&'static str> {
    let narrowed = KINDS
        .iter()
        .filter(|(name, _)| allowed(about, name) != u64::MAX);
    narrowed.map(|(_, option)| *option).collect()
}

/// The flag and the descriptor that a command takes, where there is one; else zeros, which every kernel takes.
pub(super) fn passed() -> (u32, i32) {
    let passed = TOKEN.get().map(|token| (BPF_F_TOKEN_FD, token.as_raw_fd()));
    passed.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    // Benchmarks build this file, too, where there are no tests, and so nothing is used by them.
    const ABOUT: &str = "pos:\t0\nallowed_cmds:\tany\nallowed_maps:\t0x6\nallowed_progs:\tany\nallowed_attachs:\t0x0\n";

    #[test]
    fn what_a_token_allows_is_read_and_nothing_else_is() {
        use super::{allowed, narrowed_of};

        assert_eq!(allowed(ABOUT, "allowed_cmds"), u64::MAX);
        assert_eq!(allowed(ABOUT, "allowed_maps"), 6);
        assert_eq!(allowed("", "allowed_cmds"), 0);
        assert_eq!(allowed("allowed_cmds:\tall\n", "allowed_cmds"), 0);
        assert_eq!(narrowed_of(ABOUT), ["delegate_maps", "delegate_attachs"]);
    }

    #[test]
    fn a_user_namespace_is_told_by_its_map() {
        use super::maps_everybody;

        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody(""));
    }

    #[test]
    fn effective_capabilities_are_read() {
        use super::effective;

        assert_eq!(
            effective("Name:\tx\nCapEff:\t0000000000001000\n"),
            Some(1 << 12)
        );
    }
}
