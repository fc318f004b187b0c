//! A command that has not the rights to read: it has the service at [`ANSWERS_AT`] answer, and passes on what that says.
//!
//! Only who listens there as root is believed. Not here: which commands are asked for ([`super::taken`]).

use std::fs;
use std::io;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, User, geteuid, getuid};
use socket2::{Domain, SockAddr, Socket, Type};

use super::frames::{self, Kind, Namespace, Request, SILENCE};
use super::is_roots_alone;
use super::taken::{Taken, Unanswered, taken};
use crate::cli::{ANSWERS_AT, Arguments};
use crate::exit::Exit;
use crate::output::{Output, harmless};

/// What a service is that is silent, and who can do something about it.
const STOPPED: &str =
    "it is stopped, or hangs; root sees it by `pgrep -af 'sockc answer'`, and may start it again";

/// How the command ended that the service ran in the place of this one; `None` where this one is to run by itself: it has the
/// rights, it is none that is answered, or nobody answers. What else could be done is noted then.
pub(crate) fn instead(arguments: &Arguments, output: &mut Output) -> Option<Exit> {
    let taken = match taken(arguments) {
        Err(Unanswered::Verb) => return None,
        Err(why) if lacks_rights(false) => {
            note_unanswered(why, output);
            return None;
        }
        Ok(taken) if lacks_rights(taken.elsewhere) => taken,
        _ => return None,
    };
    let words = std::env::args_os()
        .skip(1)
        .map(|word| word.into_string().ok());
    let words: Vec<String> = words.collect::<Option<_>>()?;
    let stream = match connected() {
        Ok(stream) => stream?,
        Err(note) => {
            output.note(note);
            return None;
        }
    };
    let ended = asked(&stream, words, taken, output);
    Some(ended.unwrap_or_else(|why| {
        output.error(why);
        Exit::Refused
    }))
}

/// Whether this process cannot do it by itself. The service is root's, and what it runs asks nobody in turn.
fn lacks_rights(elsewhere: bool) -> bool {
    !geteuid().is_root() && !sockc_runtime::missing_rights(elsewhere).is_empty()
}

/// Says what of a command is not answered, where a service may be.
fn note_unanswered(why: Unanswered, output: &mut Output) {
    if Path::new(ANSWERS_AT).exists() {
        output.note(format!("of `sockc answer` at {ANSWERS_AT}: {why}"));
    }
}

/// The service's connection, if somebody answers there; what is to be known where it may not be used.
fn connected() -> Result<Option<UnixStream>, String> {
    let path = Path::new(ANSWERS_AT);
    let folder = path
        .parent()
        .and_then(|folder| fs::symlink_metadata(folder).ok());
    match folder.as_ref().map(is_roots_alone) {
        None => return Ok(None),
        Some(false) => {
            return Err(format!(
                "others than root can change the folder of {ANSWERS_AT}, so nobody is asked there"
            ));
        }
        Some(true) => {}
    }
    match connect(path) {
        Ok(stream) => believed(stream).map(Some),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(not_let_in(path)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(format!(
            "{ANSWERS_AT} is there, and no `sockc answer` listens: it has ended; once root has started it again, members of its group are answered"
        )),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(format!(
            "so many wait at {ANSWERS_AT} that nobody else can, and none is let in: {STOPPED}"
        )),
        Err(_) => Ok(None),
    }
}

/// Connects, and waits for nobody longer than the service may be silent: neither to be let in, nor to write or to read.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(SILENCE))?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

fn believed(stream: UnixStream) -> Result<UnixStream, String> {
    match getsockopt(&stream, PeerCredentials) {
        Ok(peer) if peer.uid() == 0 => Ok(stream),
        Ok(peer) => Err(format!(
            "the user {} listens at {ANSWERS_AT}, and not root, so nobody is asked there",
            peer.uid()
        )),
        Err(error) => Err(format!("who listens at {ANSWERS_AT} is not known: {error}")),
    }
}

fn not_let_in(path: &Path) -> String {
    let group = fs::symlink_metadata(path)
        .ok()
        .map(|about| Gid::from_raw(about.gid()));
    let named = group.and_then(|group| Group::from_gid(group).ok().flatten());
    let own = User::from_uid(getuid()).ok().flatten();
    let listed = |group: &Group| own.is_some_and(|own| group.mem.contains(&own.name));
    let remedy = match named.as_ref().is_some_and(listed) {
        true => "the user is in it since this session began: log in again, or use `newgrp`",
        false => "ask the administrator to be taken into that group",
    };
    let group = named
        .map(|group| group.name)
        .or(group.map(|group| group.to_string()));
    format!(
        "{ANSWERS_AT}, where `sockc answer` has reading commands answered, is for the group {}, and this process may not write there; {remedy}",
        group.unwrap_or_default()
    )
}

/// Asks, and passes on what comes; or says why the answer is not whole.
fn asked(
    mut stream: &UnixStream,
    words: Vec<String>,
    taken: Taken,
    output: &mut Output,
) -> Result<Exit, String> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("what came from {ANSWERS_AT} is not understood: {error}")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
            "the service at {ANSWERS_AT} has said nothing for {} seconds, not even that it is at work: {STOPPED}",
            SILENCE.as_secs()
        ),
        _ => format!(
            "the service at {ANSWERS_AT} ended the connection before its answer was whole; what was printed may lack its end"
        ),
    };
    let end = match taken.stays {
        true => Some(
            sockc_runtime::end_signals()
                .map_err(|error| format!("cannot hear of SIGTERM: {error}"))?,
        ),
        false => None,
    };
    let namespace = Namespace::own()
        .map_err(|error| format!("the own network namespace is not known: {error}"))?;
    let request = Request::new(namespace, words).bytes();
    let request = request.map_err(|why| {
        format!("the service at {ANSWERS_AT} cannot be sent the command line: {why}")
    })?;
    // Who refuses before it has heard all says why.
    let _ = stream.write_all(&request);
    let mut end = end;
    loop {
        if is_asked_to_end(stream, end.as_ref()).map_err(cut)? {
            // The service has the command end as a signal would, and passes on what it says then.
            let _ = stream.shutdown(Shutdown::Write);
            end = None;
        }
        let (kind, bytes) = frames::read(stream).map_err(cut)?;
        match kind {
            Kind::Results => {
                output.bytes(&bytes);
                if taken.stays && output.is_broken() {
                    output.passed_on();
                    return Ok(Exit::Done);
                }
            }
            Kind::Messages => output.message_bytes(&bytes),
            Kind::Sign => {}
            Kind::Refusal => {
                let why = harmless(&String::from_utf8_lossy(&bytes));
                return Err(format!("the service at {ANSWERS_AT} refuses: {why}"));
            }
            Kind::Exit => {
                let code = bytes.first().and_then(|code| Exit::of(*code));
                output.passed_on();
                return code.ok_or_else(|| format!("the command that the service at {ANSWERS_AT} ran ended with {bytes:?}, which is no code of sockc"));
            }
        }
    }
}

/// Waits until something can be read; whether a signal asks the command to end before that.
fn is_asked_to_end(stream: &UnixStream, end: Option<&OwnedFd>) -> io::Result<bool> {
    let Some(end) = end else { return Ok(false) };
    let mut wait = [
        PollFd::new(end.as_fd(), PollFlags::POLLIN),
        PollFd::new(stream.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        let silence = PollTimeout::try_from(SILENCE).unwrap_or(PollTimeout::MAX);
        match poll(&mut wait, silence) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(wait[0].any().unwrap_or_default()),
        }
    }
}
