//! Interfaces and named sockets that are not declared alike in two policies.
//!
//! Takes both policies; gives sentences. What becomes of packets by it stands with the rules that decide about them.

use std::collections::BTreeSet;

use crate::glob;
use crate::policy::{Policy, Socket};

/// What is said of interfaces that come under the policy or leave it, and of sockets that come from elsewhere.
pub(super) fn settings(old: &Policy, new: &Policy) -> Vec<String> {
    let mut found = interfaces(old, new);
    found.extend(sockets(old, new));
    found
}

fn interfaces(old: &Policy, new: &Policy) -> Vec<String> {
    let names =
        |policy: &Policy| -> BTreeSet<String> { policy.interfaces.iter().cloned().collect() };
    let (left, right) = (names(old), names(new));
    let mut found = Vec::new();
    for (name, besides) in only_in(&right, &left) {
        found.push(match besides.is_empty() {
            true => format!("interfaces: {name} is new: its packets get the policy's verdicts"),
            false => format!(
                "interfaces: {name} is new: packets of what it covers besides {besides} get the policy's verdicts"
            ),
        });
    }
    for (name, besides) in only_in(&left, &right) {
        found.push(match besides.is_empty() {
            true => format!("interfaces: {name} is gone: its packets are no longer looked at"),
            false => format!(
                "interfaces: {name} is gone: packets of what it covers besides {besides} are no longer looked at"
            ),
        });
    }
    found
}

/// Names of one list that the other does not cover, each with those of the other that it covers.
fn only_in(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Vec<(String, String)> {
    let covered = |name: &String| {
        let mut others = other.iter();
        others.any(|pattern| pattern == name || covers(pattern, name))
    };
    let besides = |name: &String| {
        let inside = other.iter().filter(|inside| covers(name, inside));
        inside.cloned().collect::<Vec<_>>().join(", ")
    };
    let left = one.iter().filter(|name| !covered(name));
    left.map(|name| (name.clone(), besides(name))).collect()
}

/// Whether a pattern covers a name for sure. Of two patterns that is not known, and both are told.
fn covers(pattern: &str, name: &str) -> bool {
    !glob::is_pattern(name) && glob::matches(pattern, name)
}

fn sockets(old: &Policy, new: &Policy) -> Vec<String> {
    let otherwise = |socket: &Socket| {
        let mut before = old.sockets.values();
        let before = before.find(|before| before.name == socket.name)?;
        (before.origin != socket.origin).then(|| {
            let [was, is] = [before, socket].map(|one| one.origin.words());
            format!("socket {}: {was} -> {is}", socket.name)
        })
    };
    new.sockets.values().filter_map(otherwise).collect()
}
