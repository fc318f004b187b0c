//! A policy on trial: in force until its deadline, unless it is confirmed before.
//!
//! Beside the word stands one value, `trial`: the generation that it is about, the one that comes back, and the deadline. It is
//! written ahead of the switch and says nothing until the word names its generation; so the switch stays one word. Past the
//! deadline the generation that comes back is in force, by every dispatcher, whether a process of sockc lives or not;
//! [`crate::attach::dispatch`] has that half, and this one says the same to whoever asks what is in force. A `for netns` block has
//! the outer policy's value pinned in its own folder.
//!
//! A deadline that has passed stays passed. The clock (`CLOCK_BOOTTIME`, which goes on while the machine sleeps, and which nobody sets)
//! goes forward only, and the first dispatcher that finds the deadline behind it leaves that in the value, where all others see
//! it. To confirm is to clear the generation alone; that is refused in the last [`MARGIN`], and looked at again after the
//! write (`crate::confirm`).
//!
//! Not here: who may confirm, and what is removed after that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use super::record::Record;
use super::{State, pinned_there, read_word};
use crate::error::{Error, at};
use crate::sys::netns::Namespace;
use crate::sys::{clock, map};

/// The shape of the value.
pub(crate) const SHAPE: map::Shape = map::Shape::array(SIZE, 1);
const SIZE: u32 = 32;
/// The generation on trial, 4 bytes; 0 for none.
pub(crate) const GENERATION: i16 = 0;
/// The one that comes back, 4 bytes; 0 for none.
pub(crate) const FALLBACK: i16 = 4;
/// The deadline in nanoseconds since boot.
pub(crate) const DEADLINE: i16 = 8;
/// The last deadline that a dispatcher found behind it. That it is a deadline and no flag keeps one trial from ending the next.
pub(crate) const PASSED: i16 = 16;
/// What stands there once a person has taken the trial back: no clock comes so far. Where a dispatcher that has read the word before
/// writes over it, the trial counts as one that its deadline ended, and nothing goes back further by itself.
const BY_HAND: u64 = u64::MAX;
/// The jiffy in which a dispatcher last looked at the clock, and the deadline was ahead.
pub(crate) const SEEN: i16 = 24;
/// So long before the deadline it is too late to confirm: between a look at the clock and the write a process may lose the
/// processor, and dispatchers must not have gone back to the old policy when the write comes.
pub(crate) const MARGIN: Duration = Duration::from_millis(100);

/// What a trial is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The generation on trial.
    pub(crate) generation: u32,
    /// The one that comes back; 0 for none.
    pub(crate) fallback: u32,
    /// In nanoseconds since boot.
    pub(crate) deadline: u64,
    passed: u64,
}

impl Trial {
    /// Whether it ended without a confirmation.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.passed == self.deadline || now >= self.deadline
    }

    /// Whether it was confirmed for the generation that the word names. Where nothing was before, that has any number: they go on after
    /// an unload.
    pub(crate) fn confirmed(&self, word: u32) -> bool {
        let follows = self.fallback == 0 || self.fallback.checked_add(1) == Some(word);
        self.generation == 0 && self.deadline != 0 && follows
    }

    /// Whether a person took it back, and its deadline did not.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.passed == BY_HAND
    }

    /// How long is left.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(clock::since_boot()))
    }

    /// The generation in force where the word says this one.
    fn in_force(&self, word: u32, now: u64) -> u32 {
        let is_lost = word != 0 && word == self.generation && self.is_over(now);
        if is_lost { self.fallback } else { word }
    }

    fn parse(value: &[u8; SIZE as usize]) -> Self {
        let four = |from: i16| value.get(from as usize..).and_then(<[u8]>::first_chunk);
        let eight = |from: i16| value.get(from as usize..).and_then(<[u8]>::first_chunk);
        Self {
            generation: four(GENERATION).map_or(0, |bytes| u32::from_ne_bytes(*bytes)),
            fallback: four(FALLBACK).map_or(0, |bytes| u32::from_ne_bytes(*bytes)),
            deadline: eight(DEADLINE).map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
            passed: eight(PASSED).map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.generation, self.fallback]
            .map(u32::to_ne_bytes)
            .concat();
        bytes.extend(
            [self.deadline, self.passed, 0]
                .map(u64::to_ne_bytes)
                .concat(),
        );
        bytes
    }
}

