//! A pair of connections, as a proxy has them: handed over to those who keep pairs, and looked at from both ends.
//!
//! Takes the path at which pairs are kept; gives what came out at each end. Not here: who keeps them ([`crate::keep_pairs`]).

use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};
use nix::unistd::mkdtemp;

use super::error::{Error, While};
use crate::sys::retry::again;

/// How long what is written may take to the other end.
const PATIENCE: Duration = Duration::from_secs(10);
/// What each end writes.
const SAID: [&[u8]; 2] = [b"to the upstream", b"to the client"];

/// Where pairs are handed over, in a folder that only we may enter; both go when this does.
#[derive(Debug)]
pub struct Desk(PathBuf);

impl Desk {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The kernel's refusal of the folder.
    pub fn new() -> Result<Self, Error> {
        let template = std::env::temp_dir().join("sockc-try-XXXXXX");
        let folder = mkdtemp(&template).doing(|| format!("making {}", template.display()))?;
        Ok(Self(folder))
    }

    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.join("pairs")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether what each end of a new pair wrote came out at the other one: the client's, then the upstream's. Both are connections over
/// `lo` of the calling thread's namespace, which are handed over as a proxy does.
///
/// # Errors
///
/// A refusal of the kernel, or of those who keep pairs, in their words.
pub fn pair(desk: &Desk) -> Result<[bool; 2], Error> {
    let [to_proxy, to_upstream] = [connection()?, connection()?];
    let (client, upstream) = (to_proxy.0, to_upstream.1);
    hand_over(&desk.path(), [&to_proxy.1, &to_upstream.0])
        .doing(|| "handing a pair over".into())?;
    drop((to_proxy.1, to_upstream.0));
    let ways = [(&client, &upstream), (&upstream, &client)];
    let mut came = [false; 2];
    for (((from, to), said), came) in ways.into_iter().zip(SAID).zip(&mut came) {
        *came = passes(from, to, said).doing(|| "writing to an end of a pair".into())?;
    }
    Ok(came)
}

/// The end that connects, and the one that was accepted.
fn connection() -> Result<(TcpStream, TcpStream), Error> {
    let made = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        Ok::<_, io::Error>((near, far))
    };
    made().doing(|| "making a connection".into())
}

/// As docs/streams.md says it.
fn hand_over(path: &Path, sides: [&TcpStream; 2]) -> io::Result<()> {
    let keeper = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    connect(keeper.as_raw_fd(), &UnixAddr::new(path)?)?;
    let head = [1u32, 0, 0, 0].map(u32::to_ne_bytes).concat();
    let both = sides.map(AsRawFd::as_raw_fd);
    let rights = [ControlMessage::ScmRights(&both)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(
        keeper.as_raw_fd(),
        &[IoSlice::new(&head)],
        &rights,
        flags,
        None,
    )?;
    let mut answer = [0; 1024];
    let length = again(|| Ok(recv(keeper.as_raw_fd(), &mut answer, MsgFlags::empty())?))?;
    match &answer[..length] {
        b"ok" => Ok(()),
        why => Err(io::Error::other(String::from_utf8_lossy(why).into_owned())),
    }
}

/// Whether what one end writes comes out at the other.
fn passes(mut from: &TcpStream, mut to: &TcpStream, said: &[u8]) -> io::Result<bool> {
    from.write_all(said)?;
    to.set_read_timeout(Some(PATIENCE))?;
    let mut heard = vec![0; said.len()];
    match to.read_exact(&mut heard) {
        Ok(()) => Ok(heard == said),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
