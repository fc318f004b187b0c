//! What is sampled of the packets that policies drop, each with the rule that dropped it.
//!
//! Takes what the runtime reads of each generation; gives records such as a log would have written, and the frames. Which rule dropped
//! a packet says the slot that counted it. Not here: which records somebody wants, and how one is shown.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use sockc_compiler::artifact::{AttachPoint, BUILD, Counter, CounterKind, Manifest};
use sockc_compiler::dropped::Dropped;
use sockc_compiler::event::{Header, Parsed};
use sockc_compiler::policy::Direction;
use sockc_runtime::{DropReader, Error, LogWatch, Which};

use super::source::{Event, Kind, Source, Sources, Unseen};
use crate::files::capture::{MAX_FRAME, Packet};
use crate::output::Output;
use crate::replay;

/// The sampling.
pub(super) struct Sampling {
    /// Of how many drops one is wanted.
    one_in: u32,
    /// The generation in force when it was asked for last.
    asked: Option<Which>,
}

/// The drops of one generation.
struct Drops {
    reader: DropReader,
    one_in: u32,
    /// What was taken out of the rings and not given yet, in the order of time.
    taken: VecDeque<Dropped>,
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
    /// All of the header, of which a record tells a part; nothing of a malformed packet.
    pub(super) header: Option<Header>,
}

impl Sampling {
    /// Of how many drops one is wanted.
    pub(super) fn new(one_in: u32) -> Self {
        Self {
            one_in,
            asked: None,
        }
    }

    /// Follows what is in force now, if that is something else.
    pub(super) fn follow(
        &mut self,
        now: Which,
        (watch, sources): (&LogWatch, &mut Sources),
        output: &mut Output,
    ) -> Result<(), Error> {
        let changed = self.asked.replace(now) != Some(now);
        match changed && !sources.has(Kind::Drops, now) {
            true => self.open(watch, sources, output),
            false => Ok(()),
        }
    }

    /// Samples the generation in force, unless that is done, and says what is to be seen.
    fn open(
        &self,
        watch: &LogWatch,
        sources: &mut Sources,
        output: &mut Output,
    ) -> Result<(), Error> {
        let one_in = self.one_in;
        if let Some(reader) = watch.drops(one_in)? {
            let taken = VecDeque::new();
            let drops = Drops {
                reader,
                one_in,
                taken,
            };
            sources.add(Box::new(drops), 0);
            output.note(match one_in {
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
}

impl Source for Drops {
    fn kind(&self) -> Kind {
        Kind::Drops
    }

    fn which(&self) -> Which {
        self.reader.which()
    }

    fn counters(&self) -> &[Counter] {
        self.reader.counters()
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.reader.fds().collect()
    }

    /// Each processor has a ring: what was dropped by one after the other is brought into the order of time.
    fn fetch(&mut self) {
        let mut found = self.reader.take();
        found.sort_by_key(|one| one.time);
        self.taken.extend(found);
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            let dropped = self.taken.pop_front()?;
            let slot = usize::try_from(dropped.counter).ok();
            let counter = slot.and_then(|slot| self.counters().get(slot));
            if let Some(counter) = counter {
                return Some(event(dropped, counter.kind, self.one_in));
            }
        }
    }

    fn unseen(&mut self) -> Result<Unseen, Error> {
        let stands = self.reader.look()?;
        Ok(Unseen {
            lost: stands.lost,
            gap: stands.gap,
        })
    }
}

fn event(dropped: Dropped, counter: CounterKind, one_in: u32) -> Event {
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
        || (counter != CounterKind::Rule && whole <= MAX_FRAME);
    let is_read = parsed.is_some();
    let record = dropped.record(parsed.as_ref());
    let header = match parsed {
        // The mark stands beside the frame.
        Some(Parsed::Ip(header)) => Some(Header {
            mark: dropped.mark,
            ..header
        }),
        _ => None,
    };
    Event {
        record,
        sample: Some(Sample {
            one_in,
            is_read: is_read && seems_whole,
            header,
            frame: dropped.frame,
            length: dropped.length,
        }),
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
    let mut packets = Direction::of_packets().map(Direction::word);
    let redirects = !counter.audit && counter.verdict == "redirect";
    let malformed = counter.kind == CounterKind::Malformed;
    let may = malformed || redirects || drops(counter);
    may && packets.any(|word| word == counter.direction)
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
