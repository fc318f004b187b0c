//! Rates and numbers in the words of other tools: `10/minute`, `10 per minute`, `100k`.

use super::{Broken, Edit, word_start};
use crate::scan;

/// Other words for the units of time.
const PERIODS: &[(&str, &str)] = &[
    ("s", "second"),
    ("sec", "second"),
    ("secs", "second"),
    ("seconds", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("mins", "minute"),
    ("minutes", "minute"),
    ("h", "hour"),
    ("hr", "hour"),
    ("hours", "hour"),
    ("second", "second"),
    ("minute", "minute"),
    ("hour", "hour"),
];

/// Other words for what is counted.
const UNITS: &[(&str, &str)] = &[
    ("packet", "packets"),
    ("pkt", "packets"),
    ("pkts", "packets"),
    ("byte", "bytes"),
    ("connection", "connections"),
    ("conn", "connections"),
    ("conns", "connections"),
    ("new", "connections"),
];

pub(super) fn edits(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let word = broken.word();
    let last = broken.last_word();
    let after_number = last
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
        && !last.is_empty();
    if after_number && broken.expected.has("packets") {
        counted(broken, word, found);
    }
    if word == "limit" {
        limit(broken, found);
    }
    if word == "rate" {
        found.push(broken.replace(word.len(), "up to"));
    }
    if broken.before().ends_with('/') {
        let period = PERIODS.iter().find(|(other, _)| *other == word);
        found.extend(period.map(|(_, ours)| broken.replace(word.len(), *ours)));
    }
    if let Some((_, unit)) = UNITS.iter().find(|(other, _)| *other == word) {
        found.push(broken.replace(word.len(), *unit));
    }
    // `10 packets per second`
    if word == "per" && broken.expected.has("/") {
        let next = scan::skip(broken.text, broken.at + word.len());
        found.push(broken.edit(broken.before().len(), next, "/"));
    }
    if last == "per" && matches!(word, "ip" | "host" | "client" | "address" | "src" | "saddr") {
        found.push(broken.replace(word.len(), "source"));
    }
    if last == "per" && matches!(word, "dst" | "daddr" | "server") {
        found.push(broken.replace(word.len(), "destination"));
    }
    thousands(broken, found);
}

/// `10/minute` and `10 per minute` count packets; what no period follows is of a second.
fn counted(broken: &Broken<'_>, word: &str, found: &mut Vec<Edit>) {
    let rest = broken.after();
    let number_end = broken.before().len();
    let period = match (rest.strip_prefix('/'), word) {
        (Some(_), _) => Some(scan::skip(broken.text, broken.at + 1)),
        (None, "per") => Some(scan::skip(broken.text, broken.at + word.len())),
        _ => None,
    };
    let Some(period) = period else {
        found.push(broken.edit(number_end, number_end, " packets/second"));
        return;
    };
    found.push(broken.edit(number_end, period, " packets/"));
}

/// `limit 10/minute`, `limit rate over 10/minute`.
fn limit(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let mut end = broken.at + "limit".len();
    let mut over = false;
    loop {
        let next = scan::skip(broken.text, end);
        let word = scan::word(broken.text, next);
        if !matches!(word, "rate" | "over" | "until") {
            break;
        }
        over |= word == "over";
        end = next + word.len();
    }
    let ours = if over { "above" } else { "up to" };
    found.push(broken.edit(broken.at, end, ours));
}

/// `100k` and `2M`.
fn thousands(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    // Where it breaks may be the letter, or the number that it stands after.
    let after = broken.text.get(..broken.at).unwrap_or("");
    let start = if broken
        .chunk()
        .starts_with(|first: char| first.is_ascii_digit())
    {
        broken.at
    } else {
        word_start(broken.text, after.len())
    };
    let chunk = scan::chunk(broken.text, start);
    let Some((digits, zeros)) = chunk
        .strip_suffix(['k', 'K'])
        .map(|digits| (digits, "_000"))
        .or_else(|| {
            chunk
                .strip_suffix(['m', 'M'])
                .map(|digits| (digits, "_000_000"))
        })
    else {
        return;
    };
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let edit = broken.edit(start, start + chunk.len(), format!("{digits}{zeros}"));
        found.push(edit);
    }
}
