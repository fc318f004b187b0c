//! The options of `monitor`.

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
    /// Write the packets that are shown to this file as well, as pcapng; `-` writes them to standard output, in place of lines
    #[arg(long = "pcap-out", value_name = "FILE")]
    pub(crate) pcap_out: Option<PathBuf>,
    /// Only packets of which this holds: what a rule says after its verb, such as `tcp from 203.0.113.0/24 to any:53`
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
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
