//! Those who ask: each has a thread, and of each user there are a few at most, so that nobody keeps others from being answered.
//!
//! Commands that end by themselves run one after the other, with a pause between them: each holds the lock of what is in force for
//! a moment, and a change waits for one when nobody does. What they write is kept until it is read, so that who does not read
//! holds no lock. Who waits is sent a sign of life now and then, so that nobody waits for a service that is stopped. Takes sockets that listen; gives back when it is ended. Not here: what may be asked.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use clap::{CommandFactory, FromArgMatches};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::child::Running;
use super::kept::Kept;
use super::turn::Turn;
use crate::answering::frames::{self, Kind, Namespace, Request, SIGN};
use crate::answering::taken::{Taken, taken};
use crate::cli::Arguments;
use crate::machine::doors::{self, Doors};
use crate::output::Output;

/// How many may be connected at once, and how many of one user.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;
/// How long a request may take to come, and a piece of an answer to be taken.
const TO_ASK: Duration = Duration::from_secs(5);
const TO_READ: Duration = Duration::from_secs(10);
/// How long a command may run that ends by itself: it waits for locks for ten seconds.
const TO_RUN: Duration = Duration::from_secs(60);
/// How long one that was asked to end may take.
const TO_END: Duration = Duration::from_secs(5);
/// The pause after one: `apply` looks for the lock every 20 milliseconds.
const PAUSE: Duration = Duration::from_millis(100);

/// The service at work.
pub(super) struct Desk<'a> {
    end: BorrowedFd<'a>,
    own: Namespace,
    /// How many are connected of each user.
    here: Mutex<BTreeMap<u32, usize>>,
    turn: Turn,
    /// Whether nobody is let in any more, so that those who are here are to go.
    closed: AtomicBool,
    /// How many bytes of answers are kept.
    kept: AtomicUsize,
    log: Mutex<&'a mut Output>,
}

/// Why somebody is not answered any more.
enum Stop {
    /// They went away, or the service is ended.
    Gone,
    /// For this reason.
    Refused(String),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Desk<'a> {
    pub(super) fn new(end: BorrowedFd<'a>, own: Namespace, output: &'a mut Output) -> Self {
        Self {
            end,
            own,
            here: Mutex::default(),
            turn: Turn::default(),
            closed: AtomicBool::new(false),
            kept: AtomicUsize::default(),
            log: Mutex::new(output),
        }
    }

    /// Answers until the descriptor of what ends it can be read, or nobody can come any more.
    pub(super) fn serve(&self, doors: &Doors) -> io::Result<()> {
        thread::scope(|scope| {
            let done = doors::admit(doors, self.end, |guest| {
                self.admit(UnixStream::from(OwnedFd::from(guest)), scope);
            });
            self.closed.store(true, Ordering::Relaxed);
            done
        })
    }

