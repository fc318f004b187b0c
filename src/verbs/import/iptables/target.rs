//! The targets of iptables: what a rule does with the packets that it is about.
//!
//! Takes the name of a target and its options; gives the goal. Not here: what the rule is about.

use super::options::Given;
use crate::verbs::import::goal::{Goal, PLAIN_ANSWER};

/// The goal of a target of this name; else why there is none.
pub(super) fn named(name: &str) -> Result<Goal, String> {
    Ok(match name {
        "ACCEPT" => Goal::Accept,
        "DROP" => Goal::Drop,
        "REJECT" => Goal::Reject(PLAIN_ANSWER.to_owned()),
        "LOG" | "NFLOG" => Goal::Log(String::new()),
        "RETURN" => Goal::Return,
        _ => return Err(without(name)),
    })
}

/// What a target is that decides nothing and is not carried over.
pub(super) fn deciding_nothing(name: &str) -> Option<Goal> {
    const ASIDE: [&str; 10] = [
        "TCPMSS", "TOS", "DSCP", "TTL", "HL", "ECN", "CHECKSUM", "TRACE", "AUDIT", "CLASSIFY",
    ];
    match name {
        "SET" => Some(Goal::Fill),
        _ => ASIDE.contains(&name).then_some(Goal::Aside),
    }
}

/// Reads an option of the target; what is worth saying of it.
pub(super) fn option(goal: &mut Goal, given: &Given) -> Result<Option<String>, String> {
    match (&mut *goal, given.name.as_str()) {
        (Goal::Reject(with), "--reject-with") => {
            *with = answer(given.plain()?).to_owned();
            Ok(None)
        }
        (Goal::Log(prefix), "--log-prefix" | "--nflog-prefix") => {
            *prefix = given.plain()?.to_owned();
            Ok(None)
        }
        (Goal::Log(_), name) if name.starts_with("--log-") || name.starts_with("--nflog-") => {
            Ok(Some(format!(
                "`{given}` says how a line is written, which is not chosen here; `sockc monitor` prints it"
            )))
        }
        _ => Err(format!("`{given}` is not known here")),
    }
}

/// The kind of an answer, without the family's ICMP in its name.
fn answer(name: &str) -> &str {
    let name = name.strip_prefix("icmp6-").unwrap_or(name);
    match name.strip_prefix("icmp-").unwrap_or(name) {
        "port-unreach" => PLAIN_ANSWER,
        other => other,
    }
}

/// Why a target is not carried over.
fn without(name: &str) -> String {
    let why = match name {
        "MARK" => "a mark is set by `allow … mark N`, which decides, and this target goes on",
        "CONNMARK" | "CONNSECMARK" | "CT" | "NOTRACK" => "there is no table of connections",
        "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" => "addresses are not translated",
        "TPROXY" => "a `redirect … to sock NAME at tc` does it",
        "NFQUEUE" | "QUEUE" => "no program is asked about a packet",
        "SET" => "no rule changes a set; a program does, by `sockc set add`",
        "TCPMSS" | "TOS" | "DSCP" | "TTL" | "HL" | "ECN" | "CHECKSUM" => "a packet is not changed",
        "AUDIT" => "`sockc monitor` shows what rules log",
        "CLASSIFY" => "queues of interfaces are not chosen",
        "TRACE" => "`sockc explain` says which rule decides a packet",
        _ => "no chain is called so, and no target that is known here",
    };
    format!("target {name}: {why}")
}
