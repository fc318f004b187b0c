//! What is said of the files as a whole, beside what is said of single rules.
//!
//! Takes what was read; gives entries of the report: tables that are not carried over. Not here: what a rule means.

use super::saved::Elsewhere;
use super::{Read, rule};
use crate::verbs::import::report::{Entry, Kind};
use crate::verbs::import::standing::Names;

/// What the standing of a policy is told by.
pub(super) const NAMES: Names = Names {
    input: "INPUT",
    output: "OUTPUT",
    forward: "FORWARD",
    tool: "iptables",
};

/// What is said of a file apart from the rules of its table `filter`.
pub(super) fn of_file(read: &Read) -> Vec<Entry> {
    let entry = |file: Option<&str>, (line, rule): (usize, &str), said: String| Entry {
        kind: Kind::LeftOut,
        file: file.unwrap_or(&read.name).to_owned(),
        line: Some(line),
        place: None,
        order: Some(line),
        rule: Some(rule.to_owned()),
        said,
        packet: None,
        effect: None,
    };
    let unsaid = read.saved.unsaid.iter().map(|(line, said)| {
        let why = "iptables-save cannot print this table, so what it does is not carried over";
        entry(None, (*line, said), why.to_owned())
    });
    let elsewhere = read.saved.elsewhere.iter().map(|one| {
        let said = format!("table {}: {}", one.table, without(one));
        entry(one.line.file(), (one.line.number, &one.line.text), said)
    });
    unsaid.chain(elsewhere).collect()
}

/// Why a rule of another table, or its policy, is not carried over. What it drops is a verdict as any other.
fn without(one: &Elsewhere) -> &'static str {
    const CHANGES: [&str; 12] = [
        "MARK",
        "CONNMARK",
        "TCPMSS",
        "TOS",
        "DSCP",
        "TTL",
        "HL",
        "ECN",
        "CHECKSUM",
        "CLASSIFY",
        "SECMARK",
        "CONNSECMARK",
    ];
    let is_policy = one.line.text.starts_with(':');
    let target = rule::target(&one.line.text);
    match target.as_deref() {
        Some("DROP" | "REJECT") => DROPS,
        None if is_policy => DROPS,
        Some("LOG" | "NFLOG") => {
            "only the table filter is carried over, so no line is written for it"
        }
        Some(_) if translates(one) => {
            "addresses and ports are not translated; a redirect to a socket takes what destination NAT is used for on a host"
        }
        Some("CT" | "NOTRACK") => {
            "there is no table of connections to keep packets out of: rules about states match them here, which they do not there"
        }
        Some(target) if CHANGES.contains(&target) => {
            "packets are not changed here, but for the mark of what an `allow` lets through"
        }
        _ => "only the table filter is carried over, so what it does is not done here",
    }
}

const DROPS: &str =
    "only the table filter is carried over: packets that it drops may get through here";

/// Whether a file has rules that translate addresses.
pub(super) fn is_translated(read: &[Read]) -> bool {
    read.iter()
        .flat_map(|one| &one.saved.elsewhere)
        .any(translates)
}

/// Whether a rule translates addresses.
fn translates(one: &Elsewhere) -> bool {
    const TARGETS: [&str; 5] = ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"];
    let target = rule::target(&one.line.text);
    one.table == "nat" && target.is_some_and(|target| TARGETS.contains(&target.as_str()))
}
