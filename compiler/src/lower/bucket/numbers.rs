//! What a rate is in numbers: the cost of a token, how far a bucket may be ahead, and which bucket is whose.

use cranelift_entity::SecondaryMap;

use crate::classifier::ROW_SIZE;
use crate::policy::{Direction, Policy, Rate, RateUnit, RuleId};

/// Sixteenths of a nanosecond in a second.
const SECOND: u128 = 16_000_000_000;

/// A bucket is never further ahead, so that no sum overflows for the first 27 years after boot.
const MAX_AHEAD: u128 = 1 << 62;

/// A rate in sixteenths of a nanosecond. What is cut off is less than one of them for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower) struct Pace {
    /// Whole part of what a token costs.
    pub(in crate::lower) whole: i64,
    /// The rest, in parts of 2^32.
    pub(in crate::lower) fraction: u32,
    /// How far the bucket may be ahead of the clock: a full bucket's worth.
    pub(in crate::lower) limit: i64,
    /// A packet that takes more tokens never conforms.
    pub(in crate::lower) most: u64,
}

impl Pace {
    /// `count` tokens in `period` seconds, at most `burst` at once.
    /// `None` where a number is beyond what the code computes with, which no rate of the language is.
    pub(in crate::lower) fn of(count: u64, period: u32, burst: u64) -> Option<Self> {
        let (count, burst) = (u128::from(count.max(1)), u128::from(burst));
        let time = u128::from(period) * SECOND;
        let limit = (burst * time / count).min(MAX_AHEAD);
        Some(Self {
            whole: i64::try_from(time / count).ok()?,
            fraction: u32::try_from(((time % count) << 32) / count).ok()?,
            limit: i64::try_from(limit).ok()?,
            most: u64::try_from(burst.min((MAX_AHEAD * count).checked_div(time)?)).ok()?,
        })
    }
}

/// What stands in a row of a table of rates, and where.
pub(in crate::lower) struct Row;

impl Row {
    pub(in crate::lower) const WHOLE: i16 = 0;
    pub(in crate::lower) const LIMIT: i16 = 8;
    pub(in crate::lower) const MOST: i16 = 16;
    pub(in crate::lower) const FRACTION: i16 = 24;
    /// The number of the bucket.
    pub(in crate::lower) const BUCKET: i16 = 28;
    /// Bits that say what kind of rate it is.
    pub(in crate::lower) const KIND: i16 = 32;
    /// The bits that a bucket's address keeps, in host order: of IPv4, then four words of IPv6.
    pub(in crate::lower) const V4: i16 = 36;
    pub(in crate::lower) const V6: i16 = 40;

    /// It is for the excess.
    pub(in crate::lower) const ABOVE: i32 = 1;
    pub(in crate::lower) const BYTES: i32 = 2;
    pub(in crate::lower) const CONNECTIONS: i32 = 4;
    pub(in crate::lower) const PER: i32 = 8;
    pub(in crate::lower) const DESTINATION: i32 = 16;

    /// The bytes of a row; none for a rate that is beyond the clock, which no rate of the language is.
    pub(in crate::lower) fn bytes(rate: &Rate, bucket: u32) -> Option<[u8; ROW_SIZE]> {
        let pace = Pace::of(rate.count, rate.period, rate.burst)?;
        let kinds = [
            (rate.above, Self::ABOVE),
            (rate.unit == RateUnit::Bytes, Self::BYTES),
            (rate.unit == RateUnit::Connections, Self::CONNECTIONS),
            (rate.per.is_some(), Self::PER),
            (
                rate.per.is_some_and(|per| per.destination),
                Self::DESTINATION,
            ),
        ];
        let kinds = kinds.iter().filter(|(holds, _)| *holds);
        let kind: i32 = kinds.map(|(_, bit)| bit).sum();
        let (v4, v6) = rate.per.map_or((0, 0), |per| (per.v4, per.v6));
        let mut bytes = Vec::with_capacity(ROW_SIZE);
        bytes.extend(pace.whole.to_le_bytes());
        bytes.extend(pace.limit.to_le_bytes());
        bytes.extend(pace.most.to_le_bytes());
        bytes.extend(pace.fraction.to_le_bytes());
        bytes.extend(bucket.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(mask(v4, 0).to_le_bytes());
        bytes.extend((0..4).flat_map(|word| mask(v6, word).to_le_bytes()));
        bytes.resize(ROW_SIZE, 0);
        bytes.try_into().ok()
    }
}

/// The bits of a word of an address, in host order, that the first `bits` bits of the address are in.
pub(in crate::lower) fn mask(bits: u8, word: u8) -> u32 {
    let bits = u32::from(bits).saturating_sub(32 * u32::from(word)).min(32);
    match bits {
        0 => 0,
        _ => u32::MAX << (32 - bits),
    }
}

/// Which number a rate has in the array `rates`, or among those that share `buckets`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    rules: SecondaryMap<RuleId, Option<u32>>,
    logs: SecondaryMap<RuleId, Option<u32>>,
    defaults: Vec<(Direction, u32)>,
    /// The first of the buckets of all answers, where packets are answered.
    pub answers: Option<u32>,
    /// How many buckets there are in `rates`.
    pub rates: u32,
    /// How many rates share `buckets`.
    pub shared: u32,
}

