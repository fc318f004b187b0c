//! Those who hand descriptors over: the UNIX socket at which they connect, and their connections.
//!
//! A caller may connect and say nothing for as long as it likes, but not so many that nobody else can: of more than [`MOST`],
//! the one that has been silent for longest is let go. Takes a path; gives messages, and carries answers. Not here: what a
//! message means (`runtime/src/keeper/handover.rs` for pairs, `runtime/src/sockets/desk.rs` for sockets).

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::SockType;

use crate::error::{Error, Taken};
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::handed::{self, Message};
use crate::sys::process::{self, Hold};
use crate::sys::unix::{self, Connection};
use crate::sys::watched::Watched;

/// How many may be connected at once.
const MOST: usize = 256;
/// How long somebody else who begins to listen in the same folder is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How a caller's connection is known to who waits for it: this, and its number.
pub(crate) const CALLER: u64 = 1 << 63;

/// What was heard of a caller.
pub(crate) enum Heard {
    /// Nothing, now or ever.
    Nothing,
    /// A message, and its bytes.
    Message(Message, Vec<u8>),
}

/// A caller, and when it said something last, in turns.
struct Caller {
    connection: Connection,
    heard: u64,
}

/// A UNIX socket that listens at a path, whose file goes with it.
#[derive(Debug)]
pub struct ListenerAt {
    listener: OwnedFd,
    path: PathBuf,
    /// The file at the path, by device and inode.
    file: Option<(u64, u64)>,
}

/// The file by which others find a UNIX socket that listens, as it was found once.
#[derive(Debug)]
pub struct DoorPlate {
    events: Watched,
    path: PathBuf,
    file: (u64, u64),
}

impl DoorPlate {
    /// Watches the file at a path.
    ///
    /// # Errors
    ///
    /// What the kernel refuses; also if nothing is there.
    pub fn at(path: &Path) -> io::Result<Self> {
        // First, so that nothing goes unseen between the two.
        let events = Watched::folder(path.parent().unwrap_or(path))?;
        Ok(Self {
            events,
            path: path.to_owned(),
            file: number(&fs::symlink_metadata(path)?),
        })
    }

    /// What can be read once something changed in its folder.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.events.fd()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there still, and no other in its place.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn is_there(&self) -> io::Result<bool> {
        self.events.clear()?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok(number(&there) == self.file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// All of them.
pub(crate) struct Callers {
    listener: ListenerAt,
    /// The maximum size of a message, in bytes.
    room: usize,
    connected: BTreeMap<u64, Caller>,
    turn: u64,
}

impl ListenerAt {
    /// Listens for streams at a path, with the mode of its file; the socket blocks nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if something else is there, and what the kernel refuses.
    pub fn stream(place: (&Path, u32)) -> Result<Self, Error> {
        Self::listen(place, SockType::Stream)
    }

    /// The socket.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Listens; a file at the path that no socket is bound to any more is replaced. Of several that begin at once one does.
    fn listen((path, mode): (&Path, u32), kind: SockType) -> Result<Self, Error> {
        let refused = |cause| Error::Listen {
            path: path.to_owned(),
            cause,
        };
        let _alone = alone(path).map_err(refused)?;
        if let Some(why) = taken(path).map_err(refused)? {
            let path = path.to_owned();
            return Err(Error::Path { path, why });
        }
        if fs::symlink_metadata(path).is_ok() {
            fs::remove_file(path).map_err(refused)?;
        }
        let listener = unix::listen(path, mode, kind).map_err(refused)?;
        let file = fs::symlink_metadata(path).as_ref().map(number).ok();
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }
}

/// What of others is at a path, if something is that is not to be replaced.
fn taken(path: &Path) -> io::Result<Option<Taken>> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    if !there.file_type().is_socket() {
        return Ok(Some(Taken::NoSocket));
    }
    if unix::answers(path) {
        return Ok(Some(Taken::Listens));
    }
    Ok(unix::is_bound(path)?.then_some(Taken::Bound))
}

impl Callers {
    /// Listens at a path.
    pub(crate) fn listen(place: (&Path, u32), room: usize) -> Result<Self, Error> {
        Ok(Self {
            listener: ListenerAt::listen(place, SockType::SeqPacket)?,
            room,
            connected: BTreeMap::new(),
            turn: 0,
        })
    }

    /// What becomes readable when somebody connects.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.fd()
    }

    /// Takes in those that have connected. A process that has many descriptors keeps some free for them.
    pub(crate) fn accept(&mut self, epoll: &Epoll) {
        while let Ok(Some(connection)) = unix::accept(self.listener.fd()) {
            if self.connected.len() >= MOST {
                self.let_one_go();
            }
            self.turn += 1;
            let token = CALLER | self.turn;
            let added = epoll.add(connection.fd(), token, Interest::Readable);
            if added.is_ok() {
                let heard = self.turn;
                self.connected.insert(token, Caller { connection, heard });
            }
        }
    }

