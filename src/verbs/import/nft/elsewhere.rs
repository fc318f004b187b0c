//! What is said of tables and chains that no list of a policy stands for, and that may drop packets all the same.
//!
//! Takes what was read; gives entries of the report. Not here: the chains that are carried over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::list_of;
use super::listed::{Base, Listed, Table, chain_of};
use crate::verbs::import::chains::Chain;
use crate::verbs::import::report::{Entry, Kind};

/// What is said of a text apart from the chains that become lists.
pub(super) fn entries(listed: &Listed, file: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for table in &listed.dormant {
        let (family, name) = table;
        let said = format!(
            "the table {family} {name} is dormant (nft 1.0.6 prints that as \"t\"), so its chains are not in force, there as here"
        );
        entries.push(Entry::of_file(Kind::Note, file, said));
    }
    entries.extend(of_iptables(listed, file));
    for (key, base) in &listed.bases {
        let is_carried = list_of(base).is_some();
        if is_carried || listed.dormant.contains(&base.table) {
            continue;
        }
        entries.extend(of_chain(listed, key, base, file));
    }
    entries
}

/// What is said of rules that iptables wrote, of which nft prints no more than that.
fn of_iptables(listed: &Listed, file: &str) -> Option<Entry> {
    let is_in_force = |table: &Table| !listed.dormant.contains(table);
    let rules = listed.rules.iter().filter(|rule| is_in_force(&rule.table));
    let count = rules
        .filter(|rule| rule.statements.iter().any(|one| says(one, &["xt"])))
        .count();
    (count > 0).then(|| {
        let said = format!(
            "{} of iptables in it, of which nft prints only in part what they ask: they are left out, and what stands behind them in their chains decides about their packets, which may be a drop of everything; import these tables from what `iptables-save` and `ip6tables-save` print, by `sockc import iptables-save`",
            match count {
                1 => "there is 1 rule".to_owned(),
                count => format!("there are {count} rules"),
            }
        );
        Entry::of_file(Kind::Changed, file, said)
    })
}

/// Whether rules that are in force translate addresses.
pub(super) fn is_translated(listed: &Listed) -> bool {
    let is_in_force = |table: &Table| !listed.dormant.contains(table);
    let mut rules = listed.rules.iter().filter(|rule| is_in_force(&rule.table));
    rules.any(|rule| rule.statements.iter().any(|one| says(one, &TRANSLATES)))
}

const TRANSLATES: [&str; 4] = ["snat", "dnat", "masquerade", "redirect"];

/// A chain that the kernel asks at another place, and those that it calls.
fn of_chain(listed: &Listed, key: &str, base: &Base, file: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let whose = format!(
        "a chain of type {} at {}, in a table {}",
        base.kind, base.hook, base.table.0
    );
    if listed.chains.get(key).is_some_and(|chain| chain.drops) {
        let said = format!(
            "the policy of {key}, {whose}, is to drop: packets that it drops may get through here"
        );
        entries.push(Entry::of_file(Kind::LeftOut, file, said));
    }
    let mut asked = BTreeSet::new();
    let mut open = vec![key.to_owned()];
    while let Some(key) = open.pop() {
        if !asked.insert(key.clone()) {
            continue;
        }
        let Some(chain) = listed.chains.get(&key) else {
            continue;
        };
        for line in &chain.rules {
            let Some(rule) = listed.rules.get(line.number) else {
                continue;
            };
            open.extend(called(&rule.statements, &base.table, listed));
            entries.extend(effect(&rule.statements).map(|effect| Entry {
                place: line.place.clone(),
                order: Some(line.number),
                rule: Some(line.text.clone()),
                ..Entry::of_file(Kind::LeftOut, file, format!("{whose}: {effect}"))
            }));
        }
    }
    entries
}

/// Whether a statement is one of these, also within the elements of a verdict map.
fn says(statement: &Value, words: &[&str]) -> bool {
    match statement {
        Value::Object(object) => object
            .iter()
            .any(|(word, of)| words.contains(&word.as_str()) || says(of, words)),
        Value::Array(all) => all.iter().any(|one| says(one, words)),
        _ => false,
    }
}

/// What leaving out a rule does; nothing where it only goes on.
fn effect(statements: &[Value]) -> Option<&'static str> {
    let has = |words: &[&str]| statements.iter().any(|one| says(one, words));
    let maps = statements.iter().any(|one| {
        one.get("vmap")
            .is_some_and(|map| map.get("data").is_some_and(Value::is_string))
    });
    if has(&["drop", "reject"]) || maps {
        Some("packets that it drops may get through here")
    } else if has(&TRANSLATES) {
        Some(
            "addresses and ports are not translated; a redirect to a socket takes what destination NAT is used for on a host",
        )
    } else if has(&["notrack"]) {
        Some(
            "there is no table of connections to keep packets out of: rules about states match them here, which they do not there",
        )
    } else if has(&["mangle"]) {
        Some("packets are not changed here, but for the mark of what an `allow` lets through")
    } else if has(&[
        "tproxy", "queue", "fwd", "dup", "synproxy", "flow", "log", "xt", "set", "quota",
        "ct count",
    ]) {
        Some("what it does is not done here")
    } else {
        None
    }
}

/// The chains that statements call.
fn called(statements: &[Value], table: &Table, listed: &Listed) -> Vec<String> {
    let mut names = Vec::new();
    for statement in statements {
        targets(statement, &mut names);
        let map = statement.get("vmap").and_then(|map| map.get("data"));
        if let Some(name) = map.and_then(Value::as_str) {
            let key = (table.clone(), name.trim_start_matches('@').to_owned());
            if let Some(map) = listed.sets.get(&key) {
                targets(map, &mut names);
            }
        }
    }
    names.iter().map(|name| chain_of(table, name)).collect()
}

fn targets(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (word, of) in object {
                match (word.as_str(), of.as_str()) {
                    ("target", Some(name)) => names.push(name.to_owned()),
                    _ => targets(of, names),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| targets(one, names)),
        _ => {}
    }
}

/// Whether a chain says anything at all: one that does not, and accepts, is as if it were not there.
pub(super) fn is_plain(chain: &Chain) -> bool {
    !chain.drops && chain.rules.is_empty()
}
