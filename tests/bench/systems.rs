//! The systems that are compared: one table of names, and what each can be asked to do.
//!
//! What a system cannot do, or does not do in time, is told as [`Unfit`] and shown in the table; nothing is left out in
//! silence.

pub(crate) mod bpfilter;
pub(crate) mod hash;
pub(crate) mod iptables;
pub(crate) mod nft;
pub(crate) mod patient;
pub(crate) mod plain;

use std::fmt;

use crate::rules::RuleSet;
use crate::stage::{Problem, Stage};

/// Where a system decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Before the kernel makes anything of a frame.
    Xdp,
    /// After that, in the stack.
    Stack,
}

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// A program that drops everything: what all others cost at least.
    Control(Layer),
    Sockc(Layer),
    /// Ours, compiled without counters.
    Uncounted(Layer),
    Hash(Layer),
    Bpfilter(bpfilter::Form),
    Nft(nft::Form),
    Iptables(iptables::Tool),
}

/// Every system with its name, in the order of the table.
pub(crate) const SYSTEMS: [(&str, System); 17] = [
    ("xdp-drop-all", System::Control(Layer::Xdp)),
    ("tc-drop-all", System::Control(Layer::Stack)),
    ("sockc-xdp", System::Sockc(Layer::Xdp)),
    ("sockc-tc", System::Sockc(Layer::Stack)),
    ("sockc-xdp-uncounted", System::Uncounted(Layer::Xdp)),
    ("sockc-tc-uncounted", System::Uncounted(Layer::Stack)),
    ("hash-xdp", System::Hash(Layer::Xdp)),
    ("hash-tc", System::Hash(Layer::Stack)),
    ("bpfilter-xdp", System::Bpfilter(bpfilter::Form::Chain)),
    ("bpfilter-xdp-set", System::Bpfilter(bpfilter::Form::Set)),
    ("nft-set", System::Nft(nft::Form::Set)),
    ("nft-vmap", System::Nft(nft::Form::Map)),
    ("nft-pipapo", System::Nft(nft::Form::Intervals)),
    ("nft-chain", System::Nft(nft::Form::Chain)),
    ("nft-counter", System::Nft(nft::Form::Counted)),
    ("iptables-legacy", System::Iptables(iptables::Tool::Legacy)),
    ("iptables-nft", System::Iptables(iptables::Tool::Nft)),
];

impl System {
    /// Where it decides.
    pub(crate) fn layer(self) -> Layer {
        match self {
            Self::Control(layer)
            | Self::Sockc(layer)
            | Self::Uncounted(layer)
            | Self::Hash(layer) => layer,
            Self::Bpfilter(_) => Layer::Xdp,
            Self::Nft(_) | Self::Iptables(_) => Layer::Stack,
        }
    }
}

/// Why a system is not measured.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// These rules cannot be said in it.
    Unsayable,
    /// It refuses, or takes too long.
    Refused(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsayable => f.write_str("these rules cannot be said in it"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem.to_string())
    }
}

impl From<std::io::Error> for Unfit {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A filter of the kernel's own that is loaded by its command and asked how much it did not match.
pub(crate) trait Filter {
    /// Loads the rules in the namespace of a stage; gives how long the command took, in milliseconds.
    fn load(&self, set: &RuleSet, stage: &Stage) -> Result<f64, Unfit>;

    /// How many packets no rule matched.
    fn unmatched(&self, set: &RuleSet, stage: &Stage) -> Result<u64, Problem>;
}
