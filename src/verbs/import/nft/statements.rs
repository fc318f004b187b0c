//! Statements that decide nothing by themselves, and those that are not carried over.
//!
//! Takes the word of a statement, and what stands with it; says what becomes of it. Not here: what is about packets, and verdicts.

use serde_json::Value;

/// The statements that let packets on, and decide nothing.
pub(super) const LETS_ON: [&str; 5] = ["match", "limit", "meter", "set", "log"];

/// Whether a statement reads nothing of a packet but its mark, so that it never ends the rule.
pub(super) fn is_steady(value: &Value) -> bool {
    const JOINS: [&str; 5] = ["&", "|", "^", "<<", ">>"];
    match value {
        Value::Array(all) => all.iter().all(is_steady),
        Value::Object(of) => of.iter().all(|(word, of)| match word.as_str() {
            "meta" => of.get("key").and_then(Value::as_str) == Some("mark"),
            "ct" => of.get("key").and_then(Value::as_str) == Some("mark"),
            "key" | "value" | "addr" | "dev" | "packets" | "bytes" => is_steady(of),
            word => JOINS.contains(&word) && is_steady(of),
        }),
        _ => true,
    }
}

/// What is said of a statement that changes something and decides nothing.
pub(super) fn undone(word: &str) -> &'static str {
    match word {
        "mangle" => {
            "the packet or its mark is not changed here; what asks for the mark later sees the one that the packet came with"
        }
        "notrack" => {
            "there is no table of connections to keep packets out of: rules about states match them here, which they do not there"
        }
        "dup" => "no packet is sent twice here",
        "flow" => {
            "no connection is taken out of the lists here, so they are asked about all of its packets"
        }
        "secmark" => "no labels are set here",
        _ => "there is no table of connections to note that in",
    }
}

/// Why a statement is not carried over.
pub(super) fn without(word: &str) -> String {
    let why = match word {
        "snat" | "dnat" | "masquerade" | "redirect" => "addresses are not translated",
        "tproxy" => "a `redirect … to sock NAME at tc` does it",
        "queue" => "no program is asked about a packet",
        "fwd" => "a `redirect … to interface NAME` does it",
        "quota" => "no rule counts until it has had enough",
        "ct count" => "connections are not counted while they last; a rate counts how many come",
        "synproxy" => "handshakes are not made for others",
        "xt" => "iptables wrote it; give what iptables-save prints to `sockc import iptables-save`",
        _ => "it is not known here",
    };
    format!("`{word}`: {why}")
}
