//! What is sampled of the packets that policies drop, each with the rule that dropped it.
//!
//! Takes what the runtime reads of each generation; gives records such as a log would have written, and the frames. Which rule dropped
//! a packet says the slot that counted it. Not here: which records somebody wants, and how one is shown.

use std::os::fd::BorrowedFd;

use sockc_compiler::artifact::{AttachPoint, BUILD, Counter, CounterKind, Manifest};
use sockc_compiler::dropped::Dropped;
use sockc_compiler::event::Parsed;
use sockc_compiler::log::LogRecord;
use sockc_compiler::policy::Direction;
use sockc_runtime::{DropReader, Error, LogWatch, Which};

use crate::files::capture::{MAX_FRAME, Packet};
use crate::output::Output;
use crate::replay;

/// The sampling.
pub(super) struct Drops {
    /// Of how many drops one is wanted.
    one_in: u32,
    /// The generation in force when it was asked for last.
    asked: Option<Which>,
    /// Those of the generation in force and of others that are kept, the oldest first.
    readers: Vec<Reader>,
}

struct Reader {
    reader: DropReader,
    /// How many had found no room when that was told last.
    lost: u64,
    /// Whether its generation is gone: it is read once more then.
    gone: bool,
}

/// A packet that was dropped, as a record.
pub(super) struct Told {
    pub(super) record: LogRecord,
    pub(super) counter: Counter,
    pub(super) generation: u32,
    pub(super) sample: Sample,
}

/// What a sample has that no record of a log has.
pub(super) struct Sample {
    /// Of how many drops it is one.
    pub(super) one_in: u32,
    /// The first bytes of the frame, and the length of all of it.
    pub(super) frame: Vec<u8>,
    pub(super) length: u32,
    /// Whether all headers stand in what is sampled.
    pub(super) is_read: bool,
}

/// What nobody sees of a generation.
pub(super) struct Unseen {
    pub(super) generation: u32,
    /// How many found no room since that was asked last.
    pub(super) lost: u64,
    /// Whether nobody looked for a moment.
    pub(super) gap: bool,
}

impl Drops {
    /// Begins.
    pub(super) fn begin(one_in: u32, watch: &LogWatch, output: &mut Output) -> Result<Self, Error> {
        let mut drops = Self {
            one_in,
            asked: watch.in_force()?,
            readers: Vec::new(),
        };
        drops.open(watch, output)?;
        Ok(drops)
    }

    /// Samples the generation in force, unless that is done, and says what is to be seen.
    fn open(&mut self, watch: &LogWatch, output: &mut Output) -> Result<(), Error> {
        if let Some(reader) = watch.drops(self.one_in)? {
            self.readers.push(Reader {
                reader,
                lost: 0,
                gone: false,
            });
            output.note(match self.one_in {
                1 => "each drop of a rule or a default at XDP and TC is sampled".to_owned(),
                of => format!("one of {of} drops of rules and defaults at XDP and TC is sampled"),
            });
        } else if let Some(manifest) = watch.manifest()? {
            output.note(match is_older(&manifest) {
                true => "another sockc made the programs in force, and what these drop cannot be sampled; apply the policy again with this one",
                false => "the policy in force drops no packet at XDP and TC, so no drops are shown",
            });
        }
        if let Some(elsewhere) = watch.manifest()?.and_then(|one| elsewhere(&one)) {
            output.note(format!(
                "what is dropped of {elsewhere} is not sampled: only programs at XDP and TC have the packet"
            ));
        }
        Ok(())
    }

    /// Follows what is in force now, if that is something else.
    pub(super) fn follow(
        &mut self,
        now: Which,
        watch: &LogWatch,
        output: &mut Output,
    ) -> Result<(), Error> {
        // What is gone was read since that was seen.
        self.readers.retain(|one| !one.gone);
        for one in &mut self.readers {
            let which = one.reader.which();
            one.gone = which != now && !watch.is_kept(which);
        }
        let changed = self.asked.replace(now) != Some(now);
        let has = self.readers.iter().any(|one| one.reader.which() == now);
        match changed && !has {
            true => self.open(watch, output),
            false => Ok(()),
        }
    }

