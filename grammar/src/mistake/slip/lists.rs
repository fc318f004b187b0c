//! Lists: braces that miss or are too many, commas, ports after ports, sets of ports.

use super::{Broken, Edit, like_address, like_port};
use crate::scan;

pub(super) fn edits(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    port_list(broken, found);
    needless_braces(broken, found);
    range_with_blanks(broken, found);
    sets(broken, found);
    port_range(broken, found);
    if broken.expected.has(",") {
        let before = broken.before().len();
        found.push(broken.edit(before, broken.at, ", "));
    }
    // `from A or B`
    if broken.word() == "or" {
        found.push(broken.edit(broken.before().len(), broken.at + "or".len(), ","));
    }
    // `syn,ack`, and a comma with nothing after it.
    if let Some(before) = broken.before().strip_suffix(',') {
        found.push(broken.edit(before.trim_end().len(), broken.at, " "));
    }
}

/// `port 80, 443` and `any:80, 443`: the ports from the first to the last one get braces.
fn port_list(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let Some(first_end) = broken
        .before()
        .strip_suffix(',')
        .map(|text| text.trim_end().len())
    else {
        return;
    };
    let mut start = first_end;
    // Back over ports and commas to what they belong to.
    loop {
        let head = broken.text.get(..start).unwrap_or("");
        let begin = head
            .rfind([' ', '\t', '\n', ',', ':'])
            .map_or(0, |at| at + 1);
        if !like_port(head.get(begin..).unwrap_or("")) {
            return;
        }
        start = begin;
        match head.get(..begin).unwrap_or("").trim_end().strip_suffix(',') {
            Some(more) => start = more.trim_end().len(),
            None => break,
        }
    }
    let owner = broken.text.get(..start).unwrap_or("").trim_end();
    if !(owner.ends_with("port") || owner.ends_with(':')) {
        return;
    }
    let mut end = broken.at;
    loop {
        let item = scan::chunk(broken.text, end);
        let item = item.trim_end_matches(';');
        if !like_port(item) {
            return;
        }
        end += item.len();
        let comma = scan::skip(broken.text, end);
        if scan::byte(broken.text, comma) != Some(b',') {
            break;
        }
        end = scan::skip(broken.text, comma + 1);
    }
    let items = broken.text.get(start..end).unwrap_or("");
    let items: Vec<&str> = items.split(',').map(str::trim).collect();
    found.push(broken.edit(start, end, format!("{{{}}}", items.join(", "))));
}

/// `from { A, B }`, `from (A, B)`, `interfaces { eth0, eth1 }`, `allow {tcp, udp}`, `zone lan { eth0 }`: such lists have no braces.
fn needless_braces(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let end = match broken.after().chars().next() {
        Some('{') => '}',
        Some('(') => ')',
        _ => return,
    };
    let equals = broken.expected.has("=") && scan::word(broken.text, 0) == "zone";
    let mut kinds = broken.expected.kinds.iter();
    let others = kinds.any(|kind| matches!(*kind, "an interface" | "a protocol"));
    if !equals && !others && !broken.expected.has_address() {
        return;
    }
    let Some(close) = broken.after().find(end) else {
        return;
    };
    let inside = broken.after().get(1..close).unwrap_or("").trim();
    let inside = inside.trim_end_matches(',').trim_end();
    if inside.is_empty() {
        return;
    }
    let equals = if equals { "= " } else { "" };
    // A port right behind the brace is that of all; without the blank it would be that of the last alone.
    let is_closed = scan::byte(broken.after(), close + 1) == Some(b':');
    let blank = if is_closed { " " } else { "" };
    found.push(broken.replace(close + 1, format!("{equals}{inside}{blank}")));
}

/// `10.0.0.1 - 10.0.0.9`: a range has no blanks.
fn range_with_blanks(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let last = broken.last_word();
    if broken.chunk() == "-" && like_address(last) && like_address(broken.next_word(1)) {
        let next = scan::skip(broken.text, broken.at + 1);
        found.push(broken.edit(broken.before().len(), next, "-"));
    }
}

