//! What becomes of a lookup, or of a packet at TC, that is given to a named socket: the numbers by which programs count it.
//!
//! For each protocol and family of a name, the map [`MAP`] has a row of numbers, one for each way to end, at the index of the
//! name's first slot of that kind. Programs add to it ([`crate::lower`]), and a runtime reads it. Not here: the rules, which have
//! counters of their own; and conditions that only ask whether a socket is there, which count nothing here. What a
//! packet hook drops ahead of the lookup, since nobody is there (`if absent drop`), is a miss as one at the lookup.

/// The map, which has a place for each slot and a row for each processor.
pub const MAP: &str = "steered";

/// `-ESOCKTNOSUPPORT`: at the socket lookup a socket that is connected, or does not listen any more; at TC, before Linux 6.6, one
/// of a reuseport group.
const UNSUITED: i32 = -94;
/// `-EEXIST`: at the socket lookup, a program ahead of ours has chosen a socket.
const CHOSEN: i32 = -17;

listed! {
    /// How it ends, in the order of the numbers in a row.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Ending {
        /// A socket gets it.
        Given,
        /// Nobody is there.
        Missed,
        /// Who is there takes nothing, as the program sees: it is closed; at TC, it does not listen, or is connected.
        Idle,
        /// The kernel says so: who is there does not listen any more, or is connected; at TC, before Linux 6.6, that it is of a
        /// reuseport group.
        Unsuited,
        /// A program of somebody else has given it a socket before.
        Chosen,
        /// The kernel refuses the socket for another reason.
        Refused,
    }
}

impl Ending {
    /// The bytes of a row.
    pub const ROW: u32 = 8 * Self::ALL.len() as u32;

    /// Where in a row it is counted, in bytes.
    #[must_use]
    pub fn offset(self) -> u32 {
        8 * self as u32
    }

    /// By which number a program knows it: 0 is what `bpf_sk_assign` gives, and those below 0 are its errors. Any other error is a
    /// [`Self::Refused`].
    #[must_use]
    pub(crate) const fn result(self) -> Option<i32> {
        match self {
            Self::Given => Some(0),
            Self::Idle => Some(1),
            // No 0 in a slot: the verifier would keep a state of its own for that.
            Self::Missed => Some(2),
            Self::Unsuited => Some(UNSUITED),
            Self::Chosen => Some(CHOSEN),
            Self::Refused => None,
        }
    }

    /// In one word, as JSON has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Missed => "missed",
            Self::Idle => "idle",
            Self::Unsuited => "unsuited",
            Self::Chosen => "chosen",
            Self::Refused => "refused",
        }
    }
}
