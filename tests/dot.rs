//! `compile --emit dot`: graphs that hold together, in the language's words.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repository::{files_in, root};

fn graphs(policy: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sockc"))
        .args(["compile", policy, "--emit", "dot"])
        .current_dir(root())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{policy}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is wrong with a graph: boxes that are declared twice, and lines that lead to none or come from none.
fn broken(graph: &str) -> Vec<String> {
    let mut boxes = BTreeSet::new();
    let mut twice = Vec::new();
    let mut ends = BTreeSet::new();
    for line in graph
        .lines()
        .skip(1)
        .filter(|line| line.contains(" [label="))
    {
        let name = line.trim().split(" [label=").next().unwrap();
        match name.split_once(" -> ") {
            Some((from, to)) => ends.extend([from.to_owned(), to.to_owned()]),
            None if name.starts_with("more_") => _ = boxes.insert(name.to_owned()),
            None if boxes.insert(name.to_owned()) => {}
            None => twice.push(format!("{name} stands there twice")),
        }
    }
    let loose = ends
        .symmetric_difference(&boxes)
        .filter(|name| *name != "root");
    twice.extend(loose.map(|name| format!("{name} is loose")));
    twice
}

#[test]
fn every_line_of_every_policy_has_two_ends() {
    for policy in files_in("rules", ".sk") {
        let text = graphs(&policy);
        for graph in text
            .split("\n}\n")
            .filter(|graph| graph.contains("digraph"))
        {
            assert_eq!(broken(graph), Vec::<String>::new(), "{policy}\n{graph}");
        }
        let quotes = text.matches('"').count() - text.matches("\\\"").count();
        assert!(quotes.is_multiple_of(2), "{policy}");
    }
}

#[test]
fn tests_and_ends_are_in_words() {
    let text = graphs("rules/web-host.sk");
    for words in [
        r##"[label="receiver's port"]"##,
        r##"[label="80\l443\l8000-8099\l"]"##,
        r##"[label="10.9.0.1-10.9.0.40\l10.20.0.0/16\l192.0.2.7\l"]"##,
        r##"[label="default: drop" style=filled fillcolor="#f2b8b0"]"##,
        r##"[label="allow\lrules/web-host.sk:17 quic: allow udp\lto port https\l" style=filled fillcolor="#b8e0c8"]"##,
        r##"[label="whole packet or first fragment"]"##,
        r##"[label="echo-request"]"##,
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn a_large_decision_is_cut_and_says_so() {
    let text = graphs("rules/kubernetes-node.sk");
    let cut = text.lines().find(|line| line.contains("80 of ")).unwrap();
    assert!(cut.contains("those nearest to the start"), "{cut}");
    assert!(text.contains("more tests"));
}
