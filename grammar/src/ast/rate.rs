//! What a rule measures and reports: rates and logs.

use crate::source::Spanned;

/// `N UNIT/PERIOD [per …] [burst N]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: Spanned<u64>,
    /// Of what.
    pub unit: RateUnit,
    /// In what time, in seconds: 1, 60 or 3600.
    pub period: u64,
    /// `per source…` or `per destination…`
    pub per: Option<Spanned<Per>>,
    /// `burst N`
    pub burst: Option<Spanned<u64>>,
}

worded! {
    /// What a rate counts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum RateUnit {
        /// Every packet takes one (a joined buffer at TC one for each segment).
        Packets = "packets",
        /// Every packet takes the length of its IP packet.
        Bytes = "bytes",
        /// A TCP SYN without ACK takes one, and a UDP packet (not a later fragment) without a connected socket. Others
        /// take none and always fit.
        Connections = "connections",
    }
}

worded! {
    /// How long a rate counts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Period {
        /// The shortest.
        Second = "second",
        /// 60 of them.
        Minute = "minute",
        /// 3600 of them.
        Hour = "hour",
    }
}

impl Period {
    /// How many seconds it has.
    pub(crate) const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

worded! {
    /// The unit that a duration ends with.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TimeUnit {
        /// The shortest.
        Millisecond = "ms",
        /// 1000 of them.
        Second = "s",
        /// 60 seconds.
        Minute = "m",
        /// 60 minutes.
        Hour = "h",
        /// 24 hours.
        Day = "d",
    }
}

impl TimeUnit {
    /// How many milliseconds it has.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        match self {
            Self::Millisecond => 1,
            Self::Second => 1000,
            Self::Minute => 60 * Self::Second.milliseconds(),
            Self::Hour => 60 * Self::Minute.milliseconds(),
            Self::Day => 24 * Self::Hour.milliseconds(),
        }
    }

    /// The digits of a duration, which may have `_` between them, and its unit; `None` without one.
    #[must_use]
    pub fn split(duration: &str) -> Option<(String, Self)> {
        let unit_at = duration.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (digits, unit) = duration.split_at(unit_at);
        Some((digits.replace('_', ""), Self::named(unit)?))
    }
}

/// `per source[/24[/56]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Per {
    /// True for `destination`.
    pub destination: bool,
    /// The IPv4 prefix length, if written.
    pub v4: Option<Spanned<u64>>,
    /// The IPv6 prefix length, if written.
    pub v6: Option<Spanned<u64>>,
}

/// `log ["text"] [sample 1/N] [max N/PERIOD]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The text.
    pub text: Option<Spanned<String>>,
    /// `sample A/B`
    pub sample: Option<Spanned<(u64, u64)>>,
    /// `max N/PERIOD`: count and period in seconds.
    pub max: Option<Spanned<(u64, u64)>>,
}