impl Meters {
    /// Gives out numbers: rates by rule, then the limits of logs, then those of answers, of so many kinds.
    #[must_use]
    pub(crate) fn new(policy: &Policy, answers: u32) -> Self {
        let mut meters = Self::default();
        for (id, rule) in &policy.rules {
            meters.rules[id] = rule.rate.map(|rate| match rate.per {
                None => next(&mut meters.rates),
                Some(_) => next(&mut meters.shared),
            });
        }
        for (id, rule) in &policy.rules {
            let limited = rule.log.as_ref().is_some_and(|log| log.max.is_some());
            // The rules that a redirect by a map becomes share its limit, as they share its counter.
            let shared = rule.head.and_then(|head| meters.logs[head]);
            meters.logs[id] = shared.or_else(|| limited.then(|| next(&mut meters.rates)));
        }
        for line in &policy.defaults {
            if line.log.as_ref().is_some_and(|log| log.max.is_some()) {
                let number = next(&mut meters.rates);
                meters.defaults.push((line.direction, number));
            }
        }
        meters.answers = (answers > 0).then_some(meters.rates);
        meters.rates += answers;
        meters
    }

    /// The same for another policy, whose rules are some of those of this one.
    #[must_use]
    pub(crate) fn placed(self, policy: &Policy, origin: impl Fn(RuleId) -> RuleId) -> Self {
        let [mut rules, mut logs] = [(); 2].map(|()| SecondaryMap::new());
        for id in policy.rules.keys() {
            rules[id] = self.rules[origin(id)];
            logs[id] = self.logs[origin(id)];
        }
        Self {
            rules,
            logs,
            ..self
        }
    }

    /// The number of a rule's rate.
    #[must_use]
    pub(crate) fn rule(&self, rule: RuleId) -> Option<u32> {
        self.rules[rule]
    }

    /// The bucket of the limit of a log: that of a rule, or of the default of a direction.
    #[must_use]
    pub(crate) fn log(&self, rule: Option<RuleId>, direction: Direction) -> Option<u32> {
        match rule {
            Some(rule) => self.logs[rule],
            None => {
                let mut defaults = self.defaults.iter();
                defaults.find(|(of, _)| *of == direction).map(|one| one.1)
            }
        }
    }
}

fn next(count: &mut u32) -> u32 {
    *count += 1;
    *count - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `tokens` at once cost, as the code computes it.
    fn cost(pace: Pace, tokens: u64) -> u128 {
        let tokens = u128::from(tokens);
        tokens * pace.whole.unsigned_abs() as u128 + ((tokens * u128::from(pace.fraction)) >> 32)
    }

    #[test]
    fn costs_are_exact_from_one_an_hour_to_a_hundred_gigabits() {
        for (count, period) in [
            (1, 3600),
            (1, 60),
            (7, 3600),
            (1, 1),
            (3, 1),
            (1000, 1),
            (50_000_000, 1),
            (12_500_000_000, 1),
            (45_000_000_000_000, 3600),
        ] {
            let pace = Pace::of(count, period, count).unwrap();
            for tokens in [1, 2, 64, 1500, 65_535, 524_280] {
                let exact = u128::from(tokens) * u128::from(period) * SECOND;
                let found = cost(pace, tokens) * u128::from(count);
                assert!(found <= exact, "{count}/{period} {tokens}");
                assert!(
                    exact - found <= 2 * u128::from(count),
                    "{count}/{period} {tokens}"
                );
                if tokens <= pace.most {
                    assert!(cost(pace, tokens) < 1 << 63);
                }
            }
        }
    }

    #[test]
    fn a_full_bucket_conforms_and_not_a_token_more() {
        for (count, period, burst) in [(1, 3600, 1), (3, 1, 3), (7, 60, 100), (1000, 1, 20)] {
            let pace = Pace::of(count, period, burst).unwrap();
            let limit = u128::from(pace.limit.unsigned_abs());
            assert!(cost(pace, 1) * u128::from(burst) <= limit);
            assert!(cost(pace, 1) * u128::from(burst + 1) > limit);
            assert_eq!(pace.most, burst);
        }
    }

    #[test]
    fn what_would_overflow_never_fits() {
        let pace = Pace::of(1, 3600, u64::MAX).unwrap();
        assert_eq!(pace.limit, 1 << 62);
        assert!(pace.most < 1 << 31);
        assert!(cost(pace, pace.most) <= 1 << 62);
        assert!(cost(pace, pace.most + 1) > 1 << 62);
    }

    #[test]
    fn a_mask_keeps_the_first_bits_of_an_address() {
        let words = |bits| [0, 1, 2, 3].map(|word| mask(bits, word));
        assert_eq!(words(0), [0; 4]);
        assert_eq!(words(24), [0xffff_ff00, 0, 0, 0]);
        assert_eq!(words(32), [u32::MAX, 0, 0, 0]);
        assert_eq!(words(56), [u32::MAX, 0xffff_ff00, 0, 0]);
        assert_eq!(words(128), [u32::MAX; 4]);
    }
}
