//! Where a socket that is handed over is open, and a descriptor of it for this process.
//!
//! Takes what a caller named; gives the open socket. Not here: whether it may stand behind a name
//! (`runtime/src/sockets/registered.rs`, `runtime/src/sockets/ends.rs`).

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, at};
use crate::sys::{diag, process, socket};

/// Where a socket to be registered is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// In another process, as this descriptor.
    Process {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: i32,
    },
    /// In some process of this machine: the TCP or UDP socket with this cookie (`SO_COOKIE`), which the kernel gives to no other one.
    Cookie(u64),
    /// In this process, as this descriptor.
    Own(i32),
}

/// A socket that was handed over.
pub(super) struct Handed {
    /// A descriptor of this process.
    pub(super) fd: OwnedFd,
    /// The other process that has it open, and its descriptor, where that is known.
    pub(super) holder: Option<(u32, i32)>,
}

/// Opens each of them, for the name that it is meant for. The calling thread is in the network namespace of the name.
pub(super) fn open_all(name: &str, handovers: &[Handover]) -> Result<Vec<Handed>, Error> {
    let opened = handovers.iter().map(|handover| open(name, *handover));
    opened.collect()
}

fn open(name: &str, handover: Handover) -> Result<Handed, Error> {
    match handover {
        Handover::Own(fd) => {
            let fd = process::own_descriptor(fd).map_err(|error| {
                refused(name, format!("descriptor {fd} cannot be taken: {error}"))
            })?;
            Ok(Handed { fd, holder: None })
        }
        Handover::Process { pid, fd } => of_process(name, (pid, fd)),
        Handover::Cookie(cookie) => with_cookie(name, cookie),
    }
}

fn of_process(name: &str, (pid, fd): (u32, i32)) -> Result<Handed, Error> {
    let copy = process::descriptor(pid, fd).map_err(|error| {
        let needs = match error.raw_os_error() {
            Some(libc::EPERM) => " (this needs CAP_SYS_PTRACE)",
            _ => "",
        };
        let cause = format!("descriptor {fd} of process {pid} cannot be taken: {error}{needs}");
        refused(name, cause)
    })?;
    Ok(Handed {
        fd: copy,
        holder: Some((pid, fd)),
    })
}

fn with_cookie(name: &str, cookie: u64) -> Result<Handed, Error> {
    let gone = || {
        let cause = format!(
            "no TCP or UDP socket of this network namespace has the cookie {cookie}; `ss -e` shows cookies as `sk:` and hexadecimal digits, which are written here behind 0x"
        );
        refused(name, cause)
    };
    let found = diag::with_cookie(cookie).map_err(at("look for the socket with a cookie"))?;
    let inode = found.ok_or_else(gone)?.inode;
    let holder = process::holders(&BTreeSet::from([inode])).remove(&inode);
    let holder = holder.ok_or_else(|| {
        let cause = format!(
            "no process that can be seen here has the socket with the cookie {cookie} open"
        );
        refused(name, cause)
    })?;
    let handed = of_process(name, holder)?;
    // The descriptor may be another socket's by now.
    match socket::cookie(handed.fd.as_fd()) == Some(cookie) {
        true => Ok(handed),
        false => Err(gone()),
    }
}

/// That a socket is not taken for a name, and why.
pub(super) fn refused(name: &str, cause: String) -> Error {
    Error::Socket {
        name: name.to_owned(),
        cause,
    }
}
