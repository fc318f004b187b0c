//! What policies drop, while somebody asks: the gates of a generation's programs opened, and the packets that these write then.
//!
//! Takes the state; gives packets with the slots that counted them, and how many found no room. One process at a time reads those of a
//! generation: another one is refused, since each processor has one ring there. Programs close their gates themselves when they find
//! nobody; here they are closed at an end in order, and opened again where a processor came that had no ring yet. Those of a
//! generation that is to come are opened ahead of the switch, which an apply puts off for that. Not here: what an event says, printing,
//! and which packets somebody wants.

use std::fs::File;
use std::io;
use std::iter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::{Counter, Manifest};
use sockc_compiler::dropped::{self, Dropped, word};

use crate::error::{Error, at, unreadable};
use crate::log::{LogWatch, Which};
use crate::state::record::Record;
use crate::state::{State, pinned};
use crate::sys::map::Shape;
use crate::sys::perf::Events;
use crate::sys::process::{self, Hold};
use crate::sys::retry::again;
use crate::sys::{caps, grace, map};

/// What is being done.
const SAMPLE: &str = "sample what the policy drops";
/// How long an apply puts off its switch at most for whoever samples, its blocks among them. That takes some milliseconds; one that
/// stands still, as it was stopped or its own reader takes nothing, holds up no policy longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is waited between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How often a folder is asked for: an apply has it for a moment to know whether somebody reads.
const TRIES: usize = 5;

/// The drops of one generation. While this lives, its programs write a share of them.
#[derive(Debug)]
pub struct DropReader {
    events: Events,
    word: OwnedFd,
    share: u32,
    /// How many were lost before the gates were opened last.
    before: u64,
    which: Which,
    manifest: Arc<Manifest>,
    /// The folder that is kept for this reader alone.
    _alone: File,
}

/// How a sampling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// How many found no room since it began.
    pub lost: u64,
    /// Whether a gate had closed, since a program found no ring: drops from then on were not looked at until now.
    pub gap: bool,
}

impl DropReader {
    fn of(state: &State, record: &Record, one_in: u32) -> Result<Option<Self>, Error> {
        let generation = record.generation;
        let pin = state.map(generation, dropped::EVENTS);
        if !again(|| pin.try_exists()).map_err(|cause| unreadable(&pin, cause))? {
            return Ok(None);
        }
        let (missing, inside) = caps::missing_to_sample();
        if !missing.is_empty() {
            return Err(Error::Rights { missing, inside });
        }
        // Who reads the log keeps the folder of the maps.
        let folder = folder(state, generation);
        let alone = again(|| File::open(&folder)).map_err(|cause| unreadable(&folder, cause))?;
        if !keep(&alone).map_err(at(SAMPLE))? {
            return Err(Error::DropsTaken);
        }
        let maps = state.generation(generation).join("map");
        let about = again(|| maps.metadata()).map_err(|cause| unreadable(&maps, cause))?;
        let word = pinned(&state.map(generation, dropped::WORD))?;
        if !is_word(&word).map_err(at(SAMPLE))? {
            return Ok(None);
        }
        // That of one that was killed may stand open still.
        write(&word, [0, 0]).map_err(at(SAMPLE))?;
        let reader = Self {
            events: Events::open(&pin).map_err(at(SAMPLE))?,
            word,
            share: dropped::share(one_in),
            before: 0,
            which: (generation, about.ino()),
            manifest: Arc::clone(&record.manifest),
            _alone: alone,
        };
        // Only now: a program that finds no ring closes it.
        write(&reader.word, [1, reader.share]).map_err(at(SAMPLE))?;
        Ok(Some(reader))
    }

    /// The generation whose programs write here, as [`crate::LogReader::which`] says it.
    #[must_use]
    pub fn which(&self) -> Which {
        self.which
    }

    /// Its counters, by the slots that packets name.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.manifest.counters
    }

    /// What can be waited on for packets.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.events.fds()
    }

    /// What came since this was asked last: of one processor after the other, of each in the order of time.
    pub fn take(&mut self) -> Vec<Dropped> {
        let mut found = Vec::new();
        // An event that is none of ours cannot be there; it would be left out.
        self.events
            .take(|bytes| found.extend(dropped::parse(bytes)));
        found
    }

    /// How it stands; opens the gates again where they closed.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn look(&mut self) -> Result<Sampled, Error> {
        let (is_open, lost) = read(&self.word).map_err(at(SAMPLE))?;
        let gap = !is_open;
        if !gap {
            return Ok(Sampled {
                lost: self.before + lost,
                gap,
            });
        }
        self.events.renew().map_err(at(SAMPLE))?;
        // A program that was at it when the gate closed may count, or close it, until it has ended; all others do neither.
        grace::wait_for_packet_programs().map_err(at(SAMPLE))?;
        let (_, lost) = read(&self.word).map_err(at(SAMPLE))?;
        // It begins at none again.
        self.before += lost;
        write(&self.word, [1, self.share]).map_err(at(SAMPLE))?;
        Ok(Sampled {
            lost: self.before,
            gap,
        })
    }
}

