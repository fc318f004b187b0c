//! Rates: the matches `limit` and `hashlimit`.
//!
//! Takes their options; gives a rate of the language, or why it has none that is the same. Both count packets, and a bucket that is
//! full holds the burst. Not here: how many rules share a bucket.

use sockc_compiler::policy::Family;

use super::options::Given;
use crate::verbs::import::what::Rate;

/// What a full bucket holds where nothing is said: `limit` and `hashlimit` have the same number.
const BURST: &str = "5";

/// Options of both matches.
#[derive(Debug, Default)]
pub(super) struct Limits {
    amount: Option<(String, bool)>,
    burst: Option<String>,
    mode: Option<String>,
    masks: [Option<String>; 2],
    name: Option<String>,
    expires: Option<String>,
}

impl Limits {
    /// Whether an option belongs to them.
    pub(super) fn takes(&self, name: &str) -> bool {
        name.starts_with("--limit") || name.starts_with("--hashlimit")
    }

    /// Whether a rate was asked.
    pub(super) fn is_asked(&self) -> bool {
        self.amount.is_some()
    }

    /// Reads an option.
    pub(super) fn option(&mut self, given: &Given) -> Result<(), String> {
        let value = given.plain()?;
        let said = || Some(value.to_owned());
        match given.name.as_str() {
            "--limit" | "--hashlimit-upto" | "--hashlimit-above" => {
                if self.amount.is_some() {
                    return Err("it has two rates, and a rule has one".to_owned());
                }
                self.amount = Some((value.to_owned(), given.name == "--hashlimit-above"));
            }
            "--limit-burst" | "--hashlimit-burst" => self.burst = said(),
            "--hashlimit-mode" => self.mode = said(),
            "--hashlimit-srcmask" => self.masks[0] = said(),
            "--hashlimit-dstmask" => self.masks[1] = said(),
            "--hashlimit-name" => self.name = said(),
            "--hashlimit-htable-expire" => self.expires = said(),
            // The size of the kernel's table, and how often it is tidied.
            name if name.starts_with("--hashlimit-htable-") => {}
            _ => return Err(format!("`{given}` has no counterpart")),
        }
        Ok(())
    }

    /// What is said where hashlimit forgets a bucket, which is full when it comes back, before it is full by itself. It keeps one for the time
    /// that is said, and else for the unit of its rate (hashlimit_mt_check in libxt_hashlimit); here they are kept until there is no room.
    pub(super) fn forgets(&self) -> Option<String> {
        self.mode.as_ref()?;
        let (count, period) = self.amount.as_ref()?.0.split_once('/')?;
        let unit: u64 = match period.chars().next()? {
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            _ => 86_400_000,
        };
        let number = |text: &Option<String>, otherwise: u64| match text {
            Some(text) => text.parse().ok(),
            None => Some(otherwise),
        };
        let burst = number(&self.burst, BURST.parse().ok()?)?;
        let kept = number(&self.expires, unit)?;
        let fills = burst.checked_mul(unit)?.checked_div(count.parse().ok()?)?;
        (kept < fills).then(|| {
            "a bucket that is not used for long fills at its rate here; there it is forgotten sooner, and is full again".to_owned()
        })
    }

    /// The rate.
    pub(super) fn rate(self, family: Family) -> Result<Option<Rate>, String> {
        let Some((amount, above)) = &self.amount else {
            return Ok(None);
        };
        let amount = packets(amount)?;
        let per = self.per(family)?;
        let burst = self.burst.as_deref().unwrap_or(BURST);
        let burst: u32 = burst
            .parse()
            .ok()
            .filter(|burst| *burst > 0)
            .ok_or_else(|| format!("the burst {burst} is no number of packets"))?;
        Ok(Some(Rate {
            above: *above,
            text: format!("{amount}{per} burst {burst}"),
            bucket: self.name,
        }))
    }

