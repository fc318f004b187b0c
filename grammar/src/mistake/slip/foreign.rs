//! Words and marks of other tools, and letters of other keyboards, by those of sockc.

use super::{Broken, Edit, is_word};
use crate::ast::Direction;
use crate::scan;
use crate::vocabulary;

/// A word of another tool and what to write; nothing where it is left out.
const WORDS: &[(&str, &str)] = &[
    ("accept", "allow"),
    ("pass", "allow"),
    ("permit", "allow"),
    ("ACCEPT", "allow"),
    ("block", "drop"),
    ("deny", "drop"),
    ("discard", "drop"),
    ("DROP", "drop"),
    ("REJECT", "reject"),
    ("dport", "to port"),
    ("dport", "port"),
    ("dst-port", "to port"),
    ("sport", "from port"),
    ("sport", "port"),
    ("src-port", "from port"),
    ("saddr", "from"),
    ("src", "from"),
    ("daddr", "to"),
    ("dst", "to"),
    ("define", "set"),
    ("ipset", "set"),
    ("comment", "note"),
    ("nflog", "log"),
    ("prefix", ""),
    ("counter", ""),
    ("quick", ""),
    ("match", ""),
    ("inet", ""),
    ("inet6", ""),
    ("ip", ""),
    ("ip6", ""),
    ("protocol", ""),
    ("all", ""),
    ("input", "in"),
    ("INPUT", "in"),
    ("ingress", "in"),
    ("incoming", "in"),
    ("inbound", "in"),
    ("output", "out"),
    ("OUTPUT", "out"),
    ("egress", "out"),
    ("outgoing", "out"),
    ("outbound", "out"),
    ("icmpv6", "icmp6"),
    ("ipv6-icmp", "icmp6"),
    ("and", ""),
];

/// A mark of another tool and what to write, the longer ones first.
const MARKS: &[(&str, &str)] = &[
    ("==", "="),
    (":=", "="),
    ("=>", "->"),
    ("&&", "and"),
    ("||", ","),
    ("//", "#"),
    ("!=", "not"),
    ("=", ""),
    (";", ""),
    (",", ""),
    (",", " "),
    ("$", "@"),
    ("!", "no "),
    ("!", "not "),
];

pub(super) fn edits(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    quotes(broken, found);
    interface(broken, found);
    tracking(broken, found);
    let word = broken.word();
    let known = WORDS.iter().filter(|(foreign, _)| *foreign == word);
    found.extend(known.map(|(_, ours)| broken.replace(word.len(), *ours)));
    // `ttl == 1`: the first of the two reads.
    if broken.after().starts_with('=') && broken.before().ends_with('=') {
        let next = scan::skip(broken.text, broken.at + 1);
        found.push(broken.edit(broken.before().len(), next, " "));
    }
    let marks = MARKS.iter();
    let here = marks.filter(|(mark, _)| broken.after().starts_with(mark));
    found.extend(here.map(|(mark, ours)| broken.replace(mark.len(), *ours)));
    capitals(broken, found);
    swapped_direction(broken, found);
}

/// Quotes of a word processor, and single ones.
fn quotes(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    const CURLY: [char; 6] = ['“', '”', '„', '‘', '’', '\''];
    if !broken.after().starts_with(CURLY) {
        return;
    }
    let text = broken.after().replace(CURLY, "\"");
    found.push(broken.edit(broken.at, broken.text.len(), text));
}

/// `iif eth1`, `on eth1`, `dev "eth1"`.
fn interface(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    if !matches!(word, "iif" | "oif" | "iifname" | "oifname" | "dev" | "vrf") {
        return;
    }
    let name = scan::skip(broken.text, broken.at + word.len());
    let to = broken.edit(broken.at, name, format!("on {} ", kind(broken, name)));
    found.push(to);
}

/// Whether what is named at `at` is a zone or an interface.
pub(super) fn kind(broken: &Broken<'_>, at: usize) -> &'static str {
    let name = scan::word(broken.text, at);
    if broken.declares("zone", name) {
        "zone"
    } else {
        "interface"
    }
}

/// `ct state established`, `state established,related`, `keep state`.
fn tracking(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    if !matches!(
        broken.word(),
        "ct" | "conntrack" | "state" | "keep" | "established" | "related"
    ) {
        return;
    }
    let known = [
        "ct",
        "conntrack",
        "state",
        "established",
        "related",
        "new",
        "keep",
    ];
    let mut end = broken.at;
    let mut established = false;
    loop {
        let word = scan::word(broken.text, end);
        if !known.contains(&word) {
            break;
        }
        established |= word == "established";
        let after = scan::skip(broken.text, end + word.len());
        end = match scan::byte(broken.text, after) {
            Some(b',') => scan::skip(broken.text, after + 1),
            _ => after,
        };
    }
    let end = broken
        .text
        .get(..end)
        .unwrap_or("")
        .trim_end()
        .len()
        .max(broken.at);
    let condition = if established {
        "socket established"
    } else {
        ""
    };
    let after_if = matches!(broken.last_word(), "if" | "and" | "with");
    let text = match (after_if, condition) {
        (_, "") => String::new(),
        (true, condition) => condition.to_owned(),
        (false, condition) => format!("if {condition}"),
    };
    found.push(broken.replace(end - broken.at, text));
}

/// A word of ours in capitals.
fn capitals(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    let small = word.to_ascii_lowercase();
    if small != word && vocabulary::is_known(&small) {
        found.push(broken.replace(word.len(), small));
    }
}

/// `default drop in`.
fn swapped_direction(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let direction = match broken.word() {
        "incoming" | "input" | "INPUT" | "ingress" => "in",
        "outgoing" | "output" | "OUTPUT" | "egress" => "out",
        word if Direction::named(word).is_some() => word,
        _ => return,
    };
    let before = broken.before();
    let verb = broken.last_word();
    let from = before.len() - verb.len();
    if is_word(verb) && (vocabulary::VERBS.contains(&verb)) {
        found.push(broken.edit(
            from,
            broken.at + broken.word().len(),
            format!("{direction} {verb}"),
        ));
    }
    // Elsewhere in a rule, it stands after the verb.
    let start = label_end(broken.text);
    let first = scan::word(broken.text, start);
    if vocabulary::VERBS.contains(&first) && start + first.len() < from {
        let rest = broken
            .text
            .get(start + first.len()..broken.at)
            .unwrap_or("");
        found.push(broken.edit(
            start + first.len(),
            broken.at + broken.word().len(),
            format!(" {direction}{}", rest.trim_end()),
        ));
    }
}

/// Where the verb stands: after the label and `audit`.
pub(super) fn label_end(text: &str) -> usize {
    let mut at = scan::skip(text, 0);
    if scan::is_label(text, at) {
        at = scan::skip(text, at + scan::word(text, at).len() + 1);
    }
    if scan::word(text, at) == "audit" {
        at = scan::skip(text, at + "audit".len());
    }
    at
}
