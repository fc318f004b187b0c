//! What policies have logged: the records of the ring buffer `log` of each generation, in the order they were written.
//!
//! Takes the state; gives records, and how many found no room. A ring gives each record once, so one reader has it: another one
//! is refused. Not here: printing, and which records somebody wants.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use sockc_compiler::artifact::{Counter, CounterKind, Manifest};
use sockc_compiler::counter_blocks;
use sockc_compiler::log::{LogRecord, parse};

use crate::elsewhere;
use crate::error::{Error, at, unreadable};
use crate::options::Options;
use crate::session;
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::state::{State, pinned, totals};
use crate::sys::process::{self, Hold};
use crate::sys::retry::again;
use crate::sys::ringbuf::Ring;
use crate::sys::watched::Watched;
use crate::sys::{clock, map, netns};

/// What is being done.
const READ: &str = "read what the policy logs";

/// A generation, by its number and the inode of the folder of its maps.
pub type Which = (u32, u64);

/// The ring of one generation. Records that nobody takes in time are lost, and counted; no other process reads it meanwhile.
pub struct LogReader {
    ring: Ring,
    generation: u32,
    manifest: Arc<Manifest>,
    /// Nothing where an older sockc made its programs: they may have no such map.
    counters: Option<OwnedFd>,
    /// The slots that count what found no room.
    lost: Vec<u32>,
    /// The folder that is kept for this reader alone, and its inode, by which the generation is told from a later one of its number.
    _alone: File,
    folder: u64,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl AsFd for LogReader {
    /// What can be waited on for records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.fd()
    }
}

impl LogReader {
    /// The log of the policy in force; `None` if there is no policy, or nothing in it logs.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::LogTaken`] while another one reads it.
    pub fn open(options: &Options) -> Result<Option<Self>, Error> {
        session::enter(options, |session| {
            let Some(record) = record_in_force(&session.state)? else {
                return Ok(None);
            };
            Self::of(&session.state, &record)
        })
    }

    fn of(state: &State, record: &Record) -> Result<Option<Self>, Error> {
        let generation = record.generation;
        let pin = state.map(generation, "log");
        if !again(|| pin.try_exists()).map_err(|cause| unreadable(&pin, cause))? {
            // Who logs has lost lines counted; without the pin nobody hears of them.
            let mut counters = record.manifest.counters.iter();
            let logs = counters.any(|one| one.kind == CounterKind::Lost);
            let gone = || Err(unreadable(&pin, io::ErrorKind::NotFound.into()));
            return if logs { gone() } else { Ok(None) };
        }
        let folder = maps(state, generation);
        let alone = again(|| File::open(&folder)).map_err(|cause| unreadable(&folder, cause))?;
        if !process::lock(alone.as_fd(), Hold::Alone).map_err(at(READ))? {
            return Err(Error::LogTaken);
        }
        let ring = Ring::open(&pin).map_err(at(READ))?;
        let counters = (0u32..).zip(&record.manifest.counters);
        let lost = counters.filter(|(_, one)| one.kind == CounterKind::Lost);
        let lost: Vec<u32> = lost.map(|(slot, _)| slot).collect();
        let counters = match lost.is_empty() {
            true => None,
            false => Some(pinned(&state.map(generation, totals::COUNTERS))?),
        };
        let folder = alone.metadata().map_err(at(READ))?.ino();
        Ok(Some(Self {
            ring,
            generation,
            lost,
            counters,
            folder,
            manifest: Arc::clone(&record.manifest),
            _alone: alone,
        }))
    }

    /// The generation whose programs write to it; another one writes elsewhere.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The same, and what tells it from a later one: the next apply after a trial that was taken back has its number.
    #[must_use]
    pub fn which(&self) -> Which {
        (self.generation, self.folder)
    }

    /// Its counters, by the slots that records name.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.manifest.counters
    }

    /// The oldest record that was not taken yet.
    pub fn take(&mut self) -> Option<LogRecord> {
        loop {
            // A record that is none of ours cannot be there; it would be left out.
            let bytes = self.ring.take()?;
            if let Some(record) = parse(&bytes) {
                return Some(record);
            }
        }
    }

    /// How many records found no room since its policy was put in force; `None` where an older sockc made its programs, which
    /// do not count them.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        let Some(counters) = &self.counters else {
            return Ok(None);
        };
        let shape = map::shape(counters.as_fd()).map_err(at(READ))?;
        let mut value = vec![0; map::buffer_size(shape).map_err(at(READ))?];
        let mut lost = 0;
        for slot in &self.lost {
            let (key, _) = counter_blocks::place(*slot);
            map::lookup(counters.as_fd(), &key.to_ne_bytes(), &mut value).map_err(at(READ))?;
            let blocks = value.chunks(counter_blocks::BLOCK as usize);
            let numbers = blocks.filter_map(|block| counter_blocks::numbers(block, *slot));
            lost += numbers.map(|[packets, _]| packets).sum::<u64>();
        }
        Ok(Some(lost))
    }
}

