//! What is read of a generation: a source of events, whether these are records of its log or drops that were sampled, and the list of
//! all that are followed.
//!
//! Takes sources as they are opened; gives what can be waited on, and of each how many were lost since that was asked last. A source
//! stays while its generation does, and is read once more after that. Not here: how one is opened, and what is said of events.

use std::os::fd::BorrowedFd;

use sockc_compiler::artifact::Counter;
use sockc_compiler::log::LogRecord;
use sockc_runtime::{Error, LogWatch, Which};

use super::dropped::Sample;

/// What a source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records of the log.
    Logs,
    /// Drops that were sampled.
    Drops,
}

/// A packet, as a record, with what a sample has besides.
pub(super) struct Event {
    pub(super) record: LogRecord,
    pub(super) sample: Option<Sample>,
}

/// What nobody sees.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unseen {
    /// How many found no room.
    pub(super) lost: u64,
    /// Whether nobody looked for a moment.
    pub(super) gap: bool,
}

/// What is read of one generation.
pub(super) trait Source {
    fn kind(&self) -> Kind;

    /// The generation whose programs write it.
    fn which(&self) -> Which;

    /// Its counters, by the slots that events name.
    fn counters(&self) -> &[Counter];

    /// What can be waited on.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Takes what is there by now, where that has to be brought into order before the first event of it is given.
    fn fetch(&mut self) {}

    /// The next event that was not given yet.
    fn next(&mut self) -> Option<Event>;

    /// How many were lost by now, of all.
    fn unseen(&mut self) -> Result<Unseen, Error>;
}

/// A source that is followed.
pub(super) struct Followed {
    pub(super) source: Box<dyn Source>,
    /// How many had been lost when that was told last.
    lost: u64,
    /// Whether its generation is gone: it is read once more then.
    gone: bool,
}

impl Followed {
    /// What nobody sees since this was asked last.
    pub(super) fn unseen(&mut self) -> Result<Unseen, Error> {
        let now = self.source.unseen()?;
        let more = now.lost.saturating_sub(self.lost);
        self.lost = now.lost;
        Ok(Unseen { lost: more, ..now })
    }
}

/// Those of the generation in force and of others that are kept, the oldest first.
#[derive(Default)]
pub(super) struct Sources {
    all: Vec<Followed>,
}

impl Sources {
    /// Adds one, of which so many lost ones were told.
    pub(super) fn add(&mut self, source: Box<dyn Source>, lost: u64) {
        self.all.push(Followed {
            source,
            lost,
            gone: false,
        });
        self.all.sort_by_key(|one| one.source.which().0);
    }

    /// Whether this is read of a generation.
    pub(super) fn has(&self, kind: Kind, which: Which) -> bool {
        let mut all = self.all.iter();
        all.any(|one| one.source.kind() == kind && one.source.which() == which)
    }

    /// The same of a generation with this number, whichever.
    pub(super) fn has_number(&self, kind: Kind, generation: u32) -> bool {
        let mut all = self.all.iter().map(|one| &one.source);
        all.any(|source| source.kind() == kind && source.which().0 == generation)
    }

    /// Where those of a kind stand.
    pub(super) fn of(&self, kind: Kind) -> Vec<usize> {
        let all = self.all.iter().enumerate();
        let of_kind = all.filter(|(_, one)| one.source.kind() == kind);
        of_kind.map(|(at, _)| at).collect()
    }

    /// The one that stands there.
    pub(super) fn get(&mut self, at: usize) -> Option<&mut Followed> {
        self.all.get_mut(at)
    }

    /// What can be waited on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().flat_map(|one| one.source.fds())
    }

    /// Parts with those whose generation is gone. What is gone was read since that was seen.
    pub(super) fn part(&mut self, now: Option<Which>, watch: &LogWatch) {
        self.all.retain(|one| !one.gone);
        for one in &mut self.all {
            let which = one.source.which();
            one.gone = now != Some(which) && !watch.is_kept(which);
        }
    }
}
