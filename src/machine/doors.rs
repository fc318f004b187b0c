//! Where services of this command listen: at a path, at a loopback address, or where systemd does for them; and who comes there.
//!
//! Takes what the command line says; gives sockets that block nobody, and each guest as it comes. Not here: how many may be there at
//! once, and what they are told.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_runtime::{DoorPlate, ListenerAt};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{handed, refused};
use crate::cli::{Door, NOT_LOOPBACK};
use crate::exit::Exit;
use crate::output::Output;

/// How many may wait until they are accepted.
const WAITING: i32 = 1024;

/// How long what the kernel has no room for now is left.
const LATER: Duration = Duration::from_millis(20);

/// What is listened at; the file of a path goes with it.
pub(crate) struct Doors {
    pub(crate) sockets: Vec<Socket>,
    /// The files by which those of them are found that are UNIX sockets.
    plates: Vec<DoorPlate>,
    _path: Option<ListenerAt>,
}

impl Doors {
    fn of(sockets: Vec<Socket>, path: Option<ListenerAt>) -> Self {
        Self {
            plates: sockets.iter().filter_map(plate).collect(),
            sockets,
            _path: path,
        }
    }

    /// Refuses to go on where somebody took a file away by which this is found: nobody would come any more, and nobody know why.
    fn check(&self) -> io::Result<()> {
        for plate in &self.plates {
            if !plate.is_there()? {
                return Err(io::Error::other(format!(
                    "{} was removed, or replaced by another, so nobody finds this service there any more; start it again, or restart the unit of the socket that was handed over",
                    plate.path().display()
                )));
            }
        }
        Ok(())
    }
}

/// The file by which a socket is found, if it has one that is seen from here.
fn plate(socket: &Socket) -> Option<DoorPlate> {
    DoorPlate::at(socket.local_addr().ok()?.as_pathname()?).ok()
}

/// Opens it, or takes what was handed over; says why that is not done.
pub(crate) fn open(door: &Door, mode: u32, output: &mut Output) -> Result<Doors, Exit> {
    match door {
        Door::Tcp(address) => {
            let opened = tcp(&SockAddr::from(*address));
            let what = format!("listen at {address}");
            let socket = opened.map_err(|error| failed(&what, &error, output))?;
            Ok(Doors::of(vec![socket], None))
        }
        Door::Unix(path) => unix(path, mode).map_err(|error| said(&error, output)),
        Door::HandedOver => {
            let sockets = handed_over().map_err(|why| {
                output.error(why);
                Exit::Usage
            })?;
            Ok(Doors::of(sockets, None))
        }
    }
}

/// The same at the only path where those who come look for this.
pub(crate) fn open_only(path: &Path, mode: u32, output: &mut Output) -> Result<Doors, Exit> {
    unix(path, mode).map_err(|error| match error {
        Opened::Refused(sockc_runtime::Error::Path { path, why }) => {
            let [what, remedy] = why.words();
            output.error(format!(
                "cannot listen at {}: {what}; {remedy}",
                path.display()
            ));
            Exit::Refused
        }
        error => said(&error, output),
    })
}

fn said(error: &Opened, output: &mut Output) -> Exit {
    match error {
        Opened::Refused(error) => refused(error, output),
        Opened::Failed(error) => failed("listen there", error, output),
    }
}

fn tcp(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Why a path was not opened.
enum Opened {
    Refused(sockc_runtime::Error),
    Failed(io::Error),
}

fn unix(path: &Path, mode: u32) -> Result<Doors, Opened> {
    let listener = ListenerAt::stream((path, mode)).map_err(Opened::Refused)?;
    let copy = listener.fd().try_clone_to_owned();
    let socket = Socket::from(copy.map_err(Opened::Failed)?);
    Ok(Doors::of(vec![socket], Some(listener)))
}

/// The sockets that were handed to this command.
fn handed_over() -> Result<Vec<Socket>, String> {
    let descriptors = handed::descriptors("name an address")?;
    descriptors.map(one_handed_over).collect()
}

/// What others could reach is refused here as it is on the command line.
fn one_handed_over(fd: i32) -> Result<Socket, String> {
    let socket = sockc_runtime::take_over(fd)
        .map_err(|error| format!("descriptor {fd} cannot be taken: {error}"))?;
    admitted(socket).map_err(|why| format!("descriptor {fd} was handed over: {why}"))
}

fn admitted(fd: OwnedFd) -> Result<Socket, String> {
    let socket = Socket::from(fd);
    let listens = socket.is_listener().unwrap_or_default()
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    if !listens {
        return Err(
            "it is no stream socket that listens (in systemd `ListenStream=`, and `Accept=no`)"
                .to_owned(),
        );
    }
    let local = socket.local_addr().map_err(|error| error.to_string())?;
    let is_loopback = local
        .as_socket()
        .is_some_and(|local| local.ip().is_loopback());
    if !is_loopback && local.domain() != Domain::UNIX {
        return Err(NOT_LOOPBACK.to_owned());
    }
    socket
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(socket)
}

/// Hands each guest over as it comes, until the descriptor of what ends it can be read; an error also where nobody can come any more.
pub(crate) fn admit(
    doors: &Doors,
    end: BorrowedFd<'_>,
    mut guest: impl FnMut(Socket),
) -> io::Result<()> {
    let mut places: Vec<PollFd<'_>> = vec![PollFd::new(end, PollFlags::POLLIN)];
    let entrances = doors.sockets.iter().map(AsFd::as_fd);
    let plates = doors.plates.iter().map(DoorPlate::fd);
    places.extend(
        entrances
            .chain(plates)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN)),
    );
    // What was taken away before it was watched.
    doors.check()?;
    loop {
        match poll(&mut places, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            // The kernel has no memory for the list of what is waited for: a moment later it may have.
            Err(Errno::ENOMEM | Errno::EAGAIN) => {
                thread::sleep(LATER);
                continue;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let ready = |place: &PollFd<'_>| place.any().unwrap_or_default();
        let [end, others @ ..] = places.as_slice() else {
            return Ok(());
        };
        if ready(end) {
            return Ok(());
        }
        let (entrances, plates) = others.split_at(doors.sockets.len());
        if plates.iter().any(ready) {
            doors.check()?;
        }
        let came = doors.sockets.iter().zip(entrances);
        for (door, _) in came.filter(|(_, place)| ready(place)) {
            match door.accept() {
                Ok((came, _)) => guest(came),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // There are no more descriptors, or it went away: a moment later there may be.
                Err(_) => thread::sleep(LATER),
            }
        }
    }
}

fn failed(what: &str, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("cannot {what}: {error}"));
    Exit::Refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_could_reach_is_not_taken() {
        let listens = |address: &str| {
            let address: std::net::SocketAddr = address.parse().unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&address.into()).unwrap();
            socket
        };
        let idle = OwnedFd::from(listens("127.0.0.1:0"));
        assert!(admitted(idle).unwrap_err().contains("no stream socket"));
        for (address, taken) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
            let socket = listens(address);
            socket.listen(1).unwrap();
            assert_eq!(admitted(OwnedFd::from(socket)).is_ok(), taken, "{address}");
        }
    }
}
