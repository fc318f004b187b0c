//! The vocabulary as data: words that begin statements, reserved words, every word, and the words of other tools.
//!
//! The grammar (`policy.pest`) is what parses; these tables serve recovery and messages. A test holds them to the
//! grammar.

use crate::ast::{Direction, HookName};
use crate::header_field::HeaderField;

/// Words that begin a statement; a label does too.
pub(crate) const STATEMENT: &[&str] = &[
    "sockc",
    "policy",
    "include",
    "interfaces",
    "zone",
    "default",
    "set",
    "live",
    "socket",
    "map",
    "group",
    "pairs",
    "for",
    "expect",
    "allow",
    "drop",
    "reject",
    "count",
    "redirect",
    "shortcut",
    "splice",
    "audit",
];

/// The verbs of rules, and `audit`, which goes before another.
pub const VERBS: &[&str] = &[
    "allow", "drop", "reject", "count", "redirect", "shortcut", "splice", "audit",
];

/// Words that are reserved and begin no statement, beside the directions.
pub(crate) const RESERVED: &[&str] = &[
    "from", "to", "on", "if", "above", "up", "mark", "log", "at", "note", "by", "within", "with",
    "not", "no", "and", "any", "self", "port",
];

/// Words with a meaning at their place only, beside the hooks.
pub(crate) const OTHER: &[&str] = &[
    "absent",
    "ack",
    "ah",
    "burst",
    "bytes",
    "cgroup",
    "connections",
    "cwr",
    "destination",
    "dscp",
    "ece",
    "ecn",
    "esp",
    "established",
    "ether",
    "exceeded",
    "exists",
    "expires",
    "file",
    "fin",
    "flags",
    "fragment",
    "gre",
    "hour",
    "icmp",
    "icmp6",
    "input",
    "interface",
    "length",
    "listen",
    "listening",
    "malformed",
    "max",
    "members",
    "minute",
    "name",
    "netns",
    "of",
    "output",
    "owner",
    "packets",
    "per",
    "pinned",
    "ports",
    "process",
    "proto",
    "psh",
    "rate",
    "registered",
    "rst",
    "sample",
    "sctp",
    "second",
    "sock",
    "source",
    "spread",
    "syn",
    "systemd",
    "tcp",
    "ttl",
    "udp",
    "uid",
    "urg",
    "vlan",
];

/// The words that begin a clause.
const CLAUSE: &[&str] = &[
    "from", "to", "on", "if", "above", "up", "mark", "log", "at", "note", "by", "within", "pairs",
];

/// The words of protocols, and the one that begins the number of any other.
const PROTOCOL: &[&str] = &[
    "tcp", "udp", "sctp", "icmp", "icmp6", "esp", "ah", "gre", PROTO,
];
const PROTO: &str = "proto";

/// The words that begin a kind of text, for suggestions; a test asks the grammar for them.
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("a clause", CLAUSE),
    (
        "a condition",
        &[
            "socket", "tcp", "fragment", "length", "ttl", "dscp", "ecn", "mark", "vlan", "ether",
            "sock", "any", "no",
        ],
    ),
    (
        "what the packet is like",
        &[
            "socket",
            "tcp",
            "fragment",
            "length",
            "ttl",
            "dscp",
            "ecn",
            "mark",
            "vlan",
            "ether",
            "malformed",
            "rate",
            "group",
            "self",
            "sock",
            "no",
            "in",
        ],
    ),
    ("a protocol", PROTOCOL),
    ("an endpoint", &["any", "self", "port", "not", "group"]),
];

/// Words that begin a statement in other tools, with what to write in sockc.
const FOREIGN_STATEMENT: &[(&str, &str)] = &[
    ("accept", "write `allow`"),
    ("pass", "write `allow`"),
    ("permit", "write `allow`"),
    ("block", "write `drop`, or `reject` to answer"),
    ("deny", "write `drop`, or `reject` to answer"),
    ("discard", "write `drop`"),
    (
        "chain",
        "there are no chains: write the rules in one list, each with its direction (`in`, `out`)",
    ),
    (
        "table",
        "write `set NAME = { … }` for addresses; there are no tables of chains",
    ),
    ("define", "write `set NAME = { … }`"),
    ("rdr", "write `redirect … to sock NAME`"),
    (
        "nat",
        "sockc does not rewrite addresses: write `redirect … to sock NAME`",
    ),
];

