//! What is told, as a recording: of drops that were sampled the frame itself, of others one made from what each record says, cut behind
//! its headers.
//!
//! Takes what is shown of each packet; writes it to the file, or to standard output. Not here: the form of a recording.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use sockc_compiler::event::Header;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::Direction;

use super::shown::Shown;
use crate::exit::Exit;
use crate::files::capture::MADE_FROM;
use crate::files::recording::{Recording, RecordingFile, Unwritten, Written};
use crate::output::{Output, count};

/// The file that stands for standard output.
pub(super) const STDOUT: &str = "-";
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A recording that goes on.
pub(super) struct Recorded {
    recording: Recording,
    /// The file; nothing where it is standard output.
    file: Option<RecordingFile>,
    /// What kept a packet from being added.
    failed: Option<io::Error>,
    /// Whether a malformed packet was told, and whether that was said.
    malformed: (bool, bool),
}

impl Recorded {
    /// Begins one; says why it cannot be written.
    pub(super) fn begin(path: &Path, output: &mut Output) -> Result<Self, Exit> {
        let file = match path == Path::new(STDOUT) {
            true => Ok(None),
            false => RecordingFile::begin(path).map(Some),
        };
        let file = file.map_err(|why| refused(&why, output))?;
        let recording = Recording::new().map_err(|error| refused(&error.to_string(), output))?;
        Ok(Self {
            recording,
            file,
            failed: None,
            malformed: (false, false),
        })
    }

    /// Adds a packet.
    pub(super) fn add(&mut self, shown: &Shown<'_>) {
        if let Some(sample) = shown.sample {
            let comment = format!(
                "{}; 1/{} of what is dropped",
                shown.comment(),
                sample.one_in
            );
            return self.write_frame(shown, (&sample.frame, sample.length), &comment);
        }
        let Some(header) = shown.record.header() else {
            self.malformed.0 = true;
            return;
        };
        let (frame, length) = frame(header, shown.record.hook.direction());
        let comment = format!("{}; {MADE_FROM}{}", shown.comment(), shown.record.words());
        self.write_frame(shown, (&frame, length), &comment);
    }

    fn write_frame(&mut self, shown: &Shown<'_>, (frame, length): (&[u8], u32), comment: &str) {
        let direction = shown.record.hook.direction();
        let written = Written {
            interface: shown.interface,
            time: shown.clock.day(shown.record),
            frame,
            length,
            leaves: !matches!(direction, Direction::In | Direction::Receive),
            comment,
        };
        if let Err(error) = self.recording.add(&written) {
            self.failed.get_or_insert(error);
        }
    }

    /// Writes what was added since; says why that cannot be.
    pub(super) fn write(&mut self, end: &impl AsFd, output: &mut Output) -> Result<(), Exit> {
        if self.malformed == (true, false) {
            self.malformed.1 = true;
            output.note("a log tells nothing of malformed packets but that they came, so the recording has none of those that logs told");
        }
        if let Some(error) = self.failed.take() {
            return Err(refused(&error.to_string(), output));
        }
        let piece = self.recording.take();
        match &mut self.file {
            Some(file) => file
                .write(&piece)
                .map_err(|unwritten| refused(&lacking(&unwritten), output)),
            None => {
                output.stream_bytes(&piece.bytes, end);
                Ok(())
            }
        }
    }
}

/// What kept packets from being written, and how many of those that are shown the recording lacks.
fn lacking(unwritten: &Unwritten) -> String {
    match unwritten.packets {
        0 => unwritten.why.clone(),
        lost => format!(
            "{}; {} shown here did not find room in it",
            unwritten.why,
            count::of(lost, "packet")
        ),
    }
}

/// The frame of a packet up to the end of its headers, and the length of all of it. What was behind them nobody knows.
fn frame(mut header: Header, direction: Direction) -> (Vec<u8>, u32) {
    if direction.of_processes() {
        // Of what processes do the length is that of what is written.
        let headers = Frame::new(header.clone()).shortest();
        header.length = header.length.saturating_add(headers);
    }
    let built = Frame::new(header);
    let headers = usize::try_from(built.shortest()).unwrap_or(usize::MAX);
    let mut bytes = built.bytes();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes.truncate(headers.saturating_add(ETHERNET));
    (bytes, length)
}

fn refused(why: &str, output: &mut Output) -> Exit {
    output.error(why);
    Exit::Refused
}

#[cfg(test)]
mod tests {
    use sockc_compiler::event::Transport;
    use sockc_compiler::protocol::IpProtocol;

    use super::*;

    /// The length of the whole frame, and what its IPv4 header says of the packet.
    fn lengths(direction: Direction, length: u32) -> (u32, u16) {
        let header = Header {
            protocol: IpProtocol::UDP,
            transport: Transport::Ports { from: 1, to: 2 },
            length,
            ..Header::PLAIN
        };
        let (bytes, whole) = frame(header, direction);
        (whole, u16::from_be_bytes([bytes[16], bytes[17]]))
    }

    #[test]
    fn what_is_written_stands_behind_headers() {
        assert_eq!(lengths(Direction::In, 39), (14 + 39, 39));
        assert_eq!(lengths(Direction::Send, 11), (14 + 28 + 11, 39));
        // Of a call no length is known.
        assert_eq!(lengths(Direction::Connect, 0), (14 + 28, 28));
    }
}
