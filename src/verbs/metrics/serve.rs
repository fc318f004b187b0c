//! Connections of an exporter: each has a thread of its own and little time, so that none keeps others waiting.
//!
//! Of more than [`MOST`] at once the oldest is let go. Requests that come while the numbers are being read get the next ones,
//! together. Takes sockets that listen, what ends it, and what answers; gives back when it is ended. Not here: where it listens.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::request::{self, Asked, Refusal};
use crate::cli::Form;
use crate::machine::doors::{self, Doors};

/// How many may be connected at once.
const MOST: usize = 64;
/// How many threads there may be: those that were let go are about to end.
const MOST_THREADS: usize = 4 * MOST;
/// How long a request may take to come.
const TO_ASK: Duration = Duration::from_secs(5);
/// How long an answer may take to be read.
const TO_READ: Duration = Duration::from_secs(10);
/// How long those that read an answer have when the exporter is ended.
const TO_END: Duration = Duration::from_secs(2);

/// Gives the text in a form, of numbers that were read after a moment.
pub(super) type Answer<'a> = &'a (dyn Fn(Form, Instant) -> String + Sync);

/// Answers until the descriptor of what ends it can be read.
pub(super) fn serve(doors: &Doors, end: BorrowedFd<'_>, answer: Answer<'_>) -> io::Result<()> {
    let guests = Guests::default();
    thread::scope(|scope| {
        let done = doors::admit(doors, end, |guest| guests.admit(guest, scope, answer));
        guests.end();
        done
    })
}

/// Those that are connected, by the order in which they came.
#[derive(Default)]
struct Guests {
    here: Mutex<Here>,
}

#[derive(Default)]
struct Here {
    next: u64,
    threads: usize,
    connected: BTreeMap<u64, Socket>,
}

impl Guests {
    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit<'scope>(
        &'scope self,
        guest: Socket,
        scope: &'scope Scope<'scope, '_>,
        answer: Answer<'scope>,
    ) {
        let mut here = self.here();
        if here.threads >= MOST_THREADS {
            return;
        }
        let Ok(copy) = guest.try_clone() else { return };
        while here.connected.len() >= MOST {
            if let Some((_, oldest)) = here.connected.pop_first() {
                let _ = oldest.shutdown(Shutdown::Both);
            }
        }
        let number = here.next;
        here.next += 1;
        let work = move || {
            // One that goes away has heard enough.
            let _ = host(&guest, answer);
            let mut here = self.here();
            here.connected.remove(&number);
            here.threads -= 1;
        };
        if thread::Builder::new().spawn_scoped(scope, work).is_ok() {
            here.threads += 1;
            here.connected.insert(number, copy);
        }
    }

    /// Lets all go: those that still ask now, those that read in a moment.
    fn end(&self) {
        let began = Instant::now();
        for guest in self.here().connected.values() {
            let _ = guest.shutdown(Shutdown::Read);
        }
        while !self.here().connected.is_empty() && began.elapsed() < TO_END {
            thread::sleep(Duration::from_millis(5));
        }
        for guest in self.here().connected.values() {
            let _ = guest.shutdown(Shutdown::Both);
        }
    }
}

/// Hears a request and answers it.
fn host(guest: &Socket, answer: Answer<'_>) -> io::Result<()> {
    guest.set_nonblocking(false)?;
    let arrived = Instant::now();
    match hear(guest, arrived + TO_ASK)? {
        Asked::Metrics(form) => {
            let text = answer(form, arrived);
            let until = Instant::now() + TO_READ;
            tell(guest, request::head(form, text.len()).as_bytes(), until)?;
            tell(guest, text.as_bytes(), until)?;
        }
        Asked::Refused(refusal) => tell(guest, &refusal.answer(), Instant::now() + TO_READ)?,
    }
    guest.shutdown(Shutdown::Write)?;
    // What is not read yet would have the kernel reset the connection, and the answer with it.
    let until = Instant::now() + Duration::from_secs(1);
    let mut rest = [0; 4096];
    let mut most = 64;
    while most > 0 && read(guest, &mut rest, until)? > 0 {
        most -= 1;
    }
    Ok(())
}

fn hear(guest: &Socket, until: Instant) -> io::Result<Asked> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        let count = match read(guest, &mut part, until) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Ok(Asked::Refused(Refusal::TooSlow));
            }
            count => count?,
        };
        if count == 0 {
            return match bytes.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(Asked::Refused(Refusal::Garbage)),
            };
        }
        bytes.extend_from_slice(&part[..count]);
        if bytes.len() > request::MOST {
            return Ok(Asked::Refused(Refusal::TooLong));
        }
        if request::is_whole(&bytes) {
            return Ok(request::asked(&bytes));
        }
    }
}

/// How long is left; an error where that is nothing.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.as_millis() {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(left),
    }
}

/// What a call gave; `None` where it is to be made again.
fn again(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

fn read(mut guest: &Socket, bytes: &mut [u8], until: Instant) -> io::Result<usize> {
    loop {
        guest.set_read_timeout(Some(left(until)?))?;
        if let Some(count) = again(guest.read(bytes))? {
            return Ok(count);
        }
    }
}

fn tell(mut guest: &Socket, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        guest.set_write_timeout(Some(left(until)?))?;
        if let Some(count) = again(guest.write(bytes))? {
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }
    Ok(())
}
