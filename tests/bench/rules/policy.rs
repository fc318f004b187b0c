//! A rule set as a policy: one rule on a line, in order, so that a line stands for a rule.

use std::fmt::{self, Write as _};

use super::{ANY_PORT, Prefix, Rule};

/// Which verdicts the rules of a policy have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdicts {
    /// Every packet is dropped, by its rule or by the default: each system does the same with it, so that costs compare.
    Drop,
    /// Rules allow and drop in turn, beginning with allow, and the default allows.
    Alternate,
}

/// Where the rules run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunsAt {
    /// Where the compiler puts them, which is XDP.
    Xdp,
    /// Every rule says `at tc`.
    Tc,
}

/// Lines ahead of the first rule.
const HEAD: usize = 2;

/// The policy's text.
pub(crate) fn policy(rules: &[Rule], verdicts: Verdicts, place: RunsAt) -> String {
    let default = verdicts == Verdicts::Alternate;
    let at = match place {
        RunsAt::Xdp => "",
        RunsAt::Tc => " at tc",
    };
    let rules = rules.iter().enumerate();
    written(
        default,
        rules.map(|(index, rule)| (allows(verdicts, Some(index)), rule)),
        at,
    )
}

/// A policy of rules that allow or drop, each with `end` after it; `default` is whether the default allows.
pub(crate) fn written<'a>(
    default: bool,
    rules: impl Iterator<Item = (bool, &'a Rule)>,
    end: &str,
) -> String {
    let verb = |allow| if allow { "allow" } else { "drop" };
    let mut text = format!("policy bench\ndefault in {}\n", verb(default));
    for (allow, rule) in rules {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}{end}", verb(allow), Words(rule));
    }
    text
}

/// Whether a packet is allowed whose first rule this is.
pub(crate) fn allows(verdicts: Verdicts, rule: Option<usize>) -> bool {
    verdicts == Verdicts::Alternate && rule.is_none_or(|index| index % 2 == 0)
}

/// The rule on a line of the policy, counted from 1.
pub(crate) fn rule_of_line(line: u32) -> Option<usize> {
    usize::try_from(line).ok()?.checked_sub(HEAD + 1)
}

/// A rule in the words of the language.
pub(crate) struct Words<'a>(pub(crate) &'a Rule);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        match rule.protocol {
            Some(6) => f.write_str("tcp ")?,
            Some(17) => f.write_str("udp ")?,
            Some(132) => f.write_str("sctp ")?,
            Some(1) if !rule.is_ipv6() => f.write_str("icmp ")?,
            Some(58) if rule.is_ipv6() => f.write_str("icmp6 ")?,
            Some(number) => write!(f, "proto {number} ")?,
            None if rule.has_ports() => f.write_str("tcp, udp, sctp ")?,
            None => {}
        }
        let (from, to) = (End(rule.from, rule.sports), End(rule.to, rule.dports));
        write!(f, "from {from} to {to}")
    }
}

/// An endpoint.
struct End(Prefix, (u16, u16));

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(prefix, (low, high)) = self;
        let (address, length) = (prefix.address, prefix.length);
        if (*low, *high) == ANY_PORT {
            return write!(f, "{address}/{length}");
        }
        if address.is_ipv6() {
            write!(f, "[{address}/{length}]:{low}")?;
        } else {
            write!(f, "{address}/{length}:{low}")?;
        }
        if high > low {
            write!(f, "-{high}")
        } else {
            Ok(())
        }
    }
}
