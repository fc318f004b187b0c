//! What the kernel does otherwise on connections that rules concern: what an apply finds is what the manual says of this kernel.

use std::collections::BTreeMap;
use std::fs;

use sockc_runtime::{Faults, Way};

use crate::place::*;

/// The manual's page. A guest has no file of it.
const MANUAL: &str = include_str!("../../docs/streams.md");

const SEND: &str = "default send allow\nGROUP\ndrop send tcp from group pods to 192.0.2.0/24\n";
const SHORTCUT: &str = "default send allow\nGROUP\nshortcut tcp within group pods\n";
const RECEIVE: &str =
    "default receive allow\nGROUP\ndrop receive tcp from 192.0.2.0/24 to group pods\n";

/// The manual's table: for each kernel the words of what it does otherwise, and in which ways.
fn manual() -> Vec<(&'static str, BTreeMap<&'static str, String>)> {
    let lines = MANUAL
        .lines()
        .skip_while(|line| !line.starts_with("| word |"));
    let mut rows = lines.take_while(|line| line.starts_with('|')).map(cells);
    let kernels = rows.next().unwrap();
    let rows: Vec<_> = rows.skip(1).collect();
    let kernels = kernels.into_iter().enumerate().filter(|(_, cell)| {
        let first = cell.split('.').next();
        first.is_some_and(|first| first.parse::<u32>().is_ok())
    });
    kernels
        .map(|(at, kernel)| {
            let found = rows.iter().filter(|row| row[at] != "no");
            (
                kernel,
                found.map(|row| (row[0], row[at].to_owned())).collect(),
            )
        })
        .collect()
}

fn cells(line: &str) -> Vec<&str> {
    let cells = line.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}

/// The same of what was found.
fn found(faults: &Faults) -> BTreeMap<&str, String> {
    assert_eq!(faults.untried, None);
    let rows = faults.found.iter().map(|fault| {
        let ways: Vec<_> = fault.ways.iter().copied().map(Way::word).collect();
        (fault.word.as_str(), ways.join(", "))
    });
    rows.collect()
}

/// The kernel's version, as the manual has it.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let parts: Vec<_> = release.split('.').take(2).collect();
    parts.join(".")
}

#[test]
fn what_is_found_is_what_the_manual_says_of_this_kernel() {
    inside(|place| {
        let reads = sockc_runtime::probe().sk_skb_verdict;
        let mut policy = SHORTCUT.replace("shortcut", "drop send tcp to 192.0.2.1\nshortcut");
        if reads {
            policy += &RECEIVE.replace("GROUP\n", "");
        }
        let applied = place.apply(&policy);
        assert_eq!(applied.faults, place.otherwise());
        let found = found(&applied.faults);
        println!("{}: {found:#?}", kernel());
        let manual = manual();
        let Some((_, told)) = manual.iter().find(|(one, _)| *one == kernel()) else {
            return println!("the manual has no such kernel");
        };
        assert_eq!(found, *told);
    });
}

#[test]
fn only_what_concerns_a_policy_is_told() {
    inside(|place| {
        let mut policies = vec![(SEND, vec![Way::Send])];
        policies.push((SHORTCUT, vec![Way::Send, Way::Shortcut]));
        policies.push((
            "default connect allow\nGROUP\ndrop connect tcp from group pods to 192.0.2.1\n",
            vec![],
        ));
        if sockc_runtime::probe().sk_skb_verdict {
            policies.push((RECEIVE, vec![Way::Receive]));
        }
        for (policy, ways) in policies {
            place.apply(policy);
            let found = place.otherwise().found;
            let told = found.iter().flat_map(|fault| fault.ways.iter().copied());
            let mut told: Vec<_> = told.collect();
            told.sort_unstable();
            told.dedup();
            assert_eq!(told, ways, "{policy}");
        }
    });
}