/// What the word and a trial say together; `trial` is what was read ahead of the word: whoever ends a trial writes the word first.
pub(super) fn in_force(trial: Option<Trial>, word: u32) -> u32 {
    trial.map_or(word, |trial| trial.in_force(word, clock::since_boot()))
}

impl State {
    /// The pin of the trial.
    pub(crate) fn trial(&self) -> PathBuf {
        self.root().join("trial")
    }

    /// What the value says, whatever the word; `None` where there is none, as an older sockc made the folder.
    pub(crate) fn kept_trial(&self) -> Result<Option<Trial>, Error> {
        let Some(pinned) = open(self)? else {
            return Ok(None);
        };
        let mut value = [0; SIZE as usize];
        // An array has its first element always: an answer that cannot be is no answer, least of all that nothing is on trial.
        match map::lookup(pinned.as_fd(), &[0; 4], &mut value).map_err(at(READ))? {
            true => Ok(Some(Trial::parse(&value))),
            false => Err(at(READ)(io::Error::from_raw_os_error(libc::ENOENT))),
        }
    }

    /// The trial of the generation that the word names, ended or not.
    pub(crate) fn named_trial(&self) -> Result<Option<Trial>, Error> {
        let trial = self.kept_trial()?;
        let word = match read_word(&self.outer())? {
            Some(word) => Some(word),
            None => read_word(&self.control())?,
        };
        Ok(trial.filter(|trial| word.is_some_and(|word| word != 0 && word == trial.generation)))
    }

    /// The trial that runs.
    pub(crate) fn running_trial(&self) -> Result<Option<Trial>, Error> {
        let named = self.named_trial()?;
        Ok(named.filter(|trial| !trial.is_over(clock::since_boot())))
    }

    /// A trial, but for one of a namespace that had this inode before. What cannot be read is nobody else's.
    pub(crate) fn filter_of(
        &self,
        trial: Option<Trial>,
        namespace: &Namespace,
    ) -> Result<Option<Trial>, Error> {
        let Some(trial) = trial else {
            return Ok(None);
        };
        match Record::read_alone(&self.record(trial.generation)) {
            Ok(record) => Ok(Some(trial).filter(|_| record.is_of(namespace))),
            // A block that is not of the generation on trial.
            Err(Error::State { .. }) => Ok(Some(trial)),
            Err(error) => Err(error),
        }
    }

    /// The trial that runs in this namespace.
    pub(crate) fn trial_of(&self, namespace: &Namespace) -> Result<Option<Trial>, Error> {
        self.filter_of(self.running_trial()?, namespace)
    }

    /// Refuses while a trial runs.
    pub(crate) fn refuse_on_trial(&self, namespace: &Namespace) -> Result<(), Error> {
        match self.trial_of(namespace)? {
            None => Ok(()),
            Some(trial) => Err(Error::OnTrial {
                generation: trial.generation,
                fallback: trial.fallback,
                left: trial.left(),
            }),
        }
    }

    /// Begins a trial, which says nothing until the word names its generation.
    pub(crate) fn begin_trial(&self, generation: u32, within: Duration) -> Result<(), Error> {
        let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        let trial = Trial {
            generation,
            // After nothing comes any number: they go on after an unload.
            fallback: self.word()?.unwrap_or(0),
            deadline: clock::since_boot().saturating_add(within),
            passed: 0,
        };
        match open(self)? {
            Some(pinned) => map::update(pinned.as_fd(), &[0; 4], &trial.bytes()).map_err(at(WRITE)),
            None => Err(Error::NoTrial {
                why: "hooks that an older sockc attached know no deadline; apply it with --no-confirm, or `sockc unload` first".to_owned(),
            }),
        }
    }

    /// Clears the generation on trial, so that what the word names is in force without a deadline. The rest stays: with the
    /// word it tells later how the trial ended.
    pub(crate) fn end_trial(&self) -> Result<(), Error> {
        let Some(trial) = self.kept_trial()?.filter(|trial| trial.generation != 0) else {
            return Ok(());
        };
        let ended = Trial {
            generation: 0,
            ..trial
        };
        let pinned = open(self)?;
        pinned.map_or(Ok(()), |pinned| {
            map::update(pinned.as_fd(), &[0; 4], &ended.bytes()).map_err(at(WRITE))
        })
    }

