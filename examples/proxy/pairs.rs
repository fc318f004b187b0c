//! Hands a pair over to `sockc socket pair`: what `examples/sockc_pairs.h` does, in Rust.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};

/// Hands over the connection of the client and that to the upstream, with what was read from the client and not passed on.
/// An error says why not, and then nothing was touched.
pub(super) fn join(path: &Path, sides: [&TcpStream; 2], read: &[u8]) -> io::Result<()> {
    let keeper = connected(path)?;
    let length = u32::try_from(read.len()).map_err(io::Error::other)?;
    let head = [1, length, 0, 0].map(u32::to_ne_bytes).concat();
    let parts = [IoSlice::new(&head), IoSlice::new(read)];
    let both = sides.map(AsRawFd::as_raw_fd);
    let rights = [ControlMessage::ScmRights(&both)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(keeper.as_raw_fd(), &parts, &rights, flags, None)?;
    let mut answer = [0; 1024];
    let length = recv(keeper.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match &answer[..length] {
        b"ok" => Ok(()),
        why => Err(io::Error::other(String::from_utf8_lossy(why).into_owned())),
    }
}

fn connected(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}
