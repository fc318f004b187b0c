//! Whole files of other tools: recognised by how they begin, and said once.
//!
//! Takes a text; gives the tool whose rules they are. Single words of other tools stand in `words`, and are said where
//! they stand. Not here: what to write in their place, which the manual says.

/// What a text is, and where the line that tells begins.
pub(crate) fn of_another_tool(text: &str) -> Option<(&'static str, usize, usize)> {
    let mut at = 0;
    let mut seen = 0;
    let mut suspect: Option<(&'static str, usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        let written = line.trim();
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        if written.starts_with("#!") && written.contains("nft") {
            return Some(("an nftables ruleset", start, start + written.len()));
        }
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let here = |tool| (tool, start, start + written.len());
        if let Some(tool) = for_certain(written) {
            return Some(here(tool));
        }
        // One line may be a slip of somebody who knows better; two are a file.
        match (likely(written), suspect) {
            (Some(tool), Some((other, first, end))) if tool == other => {
                return Some((tool, first, end));
            }
            (Some(tool), None) if seen == 0 => suspect = Some(here(tool)),
            _ => return None,
        }
        seen += 1;
    }
    None
}

/// The tool whose line this is, if it can be no other's.
fn for_certain(line: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        [
            "table",
            "inet" | "ip" | "ip6" | "arp" | "bridge" | "netdev",
            ..,
        ]
        | ["flush", "ruleset", ..]
        | ["nft", ..] => "an nftables ruleset",
        ["add" | "create", "table" | "chain" | "rule", ..] => "an nftables ruleset",
        ["*filter" | "*nat" | "*mangle" | "*raw" | "*security"] => "an iptables ruleset",
        ["-A" | "-I" | "-N" | "-P", _, ..] => "an iptables ruleset",
        ["iptables" | "ip6tables", ..] => "a script of iptables commands",
        ["ufw", ..] => "a list of ufw commands",
        ["Status:", "active" | "inactive"] => "what `ufw status` prints",
        [
            "default",
            "deny" | "allow" | "reject",
            "incoming" | "outgoing" | "routed",
        ] => "a list of ufw rules",
        ["firewall-cmd", ..] => "a list of firewalld commands",
        _ if line.starts_with("<?xml") || line.starts_with("<zone") => "a zone of firewalld",
        _ if line.starts_with("set skip on") || line.starts_with("scrub ") => "a ruleset of pf",
        _ => return None,
    })
}

/// The tool whose line this may be.
fn likely(line: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let pf = matches!(
        words.as_slice(),
        [
            "block" | "pass",
            "in" | "out"
                | "all"
                | "return"
                | "drop"
                | "log"
                | "quick"
                | "on"
                | "proto"
                | "from"
                | "inet"
                | "inet6",
            ..
        ] | ["block" | "pass"]
    );
    pf.then_some("a ruleset of pf")
}
