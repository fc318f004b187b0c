//! What policies drop, while somebody asks: the gates of a generation's programs opened, and the packets that these write then.
//!
//! Takes the state; gives packets with the slots that counted them, and how many found no room. One process at a time reads those of a
//! generation: another one is refused, since each processor has one ring there. Programs close their gates themselves when they find
//! nobody; here they are closed at an end in order, and opened again where a processor came that had no ring yet. Not here: what an
//! event says, printing, and which packets somebody wants.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

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
use crate::sys::token::{self, Inside};
use crate::sys::{caps, map};

/// What is being done.
const SAMPLE: &str = "sample what the policy drops";

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
        let missing = caps::missing_to_sample();
        if !missing.is_empty() {
            return Err(Error::Rights {
                missing,
                inside: token::is_held().then_some(Inside::Beyond),
            });
        }
        // Who reads the log keeps the folder of the maps.
        let folder = state.generation(generation).join("prog");
        let alone = again(|| File::open(&folder)).map_err(|cause| unreadable(&folder, cause))?;
        if !process::lock(alone.as_fd(), Hold::Alone).map_err(at(SAMPLE))? {
            return Err(Error::DropsTaken);
        }
        let maps = state.generation(generation).join("map");
        let about = again(|| maps.metadata()).map_err(|cause| unreadable(&maps, cause))?;
        let word = pinned(&state.map(generation, dropped::WORD))?;
        // Another sockc may say something else there.
        if map::shape(word.as_fd()).map_err(at(SAMPLE))? != Shape::array(word::SIZE as u32, 1) {
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
        let mut value = [0; word::SIZE];
        map::lookup(self.word.as_fd(), &[0; 4], &mut value).map_err(at(SAMPLE))?;
        let [open, lost] = [word::OPEN, word::LOST].map(|offset| offset as usize);
        let gap = number(&value[open..][..4]) == 0;
        let lost = number(&value[lost..][..8]);
        if !gap {
            return Ok(Sampled {
                lost: self.before + lost,
                gap,
            });
        }
        self.events.renew().map_err(at(SAMPLE))?;
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
    /// One of so many drops of the generation in force from now on; `None` if nothing is in force, or nothing in it can be sampled.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::DropsTaken`] while another one reads them.
    pub fn drops(&self, one_in: u32) -> Result<Option<DropReader>, Error> {
        loop {
            let Some(record) = self.record()? else {
                return Ok(None);
            };
            let opened = DropReader::of(self.state(), &record, one_in);
            // What went away meanwhile is neither damage nor a policy that drops nothing.
            let goes_on = matches!(opened, Ok(Some(_)) | Err(Error::DropsTaken))
                || self.record()?.map(|now| now.generation) == Some(record.generation);
            if goes_on {
                return opened;
            }
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
