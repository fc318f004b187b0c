//! Interfaces and named sockets that are not declared alike in two policies.
//!
//! Takes both policies; gives sentences. What becomes of packets by it stands with the rules that decide about them.

use std::collections::{BTreeSet, HashMap};

use super::joint::{come_alike, taken_alike};
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
    for name in only_in(&right, &left) {
        found.push(match glob::is_pattern(name) {
            false => format!("interfaces: {name} is new: its packets get the policy's verdicts"),
            true => format!(
                "interfaces: {name} is new: packets of what it covers, and nothing did before, get the policy's verdicts"
            ),
        });
    }
    for name in only_in(&left, &right) {
        found.push(match glob::is_pattern(name) {
            false => format!("interfaces: {name} is gone: its packets are no longer looked at"),
            true => format!(
                "interfaces: {name} is gone: packets of what it covered, and nothing does now, are no longer looked at"
            ),
        });
    }
    found
}

/// Names and patterns of one list that the other surely does not cover.
fn only_in<'a>(one: &'a BTreeSet<String>, other: &BTreeSet<String>) -> Vec<&'a String> {
    let covered = |name: &String| other.iter().any(|pattern| covers(pattern, name));
    one.iter().filter(|name| !covered(name)).collect()
}

/// Whether a pattern surely covers all that a name or another pattern stands for.
fn covers(pattern: &str, name: &str) -> bool {
    let whole = match glob::is_pattern(name) {
        false => glob::matches(pattern, name),
        true => pattern
            .strip_suffix('*')
            .is_some_and(|prefix| !glob::is_pattern(prefix) && name.starts_with(prefix)),
    };
    whole || pattern == name
}

fn sockets(old: &Policy, new: &Policy) -> Vec<String> {
    let before = old.sockets.values().map(|socket| (&*socket.name, socket));
    let before: HashMap<&str, &Socket> = before.collect();
    let otherwise = |socket: &Socket| {
        let before = before.get(&*socket.name)?;
        if come_alike(before, socket) {
            return None;
        }
        let [was, is] = [before, socket].map(Socket::whence);
        let taken = match taken_alike(before, socket) {
            true => "; the new one is taken to be there where the old one was",
            false => "",
        };
        Some(format!("socket {}: {was} -> {is}{taken}", socket.name))
    };
    new.sockets.values().filter_map(otherwise).collect()
}