    /// What can be waited on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.readers.iter().flat_map(|one| one.reader.fds())
    }

    /// What was dropped since this was asked last, in the order of time.
    pub(super) fn take(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        for one in &mut self.readers {
            let (generation, _) = one.reader.which();
            let found = one.reader.take();
            let told = found.into_iter().filter_map(|dropped| {
                let slot = usize::try_from(dropped.counter).ok()?;
                let counter = one.reader.counters().get(slot)?.clone();
                Some(told(dropped, counter, generation, self.one_in))
            });
            all.extend(told);
        }
        all.sort_by_key(|one| one.record.time);
        all
    }

    /// What nobody sees, of each generation.
    pub(super) fn unseen(&mut self) -> Result<Vec<Unseen>, Error> {
        let mut all = Vec::new();
        for one in &mut self.readers {
            let (generation, _) = one.reader.which();
            let stands = one.reader.look()?;
            let lost = stands.lost.saturating_sub(one.lost);
            one.lost = stands.lost;
            if lost > 0 || stands.gap {
                all.push(Unseen {
                    generation,
                    lost,
                    gap: stands.gap,
                });
            }
        }
        Ok(all)
    }
}

fn told(dropped: Dropped, counter: Counter, generation: u32, one_in: u32) -> Told {
    let recorded = dropped.frame.len();
    let whole = usize::try_from(dropped.length).unwrap_or(usize::MAX);
    let mut frame = dropped.frame.clone();
    frame.resize(whole.clamp(recorded, recorded.max(MAX_FRAME)), 0);
    let packet = Packet {
        frame,
        recorded,
        leaves: None,
        interface: None,
        of_process: false,
    };
    let parsed = replay::parsed(&packet);
    // No rule decides about what is malformed: what seems to be is longer than its header can say (BIG TCP).
    let seems_whole = matches!(parsed, Some(Parsed::Ip(_)))
        || (counter.kind != CounterKind::Rule && whole <= MAX_FRAME);
    Told {
        record: dropped.record(parsed.as_ref()),
        counter,
        generation,
        sample: Sample {
            one_in,
            is_read: parsed.is_some() && seems_whole,
            frame: dropped.frame,
            length: dropped.length,
        },
    }
}

/// Whether something drops that another sockc has compiled, maybe without gates.
fn is_older(manifest: &Manifest) -> bool {
    manifest.made.build != BUILD && manifest.counters.iter().any(may_be_sampled)
}

fn drops(counter: &Counter) -> bool {
    let kind = matches!(counter.kind, CounterKind::Rule | CounterKind::Default);
    kind && !counter.audit && matches!(counter.verdict.as_str(), "drop" | "reject")
}

/// Whether what it counts may be dropped at XDP or TC: a redirect may find its socket or its interface absent.
pub(super) fn may_be_sampled(counter: &Counter) -> bool {
    let packets = [Direction::In, Direction::Out].map(Direction::word);
    let redirects = !counter.audit && counter.verdict == "redirect";
    let malformed = counter.kind == CounterKind::Malformed;
    let may = malformed || redirects || drops(counter);
    may && packets.contains(&counter.direction.as_str())
}

/// Where a policy drops what no packet hook sees, in words.
fn elsewhere(manifest: &Manifest) -> Option<String> {
    let mut found: Vec<String> = Vec::new();
    let mut programs = manifest.programs.iter();
    let mut counters = manifest.counters.iter();
    let refuses = |one: &Counter| one.direction == Direction::In.word() && one.verdict == "reject";
    if programs.any(|one| one.point == AttachPoint::SkLookup) && counters.any(refuses) {
        found.push("lookups".to_owned());
    }
    for direction in Direction::all_of_processes().map(Direction::word) {
        let mut counters = manifest.counters.iter();
        if counters.any(|one| drops(one) && one.direction == direction) {
            found.push(format!("`{direction}`"));
        }
    }
    let last = found.pop()?;
    Some(match found.is_empty() {
        true => last,
        false => format!("{} and {last}", found.join(", ")),
    })
}
