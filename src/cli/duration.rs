//! Times as the language writes them, `500ms 10s 5m 1h 2d`: read from the command line, and shown.

use std::ops::RangeInclusive;
use std::time::Duration;

use sockc_grammar::ast::TimeUnit;
use sockc_runtime::Expiry;

/// Reads the time after which an element expires, or `never`.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let time = milliseconds(text).filter(|time| *time > 0);
    time.map(|time| Expiry::After(Duration::from_millis(time)))
        .ok_or_else(|| "write a time such as `30s`, `10m`, `2h` or `1d`, or `never`".to_owned())
}

/// The shortest and the longest time in which a policy can be confirmed, in milliseconds: in the last tenth of a second it is too
/// late.
const DEADLINES: RangeInclusive<u64> = 200..=86_400_000;

/// Reads the time within which a policy is to be confirmed.
pub(crate) fn deadline(text: &str) -> Result<Duration, String> {
    let time = milliseconds(text).filter(|time| DEADLINES.contains(time));
    time.map(Duration::from_millis)
        .ok_or_else(|| "write a time such as `60s` or `5m`, from 200ms to 24h".to_owned())
}

/// Reads for how long something is to go on.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let time = milliseconds(text).filter(|time| *time > 0);
    time.map(Duration::from_millis)
        .ok_or_else(|| "write a time such as `30s` or `5m`".to_owned())
}

/// How often may be looked, in milliseconds.
const PACES: RangeInclusive<u64> = 100..=86_400_000;

/// Reads how often something is to be looked at.
pub(crate) fn pace(text: &str) -> Result<Duration, String> {
    let time = milliseconds(text).filter(|time| PACES.contains(time));
    time.map(Duration::from_millis)
        .ok_or_else(|| "write a time such as `500ms` or `2s`, from 100ms to 24h".to_owned())
}

fn milliseconds(text: &str) -> Option<u64> {
    let (digits, unit) = TimeUnit::split(text)?;
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(unit.milliseconds())
}

/// A time in its two largest units, whole seconds.
pub(crate) fn text(time: Duration) -> String {
    let mut left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    let whole = |unit: &&TimeUnit| unit.milliseconds() >= TimeUnit::Second.milliseconds();
    for unit in TimeUnit::ALL.iter().rev().filter(whole) {
        let factor = unit.milliseconds();
        if left >= factor && parts.len() < 2 {
            parts.push(format!("{}{}", left / factor, unit.word()));
            left %= factor;
        }
    }
    if parts.is_empty() {
        return "less than 1s".into();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_language_writes_them() {
        let after = |milliseconds| Ok(Expiry::After(Duration::from_millis(milliseconds)));
        assert_eq!(expiry("500ms"), after(500));
        assert_eq!(expiry("10s"), after(10_000));
        assert_eq!(expiry("1_0m"), after(600_000));
        assert_eq!(expiry("2d"), after(172_800_000));
        assert_eq!(expiry("never"), Ok(Expiry::Never));
        for wrong in [
            "",
            "10",
            "0s",
            "s",
            "-1s",
            "10 s",
            "1y",
            "99999999999999999999s",
        ] {
            assert!(expiry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn deadlines_have_bounds() {
        for (text, milliseconds) in [("200ms", 200), ("60s", 60_000), ("24h", 86_400_000)] {
            assert_eq!(deadline(text), Ok(Duration::from_millis(milliseconds)));
        }
        for wrong in ["0s", "199ms", "25h", "never", "60", ""] {
            assert!(deadline(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paces_have_bounds() {
        assert_eq!(pace("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(pace("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["0s", "99ms", "25h", "1", "", "never"] {
            assert!(pace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_shown_in_two_units() {
        assert_eq!(text(Duration::from_millis(999)), "less than 1s");
        assert_eq!(text(Duration::from_secs(61)), "1m 1s");
        assert_eq!(text(Duration::from_secs(90_061)), "1d 1h");
    }
}
