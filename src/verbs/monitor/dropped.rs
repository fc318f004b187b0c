//! What is sampled of the packets that a policy drops, each with the rule that dropped it.
//!
//! Takes samples of the runtime, and the policy that was in force; gives records such as a log would have written, and the frames.
//! Which policy it was is told by the word that the sample has, so that what comes while policies change is not laid to another one.
//! Not here: which records somebody wants, and how one is shown.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::CounterKind;
use sockc_compiler::event::Parsed;
use sockc_compiler::log::LogRecord;
use sockc_compiler::policy::Direction;
use sockc_runtime::{DropSample, DropSampler, Error, LogWatch, Options, Which};

use super::judged::{By, Judge};
use crate::files::capture::Packet;
use crate::output::Output;
use crate::replay;

/// So often it is looked whether other programs hang somewhere, besides when another policy comes into force.
const LOOK: Duration = Duration::from_millis(500);
/// So many policies are kept: the one in force and the one before.
const KEPT: usize = 2;

/// The sampling.
pub(super) struct Drops {
    sampler: DropSampler,
    options: Options,
    /// Of how many drops one is wanted.
    pub(super) one_in: u32,
    /// The policies that were in force, the last one last.
    known: Vec<Known>,
    /// How many had found no room when that was told last.
    lost: u64,
    looked: Instant,
}

/// A policy that the word named.
struct Known {
    word: u32,
    which: Which,
    /// Who says what it dropped, or why nobody can.
    judge: Result<Judge, String>,
}

/// A packet that was dropped, as a record.
pub(super) struct Dropped {
    pub(super) record: LogRecord,
    pub(super) sample: DropSample,
    parsed: Parsed,
    /// Why it is not known who dropped it.
    unknown: Option<&'static str>,
}

impl Drops {
    /// Begins.
    pub(super) fn begin(
        options: &Options,
        one_in: u32,
        watch: &LogWatch,
        output: &mut Output,
    ) -> Result<Self, Error> {
        let mut drops = Self {
            sampler: DropSampler::begin(options, one_in)?,
            options: options.clone(),
            one_in,
            known: Vec::new(),
            lost: 0,
            looked: Instant::now(),
        };
        drops.learn(watch)?;
        drops.say(output);
        Ok(drops)
    }

    /// Reads the policy that the word names now.
    fn learn(&mut self, watch: &LogWatch) -> Result<(), Error> {
        loop {
            let word = self.sampler.generation()?;
            let Some(which) = watch.in_force()? else {
                return Ok(());
            };
            let judge = Judge::of(&self.options, which.0);
            // That took a while.
            if (self.sampler.generation()?, watch.in_force()?) == (word, Some(which)) {
                self.known.retain(|one| one.word != word);
                self.known.push(Known { word, which, judge });
                let most = self.known.len().saturating_sub(KEPT);
                self.known.drain(..most);
                return Ok(());
            }
        }
    }

    /// Says what is to be seen.
    fn say(&self, output: &mut Output) {
        output.note(match (self.sampler.places(), self.one_in) {
            (0, _) => "the policy in force has no programs at XDP and TC, so no drops are shown"
                .to_owned(),
            (_, 1) => "every packet that is dropped at XDP and TC is shown".to_owned(),
            (_, of) => format!("one of {of} packets that are dropped at XDP and TC is shown"),
        });
        let judge = self.known.last().map(|one| &one.judge);
        if let Some(Err(why)) = judge {
            output.note(format!("which rule drops a packet is not known: {why}"));
        }
        if let Some(elsewhere) = self.judge().and_then(elsewhere) {
            output.note(format!(
                "what is dropped of {elsewhere} is not shown unless its rules log: only programs at XDP and TC are followed"
            ));
        }
    }

    /// That of the policy in force, if that is known.
    pub(super) fn judge(&self) -> Option<&Judge> {
        self.known.last().and_then(|one| one.judge.as_ref().ok())
    }

