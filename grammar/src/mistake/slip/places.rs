//! Words that stand at another place, or that miss: labels, protocols, `to`, `if`, `interface`, `sock`.

use super::foreign::{kind, label_end};
use super::{Broken, Edit, is_word, like_address, like_port};
use crate::ast::{Direction, Endpoint, SocketState, TcpFlag};
use crate::header_field::HeaderField;
use crate::scan;
use crate::vocabulary::{self, is_protocol};

/// Services that people write for themselves, with their protocol; `ping` is none and has types of its own.
const SERVICES: &[(&str, &str)] = &[
    ("ssh", "tcp to port ssh"),
    ("http", "tcp to port http"),
    ("https", "tcp to port https"),
    ("smtp", "tcp to port smtp"),
    ("dns", "udp, tcp to port domain"),
    ("domain", "udp, tcp to port domain"),
    ("ntp", "udp to port ntp"),
    ("ping", "icmp echo-request, icmp6 echo-request"),
];

pub(super) fn edits(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    if broken.packet {
        bare_packet(broken, found);
    }
    label(broken, found);
    protocol(broken, found);
    ports(broken, found);
    condition(broken, found);
    named(broken, found);
    verbs(broken, found);
    strings(broken, found);
    listen(broken, found);
    directions(broken, found);
    logs(broken, found);
    no_members(broken, found);
}

/// `ssh allow …`, `my.label: allow …`, `f: tcp allow …`.
fn label(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let text = broken.text;
    let word = scan::word(text, 0);
    let next = scan::word(text, scan::skip(text, word.len()));
    if !word.is_empty() && !vocabulary::is_reserved(word) && vocabulary::VERBS.contains(&next) {
        found.push(broken.edit(word.len(), word.len(), ":"));
    }
    let chunk = scan::chunk(text, 0);
    if let Some(label) = chunk.strip_suffix(':')
        && label.contains('.')
    {
        found.push(broken.edit(0, label.len(), label.replace('.', "-")));
    }
    // A protocol ahead of its verb.
    let verb = broken.next_word(broken.word().len());
    if is_protocol(broken.word()) && vocabulary::VERBS.contains(&verb) {
        let end = scan::skip(text, broken.at + broken.word().len()) + verb.len();
        found.push(broken.edit(broken.at, end, format!("{verb} {}", broken.word())));
    }
}

/// `22/tcp`, `tcp/udp`, `tcp/22`, protocols after clauses, `proto tcp`, `tcp, to …`.
fn protocol(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let chunk_start = scan::chunk_start(broken.text, broken.at);
    let chunk = scan::chunk(broken.text, chunk_start);
    if let Some((left, right)) = chunk.split_once('/') {
        let end = chunk_start + chunk.len();
        let text = match (is_protocol(left), is_protocol(right)) {
            (true, true) => Some(format!("{left}, {right}")),
            (false, true) if like_port(left) => Some(format!("{right} to port {left}")),
            (true, false) if like_port(right) => Some(format!("{left} to port {right}")),
            _ => None,
        };
        found.extend(text.map(|text| broken.edit(chunk_start, end, text)));
    }
    let (moved, length) = match broken.word() {
        "proto" | "protocol" => {
            let next = broken.next_word(broken.word().len());
            let at = scan::skip(broken.text, broken.at + broken.word().len());
            (next, at + next.len() - broken.at)
        }
        word => (word, word.len()),
    };
    if is_protocol(moved) {
        move_after_verb(broken, moved, length, found);
    }
    if let Some((_, rule)) = SERVICES.iter().find(|(name, _)| *name == broken.word()) {
        let expects = scan::word(broken.text, 0) == "expect";
        let rule = match rule.split_once(" to port ") {
            Some((protocols, port)) if expects => format!("{protocols} from any to any:{port}"),
            _ if expects => format!("{rule} from any to any"),
            _ => (*rule).to_owned(),
        };
        found.push(broken.replace(broken.word().len(), rule));
    }
    // `icmp type echo-request`: the word was taken for a type's name.
    let last = broken.last_word();
    if matches!(last, "type" | "icmp-type") {
        found.push(broken.edit(broken.before().len() - last.len(), broken.at, ""));
    }
}

