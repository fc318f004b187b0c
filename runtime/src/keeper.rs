//! Keeps pairs of connections: takes them from proxies, joins them in the kernel, and does what the kernel does not do.
//!
//! The kernel moves the data of a pair. It does not pass on the end of a side, or a reset; it looks at what had come before only
//! when more comes; and it takes whatever arrives, however slow the receiver is. So a process stands by: [`way`] for each
//! direction, [`pair`] for both, [`side`] for a connection, [`joint`] for the maps, [`handover`] for what proxies send. Takes options, a name and a path;
//! works until it is told to end or the policy declares the pairs no more. Pairs end with it: they are reset, as those of a
//! proxy that ends. Not here: the program (`compiler/src/lower/splice.rs`).

mod handover;
mod joint;
mod pair;
mod side;
mod way;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sockc_compiler::artifact::GroupPlan;

use crate::active;
use crate::error::{Error, at, undeclared, unreadable};
use crate::options::Options;
use crate::sockets::ends::Ends;
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::state::{Access, State};
use crate::sys::epoll::{self, Epoll, Event, Interest};
use crate::sys::unix::{self, Connection};
use crate::sys::{bpffs, handed, tcp};
use handover::{Handed, MESSAGE, Others};
use joint::Joint;
use pair::{Fate, Pair};
use side::Side;
use way::{ROOM, Wait};

/// How often it is looked whether the policy still declares the pairs.
const LOOK: Duration = Duration::from_millis(100);

/// By which numbers what is waited for is known; a side of a pair by its cookie, which is never so large.
const LISTENER: u64 = u64::MAX;
const SIGNAL: u64 = u64::MAX - 1;
const RING: u64 = u64::MAX - 2;
/// A proxy's connection: this, and its number.
const PROXY: u64 = 1 << 63;

/// What became of the pairs that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many were joined.
    pub joined: u64,
    /// How many ended by themselves.
    pub ended: u64,
    /// How many were reset, by one of their ends or because this ended.
    pub reset: u64,
    /// How many were refused.
    pub refused: u64,
}

/// Keeps the pairs of a name that proxies hand over at `listen`, a path of a UNIX socket with this mode, until SIGTERM or
/// SIGINT. `ready` is called once when they can be.
///
/// # Errors
///
/// Any [`Error`]; [`Error::Pairs`] if the policy in force ends to declare them.
pub fn keep_pairs(
    options: &Options,
    name: &str,
    (listen, mode): (&Path, u32),
    ready: &mut dyn FnMut(),
) -> Result<Kept, Error> {
    let what = "wait for pairs";
    let signals = epoll::end_signals().map_err(at(what))?;
    let (place, joint) = active::with(options, Access::Read, |active| {
        let place = Place::of(active.state(), active.record, name)?;
        let joint = Joint::open(active.state(), name)?;
        Ok((place, joint))
    })?;
    // Two sockets a pair, and some for proxies.
    epoll::allow_descriptors(u64::from(place.max) * 2 + 1024);
    let listener = Listener::bind(listen, mode)?;
    let epoll = Epoll::new().map_err(at(what))?;
    let waited = [
        (listener.socket.as_fd(), LISTENER),
        (signals.as_fd(), SIGNAL),
        (joint.moved.fd(), RING),
    ];
    for (fd, token) in waited {
        epoll.add(fd, token, Interest::Readable).map_err(at(what))?;
    }
    ready();
    let mut keeper = Keeper {
        place,
        joint,
        epoll,
        listener,
        pairs: BTreeMap::new(),
        sides: BTreeMap::new(),
        proxies: BTreeMap::new(),
        timers: BinaryHeap::new(),
        timed: BTreeSet::new(),
        count: 0,
        slots: Vec::new(),
        kept: Kept::default(),
    };
    let worked = keeper.work();
    keeper.reset_all();
    worked.map(|()| keeper.kept)
}

/// Where the pairs are declared, and what is said of them.
struct Place {
    state: State,
    name: String,
    generation: u32,
    max: u32,
    others: Others,
}

impl Place {
    fn of(state: &State, record: &Record, name: &str) -> Result<Self, Error> {
        let plans = &record.manifest.pairs;
        let declared = plans.iter().map(|plan| plan.name.as_str());
        let Some(plan) = plans.iter().find(|plan| plan.name == name) else {
            return Err(undeclared("pairs", name, declared));
        };
        let storage = |(group, number): (&GroupPlan, u64)| {
            let path = state.own_keys(number);
            let keys = bpffs::open(&path).map_err(|cause| unreadable(&path, cause))?;
            Ok((group.name.clone(), keys))
        };
        Ok(Self {
            state: state.clone(),
            name: name.to_owned(),
            generation: record.generation,
            max: plan.max,
            others: Others {
                groups: record
                    .taken_in()
                    .map(storage)
                    .collect::<Result<_, Error>>()?,
                ends: Ends::of(&record.manifest, state, record.generation)?,
            },
        })
    }

