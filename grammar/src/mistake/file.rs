//! Whole files of other tools: recognised by how they begin, and said once.
//!
//! Takes a text; gives the tool whose rules they are, and how they become a policy. Single words of other tools stand in `words`, and
//! are said where they stand. Not here: what to write in their place, which the manual says.

/// Something of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// What it is.
    pub(crate) what: &'static str,
    /// How it becomes a policy.
    pub(crate) remedy: &'static str,
}

/// Where nothing but the manual helps.
const BY_HAND: &str =
    "write a policy: docs/coming-from.md has sockc's words for each of the other's";
/// One of the files of ufw.
const OF_UFW: &str = "`sockc import ufw` writes a policy with these verdicts of the folder that this stands in; docs/coming-from/ufw.md says what it carries over";
/// What ufw was told, which its own files keep.
const TOLD_UFW: &str = "once ufw has these rules, `sockc import ufw /etc/ufw` writes a policy of them; docs/coming-from/ufw.md says what it carries over";
/// What `iptables-save` prints.
const SAVED: &str = "`sockc import iptables-save` writes a policy with these verdicts; docs/coming-from/iptables.md says what it carries over";
/// What `ipset save` prints.
const SETS: &str = "`sockc import iptables-save RULES --ipset` reads it beside the rules that name its sets; docs/coming-from/iptables.md says what it carries over";
/// What ends in rules of iptables.
const IN_FORCE: &str = "once it is in force somewhere, `sockc import iptables-save` writes a policy of what `iptables-save` prints there; docs/coming-from/iptables.md says what it carries over";

const fn foreign(what: &'static str, remedy: &'static str) -> Foreign {
    Foreign { what, remedy }
}

/// What `nft -j list ruleset` prints.
const LISTED: &str = "`sockc import nft` writes a policy with these verdicts; docs/coming-from/nftables.md says what it carries over";
/// What ends in rules of nftables.
const OF_NFT: &str = "once it is in force somewhere, `sockc import nft` writes a policy of what `nft -j list ruleset` prints there; docs/coming-from/nftables.md says what it carries over";

const UFW: Foreign = foreign("a file of ufw's rules", OF_UFW);
/// What firewalld reads.
const OF_FIREWALLD: &str = "`sockc import firewalld` writes a policy of the folder that firewalld reads, /etc/firewalld; docs/coming-from/firewalld.md says what it carries over";

/// What bpfilter is given.
const OF_BFCLI: &str = "`sockc import bfcli` writes a policy with these verdicts; docs/coming-from/bpfilter.md says what it carries over";

const NFTABLES: Foreign = foreign("an nftables ruleset", OF_NFT);
const PF: Foreign = foreign("a ruleset of pf", BY_HAND);

/// What a text is, and where the line that tells begins and ends.
pub(crate) fn of_another_tool(text: &str) -> Option<(Foreign, usize, usize)> {
    let mut at = 0;
    let mut seen = 0;
    let mut suspect: Option<(Foreign, usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        let written = line.trim();
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        if written.starts_with("#!") && written.contains("nft") {
            return Some((NFTABLES, start, start + written.len()));
        }
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let here = |tool| (tool, start, start + written.len());
        if let Some(tool) = for_certain(written) {
            return Some(here(if is_of_ufw(text) { UFW } else { tool }));
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

/// Whether it has chains of ufw without those of the kernel, which ufw's own files leave to its start.
fn is_of_ufw(text: &str) -> bool {
    let mut lines = text.lines();
    let is_saved = lines.clone().any(|line| line.starts_with(":INPUT "));
    !is_saved && lines.any(|line| line.starts_with(":ufw-") || line.starts_with(":ufw6-"))
}
/// How files of firewalld begin.
const OF_FIREWALLD_XML: [&str; 6] = ["<?xml", "<zone", "<policy", "<service", "<ipset", "<direct"];

/// The tool whose line this is, if it can be no other's.
fn for_certain(line: &str) -> Option<Foreign> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        [
            "table",
            "inet" | "ip" | "ip6" | "arp" | "bridge" | "netdev",
            ..,
        ]
        | ["flush", "ruleset", ..]
        | ["nft", ..] => NFTABLES,
        ["add" | "create", "table" | "chain" | "rule", ..] => NFTABLES,
        _ if line.replace(' ', "").starts_with("{\"nftables\":") => {
            foreign("an nftables ruleset in JSON", LISTED)
        }
        ["create", _, kind, ..] if is_of_ipset(kind) => foreign("what `ipset save` prints", SETS),
        ["*filter" | "*nat" | "*mangle" | "*raw" | "*security"] => {
            foreign("an iptables ruleset", SAVED)
        }
        ["-A" | "-I" | "-N" | "-P", _, ..] => foreign("an iptables ruleset", IN_FORCE),
        ["iptables" | "ip6tables", ..] => foreign("a script of iptables commands", IN_FORCE),
        ["ufw", ..] => foreign("a list of ufw commands", TOLD_UFW),
        ["Status:", "active" | "inactive"] => foreign("what `ufw status` prints", TOLD_UFW),
        [
            "default",
            "deny" | "allow" | "reject",
            "incoming" | "outgoing" | "routed",
        ] => foreign("a list of ufw rules", TOLD_UFW),
        ["chain", hook, ..] | ["chain", _, hook, ..] if hook.starts_with("BF_HOOK_") => {
            foreign("a rule set of bpfilter", OF_BFCLI)
        }
        ["bfcli", ..] => foreign("a list of bfcli commands", OF_BFCLI),
        ["firewall-cmd", ..] => foreign("a list of firewalld commands", OF_FIREWALLD),
        _ if OF_FIREWALLD_XML.iter().any(|begin| line.starts_with(begin)) => {
            foreign("a file of firewalld", OF_FIREWALLD)
        }
        _ if line.starts_with("set skip on") || line.starts_with("scrub ") => PF,
        _ => return None,
    })
}

/// Whether it is a type of sets of ipset.
fn is_of_ipset(kind: &str) -> bool {
    ["hash:", "bitmap:", "list:"]
        .iter()
        .any(|begin| kind.starts_with(begin))
}

/// The tool whose line this may be.
fn likely(line: &str) -> Option<Foreign> {
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
    pf.then_some(PF)
}
