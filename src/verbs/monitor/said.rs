//! What is said beside packets: what was lost, which policy came into force, and that none is any more.
//!
//! Takes the numbers; prints a line where packets are printed, an object where these are, and a note where a recording stands in their
//! place. Not here: who finds it out.

use std::os::fd::OwnedFd;

use serde::Serialize;

use super::source::Kind;
use crate::output::Output;

/// Something else than a packet, as JSON.
#[derive(Serialize)]
struct Said {
    format: &'static str,
    event: &'static str,
    /// The generation that it is about; null where none is in force.
    generation: Option<u32>,
    /// Records that were lost.
    records: Option<u64>,
    /// Whether that was before this command began.
    earlier: Option<bool>,
    /// Whether it is about drops that were sampled, and not about what a log writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<bool>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Records of logs, before this command began.
    Before,
    /// Others.
    Now(Kind),
}

/// Says it.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    /// What can be read once the command is to end.
    pub(super) end: &'a OwnedFd,
    /// Whether packets are recorded on standard output, in place of lines.
    pub(super) is_recorded: bool,
}

impl Beside<'_> {
    /// Says how many were lost.
    pub(super) fn lost(self, generation: u32, records: u64, lost: Lost, output: &mut Output) {
        if output.is_json() {
            return self.object(
                &Said {
                    records: Some(records),
                    earlier: Some(lost == Lost::Before),
                    sampled: (lost == Lost::Now(Kind::Drops)).then_some(true),
                    ..Said::of("lost", Some(generation))
                },
                output,
            );
        }
        let what = match lost {
            Lost::Before => {
                return output.note(format!(
                    "{records} lost in all before this began, since generation {generation} was put in force: nobody read them in time; a `monitor` that ran then has told of those that it saw lost"
                ));
            }
            Lost::Now(Kind::Logs) => "",
            Lost::Now(Kind::Drops) => " of the drops that were chosen",
        };
        self.line(
            &format!("{records} lost{what}: they came faster than they were read"),
            output,
        );
    }

    /// Says which drops were not looked at, and why; how many nobody knows.
    pub(super) fn gap(self, generation: u32, words: &str, output: &mut Output) {
        if output.is_json() {
            return self.object(
                &Said {
                    earlier: Some(false),
                    sampled: Some(true),
                    ..Said::of("lost", Some(generation))
                },
                output,
            );
        }
        self.line(words, output);
    }

    /// Says that nothing is in force any more.
    pub(super) fn gone(self, output: &mut Output) {
        let words = "the policy was taken out of force, and nothing is logged any more";
        self.policy(None, words, output);
    }

    /// Says what is in force.
    pub(super) fn policy(self, generation: Option<u32>, words: &str, output: &mut Output) {
        if output.is_json() {
            self.object(&Said::of("policy", generation), output);
        }
        output.note(words);
    }

    /// Says something between packets.
    fn line(self, line: &str, output: &mut Output) {
        match self.is_recorded {
            true => output.note(line),
            false => output.stream(format!("... {line}\n").as_bytes(), self.end),
        }
    }

    fn object(self, said: &Said, output: &mut Output) {
        let text = serde_json::to_string(said).unwrap_or_default();
        output.stream(format!("{text}\n").as_bytes(), self.end);
    }
}

impl Said {
    fn of(event: &'static str, generation: Option<u32>) -> Self {
        Self {
            format: "sockc.monitor/1",
            event,
            generation,
            records: None,
            earlier: None,
            sampled: None,
        }
    }
}