    /// Looks whether the policy has changed; an error if it declares the pairs no more.
    fn follow(&mut self, joint: &Joint) -> Result<(), Error> {
        if !joint.is_of(&self.state, &self.name) {
            return Err(self.gone());
        }
        // While a command is at work, nothing may be known.
        if self.state.word().ok().flatten() == Some(self.generation) {
            return Ok(());
        }
        let Ok(Some(record)) = record_in_force(&self.state) else {
            return Ok(());
        };
        if let Ok(place) = Self::of(&self.state, &record, &self.name) {
            *self = place;
        }
        Ok(())
    }

    fn gone(&self) -> Error {
        Error::Pairs {
            pairs: self.name.clone(),
            cause: "the policy in force does not declare them any more; those that were joined are reset".to_owned(),
        }
    }
}

/// The UNIX socket at which pairs are handed over.
struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens; a socket at the path that nobody listens at is replaced.
    fn bind(path: &Path, mode: u32) -> Result<Self, Error> {
        let what = format!("listen at {}", path.display());
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() && !unix::answers(path) => {
                fs::remove_file(path).map_err(at(what.clone()))?;
            }
            _ => {}
        }
        let socket = unix::listen(path).map_err(at(what.clone()))?;
        let listener = Self {
            socket,
            path: path.to_owned(),
        };
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(at(what))?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// At work.
struct Keeper {
    place: Place,
    joint: Joint,
    epoll: Epoll,
    listener: Listener,
    /// The pairs by number.
    pairs: BTreeMap<u64, Pair>,
    /// The pair and the side of a cookie.
    sides: BTreeMap<u64, (u64, usize)>,
    /// Those who hand pairs over.
    proxies: BTreeMap<u64, Connection>,
    /// When which side is looked at again: each is at most once in it.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    timed: BTreeSet<u64>,
    /// The numbers that were given out.
    count: u64,
    /// The numbers of pairs that have ended, which those that come use again: their slots are twice that, and the next.
    slots: Vec<u32>,
    kept: Kept,
}

