//! What is shown, as a recording: the frames that were dropped, and frames made from what logs tell.
//!
//! Takes what is shown of each packet; writes it to the file, or to standard output. Not here: the form of a recording.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::Direction;

use super::is_stdout;
use super::shown::Shown;
use crate::exit::Exit;
use crate::files::recording::{Recording, RecordingFile, Written};
use crate::output::Output;

/// A recording that goes on.
pub(super) struct Recorded {
    recording: Recording,
    /// The file; nothing where it is standard output.
    file: Option<RecordingFile>,
    /// Whether it was said that a malformed packet that was logged has no frame.
    said: bool,
}

impl Recorded {
    /// Begins one; says why it cannot be written.
    pub(super) fn begin(path: &Path, output: &mut Output) -> Result<Self, Exit> {
        let file = match is_stdout(path) {
            true => Ok(None),
            false => RecordingFile::begin(path).map(Some),
        };
        let file = file.map_err(|why| refused(why, output))?;
        Ok(Self {
            recording: Recording::new().map_err(|error| refused(error.to_string(), output))?,
            file,
            said: false,
        })
    }

    /// Adds a packet: a frame with its length, or what the record tells.
    pub(super) fn add(
        &mut self,
        shown: &Shown<'_>,
        frame: Option<(&[u8], u32)>,
        output: &mut Output,
    ) -> Result<(), Exit> {
        let header = shown.record.header();
        let made = match (frame, header) {
            (Some(_), _) => Vec::new(),
            (None, Some(header)) => Frame::new(header).bytes(),
            (None, None) => {
                if !std::mem::replace(&mut self.said, true) {
                    output.note("a log tells nothing of malformed packets, so these are not in the recording");
                }
                return Ok(());
            }
        };
        let (frame, length) = match frame {
            Some(given) => given,
            None => (
                made.as_slice(),
                u32::try_from(made.len()).unwrap_or(u32::MAX),
            ),
        };
        let written = Written {
            interface: shown.interface,
            time: shown.clock.day(shown.record),
            frame,
            length,
            leaves: shown.record.hook.direction() != Direction::In,
            comment: &shown.comment(),
        };
        let added = self.recording.add(&written);
        added.map_err(|error: io::Error| refused(error.to_string(), output))
    }

    /// Writes what was added since.
    pub(super) fn write(&mut self, end: &impl AsFd, output: &mut Output) -> Result<(), Exit> {
        let piece = self.recording.take();
        match &mut self.file {
            Some(file) => file.write(&piece).map_err(|why| refused(why, output)),
            None => {
                output.stream_bytes(&piece, end);
                Ok(())
            }
        }
    }
}

fn refused(why: String, output: &mut Output) -> Exit {
    output.error(why);
    Exit::Refused
}