/// A protocol after a clause goes after the verb and the direction.
fn move_after_verb(broken: &Broken<'_>, protocol: &str, length: usize, found: &mut Vec<Edit>) {
    let text = broken.text;
    let verb = label_end(text);
    let mut place = verb + scan::word(text, verb).len();
    let next = scan::skip(text, place);
    if Direction::named(scan::word(text, next)).is_some() {
        place = next + scan::word(text, next).len();
    }
    let Some(between) = text
        .get(place..broken.at)
        .filter(|text| !text.trim().is_empty())
    else {
        return;
    };
    let text = format!(" {protocol}{}", between.trim_end());
    found.push(broken.edit(place, broken.at + length, text));
}

/// `tcp 443`, `tcp ports 443`, `to 10.0.0.1 port 443`, `10.0.0.1 :443`, `10.0.0.1 : 443`.
fn ports(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let chunk = broken.chunk();
    let last = broken.last_word();
    if is_protocol(last.trim_end_matches(',')) && like_port(chunk) && !is_word(chunk) {
        found.push(broken.insert("to port "));
    }
    if broken.word() == "ports" {
        let to = if matches!(last, "from" | "to") {
            ""
        } else {
            "to "
        };
        found.push(broken.replace("ports".len(), format!("{to}port")));
    }
    if broken.word() == "port" && like_address(last) {
        found.extend(port_of_each(broken, "port".len()));
    }
    if chunk.starts_with(':') && like_address(last) {
        found.extend(port_of_each(broken, 1));
    }
    if like_address(chunk) && !broken.packet && is_protocol(last) {
        found.push(broken.insert("to "));
    }
}

/// The port after a list of addresses, behind a word so long, is that of each: of the last alone, the rule would let more through.
fn port_of_each(broken: &Broken<'_>, length: usize) -> Option<Edit> {
    let at = scan::skip(broken.text, broken.at + length);
    let rest = scan::rest(broken.text, at);
    let end = match rest.starts_with('{') {
        true => rest.find('}')? + 1,
        false => scan::chunk(broken.text, at).len(),
    };
    let port = rest.get(..end).filter(|port| !port.is_empty())?;
    let (from, addresses) = addresses_at_end(broken.before());
    let ahead = broken.before().get(..from).unwrap_or("").trim_end();
    if ahead.rsplit([' ', '\t', '\n', '{']).next() == Some("not") {
        // Ports of all addresses but these, which no endpoint says.
        return None;
    }
    let each: Vec<String> = addresses
        .iter()
        .rev()
        .map(|one| Endpoint::written(one, port))
        .collect();
    Some(broken.edit(from, at + end, each.join(", ")))
}

/// The addresses of the list that a text ends with, the last first, and where the list begins.
fn addresses_at_end(text: &str) -> (usize, Vec<&str>) {
    let (mut from, mut end, mut found) = (text.len(), text.len(), Vec::new());
    loop {
        let start = scan::chunk_start(text, end);
        let address = text.get(start..end).unwrap_or("");
        if !like_address(address) {
            return (from, found);
        }
        from = start;
        found.push(address);
        let before = text.get(..start).unwrap_or("").trim_end();
        let Some(before) = before.strip_suffix(',') else {
            return (from, found);
        };
        end = before.trim_end().len();
    }
}