    fn per(&self, family: Family) -> Result<String, String> {
        let (side, mask) = match self.mode.as_deref() {
            None => return Ok(String::new()),
            Some("srcip") => ("source", &self.masks[0]),
            Some("dstip") => ("destination", &self.masks[1]),
            Some(other) => {
                return Err(format!(
                    "`--hashlimit-mode {other}`: a rate is for all, per source, or per destination"
                ));
            }
        };
        let mask = mask.as_deref();
        Ok(match family {
            Family::V4 => format!(" per {side}/{}", mask.unwrap_or("32")),
            Family::V6 => format!(" per {side}/32/{}", mask.unwrap_or("128")),
        })
    }
}

/// How many packets in which time.
fn packets(text: &str) -> Result<String, String> {
    let none = || format!("`{text}` is no rate of packets in a second, a minute or an hour");
    let (count, period) = text.split_once('/').ok_or_else(none)?;
    let count: u32 = count.parse().map_err(|_| none())?;
    let (count, period) = match period {
        "s" | "sec" | "second" => (count, "second"),
        "m" | "min" | "minute" => (count, "minute"),
        "h" | "hour" => (count, "hour"),
        // A day has no word; one that is whole numbers of packets an hour has the same bucket.
        "d" | "day" if count.is_multiple_of(24) => (count / 24, "hour"),
        _ => return Err(none()),
    };
    match count {
        0 => Err(none()),
        _ => Ok(format!("{count} packets/{period}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(options: &str, family: Family) -> Result<String, String> {
        let mut limits = Limits::default();
        for given in super::super::options::options(options)? {
            limits.option(&given)?;
        }
        let rate = limits.rate(family)?.unwrap();
        let word = if rate.above { "above" } else { "up to" };
        Ok(format!("{word} {}", rate.text))
    }

    #[test]
    fn a_bucket_that_is_forgotten_before_it_is_full_is_told() {
        let forgets = |options: &str| {
            let mut limits = Limits::default();
            for given in super::super::options::options(options).unwrap() {
                limits.option(&given).unwrap();
            }
            limits.forgets().is_some()
        };
        let by_source = |rest: &str| format!("--hashlimit-mode srcip --hashlimit-name a {rest}");
        assert!(forgets(&by_source("--hashlimit-upto 1/min")));
        assert!(forgets(&by_source(
            "--hashlimit-upto 20/min --hashlimit-htable-expire 5000"
        )));
        assert!(!forgets(&by_source("--hashlimit-upto 20/min")));
        assert!(!forgets(&by_source(
            "--hashlimit-upto 1/min --hashlimit-htable-expire 300000"
        )));
        assert!(!forgets("--limit 1/hour"));
    }

    #[test]
    fn rates_keep_their_bursts_and_say_whose_they_are() {
        for (options, said) in [
            ("--limit 5/min", "up to 5 packets/minute burst 5"),
            (
                "--limit 3/sec --limit-burst 9",
                "up to 3 packets/second burst 9",
            ),
            ("--limit 48/day", "up to 2 packets/hour burst 5"),
            (
                "--hashlimit-above 20/sec --hashlimit-mode srcip --hashlimit-name a",
                "above 20 packets/second per source/32 burst 5",
            ),
            (
                "--hashlimit-upto 20/hour --hashlimit-mode dstip --hashlimit-dstmask 24 --hashlimit-name a",
                "up to 20 packets/hour per destination/24 burst 5",
            ),
        ] {
            assert_eq!(rate(options, Family::V4).unwrap(), said);
        }
        let v6 = rate("--hashlimit-upto 1/sec --hashlimit-mode srcip", Family::V6).unwrap();
        assert_eq!(v6, "up to 1 packets/second per source/32/128 burst 5");
        for wrong in [
            "--limit 5/day",
            "--limit 5/week",
            "--limit 0/sec",
            "--limit x",
            "--hashlimit-upto 512kb/s",
            "--hashlimit-upto 5/sec --hashlimit-mode srcip,dstport",
            "--limit 5/sec --limit-burst 0",
            "--limit 5/sec --limit 6/sec",
            "--hashlimit-upto 5/sec --hashlimit-rate-match",
        ] {
            assert!(rate(wrong, Family::V4).is_err(), "{wrong}");
        }
    }
}