impl Keeper {
    fn work(&mut self) -> Result<(), Error> {
        let mut looked = Instant::now();
        let mut unsaid = 0;
        loop {
            let next = self.timers.peek().map(|Reverse((when, _))| *when);
            let until = next.map_or(looked + LOOK, |next| next.min(looked + LOOK));
            let wait = until.saturating_duration_since(Instant::now());
            let events = self.epoll.wait(wait).map_err(at("wait for pairs"))?;
            for event in events {
                match event.token {
                    SIGNAL => return Ok(()),
                    LISTENER => self.accept(),
                    RING => self.told(),
                    token if token & PROXY != 0 => self.hear(token),
                    cookie => self.happened(cookie, event),
                }
            }
            self.look_again();
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.place.follow(&self.joint)?;
                let more = self.joint.unsaid().map_err(at("wait for pairs"))?;
                if more != unsaid {
                    unsaid = more;
                    self.look_at_all();
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok(Some(proxy)) = unix::accept(self.listener.socket.as_fd()) {
            self.count += 1;
            let token = PROXY | self.count;
            if self
                .epoll
                .add(proxy.fd(), token, Interest::Readable)
                .is_ok()
            {
                self.proxies.insert(token, proxy);
            }
        }
    }

    /// Messages of a proxy; each is answered.
    fn hear(&mut self, token: u64) {
        // If that fails, the next look ends this.
        let _ = self.place.follow(&self.joint);
        let mut bytes = vec![0; MESSAGE];
        loop {
            let Some(proxy) = self.proxies.get_mut(&token) else {
                return;
            };
            let message = match handed::message(proxy.fd(), &mut bytes) {
                Ok(None) => return,
                Ok(Some(message)) if message.length > 0 => message,
                _ => {
                    self.proxies.remove(&token);
                    return;
                }
            };
            let handed = handover::read(message, &bytes, &self.sides, &self.place.others);
            let answer = match handed.and_then(|handed| self.take(handed)) {
                Ok(()) => "ok".to_owned(),
                Err(why) => {
                    self.kept.refused += 1;
                    why
                }
            };
            // Who reads no answers hands nothing over any more.
            let answered = self.proxies.get_mut(&token);
            if answered.is_some_and(|proxy| proxy.write_all(answer.as_bytes()).is_err()) {
                self.proxies.remove(&token);
            }
        }
    }

    /// Joins a pair.
    fn take(&mut self, handed: Handed) -> Result<(), String> {
        if self.pairs.len() >= self.place.max as usize {
            return Err(format!(
                "there is room for {} pairs, and all of it is taken",
                self.place.max
            ));
        }
        let Handed { mut sides, early } = handed;
        let number = self.slots.pop().unwrap_or(self.used());
        for (side, slot) in sides.iter_mut().zip([2 * number, 2 * number + 1]) {
            side.slot = slot;
        }
        if let Err(error) = self.make_ready(&sides) {
            self.slots.push(number);
            return Err(refusal(&error));
        }
        let cookies = [0, 1].map(|side: usize| sides[side].cookie);
        self.count += 1;
        let number = self.count;
        for (side, cookie) in cookies.into_iter().enumerate() {
            self.sides.insert(cookie, (number, side));
        }
        self.pairs.insert(number, Pair::new(sides, early));
        self.kept.joined += 1;
        for cookie in cookies {
            self.go(cookie);
        }
        Ok(())
    }

    /// How many numbers of slots are given out, if none is free.
    fn used(&self) -> u32 {
        u32::try_from(self.pairs.len()).unwrap_or(u32::MAX)
    }

    /// Puts the sides into the maps, and has them watched; they are as they were if that fails.
    fn make_ready(&self, sides: &[Side; 2]) -> io::Result<()> {
        self.joint.join(sides)?;
        let watch = |side: &Side| {
            tcp::make_room(side.fd(), ROOM)?;
            tcp::close_resets(side.fd(), true)?;
            self.epoll.add(side.fd(), side.cookie, Interest::End)
        };
        let ready = sides.iter().try_for_each(watch);
        if ready.is_err() {
            let _ = sides
                .each_ref()
                .map(|side| tcp::close_resets(side.fd(), false));
            self.joint.part(sides);
        }
        ready
    }

    /// Where the program could not say which sides have come further.
    fn look_at_all(&mut self) {
        for cookie in self.sides.keys().copied().collect::<Vec<_>>() {
            self.go(cookie);
        }
    }

    fn told(&mut self) {
        for cookie in self.joint.told() {
            self.go(cookie);
        }
    }

    fn happened(&mut self, cookie: u64, event: Event) {
        let Some(&(number, side)) = self.sides.get(&cookie) else {
            return;
        };
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.happened(side, event.ended, event.failed);
        }
        self.go(cookie);
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((when, cookie))) = self.timers.peek() {
            if when > now {
                return;
            }
            self.timers.pop();
            self.timed.remove(&cookie);
            self.go(cookie);
        }
    }

    /// Goes on with what arrives on a side.
    fn go(&mut self, cookie: u64) {
        let Some(&(number, side)) = self.sides.get(&cookie) else {
            return;
        };
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        match pair.go(&self.joint, side) {
            Fate::Goes(Wait::Told | Wait::Nothing) => {}
            Fate::Goes(Wait::Data) => {
                let fd = pair.sides[side].fd();
                let _ = self.epoll.change(fd, cookie, Interest::EndAndData);
            }
            Fate::Goes(Wait::For(delay)) => {
                if self.timed.insert(cookie) {
                    self.timers.push(Reverse((Instant::now() + delay, cookie)));
                }
            }
            fate => self.end(number, fate),
        }
    }

    fn end(&mut self, number: u64, fate: Fate) {
        let Some(pair) = self.pairs.remove(&number) else {
            return;
        };
        for side in &pair.sides {
            self.sides.remove(&side.cookie);
        }
        self.slots.push(pair.sides[0].slot / 2);
        match fate {
            Fate::Ended => self.kept.ended += 1,
            _ => self.kept.reset += 1,
        }
        pair.close(&self.joint, fate);
    }

    fn reset_all(&mut self) {
        for number in self.pairs.keys().copied().collect::<Vec<_>>() {
            self.end(number, Fate::Reset);
        }
    }
}

fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => {
            "a connection has ended meanwhile, or is one that the kernel does not join".to_owned()
        }
        Some(libc::E2BIG) => "the kernel's maps of pairs are full".to_owned(),
        _ => format!("the kernel refused to join the pair: {error}"),
    }
}
