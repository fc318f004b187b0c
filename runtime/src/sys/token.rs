//! The BPF token: what a bpf file system delegates to the user namespace that it was mounted in (BPF_TOKEN_CREATE, Linux 6.9).
//!
//! Takes the folder of that file system, once, before the first map; gives the calls that make maps, programs and types what
//! they pass on to the kernel. Capabilities, and so a token, belong to the process, and so this is kept for the process. In the
//! first user namespace nothing is asked for: capabilities count there, and the kernel makes no token for it
//! (`bpf_token_create` of kernel/bpf/token.c). What else the capabilities of a user namespace allow is `caps`.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use aya_obj::generated::{BPF_F_TOKEN_FD, bpf_cmd};

use super::bpf::{attr, call_fd, number};
use super::caps;

static TOKEN: OnceLock<OwnedFd> = OnceLock::new();

/// Asks the bpf file system at this folder for a token, where this process is in a user namespace of its own. Where it gives
/// none, capabilities that miss are refused as they are without.
pub(crate) fn seek(bpffs: &Path) {
    if TOKEN.get().is_some() || caps::in_first_user_namespace() {
        return;
    }
    if let Ok(token) = create(bpffs) {
        // Another thread that was faster has the same.
        let _ = TOKEN.set(token);
    }
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

/// Whether there is one.
pub(crate) fn is_held() -> bool {
    TOKEN.get().is_some()
}

/// The flag and the descriptor that a command takes, where there is one; else zeros, which every kernel takes.
pub(super) fn passed() -> (u32, i32) {
    let passed = TOKEN.get().map(|token| (BPF_F_TOKEN_FD, token.as_raw_fd()));
    passed.unwrap_or_default()
}
