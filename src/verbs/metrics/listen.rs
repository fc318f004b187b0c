//! `sockc metrics --listen`: an exporter, until SIGTERM.
//!
//! Takes where to listen, and reads the numbers when somebody asks. Not here: connections ([`super::serve`]), and what numbers
//! there are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use sockc_runtime::{Error, ListenerAt, Options};
use socket2::{Domain, SockAddr, Socket, Type};

use super::family::Metrics;
use super::gather::{Gathered, Which, gather};
use super::serve::serve;
use crate::cli::{Door, Form, NOT_LOOPBACK};
use crate::exit::Exit;
use crate::machine::handed;
use crate::machine::refused;
use crate::output::Output;

/// How many may wait until they are accepted.
const WAITING: i32 = 1024;

/// Answers until it is ended.
pub(super) fn run(
    door: &Door,
    mode: u32,
    (places, which): (&[Options], Which),
    output: &mut Output,
) -> Exit {
    // Before anything is open, so that whoever sees the door may end it.
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => return failed("hear of SIGTERM", &error, output),
    };
    let doors = match open(door, mode, output) {
        Ok(doors) => doors,
        Err(exit) => return exit,
    };
    for door in &doors.sockets {
        output.line(format!("metrics are at {}", name(door)));
    }
    let told = Mutex::new((output, Vec::new()));
    let tell = |errors: Vec<String>| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let (output, before) = &mut *told;
        // What was said at the last request need not be said again.
        for error in errors.iter().filter(|error| !before.contains(*error)) {
            output.note(error);
        }
        *before = errors;
    };
    let readings = Readings::default();
    let answer = |form, arrived| readings.text(form, arrived, places, which, &tell);
    let served = serve(&doors.sockets, end.as_fd(), &answer);
    let (output, _) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    match served {
        Ok(()) => Exit::Done,
        Err(error) => failed("listen", &error, output),
    }
}

fn failed(what: &str, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("cannot {what}: {error}"));
    Exit::Refused
}

/// What is listened at; the file of a path goes with it.
struct Doors {
    sockets: Vec<Socket>,
    _path: Option<ListenerAt>,
}

fn open(door: &Door, mode: u32, output: &mut Output) -> Result<Doors, Exit> {
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
    let socket = sockc_runtime::own_descriptor(fd)
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

/// Where a socket listens.
fn name(socket: &Socket) -> String {
    let local = socket.local_addr().ok();
    let tcp = local.as_ref().and_then(SockAddr::as_socket);
    let path = local.as_ref().and_then(SockAddr::as_pathname);
    match (tcp, path) {
        (Some(tcp), _) => format!("http://{tcp}/metrics"),
        (_, Some(path)) => format!("unix:{}, GET /metrics", path.display()),
        _ => "a socket that was handed over, GET /metrics".to_owned(),
    }
}

/// The numbers of the last requests.
#[derive(Default)]
struct Readings(Mutex<Option<Arc<Reading>>>);

/// Numbers that were read.
struct Reading {
    /// When reading began.
    began: Instant,
    metrics: Arc<Metrics>,
    texts: [OnceLock<String>; 2],
}

impl Readings {
    /// The numbers in a form, read since a moment: requests that come together are answered by one reading.
    fn text(
        &self,
        form: Form,
        arrived: Instant,
        places: &[Options],
        which: Which,
        tell: &dyn Fn(Vec<String>),
    ) -> String {
        let reading = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref().filter(|last| last.began >= arrived) {
                Some(last) => last.clone(),
                None => {
                    let began = Instant::now();
                    let Gathered { metrics, errors } = gather(places, which);
                    tell(errors.iter().map(Error::told_by_status).collect());
                    let read = Arc::new(Reading {
                        began,
                        metrics: Arc::new(metrics),
                        texts: Default::default(),
                    });
                    *last = Some(read.clone());
                    read
                }
            }
        };
        let [openmetrics, prometheus] = &reading.texts;
        let text = match form {
            Form::Openmetrics => openmetrics,
            Form::Prometheus => prometheus,
        };
        text.get_or_init(|| reading.metrics.text(form)).clone()
    }
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
