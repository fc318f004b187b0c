//! iptables, by both of its back ends, with ip6tables where there are rules of IPv6: a chain in the table `raw`.
//!
//! What no rule matches, the chain's policy drops, and counts.

use std::fmt::Write as _;
use std::process::Command;

use crate::rules::{ANY_PORT, Prefix, Rule, RuleSet, WITH_PORTS};
use crate::stage::{Problem, Stage};
use crate::systems::{Filter, Unfit, patient};

/// Whose rules they become in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Those of `ip_tables`.
    Legacy,
    /// Those of nftables.
    Nft,
}

impl Tool {
    fn command(self, ipv6: bool, verb: &str) -> Command {
        let family = if ipv6 { "ip6tables" } else { "iptables" };
        let back_end = match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        };
        Command::new(format!("{family}-{back_end}-{verb}"))
    }
}

impl Filter for Tool {
    fn load(&self, set: &RuleSet, stage: &Stage) -> Result<f64, Unfit> {
        let mut milliseconds = 0.0;
        for ipv6 in [false, true] {
            if ipv6 && !set.has_ipv6() {
                break;
            }
            let script = script(&set.rules, ipv6);
            let mut restore = self.command(ipv6, "restore");
            let done = stage.inside(move || Ok(patient::run(&mut restore, &script)))?;
            milliseconds += done?.milliseconds;
        }
        Ok(milliseconds)
    }

    fn unmatched(&self, _: &RuleSet, stage: &Stage) -> Result<u64, Problem> {
        let mut save = self.command(false, "save");
        save.args(["-c", "-t", "raw"]);
        let done = stage.inside(move || Ok(patient::run(&mut save, "")))?;
        let listing = done.map_err(|unfit| unfit.to_string())?.output;
        let mut lines = listing.lines();
        let line = lines.find_map(|line| line.strip_prefix(":PREROUTING DROP ["));
        let number = line.and_then(|line| line.split(':').next());
        Ok(number.ok_or("iptables shows no counter")?.parse()?)
    }
}

fn script(rules: &[Rule], ipv6: bool) -> String {
    let mut text = String::from("*raw\n:PREROUTING DROP [0:0]\n");
    for rule in rules.iter().filter(|rule| rule.is_ipv6() == ipv6) {
        match rule.protocol {
            None if rule.has_ports() => {
                for protocol in WITH_PORTS {
                    line(&mut text, rule, Some(protocol));
                }
            }
            protocol => line(&mut text, rule, protocol),
        }
    }
    text.push_str("COMMIT\n");
    text
}

fn line(text: &mut String, rule: &Rule, protocol: Option<u8>) {
    text.push_str("-A PREROUTING");
    for (side, prefix) in [("-s", rule.from), ("-d", rule.to)] {
        let Prefix { address, length } = prefix;
        if length > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, " {side} {address}/{length}");
        }
    }
    if let Some(number) = protocol {
        let _ = write!(text, " -p {number}");
        let module = match number {
            6 => "tcp",
            17 => "udp",
            _ => "sctp",
        };
        if rule.has_ports() {
            let _ = write!(text, " -m {module}");
        }
    }
    for (side, (low, high)) in [("--sport", rule.sports), ("--dport", rule.dports)] {
        if (low, high) != ANY_PORT {
            let _ = write!(text, " {side} {low}:{high}");
        }
    }
    text.push_str(" -j DROP\n");
}
