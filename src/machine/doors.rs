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
use sockc_runtime::ListenerAt;
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
    _path: Option<ListenerAt>,
}

/// Opens it, or takes what was handed over; says why that is not done.
pub(crate) fn open(door: &Door, mode: u32, output: &mut Output) -> Result<Doors, Exit> {
    let of = |sockets| Doors {
        sockets,
        _path: None,
    };
    match door {
        Door::Tcp(address) => {
            let opened = tcp(&SockAddr::from(*address));
            let what = format!("listen at {address}");
            let socket = opened.map_err(|error| failed(&what, &error, output))?;
            Ok(of(vec![socket]))
        }
        Door::Unix(path) => unix(path, mode).map_err(|error| match error {
            Opened::Refused(error) => refused(&error, output),
            Opened::Failed(error) => failed("listen there", &error, output),
        }),
        Door::HandedOver => handed_over().map(of).map_err(|why| {
            output.error(why);
            Exit::Usage
        }),
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
    Ok(Doors {
        sockets: vec![socket],
        _path: Some(listener),
    })
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

/// Hands each guest over as it comes, until the descriptor of what ends it can be read.
pub(crate) fn admit(
    doors: &[Socket],
    end: BorrowedFd<'_>,
    mut guest: impl FnMut(Socket),
) -> io::Result<()> {
    let mut places: Vec<PollFd<'_>> = vec![PollFd::new(end, PollFlags::POLLIN)];
    let entrances = doors.iter().map(AsFd::as_fd);
    places.extend(entrances.map(|door| PollFd::new(door, PollFlags::POLLIN)));
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
        let [end, entrances @ ..] = places.as_slice() else {
            return Ok(());
        };
        if ready(end) {
            return Ok(());
        }
        let came = doors.iter().zip(entrances);
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
