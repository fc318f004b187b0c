//! The BPF token: what a bpf file system delegates to the user namespace that it was mounted in (BPF_TOKEN_CREATE, Linux 6.9).
//!
//! Takes the folder of that file system, once, before the first map; gives the calls that make maps, programs and types what
//! they pass on to the kernel. Capabilities, and so a token, belong to the process, and so this is kept for the process. In the
//! first user namespace nothing is asked for: capabilities count there, and the kernel makes no token for it
//! (`bpf_token_create` of kernel/bpf/token.c). What else the capabilities of a user namespace allow is `caps`.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use aya_obj::generated::{BPF_F_TOKEN_FD, bpf_attach_type, bpf_cmd, bpf_map_type, bpf_prog_type};

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
/// What else is delegated, in the order of [`Kind`]: as the kernel names it in /proc (`bpf_token_show_fdinfo`), and as an option of the mount.
const KINDS: [(&str, &str); 3] = [
    ("allowed_maps", "delegate_maps"),
    ("allowed_progs", "delegate_progs"),
    ("allowed_attachs", "delegate_attachs"),
];

/// What a token allows only some types of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Maps.
    Map,
    /// Programs.
    Program,
    /// Places where programs are attached. Programs without one of their own count as the first.
    Attach,
}

/// The types of maps that sockc makes, which the kernel knows by numbers.
const MAPS: [bpf_map_type; 14] = [
    bpf_map_type::BPF_MAP_TYPE_HASH,
    bpf_map_type::BPF_MAP_TYPE_ARRAY,
    bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY,
    bpf_map_type::BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH,
    bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY,
    bpf_map_type::BPF_MAP_TYPE_LRU_HASH,
    bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH,
    bpf_map_type::BPF_MAP_TYPE_LPM_TRIE,
    bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS,
    bpf_map_type::BPF_MAP_TYPE_SOCKMAP,
    bpf_map_type::BPF_MAP_TYPE_SOCKHASH,
    bpf_map_type::BPF_MAP_TYPE_SK_STORAGE,
    bpf_map_type::BPF_MAP_TYPE_RINGBUF,
];

/// What the bpf file system does not delegate of what was asked for.
#[derive(Debug)]
struct NotDelegated {
    option: &'static str,
    word: String,
}

impl std::error::Error for NotDelegated {}

impl fmt::Display for NotDelegated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, word } = self;
        write!(
            f,
            "the bpf file system of this user namespace does not delegate `{word}`; whoever mounts it adds that to `{option}`, or says `any`"
        )
    }
}

/// Whether a refusal is one for want of delegation, which names what misses.
pub(crate) fn is_of_delegation(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|cause| cause.is::<NotDelegated>())
}

/// A refusal of what has these types, which names the first that the token does not allow; as it is where that is no reason. A token
/// that does not allow all is passed over, and capabilities of the machine are asked for (`bpf_prog_load` and `map_create` of
/// kernel/bpf/syscall.c).
pub(super) fn explained(error: io::Error, types: &[(Kind, u32, Option<String>)]) -> io::Error {
    let Some(token) = TOKEN
        .get()
        .filter(|_| error.raw_os_error() == Some(libc::EPERM))
    else {
        return error;
    };
    let missing = missing_of(&about(token.as_fd()), types);
    missing.map_or(error, |missing| {
        io::Error::new(io::ErrorKind::PermissionDenied, missing)
    })
}

fn missing_of(about: &str, types: &[(Kind, u32, Option<String>)]) -> Option<NotDelegated> {
    types.iter().find_map(|(kind, number, word)| {
        let (name, option) = KINDS.get(*kind as usize)?;
        let allows = allowed(about, name).checked_shr(*number)? & 1 == 1;
        (!allows).then(|| NotDelegated {
            option,
            word: word.clone().unwrap_or_else(|| number.to_string()),
        })
    })
}

/// A type of map, as [`explained`] takes it.
pub(super) fn of_map(number: u32) -> (Kind, u32, Option<String>) {
    let known = MAPS.iter().find(|known| **known as u32 == number);
    let word = known.map(|known| option_word(known, "BPF_MAP_TYPE_"));
    (Kind::Map, number, word)
}

/// The types of a program, as [`explained`] takes them.
pub(super) fn of_program(
    kind: bpf_prog_type,
    attach: Option<bpf_attach_type>,
) -> [(Kind, u32, Option<String>); 2] {
    let attach = attach.unwrap_or(bpf_attach_type::BPF_CGROUP_INET_INGRESS);
    [
        (
            Kind::Program,
            kind as u32,
            Some(option_word(&kind, "BPF_PROG_TYPE_")),
        ),
        (
            Kind::Attach,
            attach as u32,
            Some(option_word(&attach, "BPF_")),
        ),
    ]
}

/// A constant of the kernel's as options of the mount say it: without what all begin with, in small letters (`bpf_parse_param` of
/// kernel/bpf/inode.c).
fn option_word(constant: &impl fmt::Debug, begins: &str) -> String {
    let name = format!("{constant:?}");
    name.strip_prefix(begins)
        .unwrap_or(&name)
        .to_ascii_lowercase()
}

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

/// Whether the bpf file system at a folder is known to be of another user namespace than this process: the kernel says so of its root
/// ahead of all else (`bpf_token_create`), and for want of CAP_BPF it says the same. One before 6.9 does not tell.
pub(crate) fn is_of_others(bpffs: &Path) -> bool {
    let has_bpf = capabilities().is_some_and(|bits| bits >> CAP_BPF & 1 == 1);
    let refused = |error: io::Error| error.raw_os_error() == Some(libc::EPERM);
    has_bpf && create(bpffs).is_err_and(refused)
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
    fn the_first_type_that_is_not_delegated_is_named_as_the_mount_names_it() {
        use super::{missing_of, of_map, of_program};
        use aya_obj::generated::{bpf_attach_type, bpf_map_type, bpf_prog_type};

        let says = |types: &[_]| missing_of(ABOUT, types).map(|one| one.to_string());
        let named = |types: &[_], word: &str, option: &str| {
            let said = says(types).unwrap();
            let (word, option) = (format!("`{word}`"), format!("`{option}`"));
            assert!(said.contains(&word) && said.contains(&option), "{said}");
        };
        assert_eq!(
            says(&[of_map(bpf_map_type::BPF_MAP_TYPE_ARRAY as u32)]),
            None
        );
        let trie = of_map(bpf_map_type::BPF_MAP_TYPE_LPM_TRIE as u32);
        named(&[trie], "lpm_trie", "delegate_maps");
        named(&[of_map(60)], "60", "delegate_maps");
        let kind = bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP;
        let attach = Some(bpf_attach_type::BPF_SK_LOOKUP);
        named(&of_program(kind, attach), "sk_lookup", "delegate_attachs");
        named(
            &of_program(kind, None),
            "cgroup_inet_ingress",
            "delegate_attachs",
        );
        let narrow = "allowed_progs:\t0x1\n";
        let said = missing_of(narrow, &of_program(kind, attach)).unwrap();
        assert_eq!((said.option, &*said.word), ("delegate_progs", "sk_lookup"));
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
