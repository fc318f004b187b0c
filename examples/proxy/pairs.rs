//! Hands a pair over to `sockc socket pair`: what `examples/sockc_pairs.h` does, in Rust.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};
use socket2::SockRef;

/// What became of a pair.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The kernel moves its data from now on; the proxy closes its own descriptors.
    Joined,
    /// Nothing was touched, and why: the proxy copies by itself.
    Refused(io::Error),
    /// Whoever keeps the pairs ended in the middle of it, and nobody can tell what was moved: closing resets both connections.
    Lost,
}

/// Hands over the connection of the client and that to the upstream, with what was read from the client and not passed on.
pub(super) fn join(path: &Path, sides: [&TcpStream; 2], read: &[u8]) -> Outcome {
    let keeper = match handed_over(path, sides, read) {
        Ok(keeper) => keeper,
        Err(why) => return Outcome::Refused(why),
    };
    let mut answer = [0; 1024];
    match recv(keeper.as_raw_fd(), &mut answer, MsgFlags::empty()) {
        Ok(0) | Err(_) => {
            for side in sides {
                let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            }
            Outcome::Lost
        }
        Ok(length) => match &answer[..length] {
            b"ok" => Outcome::Joined,
            why => Outcome::Refused(io::Error::other(String::from_utf8_lossy(why).into_owned())),
        },
    }
}

fn handed_over(path: &Path, sides: [&TcpStream; 2], read: &[u8]) -> io::Result<OwnedFd> {
    let keeper = connected(path)?;
    let length = u32::try_from(read.len()).map_err(io::Error::other)?;
    let head = [1, length, 0, 0].map(u32::to_ne_bytes).concat();
    let parts = [IoSlice::new(&head), IoSlice::new(read)];
    let both = sides.map(AsRawFd::as_raw_fd);
    let rights = [ControlMessage::ScmRights(&both)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(keeper.as_raw_fd(), &parts, &rights, flags, None)?;
    Ok(keeper)
}

fn connected(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}
