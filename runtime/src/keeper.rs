//! Keeps pairs of connections: takes them from proxies, joins them in the kernel, and does what the kernel does not do.
//!
//! The kernel moves the data of a pair. It does not pass on the end of a side, or a reset; it looks at what had come before only
//! when more comes; and it takes whatever arrives, however slow the receiver is. So a process stands by: [`way`] for each
//! direction, [`pair`] for both, [`side`] for a connection, [`joint`] for the maps, [`expected`] for what they tell of a connection, [`handover`] for what
//! proxies send, [`place`] for the policy. Takes options, a name and a path;
//! works until it is told to end or the policy declares the pairs no more. Pairs end with it: they are reset, as those of a
//! proxy that ends. Not here: the program (`compiler/src/lower/splice.rs`).

mod expected;
mod handover;
mod joint;
mod pair;
mod place;
mod side;
mod way;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::active;
use crate::callers::{CALLER, Callers, Heard};
use crate::error::{Error, at};
use crate::options::Options;
use crate::state::Access;
use crate::sys::epoll::{self, Epoll, Event, Interest};
use crate::sys::tcp;
use handover::{Handed, MESSAGE};
use joint::Joint;
use pair::{Fate, Pair};
use place::Place;
use side::Side;
use way::{ROOM, Wait};

/// How often it is looked whether the policy still declares the pairs.
const LOOK: Duration = Duration::from_millis(100);

/// Descriptors that are none of pairs: maps, proxies, and what comes with a message that is refused.
const RESERVED: u64 = 512;
/// How many messages of a proxy are taken before others have their turn.
const MESSAGES: usize = 64;

/// By which numbers what is waited for is known; a side of a pair by its cookie, which is never so large.
const LISTENER: u64 = u64::MAX;
const SIGNAL: u64 = u64::MAX - 1;
const RING: u64 = u64::MAX - 2;

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

/// Keeps the pairs of a name that proxies hand over at `listen`, a path of a UNIX socket and its mode, until SIGTERM or
/// SIGINT. `ready` is called once when they can be.
///
/// # Errors
///
/// Any [`Error`]; [`Error::Pairs`] if the policy in force ends to declare them.
pub fn keep_pairs(
    options: &Options,
    name: &str,
    listen: (&Path, u32),
    ready: &mut dyn FnMut(),
) -> Result<Kept, Error> {
    let what = "wait for pairs";
    let signals = epoll::end_signals().map_err(at(what))?;
    let (place, joint) = active::with(options, Access::Read, |active| {
        let place = Place::of(active.state(), active.record, name)?;
        let joint = Joint::open(active.state(), name)?;
        Ok((place, joint))
    })?;
    let allowed = epoll::allow_descriptors(u64::from(place.max) * 2 + RESERVED);
    let proxies = Callers::listen(listen, MESSAGE)?;
    let epoll = Epoll::new().map_err(at(what))?;
    let waited = [
        (proxies.fd(), LISTENER),
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
        proxies,
        room: allowed.map_err(at(what))?.saturating_sub(RESERVED) / 2,
        pairs: BTreeMap::new(),
        sides: BTreeMap::new(),
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

/// At work.
struct Keeper {
    place: Place,
    joint: Joint,
    epoll: Epoll,
    /// Those who hand pairs over.
    proxies: Callers,
    /// For how many pairs this process may have descriptors.
    room: u64,
    /// The pairs by number.
    pairs: BTreeMap<u64, Pair>,
    /// The pair and the side of a cookie.
    sides: BTreeMap<u64, (u64, usize)>,
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
                    LISTENER => self.proxies.accept(&self.epoll),
                    RING => self.told(),
                    token if token & CALLER != 0 => self.hear(token),
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

    /// Messages of a proxy; each is answered.
    fn hear(&mut self, token: u64) {
        // If that fails, the next look ends this.
        let _ = self.place.follow(&self.joint);
        for _ in 0..MESSAGES {
            let handed = match self.proxies.hear(token) {
                Heard::Nothing => return,
                Heard::Message(message, bytes) => {
                    handover::read(message, &bytes, &self.sides, &self.place.others)
                }
            };
            // A proxy that gets no answer resets both connections: some of it may have been moved.
            let answer = match handed.and_then(|handed| self.take(handed)) {
                Ok(()) => "ok".to_owned(),
                Err(why) => {
                    self.kept.refused += 1;
                    why
                }
            };
            self.proxies.answer(token, &answer);
        }
    }

    /// Joins a pair.
    fn take(&mut self, handed: Handed) -> Result<(), String> {
        let room = self.room.min(self.place.max.into());
        if self.pairs.len() as u64 >= room {
            return Err(format!(
                "there is room for {room} pairs, and all of it is taken{}",
                match room < self.place.max.into() {
                    true =>
                        "; the policy has room for more, and this process may have no more descriptors (LimitNOFILE)",
                    false => "",
                }
            ));
        }
        let Handed { mut sides, early } = handed;
        let number = self.slots.pop().unwrap_or(self.used());
        for (side, slot) in sides.iter_mut().zip([2 * number, 2 * number + 1]) {
            side.slot = slot;
        }
        if let Err(error) = self.make_ready(&mut sides) {
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
    fn make_ready(&self, sides: &mut [Side; 2]) -> io::Result<()> {
        self.joint.join(sides)?;
        let watch = |side: &mut Side| {
            side.place(&self.joint.expected)?;
            tcp::close_resets(side.fd(), true)?;
            self.epoll.add(side.fd(), side.cookie, Interest::End)
        };
        // The room comes last: nobody can take it back so that the kernel fits it to the path again.
        let ready = sides.iter_mut().try_for_each(watch).and_then(|()| {
            let mut sides = sides.iter();
            sides.try_for_each(|side| tcp::make_room(side.fd(), ROOM))
        });
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
