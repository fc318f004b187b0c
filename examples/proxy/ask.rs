//! A message with descriptors to a command of sockc, and its answer.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};

/// Sends it, and gives the answer: `None` if none came. An error means that nothing was sent.
pub(super) fn ask(
    path: &Path,
    parts: &[IoSlice<'_>],
    descriptors: &[RawFd],
) -> io::Result<Option<String>> {
    let other = connected(path)?;
    let rights = [ControlMessage::ScmRights(descriptors)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(other.as_raw_fd(), parts, &rights, flags, None)?;
    let mut answer = [0; 1024];
    Ok(
        match recv(other.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Ok(0) | Err(_) => None,
            Ok(length) => Some(String::from_utf8_lossy(&answer[..length]).into_owned()),
        },
    )
}

fn connected(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}
