//! A rule set as what lets a router forward: in the words of sockc, and of nft.
//!
//! Every rule allows and the default drops, so a packet that the wrong rule decides is missing behind the router. Not here: who loads it.

use std::fmt::Write as _;

use sockc_runtime::lab::FRONT;

use crate::router::FAR;
use crate::rules::RuleSet;
use crate::rules::policy::Words;
use crate::systems::nft;

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// Nobody: what routing itself costs.
    Nobody,
    Sockc,
    /// One rule after the other.
    NftChain,
    /// A set of addresses with ports, as an expert writes the family `exact`.
    NftSet,
}

/// Every system with its name, in the order of the table.
pub(crate) const SYSTEMS: [(&str, System); 4] = [
    ("routed only", System::Nobody),
    ("sockc", System::Sockc),
    ("nft-chain", System::NftChain),
    ("nft-set", System::NftSet),
];

/// The policy of sockc.
pub(crate) fn policy(set: &RuleSet) -> String {
    let mut text = format!("policy bench\ninterfaces {FRONT}, {FAR}\ndefault forward drop\n");
    for rule in &set.rules {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "allow forward {}", Words(rule));
    }
    text
}

/// The script of nft for these rules, one after the other.
pub(crate) fn chain(set: &RuleSet) -> String {
    let mut rules = String::new();
    for rule in &set.rules {
        let _ = writeln!(rules, "{} accept", nft::matches(rule, false));
    }
    script("", &rules)
}

/// The script of nft with a set; `None` where the rules do not fit one.
pub(crate) fn set(set: &RuleSet) -> Option<String> {
    if set.family != "exact" {
        return None;
    }
    let one = |rule: &crate::rules::Rule| format!("{} . {}", rule.to.address, rule.dports.0);
    let all: Vec<String> = set.rules.iter().map(one).collect();
    let declared = format!(
        "set s {{ type ipv4_addr . inet_service; elements = {{ {} }} }}\n",
        all.join(", ")
    );
    Some(script(&declared, "ip daddr . udp dport @s accept\n"))
}

fn script(declared: &str, rules: &str) -> String {
    format!(
        "table ip bench {{\n{declared}chain forward {{\ntype filter hook forward priority filter; policy drop;\n{rules}}}\n}}\n"
    )
}