/// The folder of a generation's maps.
fn maps(state: &State, generation: u32) -> PathBuf {
    state.generation(generation).join("map")
}

/// The place where policies come into force and go, for whoever reads the log of each.
#[derive(Debug)]
pub struct LogWatch {
    options: Options,
    state: State,
    events: Watched,
}

impl AsFd for LogWatch {
    /// What can be waited on: something was made or removed there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.fd()
    }
}

impl LogWatch {
    /// Begins to watch the namespace, in which a policy is in force.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn begin(options: &Options) -> Result<Self, Error> {
        session::enter(options, |session| {
            // First, so that nothing changes unseen between the two.
            let events = Watched::folder(session.state.root());
            if record_in_force(&session.state)?.is_none() {
                elsewhere::refuse(session, &options.bpffs)?;
                return Err(Error::NothingInForce);
            }
            Ok(Self {
                options: options.clone(),
                state: session.state.clone(),
                events: events.map_err(at(READ))?,
            })
        })
    }

    /// The generation in force; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn in_force(&self) -> Result<Option<Which>, Error> {
        self.events.clear().map_err(at(READ))?;
        let generation = self.state.word()?.filter(|generation| *generation != 0);
        if let Some(which) = generation.and_then(|generation| self.which(generation)) {
            return Ok(Some(which));
        }
        // The record says what is damaged, and of a block that it went with the policy around it.
        let record = self.record()?;
        Ok(record.and_then(|record| self.which(record.generation)))
    }

    fn which(&self, generation: u32) -> Option<Which> {
        let folder = fs::metadata(maps(&self.state, generation)).ok()?;
        Some((generation, folder.ino()))
    }

    /// The generation that is to follow this one, once everything of it is there; whoever waits on this hears of that.
    #[must_use]
    pub fn coming(&self, now: Which) -> Option<Which> {
        let next = now.0.checked_add(1)?;
        // First, so that the record, which comes last, does not come unseen between the two.
        self.events.also(&self.state.generation(next)).ok()?;
        let record = self.state.record(next);
        let is_whole = again(|| record.try_exists()).ok()?;
        self.which(next).filter(|_| is_whole)
    }

    /// The log of the generation in force; `None` if nothing is, or nothing in it logs.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::LogTaken`] while another one reads it.
    pub fn open(&self) -> Result<Option<LogReader>, Error> {
        loop {
            let Some(record) = self.record()? else {
                return Ok(None);
            };
            let opened = LogReader::of(&self.state, &record);
            // What went away meanwhile is neither damage nor a policy that does not log.
            let goes_on = matches!(opened, Ok(Some(_)) | Err(Error::LogTaken))
                || self.record()?.map(|now| now.generation) == Some(record.generation);
            if goes_on {
                return opened;
            }
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn record(&self) -> Result<Option<Record>, Error> {
        record_in_force(&self.state)
    }

    /// The network namespaces that have a policy of their own by `for netns` blocks, and so logs of their own.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn blocks(&self) -> Result<Vec<String>, Error> {
        let record = self.record()?;
        let held = record.into_iter().flat_map(|record| record.netns);
        Ok(held.map(|held| held.name).collect())
    }

    /// Whether a generation is kept, and may come into force again by the end of a trial.
    #[must_use]
    pub fn is_kept(&self, which: Which) -> bool {
        self.which(which.0) == Some(which)
    }

    /// The interfaces of the namespace, by their numbers.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn interfaces(&self) -> Result<Vec<(u32, String)>, Error> {
        session::enter(&self.options, |_| {
            netns::interfaces().map_err(at("list the interfaces"))
        })
    }
}

/// Now, on the clock of records.
#[must_use]
pub fn log_clock() -> u64 {
    clock::now()
}

/// A time of the day here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, month from 1, day from 1.
    pub date: (i32, i32, i32),
    /// Hour, minute, second.
    pub time: (i32, i32, i32),
}

impl LocalTime {
    /// Of so many seconds since 1970; `None` where the system has no date for it.
    #[must_use]
    pub fn of(seconds: i64) -> Option<Self> {
        clock::local(seconds).map(|local| Self {
            date: (local.tm_year + 1900, local.tm_mon + 1, local.tm_mday),
            time: (local.tm_hour, local.tm_min, local.tm_sec),
        })
    }
}
