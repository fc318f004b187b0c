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
    /// The generation that is to follow it, if that is sampled already.
    ahead: Option<Which>,
}

/// The drops of one generation.
struct Drops {
    reader: DropReader,
    one_in: u32,
    /// Whether any rule looks at the addresses of frames.
    asks_for_frames: bool,
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
    /// Whether the policy looks at hardware addresses, so that they are told.
    pub(super) tells_frame: bool,
}

impl Sampling {
    /// Of how many drops one is wanted.
    pub(super) fn new(one_in: u32) -> Self {
        Self {
            one_in,
            asked: None,
            ahead: None,
        }
    }

    /// Follows what is in force now, if that is something else, and what is to come into force next: an apply waits for that. Whether
    /// what is in force now came before it was followed.
    pub(super) fn follow(
        &mut self,
        now: Which,
        (watch, sources): (&LogWatch, &mut Sources),
        output: &mut Output,
    ) -> Result<bool, Error> {
        let before = self.asked.replace(now);
        let mut is_late = before.is_some_and(|before| before != now);
        is_late &= !sources.has(Kind::Drops, now);
        if before != Some(now) {
            self.open(now, watch, sources)?;
            let is_sampled = sources.has(Kind::Drops, now);
            // What went away meanwhile is spoken of no more.
            if watch.is_kept(now) {
                self.say(is_sampled, watch, output)?;
            }
            is_late &= is_sampled;
        }
        self.ahead = watch.coming(now);
        if let Some(next) = self.ahead
            && self.open(next, watch, sources).is_err()
        {
            // What keeps it from being sampled is told once it is in force.
            self.ahead = None;
        }
        Ok(is_late)
    }

    /// Whether this is the generation that is to come.
    pub(super) fn is_ahead(&self, which: Which) -> bool {
        self.ahead == Some(which)
    }

    /// Forgets what was to come, as nothing is in force any more.
    pub(super) fn end(&mut self) {
        self.ahead = None;
    }

    /// Whether one is to come.
    pub(super) fn looks_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Samples a generation, unless that is done or nothing in it can be.
    fn open(&self, which: Which, watch: &LogWatch, sources: &mut Sources) -> Result<(), Error> {
        if sources.has(Kind::Drops, which) {
            return Ok(());
        }
        let one_in = self.one_in;
        if let Some(reader) = watch.drops(which, one_in)? {
            let drops = Drops {
                asks_for_frames: asks_for_frames(reader.counters()),
                reader,
                one_in,
                taken: VecDeque::new(),
            };
            sources.add(Box::new(drops), 0);
        }
        Ok(())
    }

    /// Says what is to be seen of the generation in force.
    fn say(&self, is_sampled: bool, watch: &LogWatch, output: &mut Output) -> Result<(), Error> {
        let Some(manifest) = watch.manifest()? else {
            return Ok(());
        };
        output.note(match (is_sampled, self.one_in) {
            (true, 1) => "each drop of a rule or a default at XDP and TC is sampled".to_owned(),
            (true, of) => format!("one of {of} drops of rules and defaults at XDP and TC is sampled"),
            (false, _) if is_older(&manifest) => "another sockc made the programs in force, and what these drop cannot be sampled; apply the policy again with this one".to_owned(),
            (false, _) => "the policy in force drops no packet at XDP and TC, so no drops are shown".to_owned(),
        });
        if let Some(elsewhere) = elsewhere(&manifest) {
            output.note(format!(
                "what is dropped of {elsewhere} is not sampled: only programs at XDP and TC have the packet"
            ));
        }
        Ok(())
    }
}

/// That a generation was in force before its drops were looked at.
pub(super) fn before_it(generation: u32) -> String {
    format!(
        "what generation {generation} dropped until now was not looked at: it came into force before it was followed"
    )
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
                let (kind, tells_frame) = (counter.kind, self.asks_for_frames);
                return Some(event(dropped, kind, (self.one_in, tells_frame)));
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

fn event(dropped: Dropped, counter: CounterKind, (one_in, tells_frame): (u32, bool)) -> Event {
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
            tells_frame,
            frame: dropped.frame,
            length: dropped.length,
        }),
    }
}

/// Whether any rule looks at the frame's own addresses. Each frame has others, so they are told where that matters.
fn asks_for_frames(counters: &[Counter]) -> bool {
    let mut counters = counters.iter();
    counters.any(|one| one.location.text.contains("ether "))
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

#[cfg(test)]
mod tests {
    use sockc_compiler::hook::Hook;
    use sockc_compiler::packet::build::{Extension, Frame};
    use sockc_compiler::protocol::IpProtocol;

    use super::*;

    /// Whether all headers of a packet with so many extension headers of 64 bytes stand in what is sampled of it, and whether it is
    /// malformed.
    fn read(extensions: usize) -> (bool, bool) {
        let header = Header {
            from: "2001:db8::1".parse().unwrap(),
            to: "2001:db8::2".parse().unwrap(),
            protocol: IpProtocol::TCP,
            transport: sockc_compiler::event::Transport::Tcp {
                from: 1,
                to: 2,
                flags: 2,
            },
            ..Header::PLAIN
        };
        let mut frame = Frame::new(header);
        for _ in 0..extensions {
            frame = frame.extension(Extension::Destination(7));
        }
        let bytes = frame.shrink().bytes();
        let dropped = Dropped {
            time: 1,
            counter: 0,
            interface: 2,
            came_in: 0,
            hook: Hook::TcIn,
            mark: 0,
            frame: bytes[..bytes.len().min(256)].to_vec(),
            length: bytes.len() as u32,
        };
        let event = event(dropped, CounterKind::Default, (1, false));
        (event.sample.unwrap().is_read, event.record.packet.is_none())
    }

    #[test]
    fn what_lies_beyond_a_sample_is_not_malformed() {
        assert_eq!(read(2), (true, false));
        for extensions in [3, 4] {
            assert!(!read(extensions).0, "{extensions}");
        }
    }
}
