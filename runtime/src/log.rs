//! What the policy in force has logged: the records of the ring buffer `log`, in the order they were written.
//!
//! Takes the state; gives records. Not here: what a counter's slot stands for, which the manifest says, and printing.

use std::fmt;

use sockc_compiler::log::{LogRecord, parse};

use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
use crate::state::in_force::record_in_force;
use crate::sys::ringbuf::Ring;

/// The ring of one generation. Records that nobody takes in time are lost; each is given to one reader only.
pub struct LogReader {
    ring: Ring,
    generation: u32,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl LogReader {
    /// The log of the policy in force; `None` if there is no policy, or nothing in it logs.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn open(options: &Options) -> Result<Option<Self>, Error> {
        session::enter(options, |session| {
            let Some(record) = record_in_force(&session.state)? else {
                return Ok(None);
            };
            let pin = session.state.map(record.generation, "log");
            if !pin.exists() {
                return Ok(None);
            }
            let ring = Ring::open(&pin).map_err(at("open the ring of the log"))?;
            Ok(Some(Self {
                ring,
                generation: record.generation,
            }))
        })
    }

    /// The generation whose programs write to it; another one writes elsewhere.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
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
}
