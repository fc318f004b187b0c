//! What iptables-save prints, as chains of rules.
//!
//! Takes a text; gives the chains of the table `filter` with the lines of their rules, and where rules of other tables stand;
//! or says why the text is no such thing. A text is taken whole or not at all: one that is cut, or whose chains are not declared,
//! is refused, since half of a list of rules means something else. Not here: what a rule means.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::words::{BLANKS, words};
use crate::verbs::import::chains::Chain;
use crate::verbs::import::foreign;
use crate::verbs::import::line::Line;
use crate::verbs::import::list::List;
use crate::verbs::import::report::shortened;

/// The table that is carried over.
pub(super) const FILTER: &str = "filter";

/// What a text holds.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The chains of the table `filter`, by name.
    pub(super) chains: BTreeMap<String, Chain>,
    /// Lines that belong to other tables, with the table.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Lines by which the tool says that it did not print everything.
    pub(super) unsaid: Vec<(usize, String)>,
}

impl Saved {
    /// What there is where nobody has written a rule.
    pub(super) fn open() -> Self {
        let chains = List::ALL.map(|list| (list.built_in().to_owned(), Chain::default()));
        Self {
            chains: chains.into(),
            ..Self::default()
        }
    }
}

/// A rule, or a policy that drops, of another table.
#[derive(Debug)]
pub(super) struct Elsewhere {
    /// The table's name.
    pub(super) table: String,
    /// Where it stands, and what it says.
    pub(super) line: Line,
}

/// A table that is being read.
struct Open {
    name: String,
    number: usize,
    chains: BTreeMap<String, Chain>,
}

/// Reads a text, which is of IPv6 if `is_v6`. A mistake comes with its line, where it has one.
pub(super) fn read(text: &str, is_v6: bool) -> Result<Saved, (usize, String)> {
    // What editors put ahead of a text in UTF-8 says nothing.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(what) = otherwise(text, is_v6) {
        return Err((1, what));
    }
    let mut saved = Saved::default();
    let mut tables = Vec::new();
    let mut open: Option<Open> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_matches(BLANKS);
        if let Some(comment) = line.strip_prefix('#') {
            if comment.contains("is incompatible") {
                saved.unsaid.push((number, comment.trim().to_owned()));
            }
        } else if let Some(name) = line.strip_prefix('*') {
            begins(&open, &tables, (number, name))?;
            tables.push(name.to_owned());
            open = Some(Open {
                name: name.to_owned(),
                number,
                chains: BTreeMap::new(),
            });
        } else if line == "COMMIT" {
            let table = open.take().ok_or_else(|| outside(number, line))?;
            if table.name == FILTER {
                saved.chains = table.chains;
            }
        } else if !line.is_empty() {
            let table = open.as_mut().ok_or_else(|| outside(number, line))?;
            if let Some(sign) = other_family(line, is_v6) {
                return Err((number, swapped(&sign, is_v6)));
            }
            read_line(table, (number, line), &mut saved)?;
        }
    }
    if let Some(table) = open {
        let cut = format!(
            "the table {} has no `COMMIT`, so the text may be cut; give all that was printed",
            table.name
        );
        return Err((table.number, cut));
    }
    if tables.is_empty() {
        return Err((1, "there is no table in it".to_owned() + REMEDY));
    }
    if !tables.iter().any(|name| name == FILTER) {
        let none = "there is no table `filter` in it: there is nothing that a policy could hold";
        return Err((1, none.to_owned()));
    }
    Ok(saved)
}

/// What to do where a text is something else.
const REMEDY: &str = "; give what `iptables-save` prints";

