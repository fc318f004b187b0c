//! What a command wrote, kept until who asked has read it: so much of one answer, and so much of all together.
//!
//! Who does not read holds no lock, since the command has ended by then; what they make the service keep is bounded here. Not here:
//! who reads, and how long they may take.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answering::frames::Kind;

/// How many bytes of one answer are kept, and of all answers that are not read yet.
const MOST: usize = 32 << 20;
const MOST_OF_ALL: usize = 64 << 20;

/// An answer; what it takes is given back when it goes.
pub(super) struct Kept<'a> {
    pieces: Vec<(Kind, Vec<u8>)>,
    size: usize,
    /// The bytes of all answers.
    all: &'a AtomicUsize,
}

impl<'a> Kept<'a> {
    /// An empty one.
    pub(super) fn new(all: &'a AtomicUsize) -> Self {
        Self {
            pieces: Vec::new(),
            size: 0,
            all,
        }
    }

    /// Keeps a piece; or says why it does not.
    pub(super) fn keep(&mut self, kind: Kind, bytes: Vec<u8>) -> Result<(), String> {
        let before = self.all.fetch_add(bytes.len(), Ordering::Relaxed);
        self.size += bytes.len();
        if self.size > MOST {
            return Err(format!("the answer has more than {MOST} bytes"));
        }
        if before + bytes.len() > MOST_OF_ALL {
            return Err(format!(
                "answers that were not read yet have more than {MOST_OF_ALL} bytes; ask again in a moment"
            ));
        }
        self.pieces.push((kind, bytes));
        Ok(())
    }

    /// The pieces, in their order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        self.pieces
            .iter()
            .map(|(kind, bytes)| (*kind, bytes.as_slice()))
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_is_bounded_and_so_are_all_together() {
        let all = AtomicUsize::new(0);
        let full = || {
            let mut kept = Kept::new(&all);
            kept.keep(Kind::Results, vec![b'x'; MOST]).unwrap();
            kept
        };
        let (mut one, other) = (full(), full());
        assert!(one.keep(Kind::Results, vec![b'x']).is_err());
        let mut third = Kept::new(&all);
        let why = third.keep(Kind::Messages, vec![b'x']).unwrap_err();
        assert!(why.contains("ask again"), "{why}");
        assert_eq!(third.pieces().count(), 0);
        drop((one, other, third));
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert_eq!(full().pieces().count(), 1);
    }
}