/// Says whether drops are written, and which share; none of them was lost yet.
fn write(word: &OwnedFd, says: [u32; 2]) -> io::Result<()> {
    map::update(word.as_fd(), &[0; 4], &dropped::word_of(says))
}

/// Whether they are, and how many were lost since that was written.
fn read(word: &OwnedFd) -> io::Result<(bool, u64)> {
    let mut value = [0; word::SIZE];
    map::lookup(word.as_fd(), &[0; 4], &mut value)?;
    let [open, lost] = [word::OPEN, word::LOST].map(|offset| offset as usize);
    let is_open = number(&value[open..][..4]) != 0;
    Ok((is_open, number(&value[lost..][..8])))
}

/// Whether a map is such a word: another sockc may say something else there.
fn is_word(map: &OwnedFd) -> io::Result<bool> {
    Ok(map::shape(map.as_fd())? == Shape::array(word::SIZE as u32, 1))
}

/// The folder that is kept for who reads the drops of a generation.
fn folder(state: &State, generation: u32) -> PathBuf {
    state.generation(generation).join("prog")
}

/// Keeps it for this process; `false` if another one has it.
fn keep(folder: &File) -> io::Result<bool> {
    for _ in 1..TRIES {
        if process::lock(folder.as_fd(), Hold::Alone)? {
            return Ok(true);
        }
        thread::sleep(PAUSE);
    }
    process::lock(folder.as_fd(), Hold::Alone)
}

/// Waits, ahead of the switch to the policy of a record and to those of its blocks, until whoever samples the drops of what is in
/// force samples theirs, too: else what is dropped after the switch would not be looked at for a moment. Nothing fails by it, nor waits
/// where nobody samples: that some drops were not looked at says who samples.
pub(crate) fn let_follow(state: &State, record: &Record) {
    let Ok(Some(before)) = state.word() else {
        return;
    };
    let next = record.generation;
    let blocks = record.netns.iter().map(|held| state.sibling(held.inode));
    let mut awaited: Vec<State> = iter::once(state.clone()).chain(blocks).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        awaited.retain(|state| gate(state, next) == Some(false) && is_sampled(state, before));
        if awaited.is_empty() || Instant::now() >= until {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Whether the gate of a generation's drops is open; `None` where they cannot be sampled.
fn gate(state: &State, generation: u32) -> Option<bool> {
    let word = opened(&state.map(generation, dropped::WORD))?;
    read(&word).ok().map(|(is_open, _)| is_open)
}

/// Whether somebody samples the drops of a generation. A gate alone does not say so: that of one that was killed stays open until the
/// next drop that is chosen.
fn is_sampled(state: &State, generation: u32) -> bool {
    if gate(state, generation) != Some(true) {
        return false;
    }
    let folder = again(|| File::open(folder(state, generation)));
    // With others, and for a moment only.
    folder.is_ok_and(|folder| {
        process::lock(folder.as_fd(), Hold::WithOthers).is_ok_and(|is_free| !is_free)
    })
}

/// A word that is there.
fn opened(pin: &Path) -> Option<OwnedFd> {
    let word = pinned(pin).ok()?;
    is_word(&word).is_ok_and(|is| is).then_some(word)
}

impl Drop for DropReader {
    /// Without it programs close their gates at the next drop that is chosen.
    fn drop(&mut self) {
        let _ = write(&self.word, [0, 0]);
    }
}

/// A number of up to 8 bytes as it stands in memory.
fn number(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(whole)
}

impl LogWatch {
    /// One of so many drops of a generation that is kept, from now on; `None` if nothing in it can be sampled, or it is gone by now.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::DropsTaken`] while another one reads them.
    pub fn drops(&self, which: Which, one_in: u32) -> Result<Option<DropReader>, Error> {
        let record = Record::read_alone(&self.state().record(which.0));
        let opened = record.and_then(|record| DropReader::of(self.state(), &record, one_in));
        match opened {
            Ok(Some(reader)) if reader.which() == which => Ok(Some(reader)),
            // What went away meanwhile is neither damage nor a policy that drops nothing.
            _ if !self.is_kept(which) => Ok(None),
            opened => opened,
        }
    }

    /// The manifest of the policy in force.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn manifest(&self) -> Result<Option<Arc<Manifest>>, Error> {
        Ok(self.record()?.map(|record| record.manifest))
    }
}
