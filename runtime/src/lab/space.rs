//! A network namespace without a name, and closures run inside it.
//!
//! The namespace lives as long as the descriptors held here. A closure runs in a thread of its own that enters it, so
//! the caller's thread never changes its namespace and a panic inside cannot leave it in the wrong one.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::error::{Error, While};

/// Where the bpffs of a [`Space::with_bpffs`] is mounted; the kernel makes this folder wherever it knows BPF.
pub const BPFFS: &str = "/sys/fs/bpf";

/// A network namespace, with or without a mount namespace of its own.
#[derive(Debug)]
pub struct Space {
    net: File,
    mounts: Option<File>,
}

impl Space {
    /// A new network namespace.
    pub fn new() -> Result<Self, Error> {
        enter_new(|| {
            unshare(CloneFlags::CLONE_NEWNET).doing(|| "making a network namespace".into())?;
            Ok(Self {
                net: own_namespace("net")?,
                mounts: None,
            })
        })
    }

    /// A new network namespace, and a mount namespace with an empty bpffs.
    pub fn with_bpffs() -> Result<Self, Error> {
        enter_new(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .doing(|| "making a network and a mount namespace".into())?;
            mount_bpffs()?;
            Ok(Self {
                net: own_namespace("net")?,
                mounts: Some(own_namespace("mnt")?),
            })
        })
    }

    /// The descriptor of the network namespace.
    #[must_use]
    pub fn net(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// Runs a closure inside; its panic goes on in the caller. Where the space has its own mounts, the closure's
    /// working folder is `/`.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let inside = || {
            self.enter()?;
            Ok(work())
        };
        thread::scope(|scope| {
            scope
                .spawn(inside)
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    fn enter(&self) -> Result<(), Error> {
        if let Some(mounts) = &self.mounts {
            // A thread may change its mount namespace only when it shares its working folder with no other.
            unshare(CloneFlags::CLONE_FS).doing(|| "leaving the shared working folder".into())?;
            setns(mounts, CloneFlags::CLONE_NEWNS)
                .doing(|| "entering the lab's mount namespace".into())?;
        }
        setns(&self.net, CloneFlags::CLONE_NEWNET)
            .doing(|| "entering the lab's network namespace".into())
    }
}

/// Runs the making of namespaces in a thread that ends with it.
fn enter_new(make: impl FnOnce() -> Result<Space, Error> + Send) -> Result<Space, Error> {
    thread::scope(|scope| {
        scope
            .spawn(make)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn own_namespace(kind: &str) -> Result<File, Error> {
    let path = format!("/proc/thread-self/ns/{kind}");
    File::open(&path).doing(|| format!("opening {path}"))
}

fn mount_bpffs() -> Result<(), Error> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .doing(|| "keeping the lab's mounts to itself".into())?;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), none)
        .doing(|| format!("mounting a bpffs at {BPFFS}"))
}
