//! What a rule measures or reports: rates and logs.

use sockc_grammar::ast::RateUnit;

use super::Direction;

/// `log …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The text, empty if none was written.
    pub text: String,
    /// `sample A/B`: this part of the matches, chosen at random; `None` for all of them.
    pub sample: Option<(u32, u32)>,
    /// `max N/PERIOD`: at most so many in so many seconds. `None` only where a sample was written.
    pub max: Option<(u32, u32)>,
}

/// `above` or `up to` a rate: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// True for `above` (the excess matches), false for `up to` (what conforms matches).
    pub above: bool,
    /// Tokens that come in a period, from 1.
    pub count: u64,
    /// The period in seconds: 1, 60 or 3600.
    pub period: u32,
    /// What takes tokens, and how many.
    pub unit: RateUnit,
    /// One bucket for each address; `None` for one bucket in all.
    pub per: Option<Per>,
    /// Tokens that a full bucket holds, from 1.
    pub burst: u64,
}

impl Rate {
    /// Whether the same packets fit: `60 packets/minute` is `1 packets/second`.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let tokens = |rate: &Self, period: u32| u128::from(rate.count) * u128::from(period);
        let rest = |rate: &Self| Self {
            count: 1,
            period: 1,
            ..*rate
        };
        tokens(self, other.period) == tokens(other, self.period) && rest(self) == rest(other)
    }

    /// The longest packet that a full bucket has tokens for; `None` where the unit does not count lengths, and of what processes
    /// do: only the bucket is told how much they write.
    #[must_use]
    pub fn longest(&self, direction: Direction) -> Option<u64> {
        (self.unit == RateUnit::Bytes && !direction.of_processes()).then_some(self.burst)
    }

    /// Whether a packet of this length is beyond the rate however full the bucket is.
    #[must_use]
    pub fn never_fits(&self, direction: Direction, length: u32) -> bool {
        self.longest(direction)
            .is_some_and(|longest| u64::from(length) > longest)
    }
}

/// The address whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Per {
    /// True for the receiver's address, false for the sender's.
    pub destination: bool,
    /// Bits of an IPv4 address that count, 0 to 32.
    pub v4: u8,
    /// Bits of an IPv6 address that count, 0 to 128.
    pub v6: u8,
}
