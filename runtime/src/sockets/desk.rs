//! Where services hand over their own sockets: a UNIX socket at which each says behind which name.
//!
//! A message is [`HEAD`] bytes, two `u32` in host order: [`KIND`] and 0. Then the name comes. With it come the sockets, as
//! descriptors. The answer is `ok` and which slots hold them now, or why not in words. Takes options and a path; works until it is told
//! to end, whatever policy is in force meanwhile, and keeps no socket open. Not here: which sockets may stand behind a name
//! ([`super::registered`]), and who connects (`runtime/src/callers.rs`).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::handover::Handed;
use super::registered::{Held, Registered, may_be_handed_over, register};
use crate::active;
use crate::callers::{CALLER, Callers, Heard};
use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
use crate::state::Access;
use crate::sys::epoll::{self, Epoll, Interest};
use crate::sys::handed::Message;

/// What a message of this kind begins with; that of a pair begins with 1.
const KIND: u32 = 2;
/// Bytes of the numbers ahead.
const HEAD: usize = 8;
/// The maximum length of a name in bytes. One that no policy declares is refused anyway.
const NAME: usize = 255;
/// How many messages of a caller are taken before others have their turn.
const MESSAGES: usize = 64;
/// How long is waited when nothing happens.
const LONG: Duration = Duration::from_secs(3600);

/// By which numbers what is waited for is known.
const LISTENER: u64 = 0;
const SIGNAL: u64 = 1;

/// What happens at a desk.
#[derive(Clone, Copy, Debug)]
pub enum DeskEvent<'a> {
    /// Services can connect.
    Ready,
    /// Sockets stand behind a name.
    Taken(&'a Caller, &'a Registered),
    /// Nothing was changed, and why.
    Refused(&'a Caller, &'a str),
}

/// Who hands something over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the socket in the policy; empty where the message says none.
    pub name: String,
    /// The process, where it can be told.
    pub process: Option<i32>,
    /// Its user.
    pub uid: Option<u32>,
}

/// How many messages had which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeskCount {
    /// Their sockets stood behind their names.
    pub taken: u64,
    /// Nothing was changed.
    pub refused: u64,
}

/// Takes sockets that services hand over at `listen`, a path of a UNIX socket and its mode, until SIGTERM or SIGINT; of the names in
/// `only`, or of all where it is empty. `tell` hears of all that happens.
///
/// # Errors
///
/// Any [`Error`] at the start; later ones are answers to those who hand over.
pub fn socket_listen(
    options: &Options,
    listen: (&Path, u32),
    only: &[String],
    tell: &mut dyn FnMut(DeskEvent<'_>),
) -> Result<DeskCount, Error> {
    let what = "wait for sockets";
    // What is missing is said now, and not to each service.
    session::enter(options, |_| Ok(()))?;
    check_names(options, only)?;
    let signals = epoll::end_signals().map_err(at(what))?;
    let callers = Callers::listen(listen, HEAD + NAME)?;
    let epoll = Epoll::new().map_err(at(what))?;
    for (fd, token) in [(callers.fd(), LISTENER), (signals.as_fd(), SIGNAL)] {
        epoll.add(fd, token, Interest::Readable).map_err(at(what))?;
    }
    tell(DeskEvent::Ready);
    let mut desk = Desk {
        options,
        only,
        callers,
        tell,
        count: DeskCount::default(),
    };
    loop {
        for event in epoll.wait(LONG).map_err(at(what))? {
            match event.token {
                SIGNAL => return Ok(desk.count),
                LISTENER => desk.callers.accept(&epoll),
                token if token & CALLER != 0 => desk.hear(token),
                _ => {}
            }
        }
    }
}

/// Refuses names behind which the policy in force lets nothing be handed over. Where none is in force yet, nobody can tell.
fn check_names(options: &Options, names: &[String]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let checked = active::with(options, Access::Read, |active| {
        let mut names = names.iter();
        names.try_for_each(|name| may_be_handed_over(active, name))
    });
    match checked {
        Err(Error::NothingInForce) => Ok(()),
        checked => checked,
    }
}

/// At work.
struct Desk<'a> {
    options: &'a Options,
    only: &'a [String],
    callers: Callers,
    tell: &'a mut dyn FnMut(DeskEvent<'_>),
    count: DeskCount,
}

