//! The options of `monitor`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Deployment;
use super::duration::span;

#[derive(Args, Debug)]
pub(crate) struct Monitor {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Only what the rules with this label, or on this line, log: LABEL, LINE or FILE:LINE; may be given several times
    #[arg(long = "rule", value_name = "RULE")]
    pub(crate) rules: Vec<String>,
    /// Only what rules of this verb log, or audit; may be given several times
    #[arg(long = "verdict", value_name = "VERDICT")]
    pub(crate) verdicts: Vec<Verdict>,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time, such as `30s` or `5m`
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    pub(crate) time: Option<Duration>,
    /// Show a sample of the packets that programs at XDP and TC drop, too, whether their rules log or not: one of N, of 100 if
    /// nothing is said
    #[arg(long, value_name = "1/N", num_args = 0..=1, default_missing_value = "1/100", value_parser = sampled)]
    pub(crate) drops: Option<NonZeroU32>,
    /// Write the packets that are shown to this file as well, as pcapng; `-` writes them to standard output, in place of lines
    #[arg(long = "pcap-out", value_name = "FILE")]
    pub(crate) pcap_out: Option<PathBuf>,
    /// Only packets of which this holds: what a rule says after its verb, such as `tcp from 203.0.113.0/24 to any:53`
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
}

/// Of so many one is sampled at least.
const MOST: u32 = 1_000_000;

/// Of how many one is sampled: `1/N`.
fn sampled(text: &str) -> Result<NonZeroU32, String> {
    let of = text.strip_prefix("1/").and_then(|of| of.parse().ok());
    of.filter(|of: &NonZeroU32| of.get() <= MOST).ok_or_else(|| {
        format!(
            "write `1/N`, with N from 1 to {MOST}, such as `1/100`; a filter stands before `--drops`, or after `--drops=1/100`"
        )
    })
}

/// The verb of a rule, or of a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verdict {
    Allow,
    Drop,
    Reject,
    Count,
    Redirect,
    Shortcut,
}

impl Verdict {
    /// The word of the language.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Count => "count",
            Self::Redirect => "redirect",
            Self::Shortcut => "shortcut",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_of_so_many() {
        let read = |text| sampled(text).ok().map(NonZeroU32::get);
        assert_eq!(read("1/1"), Some(1));
        assert_eq!(read("1/1000000"), Some(MOST));
        for wrong in ["1/0", "1/1000001", "2/3", "100", "1/", "1/-1", "tcp"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