/// What a text seems to be, where it is surely nothing that iptables-save printed, or printed by the tool of the other family.
fn otherwise(text: &str, is_v6: bool) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let seems = |what: &str| Some(format!("this seems to be {what}{REMEDY}"));
    if first.starts_with('{') && text.contains("\"bindings\"") {
        Some(
            "this seems to be a configuration of tubular; give it to `sockc import tubular`"
                .to_owned(),
        )
    } else if first.starts_with('{') || first.starts_with('[') && !first.contains("] -") {
        Some(
            "this seems to be JSON, as `nft -j list ruleset` prints; give it to `sockc import nft`"
                .to_owned(),
        )
    } else if first.starts_with("table ") || first.starts_with("#!/usr/sbin/nft") {
        Some("this seems to be what `nft list ruleset` prints; give what `nft -j list ruleset` prints to `sockc import nft`".to_owned())
    } else if first.starts_with("Chain ") {
        seems("what `iptables -L` prints")
    } else if first.starts_with("-P ") || first.starts_with("-N ") || first.starts_with("-A ") {
        seems("what `iptables -S` prints")
    } else if first.starts_with("#!") || first.starts_with("iptables ") {
        seems("a script that runs iptables")
    } else if is_of_ufw(text) {
        Some(
            "this seems to be one of the files of ufw; give their folder to `sockc import ufw`"
                .to_owned(),
        )
    } else if ["# Generated by ebtables", "# Generated by arptables"]
        .iter()
        .any(|tool| first.contains(tool))
    {
        seems("what another tool than iptables-save printed")
    } else {
        let other = || Some(foreign::told(text, "iptables-save")?.1);
        of_the_other_family(first, is_v6).or_else(other)
    }
}

/// Whether it declares chains of ufw and none of the kernel's, which ufw leaves to its start.
fn is_of_ufw(text: &str) -> bool {
    let declares = |name: &str| text.lines().any(|line| line.starts_with(name));
    (declares(":ufw-") || declares(":ufw6-")) && !declares(":INPUT ")
}

/// Says where a text is of the other family by its first line, which the tools begin with their name.
fn of_the_other_family(first: &str, is_v6: bool) -> Option<String> {
    let printed_v6 = first.contains("ip6tables");
    if !first.starts_with("# Generated by ip") || printed_v6 == is_v6 {
        return None;
    }
    Some(match printed_v6 {
        true => "this is what ip6tables-save printed; name it with `--ip6`, and what iptables-save printed without",
        false => "this is what iptables-save printed; name it without `--ip6`, and with it what ip6tables-save printed",
    }
    .to_owned())
}

/// A word of a rule that stands in rules of the other family only, if there is one: an address, or what belongs to its ICMP.
pub(super) fn other_family(line: &str, is_v6: bool) -> Option<String> {
    const WITH_ADDRESS: [&str; 6] = ["-s", "-d", "--source", "--destination", "--src", "--dst"];
    let words = words(line).ok()?;
    let of_icmp = |word: &str| match is_v6 {
        true => word == "--icmp-type",
        false => word == "--icmpv6-type" || word == "icmp6",
    };
    let of_addresses = |address: &str| {
        let host = address.split(['/', ',']).next().unwrap_or_default();
        host.parse::<IpAddr>()
            .is_ok_and(|host| host.is_ipv4() == is_v6)
    };
    words.windows(2).find_map(|pair| {
        let [option, value] = pair else { return None };
        if option.quoted || value.quoted {
            return None;
        }
        let is_address = WITH_ADDRESS.contains(&option.text.as_str()) && of_addresses(&value.text);
        let is_icmp = option.text == "-m" && of_icmp(&value.text) || of_icmp(&option.text);
        (is_address || is_icmp).then(|| format!("{} {}", option.text, value.text))
    })
}

fn swapped(sign: &str, is_v6: bool) -> String {
    let (tool, option) = match is_v6 {
        true => ("iptables-save", "without `--ip6`"),
        false => ("ip6tables-save", "with `--ip6`"),
    };
    format!("`{sign}` is of the other family: this is what {tool} prints; name it {option}")
}