    fn let_one_go(&mut self) {
        let silent = self.connected.iter().min_by_key(|(_, caller)| caller.heard);
        if let Some(token) = silent.map(|(token, _)| *token) {
            self.connected.remove(&token);
        }
    }

    /// The next message of a caller; one that has closed its connection is forgotten.
    pub(crate) fn hear(&mut self, token: u64) -> Heard {
        let Some(caller) = self.connected.get_mut(&token) else {
            return Heard::Nothing;
        };
        let mut bytes = vec![0; self.room];
        match handed::message(caller.connection.fd(), &mut bytes) {
            Ok(None) => Heard::Nothing,
            Ok(Some(message)) if message.length > 0 => {
                self.turn += 1;
                caller.heard = self.turn;
                Heard::Message(message, bytes)
            }
            _ => {
                self.connected.remove(&token);
                Heard::Nothing
            }
        }
    }

    /// The process that a caller is, and its user.
    pub(crate) fn who(&self, token: u64) -> Option<(i32, u32)> {
        let caller = self.connected.get(&token)?;
        caller.connection.peer().ok()
    }

    /// Answers a caller. Who reads no answers hands nothing over any more.
    pub(crate) fn answer(&mut self, token: u64, answer: &str) {
        let caller = self.connected.get_mut(&token);
        let written = caller.map(|caller| caller.connection.write_all(answer.as_bytes()));
        if written.is_some_and(|written| written.is_err()) {
            self.connected.remove(&token);
        }
    }
}

impl Drop for ListenerAt {
    /// Takes the file away, unless another one stands at its path by now.
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).as_ref().map(number).ok();
        if there.is_some() && there == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn number(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Keeps others of sockc from beginning to listen in the folder of a path, as long as what it gives lives: a path that nobody
/// listens at is replaced in two steps.
fn alone(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    let began = Instant::now();
    while !process::lock(folder.as_fd(), Hold::Alone)? {
        if began.elapsed() >= PATIENCE {
            return Err(io::Error::other("somebody keeps its folder locked"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("sockc-callers-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn begins(path: &Path, mode: u32) -> Result<Callers, Error> {
        Callers::listen((path, mode), 64)
    }

    #[test]
    fn a_path_has_its_mode_whatever_the_mask() {
        let folder = Folder::new("mode");
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let path = folder.0.join("path");
            let _callers = begins(&path, mode).unwrap();
            let there = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(there & 0o7777, mode);
        }
    }

    #[test]
    fn a_path_that_somebody_has_is_left_alone() {
        let folder = Folder::new("taken");
        let path = folder.0.join("path");
        let first = begins(&path, 0o600).unwrap();
        let Err(Error::Path { why, .. }) = begins(&path, 0o600) else {
            panic!("two listen at one path");
        };
        assert_eq!(why, Taken::Listens);
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        let Err(Error::Path { why, .. }) = begins(&path, 0o600) else {
            panic!("a file is replaced");
        };
        assert_eq!(why, Taken::NoSocket);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    /// A path of somebody who was killed is taken over; of several at once that do so, one does.
    #[test]
    fn a_path_that_nobody_listens_at_is_replaced_once() {
        let folder = Folder::new("stale");
        let path = folder.0.join("path");
        for _ in 0..50 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let started = thread::scope(|scope| {
                let all = [(); 4].map(|()| scope.spawn(|| begins(&path, 0o600)));
                all.map(|one| one.join().unwrap())
            });
            let ones: Vec<Callers> = started.into_iter().flatten().collect();
            assert_eq!(ones.len(), 1);
            assert!(unix::answers(&path));
        }
    }

    /// Somebody who has bound the path and is about to listen does so undisturbed.
    #[test]
    fn a_path_that_a_socket_is_bound_to_is_left_alone() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
        let folder = Folder::new("bound");
        let path = folder.0.join("a path");
        for kind in [SockType::SeqPacket, SockType::Stream, SockType::Datagram] {
            let unix = AddressFamily::Unix;
            let first = socket(unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
            bind(first.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
            let Err(Error::Path { why, .. }) = begins(&path, 0o600) else {
                panic!("what {kind:?} is bound to is replaced");
            };
            assert_ne!(why, Taken::NoSocket);
            drop(first);
            drop(begins(&path, 0o600).unwrap());
        }
    }

    /// Who listened there is gone, and a connection that came by it is not.
    #[test]
    fn a_path_that_was_listened_at_is_replaced_beside_its_connections() {
        let folder = Folder::new("accepted");
        let path = folder.0.join("path");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let accepted = listener.accept().unwrap();
        drop(listener);
        drop(begins(&path, 0o600).unwrap());
        drop((client, accepted));
    }

    #[test]
    fn what_stands_at_the_path_by_now_is_not_taken_away() {
        let folder = Folder::new("other");
        let path = folder.0.join("path");
        let first = begins(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let second = begins(&path, 0o600).unwrap();
        drop(first);
        assert!(unix::answers(&path));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(second);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
