//! Ranks: the numbers by which records are compared, and from which code knows the counter without looking it up.
//!
//! A rank is the slot of the rule's counter. Rules that a redirect by a map became share one, and which of them is first still
//! matters, as they lead to different sockets: each of them after the first takes a rank of its own, and the ranks of all rules
//! behind them are so much larger than their slots.
//!
//! Takes the slots of the members, in order; gives the rank of each, and how ranks become slots again. Not here: the code
//! for that (`lower`).

/// The ranks of a classifier's members.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    of: Vec<u32>,
    pieces: Vec<Piece>,
}

/// Ranks in a row whose slots are found alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The smallest of them; the last is the one before the next piece.
    pub first: u32,
    /// Their slots.
    pub slots: Slots,
}

/// How ranks become slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Each is so much smaller than the rank.
    Below(u32),
    /// All of them are this one.
    Shared(u32),
}

impl Ranks {
    /// The ranks of members with these slots.
    pub(super) fn new(slots: impl Iterator<Item = u32>) -> Self {
        let mut ranks = Self::default();
        let mut before: Option<(u32, u32)> = None;
        for slot in slots {
            let (rank, found) = match before {
                None => (slot, Slots::Below(0)),
                Some((rank, last)) if last < slot => {
                    let rank = rank.saturating_add(slot - last);
                    (rank, Slots::Below(rank - slot))
                }
                Some((rank, _)) => (rank.saturating_add(1), Slots::Shared(slot)),
            };
            if ranks.pieces.last().map(|piece| piece.slots) != Some(found) {
                ranks.pieces.push(Piece {
                    first: rank,
                    slots: found,
                });
            }
            ranks.of.push(rank);
            before = Some((rank, slot));
        }
        ranks
    }

    /// The rank of the member of this number.
    pub(super) fn of(&self, member: u32) -> u32 {
        self.of[member as usize]
    }

    /// The greatest one.
    pub(super) fn last(&self) -> Option<u32> {
        self.of.last().copied()
    }

    /// How they become slots: the pieces, by increasing rank.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(ranks: &Ranks) -> Vec<(u32, Slots)> {
        let pieces = ranks.pieces().iter();
        pieces.map(|piece| (piece.first, piece.slots)).collect()
    }

    #[test]
    fn slots_of_their_own_are_the_ranks() {
        let ranks = Ranks::new([3, 4, 7, 100].into_iter());
        assert_eq!(ranks.of, [3, 4, 7, 100]);
        assert_eq!(pieces(&ranks), [(3, Slots::Below(0))]);
        assert!(Ranks::new([].into_iter()).pieces().is_empty());
    }

    #[test]
    fn rules_that_share_a_counter_have_ranks_of_their_own() {
        let ranks = Ranks::new([2, 5, 5, 5, 6, 9, 9, 10].into_iter());
        assert_eq!(ranks.of, [2, 5, 6, 7, 8, 11, 12, 13]);
        let found = [
            (2, Slots::Below(0)),
            (6, Slots::Shared(5)),
            (8, Slots::Below(2)),
            (12, Slots::Shared(9)),
            (13, Slots::Below(3)),
        ];
        assert_eq!(pieces(&ranks), found);
    }
}