    /// Follows what hangs at XDP and TC now, if another policy is in force or it is time to look.
    pub(super) fn follow(
        &mut self,
        changed: bool,
        watch: &LogWatch,
        output: &mut Output,
    ) -> Result<(), Error> {
        if !changed && self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        self.sampler.follow()?;
        if changed {
            self.learn(watch)?;
            self.say(output);
        }
        Ok(())
    }

    /// What can be waited on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sampler.fds()
    }

    /// How many more found no room.
    pub(super) fn lost(&mut self) -> Result<u64, Error> {
        let lost = self.sampler.lost()?;
        let more = lost.saturating_sub(self.lost);
        self.lost = lost;
        Ok(more)
    }

    /// What was dropped since this was called last.
    pub(super) fn take(&mut self, watch: &LogWatch) -> Result<Vec<Dropped>, Error> {
        let samples = self.sampler.take();
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let word = self.sampler.generation()?;
        let now = watch.in_force()?;
        let of_word = self.known.iter().find(|one| one.word == word);
        // A trial that has passed puts the policy before in force, and moves no word.
        let lapsed = of_word.is_some_and(|one| now.is_some_and(|now| now != one.which));
        if lapsed || of_word.is_none() {
            self.learn(watch)?;
        }
        let unknown = lapsed.then_some("a trial ended, and either policy may have been in force");
        Ok(samples
            .into_iter()
            .filter_map(|sample| dropped(sample, unknown))
            .collect())
    }

    /// Who dropped one, and in which generation.
    pub(super) fn by(&self, dropped: &Dropped) -> (By<'_>, u32) {
        let word = dropped.sample.generation;
        let unknown = |why: &str| By::Unknown(why.to_owned());
        let Some(known) = self.known.iter().find(|one| one.word == word) else {
            let why = "the policy that was in force then is not any more";
            return (unknown(why), word);
        };
        let by = match (&known.judge, dropped.unknown) {
            (_, Some(why)) => unknown(why),
            (Err(why), None) => unknown(why),
            (Ok(judge), None) => {
                let (_, interface) = &dropped.sample.interface;
                judge.by(dropped.sample.hook, interface, &dropped.parsed)
            }
        };
        (by, known.which.0)
    }
}

/// A sample as a record; nothing of a frame that is not IP, which no program of ours drops.
fn dropped(sample: DropSample, unknown: Option<&'static str>) -> Option<Dropped> {
    let recorded = sample.frame.len();
    let whole = usize::try_from(sample.length).unwrap_or(usize::MAX);
    let mut frame = sample.frame.clone();
    frame.resize(whole.clamp(recorded, recorded.max(MOST)), 0);
    let packet = Packet {
        frame,
        recorded,
        leaves: None,
        interface: None,
    };
    let seen = replay::parsed(&packet);
    let cut = "its headers are longer than what is sampled of a packet";
    let unknown = unknown.or(seen.is_none().then_some(cut));
    let mut parsed = seen.unwrap_or(Parsed::Malformed);
    if let Parsed::Ip(header) = &mut parsed {
        header.mark = sample.mark;
    }
    let place = (sample.time, sample.interface.0);
    Some(Dropped {
        record: LogRecord::of_packet(place, sample.hook, &parsed)?,
        sample,
        parsed,
        unknown,
    })
}

/// The longest frame that is filled up with zeros: an IP packet of 64 KiB, and every header in front of it.
const MOST: usize = 65_536 + 256;

/// In which directions a policy drops or rejects what no packet hook sees, in words.
fn elsewhere(judge: &Judge) -> Option<String> {
    let packets = [Direction::In, Direction::Out].map(Direction::word);
    let counters = judge.counters().iter();
    let mut found: Vec<&str> = counters
        .filter(|one| matches!(one.kind, CounterKind::Rule | CounterKind::Default))
        .filter(|one| !one.audit && matches!(one.verdict.as_str(), "drop" | "reject"))
        .map(|one| one.direction.as_str())
        .filter(|direction| !packets.contains(direction))
        .collect();
    found.sort_unstable();
    found.dedup();
    let named: Vec<String> = found.iter().map(|one| format!("`{one}`")).collect();
    (!named.is_empty()).then(|| named.join(" and "))
}