/// `set f = { 80, 443 }`, `set c = [ … ]`, `set d = 10.0.0.0/8`, `set a { … }`, `set b: { … }`.
fn sets(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let text = broken.text;
    let is_set = matches!(scan::word(text, 0), "set" | "live" | "define");
    if !is_set {
        return;
    }
    let items = |from: usize| {
        let list = text.get(from..).unwrap_or("");
        let list = list.trim().trim_matches(['{', '}', '[', ']']).trim();
        list.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect::<Vec<_>>()
    };
    if let Some(open) = text.find('{') {
        let items = items(open);
        if !items.is_empty() && items.iter().all(|item| like_port(item)) {
            found.push(broken.edit(open, open, "ports "));
        }
    }
    if let Some(equal) = text.find('=') {
        let from = scan::skip(text, equal + 1);
        let items = items(from);
        let end = text.trim_end().len();
        if !items.is_empty() && items.iter().all(|item| like_address(item)) {
            found.push(broken.edit(from, end, format!("{{ {} }}", items.join(", "))));
        }
        if !items.is_empty() && items.iter().all(|item| like_port(item)) {
            found.push(broken.edit(from, end, format!("ports {{ {} }}", items.join(", "))));
        }
    } else if let Some(open) = text.find('{') {
        let head = text.get(..open).unwrap_or("").trim_end();
        let name = head.trim_end_matches(':').trim_end();
        found.push(broken.edit(name.len(), open, " = "));
    }
}

/// `22:25`, `>1024`, `1024+`, `1024-`, `<1024`.
fn port_range(broken: &Broken<'_>, found: &mut Vec<Edit>) {
    let text = broken.text;
    let Some(port) = text
        .get(..broken.at.saturating_add(1))
        .unwrap_or(text)
        .rfind("port")
    else {
        return;
    };
    let from = scan::skip(text, port + "port".len());
    let rest = text.get(from..).unwrap_or("");
    let number = |text: &str| {
        let end = text
            .bytes()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, _) = text.split_at(end);
        digits.parse::<u16>().ok().map(|number| (number, end))
    };
    let compared = [
        (">=", 0, true),
        ("=>", 0, true),
        ("<=", 0, false),
        (">", 1, true),
        ("<", 1, false),
    ];
    for (mark, beyond, above) in compared {
        if let Some(after) = rest.strip_prefix(mark) {
            let blanks = after.len() - after.trim_start().len();
            if let Some((port, length)) = number(after.trim_start()) {
                let range = if above {
                    format!("{}-65535", port.saturating_add(beyond))
                } else {
                    format!("0-{}", port.saturating_sub(beyond))
                };
                let end = from + mark.len() + blanks + length;
                found.push(broken.edit(from, end, range));
            }
            return;
        }
    }
    for mark in ["==", "="] {
        if let Some(after) = rest.strip_prefix(mark) {
            let blanks = after.len() - after.trim_start().len();
            found.push(broken.edit(from, from + mark.len() + blanks, ""));
            return;
        }
    }
    if scan::word(text, from) == "any" {
        found.push(broken.edit(from, from + "any".len(), "*"));
    }
    let Some((low, length)) = number(rest) else {
        return;
    };
    let after = rest.get(length..).unwrap_or("");
    let end = from + length;
    let high = after
        .strip_prefix([':', '-', '.'])
        .map(|text| text.trim_start_matches('.'));
    match high.map(|high| (high, number(high))) {
        Some((high, Some((to, digits)))) => {
            let length = after.len() - high.len() + digits;
            found.push(broken.edit(from, end + length, format!("{low}-{to}")));
        }
        Some((high, None)) if high.is_empty() || high.starts_with(' ') => {
            found.push(broken.edit(from, end + 1, format!("{low}-65535")));
        }
        _ if after.starts_with('+') => {
            found.push(broken.edit(from, end + 1, format!("{low}-65535")));
        }
        _ => {}
    }
}
