//! Results that go on: written piece by piece, and given up where nobody takes them and somebody wants the command to end.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Output, count};
use crate::exit::Exit;

/// A pipe that has room has room for so much.
const PIECE: usize = 4096;
/// How long a reader may take nothing after the command was asked to end, in milliseconds.
const GRACE: u16 = 1_000;

impl Output {
    /// Lines of a result, written as they are taken. What is not taken once `end` can be read ends the printing.
    pub(crate) fn stream(&mut self, text: &[u8], end: &impl AsFd) {
        let lines = |left: &[u8]| {
            let lines = left.split(|byte| *byte == b'\n').count() - 1;
            count::of(lines, "line")
        };
        self.pieces(text, lines, end);
    }

    /// The same of bytes that are no text.
    pub(crate) fn stream_bytes(&mut self, bytes: &[u8], end: &impl AsFd) {
        self.pieces(bytes, |left| count::of(left.len(), "byte"), end);
    }

    fn pieces(&mut self, bytes: &[u8], amount: impl Fn(&[u8]) -> String, end: &impl AsFd) {
        let mut left = bytes;
        while !left.is_empty() && !self.is_broken() {
            if !has_room(end) {
                let why = format!(
                    "whoever reads it takes nothing, and {} that had been read from the ring went nowhere",
                    amount(left)
                );
                self.broken = Some(io::Error::new(io::ErrorKind::TimedOut, why));
                return;
            }
            let (piece, rest) = left.split_at(left.len().min(PIECE));
            self.bytes(piece);
            self.note_cut();
            left = rest;
        }
    }

    /// Adds to what kept a piece from being written that some of it may stand there.
    fn note_cut(&mut self) {
        if let Some(error) = self
            .broken
            .take_if(|error| error.kind() != io::ErrorKind::BrokenPipe)
        {
            let why = format!("{error}; what stands there last may be cut off");
            self.broken = Some(io::Error::new(error.kind(), why));
        }
    }

    /// How a command ends whose results go on for as long as they are taken: a reader that goes away ends it in order, and
    /// nothing else that keeps it from writing does.
    pub(crate) fn end_of_stream(&self) -> Exit {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        match self.broken.as_ref().is_none_or(gone) {
            true => Exit::Done,
            false => Exit::Refused,
        }
    }

    /// Notes that whoever read the results went away.
    pub(crate) fn reader_left(&mut self) {
        self.broken.get_or_insert(io::ErrorKind::BrokenPipe.into());
    }
}

/// Waits until something can be written; `false` where that does not come and `end` can be read.
fn has_room(end: &impl AsFd) -> bool {
    let stdout = io::stdout();
    let mut wait = [
        PollFd::new(stdout.as_fd(), PollFlags::POLLOUT),
        PollFd::new(end.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut wait, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            // What cannot be waited for is written as it is.
            Err(_) => return true,
            Ok(_) => break,
        }
    }
    if wait[0].any() != Some(false) {
        return true;
    }
    let mut last = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
    poll(&mut last, GRACE).map_or(true, |ready| ready > 0)
}