/// Words of other tools that go on with a statement, with what to write in sockc.
const FOREIGN: &[(&str, &str)] = &[
    ("ACCEPT", "write `allow`"),
    ("DROP", "write `drop`"),
    ("REJECT", "write `reject`"),
    ("dport", "write `to port 443`"),
    ("sport", "write `from port 443`"),
    ("saddr", "write `from 192.0.2.0/24`"),
    ("daddr", "write `to 192.0.2.0/24`"),
    ("src", "write `from`"),
    ("dst", "write `to`"),
    ("dst-port", "write `to port 443`"),
    ("src-port", "write `from port 443`"),
    ("quick", "leave it out: the first rule that matches decides"),
    (
        "return",
        "leave it out: the first rule that matches decides",
    ),
    (
        "jump",
        "there are no chains to jump to: write the rules in one list, or `include` a file",
    ),
    (
        "goto",
        "there are no chains to jump to: write the rules in one list, or `include` a file",
    ),
    ("ipset", "write `set NAME = { … }`"),
    ("match", "leave it out: write the clauses themselves"),
    (
        "ct",
        "write `if socket established`: sockets stand in for a connection table",
    ),
    (
        "conntrack",
        "write `if socket established`: sockets stand in for a connection table",
    ),
    (
        "state",
        "write `if socket established`: sockets stand in for a connection table",
    ),
    (
        "keep",
        "leave it out: write `if socket established` on the rule for answers",
    ),
    (
        "counter",
        "leave it out: every rule counts; `count` is a rule that only counts",
    ),
    (
        "limit",
        "write `up to 10 packets/second` or `above 10 packets/second`",
    ),
    ("comment", "write `note \"…\"`"),
    ("prefix", "write `log \"text\"`"),
    ("nflog", "write `log`"),
    ("iif", "write `on interface eth0`"),
    ("oif", "write `on interface eth0`"),
    ("iifname", "write `on interface eth0`"),
    ("oifname", "write `on interface eth0`"),
    ("dev", "write `on interface eth0`"),
    ("FORWARD", "write `forward`"),
    ("me", "write `self` for the addresses of this machine"),
    ("local", "write `self` for the addresses of this machine"),
    ("input", "write `in`"),
    ("output", "write `out`"),
    ("INPUT", "write `in`"),
    ("OUTPUT", "write `out`"),
    ("ingress", "write `in`"),
    ("egress", "write `out`"),
    ("incoming", "write `in`"),
    ("inbound", "write `in`"),
    ("outgoing", "write `out`"),
    ("outbound", "write `out`"),
    ("rdr-to", "write `redirect … to sock NAME`"),
    ("dnat", "write `redirect … to sock NAME`"),
    ("tproxy", "write `redirect … to sock NAME`"),
    ("TPROXY", "write `redirect … to sock NAME`"),
    ("divert-to", "write `redirect … to sock NAME`"),
    ("bind", "write `redirect … to sock NAME`"),
    ("snat", "sockc does not rewrite addresses"),
    ("masquerade", "sockc does not rewrite addresses"),
    ("icmpv6", "write `icmp6`"),
    ("ipv6-icmp", "write `icmp6`"),
    ("inet", "leave it out: a rule holds for both families"),
    ("inet6", "leave it out: a rule holds for both families"),
    ("ip", "leave it out: a rule holds for both families"),
    ("ip6", "leave it out: a rule holds for both families"),
    (
        "protocol",
        "write the protocol alone (`tcp`), or `proto 89`",
    ),
    ("or", "write `any of { …, … }`"),
    (
        "except",
        "write `not` before the list, or `@set - { … }` in a set",
    ),
    ("all", "write `any`"),
    ("vrf", "write `on interface NAME`"),
    ("mss", "sockc does not rewrite packets"),
];

/// Marks of other tools, with what to write in sockc; longer ones first.
pub(crate) const FOREIGN_MARKS: &[(&str, &str)] = &[
    (
        "!=",
        "write `not` before the list, or `no` before a condition",
    ),
    ("&&", "write `and`"),
    ("||", "write `any of { …, … }`"),
    ("==", "write `=`"),
    (":=", "write `=`"),
    ("=>", "write `->`"),
    ("//", "comments begin with `#`"),
    ("/*", "comments begin with `#`"),
    (
        "!",
        "write `not` before the list, or `no` before a condition",
    ),
    (
        ";",
        "leave it out: every statement begins with a word of its own",
    ),
    ("$", "write `@name` for a set"),
];

/// The words of other tools, with what to write.
pub(crate) fn all_foreign() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FOREIGN_STATEMENT.iter().chain(FOREIGN)
}

/// What to write in place of a word of another tool.
pub(crate) fn foreign(word: &str) -> Option<&'static str> {
    let found = all_foreign().find(|(foreign, _)| *foreign == word);
    found.map(|(_, help)| *help)
}

/// Whether the word begins a statement in another tool.
pub(crate) fn begins_foreign(word: &str) -> bool {
    FOREIGN_STATEMENT
        .iter()
        .any(|(foreign, _)| *foreign == word)
}

/// Whether the word is no name of anything.
pub(crate) fn is_reserved(word: &str) -> bool {
    reserved().any(|known| known == word)
}

/// Whether the language has the word at all.
pub(crate) fn is_known(word: &str) -> bool {
    every().any(|known| known == word)
}

/// Whether the word means a protocol.
pub(crate) fn is_protocol(word: &str) -> bool {
    PROTOCOL.contains(&word) && word != PROTO
}

/// Whether the word may go on with a rule: it begins a clause or a protocol.
pub(crate) fn continues(word: &str) -> bool {
    matches!(word, "with" | "and") || CLAUSE.contains(&word) || PROTOCOL.contains(&word)
}

/// Whether the word begins a condition, or the rest of one.
pub(crate) fn begins_condition(word: &str) -> bool {
    matches!(word, "socket" | "flags" | "no" | "established") || HeaderField::named(word).is_some()
}

/// Every word that is no name of anything.
pub(crate) fn reserved() -> impl Iterator<Item = &'static str> {
    let tables = STATEMENT.iter().chain(Direction::WORDS).chain(RESERVED);
    tables.copied()
}

/// Every word of the language.
pub(crate) fn every() -> impl Iterator<Item = &'static str> {
    reserved().chain(OTHER.iter().chain(HookName::WORDS).copied())
}

/// The word nearest to `word` among `candidates`, if near enough to be meant.
pub(crate) fn nearest(
    word: &str,
    candidates: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    if word.len() > 24 || word.len() < 2 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let limit = if word.len() <= 5 { 1 } else { 2 };
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}