    /// Notes when a trial was ended by hand, after the word was written: to dispatchers the deadline says nothing any more, or
    /// to one that has read the word before, the same.
    pub(crate) fn note_end(&self, trial: Trial) -> Result<(), Error> {
        let now = clock::since_boot();
        let ended = Trial {
            deadline: trial.deadline.min(now),
            passed: if trial.is_over(now) {
                trial.passed
            } else {
                BY_HAND
            },
            ..trial
        };
        let pinned = open(self)?;
        pinned.map_or(Ok(()), |pinned| {
            map::update(pinned.as_fd(), &[0; 4], &ended.bytes()).map_err(at(WRITE))
        })
    }

    /// Clears a trial that the word does not name and that would go on: whoever wrote it was killed ahead of the switch, so its
    /// generation was never in force, and there is nothing to tell of how it ended.
    fn forget_trial(&self) -> Result<(), Error> {
        let Some(trial) = self.kept_trial()? else {
            return Ok(());
        };
        let ended = trial.generation == 0 || trial.is_over(clock::since_boot());
        if ended || self.is_block()? {
            return Ok(());
        }
        let none = [0; SIZE as usize];
        let pinned = open(self)?;
        pinned.map_or(Ok(()), |pinned| {
            map::update(pinned.as_fd(), &[0; 4], &none).map_err(at(WRITE))
        })
    }

    /// Has the word say what dispatchers do since the deadline; gives whether a trial still runs. The value is cleared later,
    /// when no dispatcher can have read the word before.
    pub(crate) fn settle_trial(&self) -> Result<bool, Error> {
        match self.named_trial()? {
            None => {
                self.forget_trial()?;
                Ok(false)
            }
            Some(trial) if !trial.is_over(clock::since_boot()) => Ok(true),
            // The outer policy's word is written where that is settled.
            Some(_) if self.is_block()? => Ok(false),
            Some(trial) => self.switch_to(trial.fallback).map(|()| false),
        }
    }
}

/// What is being done.
const READ: &str = "read until when the policy is on trial";
const WRITE: &str = "write until when the policy is on trial";

fn open(state: &State) -> Result<Option<OwnedFd>, Error> {
    let path = state.trial();
    let Some(pinned) = pinned_there(&path)? else {
        return Ok(None);
    };
    let shape = map::shape(pinned.as_fd()).map_err(at(READ))?;
    if shape != SHAPE {
        return Err(Error::State {
            path,
            cause: "it is not the map that sockc left there".to_owned(),
        });
    }
    Ok(Some(pinned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_about_its_generation_alone_and_ends_for_good() {
        let trial = Trial {
            generation: 8,
            fallback: 7,
            deadline: 100,
            passed: 0,
        };
        for (word, now, wanted) in [
            (8, 99, 8),
            (8, 100, 7),
            (7, 100, 7),
            (9, 100, 9),
            (0, 100, 0),
        ] {
            assert_eq!(trial.in_force(word, now), wanted, "{word} {now}");
        }
        let passed = Trial {
            passed: 100,
            ..trial
        };
        assert_eq!(passed.in_force(8, 1), 7);
        // One that a person took back is over, and told apart.
        let back = Trial {
            passed: BY_HAND,
            ..trial
        };
        assert!(back.is_taken_back() && !passed.is_taken_back() && !trial.is_taken_back());
        assert_eq!(back.in_force(8, 100), 7);
        // One before it ended at another time.
        let other = Trial {
            passed: 50,
            ..trial
        };
        assert_eq!(other.in_force(8, 1), 8);
        let ended = Trial {
            generation: 0,
            ..trial
        };
        assert_eq!([0, 8].map(|word| ended.in_force(word, 100)), [0, 8]);
    }

    #[test]
    fn what_was_confirmed_is_what_came_after_the_one_before() {
        let trial = |generation, fallback, deadline| Trial {
            generation,
            fallback,
            deadline,
            passed: 0,
        };
        assert!(trial(0, 7, 100).confirmed(8));
        assert!(trial(0, 0, 100).confirmed(8));
        // It still waits, was taken back, another one came since, and there never was one.
        for (one, word) in [
            (trial(8, 7, 100), 8),
            (trial(0, 7, 100), 7),
            (trial(0, 7, 100), 9),
            (trial(0, 0, 0), 8),
            (trial(0, u32::MAX, 100), 0),
        ] {
            assert!(!one.confirmed(word), "{one:?} {word}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let trial = Trial {
            generation: 8,
            fallback: 7,
            deadline: u64::MAX - 1,
            passed: 3,
        };
        let bytes: [u8; SIZE as usize] = trial.bytes().try_into().unwrap();
        assert_eq!(Trial::parse(&bytes), trial);
    }
}
