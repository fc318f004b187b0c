//! The log of a generation as a source of events.
//!
//! Takes what the runtime reads; says what was lost before it was opened. Not here: what a record says.

use std::os::fd::{AsFd, BorrowedFd};

use sockc_compiler::artifact::Counter;
use sockc_runtime::{Error, LogReader, Which};

use super::said::{Beside, Lost};
use super::source::{Event, Kind, Source, Sources, Unseen};
use crate::output::Output;

/// The ring that one generation's rules write to.
struct Log(LogReader);

impl Source for Log {
    fn kind(&self) -> Kind {
        Kind::Logs
    }

    fn which(&self) -> Which {
        self.0.which()
    }

    fn counters(&self) -> &[Counter] {
        self.0.counters()
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.0.as_fd()]
    }

    fn next(&mut self) -> Option<Event> {
        let record = self.0.take()?;
        Some(Event {
            record,
            sample: None,
        })
    }

    fn unseen(&mut self) -> Result<Unseen, Error> {
        Ok(Unseen {
            lost: self.0.lost()?.unwrap_or(0),
            gap: false,
        })
    }
}

/// Follows a log from now on, and says what it lost before.
pub(super) fn add(
    reader: LogReader,
    sources: &mut Sources,
    beside: Beside<'_>,
    output: &mut Output,
) -> Result<(), Error> {
    let lost = reader.lost()?;
    match lost {
        None => output.note(
            "an older sockc made the programs in force: what finds no room in the ring is not counted, until the policy is applied again",
        ),
        Some(0) => {}
        Some(lost) => beside.lost(reader.generation(), lost, Lost::Before, output),
    }
    sources.add(Box::new(Log(reader)), lost.unwrap_or(0));
    Ok(())
}