/// Whether a table may begin here.
fn begins(
    open: &Option<Open>,
    tables: &[String],
    (number, name): (usize, &str),
) -> Result<(), (usize, String)> {
    if let Some(before) = open {
        let said = format!(
            "the table {} of line {} has no `COMMIT` ahead of this one; give all that was printed",
            before.name, before.number
        );
        return Err((number, said));
    }
    if tables.iter().any(|one| one == name) {
        let said =
            format!("the table {name} stands there twice; give what was printed at one time");
        return Err((number, said));
    }
    Ok(())
}

/// What is said of a line in no table.
fn outside(number: usize, line: &str) -> (usize, String) {
    let line = shortened(line);
    (number, format!("`{line}` stands in no table{REMEDY}"))
}

/// Reads a line within a table.
fn read_line(
    table: &mut Open,
    (number, line): (usize, &str),
    saved: &mut Saved,
) -> Result<(), (usize, String)> {
    let here = |said: String| (number, said);
    let of_filter = table.name == FILTER;
    if let Some(declared) = line.strip_prefix(':') {
        let (name, chain) = declaration(declared).map_err(here)?;
        if !of_filter && chain.drops {
            saved.elsewhere.push(elsewhere(&table.name, number, line));
        }
        if table.chains.insert(name.to_owned(), chain).is_some() {
            return Err(here(format!("the chain {name} is declared twice")));
        }
        return Ok(());
    }
    let rule = without_counters(line);
    // iptables-save prints a line break within a comment as it is, and iptables-restore reads no such text either. What stands behind the
    // break is no rule, whatever it looks like.
    words(rule).map_err(|_| {
        let said = "a quote is opened and not closed in this line: a comment with a line break, or a name with a quote, which iptables-restore does not read either; take that out of the rule, and save again";
        here(said.to_owned())
    })?;
    let named = rule
        .strip_prefix("-A ")
        .or_else(|| rule.strip_prefix("--append "));
    let Some(rest) = named else {
        return Err(here(format!(
            "`{}` is no line of iptables-save: those begin with `*`, `:`, `-A`, `#` or `COMMIT`",
            shortened(line)
        )));
    };
    let name = rest.split(BLANKS).find(|word| !word.is_empty());
    let name = name.unwrap_or_default();
    let Some(chain) = table.chains.get_mut(name) else {
        let said = format!("the chain {name} is not declared; give all that was printed");
        return Err(here(said));
    };
    match of_filter {
        true => chain.rules.push(Line::numbered(number, rule)),
        false => saved.elsewhere.push(elsewhere(&table.name, number, rule)),
    }
    Ok(())
}

fn elsewhere(table: &str, number: usize, text: &str) -> Elsewhere {
    Elsewhere {
        table: table.to_owned(),
        line: Line::numbered(number, text),
    }
}

/// Reads a chain's declaration: its name, `ACCEPT`, `DROP` or `-`, and counters that may be left out.
pub(super) fn declaration(text: &str) -> Result<(&str, Chain), String> {
    let mut words = text.split(BLANKS).filter(|word| !word.is_empty());
    let (Some(name), Some(policy)) = (words.next(), words.next()) else {
        return Err(format!(
            "`:{text}` declares no chain; write `:NAME POLICY [0:0]`"
        ));
    };
    let is_built_in = List::is_built_in(name);
    let drops = match policy {
        "DROP" => true,
        "ACCEPT" => false,
        "-" if !is_built_in => false,
        _ => {
            return Err(format!(
                "{policy} is no policy of the chain {name}; write ACCEPT or DROP"
            ));
        }
    };
    let chain = Chain {
        drops,
        rules: Vec::new(),
    };
    Ok((name, chain))
}