    fn admit<'scope>(&'scope self, guest: UnixStream, scope: &'scope Scope<'scope, '_>) {
        let user = match getsockopt(&guest, PeerCredentials) {
            Ok(peer) => peer.uid(),
            Err(error) => return turn_away(&guest, &format!("who asks is not known: {error}")),
        };
        if !self.enter(user) {
            let words = format!(
                "too many ask at once: at most {MOST_OF_ONE} of one user are answered, and {MOST} in all; ask again in a moment"
            );
            return turn_away(&guest, &words);
        }
        let guest = Arc::new(guest);
        let hosted = Arc::clone(&guest);
        let work = move || {
            self.host(&hosted, user);
            self.leave(user);
        };
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
            self.leave(user);
            let words = format!("there is nobody to answer: {error}; ask again in a moment");
            turn_away(&guest, &words);
        }
    }

    fn enter(&self, user: u32) -> bool {
        let mut here = held(&self.here);
        let all: usize = here.values().sum();
        let own = here.entry(user).or_default();
        let may = *own < MOST_OF_ONE && all < MOST;
        *own += usize::from(may);
        here.retain(|_, count| *count > 0);
        may
    }

    fn leave(&self, user: u32) {
        let mut here = held(&self.here);
        if let Some(count) = here.get_mut(&user) {
            *count = count.saturating_sub(1);
        }
        here.retain(|_, count| *count > 0);
    }

    fn host(&self, guest: &UnixStream, user: u32) {
        let times = guest
            .set_nonblocking(false)
            .and_then(|()| guest.set_write_timeout(Some(TO_READ)))
            .and_then(|()| guest.set_read_timeout(Some(TO_ASK)));
        if let Err(error) = times {
            return turn_away(guest, &format!("no time can be set for it: {error}"));
        }
        // One that goes away has heard enough.
        if let Err(Stop::Refused(why)) = self.answer(guest, user) {
            let _ = frames::write(guest, Kind::Refusal, why.as_bytes());
        }
    }

    fn answer(&self, guest: &UnixStream, user: u32) -> Result<(), Stop> {
        let request = self.hear(guest)?;
        let (taken, verb) = self.checked(&request).map_err(Stop::Refused)?;
        held(&self.log).line(format!("user {user} asks: sockc {verb}"));
        match taken.stays {
            true => self.relay(guest, &request.arguments),
            false => self.whole(guest, &request.arguments),
        }
    }

    /// The request, within its time.
    fn hear(&self, guest: &UnixStream) -> Result<Request, Stop> {
        let until = Instant::now() + TO_ASK;
        let mut head = [0; 4];
        self.fill(guest, &mut head, until)?;
        let mut text = vec![0; frames::length(head).map_err(Stop::Refused)?];
        self.fill(guest, &mut text, until)?;
        Request::read(&text).map_err(Stop::Refused)
    }

    fn fill(&self, mut guest: &UnixStream, bytes: &mut [u8], until: Instant) -> Result<(), Stop> {
        let mut filled = 0;
        while filled < bytes.len() {
            let left = until.saturating_duration_since(Instant::now());
            let mut wait = [
                PollFd::new(self.end, PollFlags::POLLIN),
                PollFd::new(guest.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut wait, milliseconds(left)) {
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(cannot("wait for the request", error.into())),
                Ok(0) => return Err(Stop::Refused("the request did not come in time".to_owned())),
                Ok(_) if wait[0].any().unwrap_or_default() => return Err(Stop::Gone),
                Ok(_) => {}
            }
            match guest.read(bytes.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Err(Stop::Gone),
                Ok(count) => filled += count,
            }
        }
        Ok(())
    }

    /// Whether it is answered, by the parser of this very program; and its verb, which alone of it stands in the log: into the rest
    /// anybody could write anything.
    fn checked(&self, request: &Request) -> Result<(Taken, String), String> {
        let words = ["sockc"]
            .into_iter()
            .chain(request.arguments.iter().map(String::as_str));
        let no_command = |_| "its command line is none of a reading command".to_owned();
        let matches = Arguments::command()
            .try_get_matches_from(words)
            .map_err(no_command)?;
        let arguments = Arguments::from_arg_matches(&matches).map_err(no_command)?;
        let taken = taken(&arguments).map_err(|why| why.to_string())?;
        if !taken.elsewhere && request.namespace != self.own {
            return Err("the command runs in another network namespace than this service; name one that `ip netns list` shows by `--netns`".to_owned());
        }
        let verb = matches.subcommand_name().unwrap_or_default();
        Ok((taken, verb.to_owned()))
    }

    /// Runs a command that ends by itself, and gives its answer when it has ended.
    fn whole(&self, guest: &UnixStream, arguments: &[String]) -> Result<(), Stop> {
        let mut kept = Kept::new(&self.kept);
        let code = {
            let _turn = self.turn.take(SIGN, || self.sign(guest))?;
            let keep = |kind, bytes| kept.keep(kind, bytes).map_err(Stop::Refused);
            let code = self.run(guest, arguments, Some(TO_RUN), keep);
            thread::sleep(PAUSE);
            code?
        };
        for (kind, bytes) in kept.pieces() {
            frames::write(guest, kind, bytes)?;
        }
        Ok(frames::write(guest, Kind::Exit, &[code])?)
    }

    /// Says that the service is at work; an end if it is not to be any more, or nobody hears it.
    fn sign(&self, guest: &UnixStream) -> Result<(), Stop> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(Stop::Gone),
            false => Ok(frames::sign(guest)?),
        }
    }

    /// Runs a command that goes on, and gives what it writes as it comes.
    fn relay(&self, guest: &UnixStream, arguments: &[String]) -> Result<(), Stop> {
        let pass = |kind, bytes: Vec<u8>| Ok(frames::write(guest, kind, &bytes)?);
        let code = self.run(guest, arguments, None, pass)?;
        Ok(frames::write(guest, Kind::Exit, &[code])?)
    }

    /// Runs a command until it ends, the service is ended, or who asked goes away.
    fn run(
        &self,
        guest: &UnixStream,
        arguments: &[String],
        time: Option<Duration>,
        mut take: impl FnMut(Kind, Vec<u8>) -> Result<(), Stop>,
    ) -> Result<u8, Stop> {
        let mut hears = true;
        let mut until = time.map(|time| Instant::now() + time);
        let mut running = Running::start(arguments)
            .map_err(|error| Stop::Refused(format!("the command cannot be run: {error}")))?;
        let mut signed = Instant::now();
        while running.outputs().next().is_some() {
            if signed.elapsed() >= SIGN {
                self.sign(guest)?;
                signed = Instant::now();
            }
            let news = self.wait(guest, hears, &running, until)?;
            if news.asks_to_end {
                hears = false;
                until = Some(Instant::now() + TO_END);
                running.ask_to_end();
            }
            for place in news.outputs.into_iter().rev() {
                let read = running.read(place);
                let read = read.map_err(|error| cannot("read what the command writes", error))?;
                if let Some((kind, bytes)) = read {
                    take(kind, bytes)?;
                }
            }
        }
        let ended = running.end();
        ended.map_err(|error| Stop::Refused(format!("the command did not end by itself: {error}")))
    }

    fn wait(
        &self,
        guest: &UnixStream,
        hears: bool,
        running: &Running,
        until: Option<Instant>,
    ) -> Result<News, Stop> {
        let from_guest = match hears {
            true => PollFlags::POLLIN,
            false => PollFlags::empty(),
        };
        let mut wait = vec![
            PollFd::new(self.end, PollFlags::POLLIN),
            PollFd::new(guest.as_fd(), from_guest),
        ];
        wait.extend(
            running
                .outputs()
                .map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)),
        );
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match poll(&mut wait, milliseconds(left.unwrap_or(SIGN).min(SIGN))) {
            Err(Errno::EINTR) => return Ok(News::default()),
            Err(error) => return Err(cannot("wait for the command", error.into())),
            Ok(0) if left.is_some_and(|left| left <= SIGN) => {
                return Err(Stop::Refused("the command took too long".to_owned()));
            }
            Ok(0) => return Ok(News::default()),
            Ok(_) => {}
        }
        let came = |place: usize| {
            wait.get(place)
                .and_then(PollFd::revents)
                .unwrap_or(PollFlags::empty())
        };
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if !came(0).is_empty() || came(1).intersects(gone) {
            return Err(Stop::Gone);
        }
        let outputs = (2..wait.len()).filter(|place| !came(*place).is_empty());
        Ok(News {
            asks_to_end: !came(1).is_empty(),
            outputs: outputs.map(|place| place - 2).collect(),
        })
    }
}

/// Says why somebody is not answered. There is room for that, and nobody is waited for.
fn turn_away(guest: &UnixStream, why: &str) {
    let _ = guest.set_nonblocking(true);
    let _ = frames::write(guest, Kind::Refusal, why.as_bytes());
}

/// What was waited for.
#[derive(Default)]
struct News {
    /// Who asked says no more, or something that is no part of a request: the command is to end.
    asks_to_end: bool,
    /// The outputs that have something.
    outputs: Vec<usize>,
}

/// What the service cannot do for somebody, who may ask again.
fn cannot(what: &str, error: io::Error) -> Stop {
    Stop::Refused(format!("it cannot {what}: {error}; ask again in a moment"))
}

fn milliseconds(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX)
}