/// `if not socket`, `if socket not established`, `if established`, `if flags syn`, `tcp socket exists`, `rate fits`, `vlan id 12`, `length 400`.
fn condition(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    let last = broken.last_word();
    let length = word.len();
    match word {
        "not" if last == "socket" => {
            let from = broken.before().len() - last.len();
            found.push(broken.edit(from, broken.at + length, "no socket"));
        }
        "not" => found.push(broken.replace(length, "no")),
        _ if SocketState::named(word).is_some() => found.push(broken.insert("socket ")),
        "flags" => found.push(broken.insert("tcp ")),
        _ if TcpFlag::named(word).is_some() => {
            found.push(broken.insert("tcp flags "));
            // `flags syn,ack`
            if let Some(before) = broken.before().strip_suffix(',') {
                found.insert(0, broken.edit(before.len(), broken.at, " "));
            }
        }
        "id" => found.push(broken.replace(length, "")),
        "fits" if last == "rate" => {
            let from = broken.before().len() - last.len();
            found.push(broken.edit(from, broken.at + length, "no rate exceeded"));
        }
        "exceeded" => found.push(broken.insert("rate ")),
        _ => {}
    }
    if broken.expected.has("<") {
        found.push(broken.insert("= "));
    }
    // A condition without its `if`.
    if broken.expected.kinds.contains(&"a clause") || broken.expected.has("if") {
        let inner = match word {
            _ if SocketState::named(word).is_some() => "if socket ",
            "flags" => "if tcp ",
            _ if TcpFlag::named(word).is_some() => "if tcp flags ",
            "socket" | "no" => "if ",
            _ if HeaderField::named(word).is_some() => "if ",
            _ => return,
        };
        found.insert(0, broken.insert(inner));
    }
}

/// `on eth1`, `in eth1`, `to p`, `to socket p`, `from a` where `@a` is declared, `include essentials`.
fn named(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    let last = broken.last_word();
    if last == "on" && (!word.is_empty() || broken.after().starts_with('"')) {
        found.push(broken.insert(format!("{} ", kind(broken, broken.at))));
    }
    where_it_arrives(broken, found);
    if matches!(last, "from" | "to" | "not") && is_word(broken.chunk()) {
        if broken.declares("set", word) {
            found.push(broken.insert("@"));
        }
        if last == "to" && word == "socket" {
            found.push(broken.replace(word.len(), "sock"));
        } else if last == "to" && redirects(broken.text) && !vocabulary::is_known(word) {
            found.push(broken.insert("sock "));
        }
    }
    if last == "include" {
        let name = broken.chunk();
        let text = if name == "essentials" {
            format!("<{name}>")
        } else {
            format!("\"{name}\"")
        };
        found.push(broken.replace(name.len(), text));
    }
}

/// `in eth0`, `interface eth0`, `zone wan` at the end of a rule.
fn where_it_arrives(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    let name = scan::skip(broken.text, broken.at + word.len());
    let named = scan::word(broken.text, name);
    if named.is_empty() || vocabulary::is_known(named) {
        return;
    }
    match word {
        "in" => {
            let text = format!("on {} ", kind(broken, name));
            found.push(broken.edit(broken.at, name, text));
        }
        "interface" | "zone" if broken.last_word() != "on" => found.push(broken.insert("on ")),
        _ => {}
    }
}

/// Whether the statement is a redirect, or expects one.
fn redirects(text: &str) -> bool {
    let verb = scan::word(text, label_end(text));
    verb == "redirect" || verb == "expect" && text.contains("redirect")
}

/// `drop audit …`, `reject with tcp-reset …`: a reject answers each packet in the way that fits it.
fn verbs(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let before = broken.before();
    let verb = broken.last_word();
    if broken.word() == "with" && verb == "reject" {
        let answer = scan::skip(broken.text, broken.at + "with".len());
        let end = answer + scan::chunk(broken.text, answer).len();
        found.push(broken.replace(end - broken.at, ""));
    }
    if broken.word() == "audit" && vocabulary::VERBS.contains(&verb) {
        let from = before.len() - verb.len();
        let end = broken.at + "audit".len();
        found.push(broken.edit(from, end, format!("audit {verb}")));
    }
}

