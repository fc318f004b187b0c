//! Network namespaces: find one, work inside it, its inode and cookie.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};
use serde::{Deserialize, Serialize};

use super::process;

/// `SO_NETNS_COOKIE` of `asm-generic/socket.h`, since Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The network namespace that the calling thread is in.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
    /// The inode of the namespace, which no other living namespace has.
    pub(crate) inode: u64,
    /// The kernel's cookie of the namespace, never used twice; `None` where the kernel has none.
    pub(crate) cookie: Option<u64>,
}

impl Namespace {
    /// The namespace of the calling thread.
    pub(crate) fn current() -> io::Result<Self> {
        // Not /proc/self/ns/net: that is the namespace of the process's first thread.
        let file = File::open("/proc/thread-self/ns/net")?;
        let inode = file.metadata()?.ino();
        Ok(Self {
            file,
            inode,
            cookie: cookie()?,
        })
    }
}

impl Namespace {
    /// The name of maps of a policy for this namespace, by which the programs that use them are known to be its, whatever
    /// they hang on: by the cookie, since a later namespace may have the same inode. A kernel keeps 15 bytes of it.
    pub(crate) fn mark(&self) -> String {
        let number = self.cookie.unwrap_or(self.inode);
        format!("{MARK}{number:x}").chars().take(15).collect()
    }
}

/// What all marks begin with.
const MARK: &str = "sockc_";

/// Whether a map is called as a mark is.
pub(crate) fn is_mark(title: &str) -> bool {
    of_mark(title).is_some()
}

/// The cookie in a mark; where the kernel has none, the inode.
pub(crate) fn of_mark(mark: &str) -> Option<u64> {
    u64::from_str_radix(mark.strip_prefix(MARK)?, 16).ok()
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What tells a namespace from all others. The inode of one that ended is used again, the cookie is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The inode.
    pub(crate) inode: u64,
    /// The cookie, where the kernel has one.
    pub(crate) cookie: Option<u64>,
}

impl Identity {
    /// Whether a namespace is this one. What was kept without a cookie is of a kernel, or a sockc, that had none.
    pub(crate) fn is(self, now: Self) -> bool {
        self.inode == now.inode && (self.cookie.is_none() || self.cookie == now.cookie)
    }
}

/// The identity of the namespace that has this name now.
pub(crate) fn identity(name: &str) -> io::Result<Identity> {
    identity_of(&open(name)?)
}

/// The identity of an open namespace.
pub(crate) fn identity_of(file: &File) -> io::Result<Identity> {
    Ok(Identity {
        inode: file.metadata()?.ino(),
        cookie: within(Some(file), cookie)??,
    })
}

/// No socket is no answer: what is kept has the cookie, and would look like another namespace's.
fn cookie() -> io::Result<Option<u64>> {
    let kind = SockType::Datagram;
    let socket = socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(super::socket::option(socket.as_fd(), SO_NETNS_COOKIE).ok())
}

/// Whether there is no namespace of the name that was asked for: none at all, or a file that leads to none, as one whose mount
/// is gone (which setns(2) calls EINVAL). Any other refusal says nothing of that.
pub(crate) fn is_absent(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
    )
}

/// The file of a namespace that is named as `ip netns` does, or by a path (anything with a `/`).
pub(crate) fn path_of(name: &str) -> PathBuf {
    if name.contains('/') {
        return PathBuf::from(name);
    }
    Path::new("/run/netns").join(name)
}

/// The name of the namespace with an inode, if `ip netns` gave it one.
pub(crate) fn name_of(inode: u64) -> Option<String> {
    let mut names = std::fs::read_dir(path_of("")).ok()?.flatten();
    let found = names
        .find(|entry| std::fs::metadata(entry.path()).is_ok_and(|about| about.ino() == inode))?;
    Some(found.file_name().to_string_lossy().into_owned())
}

/// A path by which a namespace can be entered that lost the name it was known by: another name, or one of a process that is in
/// it or has it open. `None` if nobody is seen here who holds it.
pub(crate) fn entrance(was: Identity) -> io::Result<Option<PathBuf>> {
    let named = name_of(was.inode).map(|name| path_of(&name));
    let processes = process::all()?;
    let inside = processes
        .iter()
        .flat_map(|process| process::namespaces(*process));
    let open = processes
        .iter()
        .flat_map(|process| process::open_namespaces(*process));
    let mut paths = named.into_iter().chain(inside).chain(open);
    // Who has ended meanwhile holds nothing, and a number may be another namespace's by now.
    let is_it = |path: &PathBuf| {
        let inode = std::fs::metadata(path).map(|about| about.ino());
        let same = |file: File| Ok(was.is(identity_of(&file)?));
        inode.is_ok_and(|inode| inode == was.inode)
            && File::open(path).and_then(same).unwrap_or(false)
    };
    Ok(paths.find(is_it))
}

/// Whether this process has another network and other mounts than the first one, as what `ip netns exec` starts has.
pub(crate) fn is_apart() -> bool {
    ["net", "mnt"].iter().all(|kind| {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{kind}"));
        // Who may not look is not told more than it can know.
        matches!((of("self"), of("1")), (Ok(own), Ok(first)) if own != first)
    })
}

/// Opens a namespace by name or path.
pub(crate) fn open(name: &str) -> io::Result<File> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a network namespace");
    let file = File::open(path_of(name)).map_err(|cause| match cause.raw_os_error() {
        // A socket: where a descriptor named it, and its number was given to another since.
        Some(libc::ENXIO) => none(),
        _ => cause,
    })?;
    // A name whose mount is gone is an ordinary file, and setns would say only "invalid argument".
    let magic = nix::sys::statfs::fstatfs(&file)?.filesystem_type();
    (magic == nix::sys::statfs::NSFS_MAGIC)
        .then_some(file)
        .ok_or_else(none)
}

/// Runs `work` in a thread of its own that has entered `namespace`, or stays in the caller's where there is none. The
/// caller's thread never changes its namespace, so a failure cannot leave it in the wrong one.
pub(crate) fn within<T: Send>(
    namespace: Option<&File>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            if let Some(namespace) = namespace {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
            }
            Ok(work())
        })?;
        // A panic is a bug in sockc and must not look like a refusal of the system.
        let done = thread.join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether the frames of an interface of the calling thread's namespace begin with an Ethernet header.
pub(crate) fn carries_ethernet(name: &str) -> io::Result<bool> {
    let kind = SockType::Datagram;
    let socket = socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: the struct is integers and arrays of them, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let place = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, byte) in place.zip(name.bytes()) {
        *to = byte.cast_signed();
    }
    // SAFETY: the request lives through the call.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            // C libraries do not agree on the type of a request.
            libc::SIOCGIFHWADDR as _,
            std::ptr::from_mut(&mut request),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just wrote this member of the union.
    let hardware = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
    Ok(hardware == libc::ARPHRD_ETHER || hardware == libc::ARPHRD_LOOPBACK)
}

/// The interfaces of the calling thread's namespace: index and name, by index.
pub(crate) fn interfaces() -> io::Result<Vec<(u32, String)>> {
    let list = nix::net::if_::if_nameindex()?;
    let mut found: Vec<(u32, String)> = list
        .iter()
        .map(|one| (one.index(), one.name().to_string_lossy().into_owned()))
        .collect();
    found.sort();
    Ok(found)
}