/// A rule without the `[packets:bytes]` that `iptables-save -c` writes ahead of it.
pub(super) fn without_counters(line: &str) -> &str {
    let counters = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((counted, rule)) = counters else {
        return line;
    };
    let is_counter = |byte: u8| byte.is_ascii_digit() || byte == b':';
    match counted.bytes().all(is_counter) {
        true => rule.trim_start(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "# Generated by iptables-save v1.8.9\n*nat\n:PREROUTING DROP [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n\
                         *filter\n:INPUT DROP [12:34]\n:own - [0:0]\n[5:300] -A INPUT -p tcp -j own\n-A own -j ACCEPT\nCOMMIT\n# Completed\n";

    #[test]
    fn chains_keep_their_rules_without_counters_and_other_tables_are_named() {
        let saved = read(PLAIN, false).unwrap();
        let input = &saved.chains["INPUT"];
        assert!(input.drops && !saved.chains["own"].drops);
        assert_eq!(
            (input.rules[0].number, input.rules[0].text.as_str()),
            (9, "-A INPUT -p tcp -j own")
        );
        let lines: Vec<_> = saved
            .elsewhere
            .iter()
            .map(|one| (one.table.as_str(), one.line.number))
            .collect();
        assert_eq!(lines, [("nat", 3), ("nat", 4)]);
    }

    #[test]
    fn a_text_that_is_cut_or_something_else_is_refused_by_its_line() {
        for (text, line, said) in [
            ("", 1, "no table in it"),
            ("{\"nftables\": []}", 1, "seems to be JSON"),
            ("{\"bindings\": []}", 1, "`sockc import tubular`"),
            (
                "*filter\n:INPUT DROP\n-A INPUT -m comment --comment \"x\n-A INPUT -j ACCEPT\n\" -j DROP\nCOMMIT",
                3,
                "a comment with a line break",
            ),
            ("table ip filter {\n}", 1, "nft list ruleset"),
            ("Chain INPUT (policy ACCEPT)", 1, "iptables -L"),
            ("-P INPUT ACCEPT", 1, "iptables -S"),
            ("#!/bin/sh\niptables -F", 1, "a script"),
            (
                "*filter\n:ufw6-user-input - [0:0]\nCOMMIT",
                1,
                "`sockc import ufw`",
            ),
            ("# Generated by ip6tables-save v1.8.9\n", 1, "with `--ip6`"),
            ("# Generated by ip6tables-nft-save v1\n", 1, "with `--ip6`"),
            ("# Generated by arptables-nft-save\n", 1, "another tool"),
            ("*filter\n:INPUT DROP [0:0]\n", 1, "no `COMMIT`"),
            ("*nat\nCOMMIT", 1, "no table `filter`"),
            ("*filter\nCOMMIT\n*filter\nCOMMIT", 3, "twice"),
            ("*filter\n*nat\n", 2, "no `COMMIT` ahead"),
            ("-I INPUT", 1, "stands in no table"),
            ("*filter\n-A INPUT -j DROP\nCOMMIT", 2, "is not declared"),
            ("*filter\n:INPUT - [0:0]\nCOMMIT", 2, "is no policy"),
            (
                "*filter\n:INPUT DROP\n:INPUT DROP\nCOMMIT",
                3,
                "declared twice",
            ),
            (
                "*filter\n:INPUT DROP\nfoo\nCOMMIT",
                3,
                "no line of iptables-save",
            ),
        ] {
            let (at, message) = read(text, false).unwrap_err();
            assert!(message.contains(said) && at == line, "{text}: {message}");
        }
        for (rule, is_v6) in [
            ("-s 10.0.0.0/8", true),
            ("-d fe80::/10", false),
            ("-p icmp -m icmp --icmp-type 8", true),
            ("-p ipv6-icmp -m icmp6 --icmpv6-type 128", false),
        ] {
            let text = format!("*filter\n:INPUT DROP\n-A INPUT {rule} -j ACCEPT\nCOMMIT");
            let (line, why) = read(&text, is_v6).unwrap_err();
            assert!(
                line == 3 && why.contains("of the other family"),
                "{rule}: {why}"
            );
            assert!(read(&text, !is_v6).is_ok(), "{rule}");
        }
        assert!(read("\u{feff}*filter\nCOMMIT\n", false).is_ok());
        let other = read("# Generated by iptables-save v1\n", true).unwrap_err();
        assert!(other.1.contains("without `--ip6`"), "{}", other.1);
    }
}