impl Desk<'_> {
    /// Messages of a caller; each is answered.
    fn hear(&mut self, token: u64) {
        for _ in 0..MESSAGES {
            let Heard::Message(message, bytes) = self.callers.hear(token) else {
                return;
            };
            let who = self.callers.who(token);
            let mut caller = Caller {
                name: String::new(),
                process: who
                    .map(|(process, _)| process)
                    .filter(|process| *process > 0),
                uid: who.map(|(_, uid)| uid),
            };
            let taken = read(message, &bytes).and_then(|(name, sockets)| {
                caller.name.clone_from(&name);
                self.take(&name, sockets)
            });
            let answer = match taken {
                Ok(registered) => {
                    self.count.taken += 1;
                    (self.tell)(DeskEvent::Taken(&caller, &registered));
                    let held = registered.held.iter().map(|held| Held::name(*held));
                    format!("ok {}", held.collect::<Vec<_>>().join(" "))
                }
                Err(why) => {
                    self.count.refused += 1;
                    (self.tell)(DeskEvent::Refused(&caller, &why));
                    why
                }
            };
            self.callers.answer(token, &answer);
        }
    }

    fn take(&self, name: &str, sockets: Vec<OwnedFd>) -> Result<Registered, String> {
        if !self.only.is_empty() && !self.only.iter().any(|one| one == name) {
            return Err(format!(
                "the name \"{name}\" is not among those whose sockets are taken here"
            ));
        }
        let handed = sockets.into_iter().map(|fd| Handed { fd, holder: None });
        let handed: Vec<Handed> = handed.collect();
        let done = active::with(self.options, Access::Change, |active| {
            register(active, name, &handed)
        });
        done.map_err(|error| error.to_string())
    }
}

/// The name and the sockets of a message.
fn read(message: Message, bytes: &[u8]) -> Result<(String, Vec<OwnedFd>), String> {
    if message.cut {
        return Err(format!(
            "the message is too long, or a descriptor found no room: a name has at most {NAME} bytes, and a socket of each kind can stand behind it"
        ));
    }
    let bytes = bytes.get(..message.length).unwrap_or_default();
    let name = name(bytes)?;
    match message.descriptors.is_empty() {
        true => Err("no descriptor came with the message".to_owned()),
        false => Ok((name.to_owned(), message.descriptors)),
    }
}

fn name(bytes: &[u8]) -> Result<&str, String> {
    let number = |at: usize| {
        let number = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*number))
    };
    match (number(0), number(4)) {
        (Some(KIND), Some(0)) => {}
        (Some(1), Some(_)) => {
            return Err(
                "this is where single sockets are handed over; pairs go to `sockc socket pair`"
                    .to_owned(),
            );
        }
        (Some(kind), Some(_)) => {
            return Err(format!(
                "messages that begin with {kind} are not known; one with a socket begins with {KIND} and 0"
            ));
        }
        _ => return Err(format!("the message has fewer than {HEAD} bytes")),
    }
    let name = std::str::from_utf8(bytes.get(HEAD..).unwrap_or_default());
    match name {
        Ok("") => Err("the message says no name".to_owned()),
        Ok(name) if name.chars().any(char::is_control) => {
            Err("the name in the message has control characters".to_owned())
        }
        Ok(name) => Ok(name),
        Err(_) => Err("the name in the message is no text in UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(numbers: [u32; 2], name: &[u8]) -> Vec<u8> {
        let mut bytes = numbers.map(u32::to_ne_bytes).concat();
        bytes.extend(name);
        bytes
    }

    #[test]
    fn a_message_says_a_name() {
        assert_eq!(name(&message([2, 0], b"resolver")), Ok("resolver"));
        for (bytes, why) in [
            (message([2, 0], b""), "says no name"),
            (message([2, 0], b"a\nb"), "control characters"),
            (message([2, 0], b"\xff"), "UTF-8"),
            (message([2, 1], b"resolver"), "begin with 2"),
            (message([3, 0], b"resolver"), "begin with 3"),
            (message([1, 7], b"resolver"), "sockc socket pair"),
            (vec![2, 0, 0, 0], "fewer than 8 bytes"),
            (Vec::new(), "fewer than 8 bytes"),
        ] {
            let said = name(&bytes).unwrap_err();
            assert!(said.contains(why), "{bytes:?}: {said}");
        }
    }
}