/// `drop in tcp out to port 22`: a rule has one direction, that after its verb.
fn directions(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let verb = label_end(broken.text);
    let next = scan::skip(broken.text, verb + scan::word(broken.text, verb).len());
    let is = |word| Direction::named(word).is_some();
    if next < broken.at && is(scan::word(broken.text, next)) && is(broken.word()) {
        found.push(broken.replace(broken.word().len(), ""));
    }
}

/// `log drop tcp`, `log "ssh" tcp to port 22`: a rule begins with its verb, and says at its end that it is logged.
fn logs(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let text = broken.text;
    let begin = label_end(text);
    if scan::word(text, begin) != "log" {
        return;
    }
    let end = log_end(text, begin);
    let rest = scan::rest(text, scan::skip(text, end)).trim_end();
    let log = text.get(begin..end).unwrap_or("").trim_end();
    let verb = match vocabulary::VERBS.contains(&scan::word(rest, 0)) {
        true => "",
        false => "count ",
    };
    found.push(broken.edit(begin, text.len(), format!("{verb}{rest} {log}")));
}

/// Where what is said of a log ends: its text, `max 10/second`, `sample 1/100`.
fn log_end(text: &str, begin: usize) -> usize {
    let mut end = begin + "log".len();
    loop {
        let next = scan::skip(text, end);
        end = match scan::word(text, next) {
            word @ ("max" | "sample") => {
                let limit = scan::skip(text, next + word.len());
                limit + scan::chunk(text, limit).len()
            }
            _ => match scan::string_end(text, next) {
                Some(after) if scan::byte(text, next) == Some(b'"') => after,
                _ => return end,
            },
        };
    }
}

/// `with no @banned`: what a live set holds is said, and that it holds nothing too.
fn no_members(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let set = broken.chunk();
    if broken.last_word() == "no" && set.starts_with('@') {
        let from = broken.before().len() - "no".len();
        found.push(broken.edit(from, broken.at + set.len(), format!("{set} {{ }}")));
    }
}

/// A text without its quotes.
fn strings(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let wants = broken.expected.kinds.contains(&"a string in quotes");
    let chunk = broken.chunk();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if wants && !chunk.is_empty() && chunk.bytes().all(plain) && broken.last_word() != "log" {
        found.push(broken.replace(chunk.len(), format!("\"{chunk}\"")));
    }
}

/// `tcp listen :80`, `tcp listen *:80`.
fn listen(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let Some(at) = broken.text.find("listen") else {
        return;
    };
    let place = scan::skip(broken.text, at + "listen".len());
    let chunk = scan::chunk(broken.text, place);
    let Some(port) = chunk.strip_prefix('*').unwrap_or(chunk).strip_prefix(':') else {
        return;
    };
    let head = broken.text.get(..at).unwrap_or("").trim_end();
    let protocol = head.rsplit([' ', ',', '=']).next().unwrap_or("tcp");
    let text = format!("0.0.0.0:{port}, {protocol} listen [::]:{port}");
    found.push(broken.edit(place, place + chunk.len(), text));
}

/// `tcp 8.8.8.8 192.0.2.1 22`: sender, receiver, the receiver's port.
fn bare_packet(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let mut words = broken.after().split_whitespace();
    let (Some(from), Some(to)) = (words.next(), words.next()) else {
        return;
    };
    let host = |text: &str| like_address(text.rsplit_once(':').map_or(text, |(host, _)| host));
    if !host(from) || !host(to) {
        return;
    }
    let from = match from.contains(':') {
        true => from.to_owned(),
        false => format!("{from}:40000"),
    };
    let rest = words.next();
    let to = match rest.filter(|port| like_port(port)) {
        Some(port) => format!("{to}:{port}"),
        None => to.to_owned(),
    };
    let text = format!("from {from} to {to}");
    found.push(broken.edit(broken.at, broken.text.len(), text));
}
