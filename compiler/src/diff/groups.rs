//! Groups of two policies: known by their control groups, whatever they are called.
//!
//! Takes both policies and the path of a control group; gives whose rules hold there, its name, and sentences for groups
//! that come under rules or go from them. Not here: what the rules say, which is compared as for everything else.

use std::collections::BTreeSet;

use crate::policy::{Direction, GroupId, Policy, lies_in};

/// The group whose rules hold for the sockets of a control group: that of its path, or of one around it.
pub(super) fn around(policy: &Policy, path: &str) -> Option<GroupId> {
    let mut groups = policy.groups.iter();
    let around = groups.find(|(_, group)| lies_in(path, &group.cgroup));
    around.map(|(id, _)| id)
}

/// A group by its name, the new policy's where both have it; with its path where either means another one by that name.
pub(super) fn words([old, new]: [&Policy; 2], path: &str) -> String {
    let of = |policy: &'_ Policy| {
        let mut groups = policy.groups.values();
        let own = groups.find(|group| group.cgroup == path);
        own.map(|group| group.name.clone())
    };
    let name = of(new).or_else(|| of(old)).unwrap_or_default();
    let mut all = old.groups.values().chain(new.groups.values());
    match all.any(|other| other.name == name && other.cgroup != path) {
        true => format!("group {name} ({path})"),
        false => format!("group {name}"),
    }
}

/// The paths inside that of a group that are those of groups themselves.
pub(super) fn inside(policies: [&Policy; 2], path: &str) -> BTreeSet<String> {
    let mut paths = paths(policies);
    paths.retain(|inner| inner != path && lies_in(inner, path));
    paths
}

/// What it is said to be that the inner groups of a group are not part of what is said.
pub(super) fn but(path: &str) -> String {
    format!("what lies in {path}")
}

/// The groups whose processes only one of the policies may refuse something, by what they do.
pub(super) fn settings(old: &Policy, new: &Policy) -> Vec<String> {
    let policies = [old, new];
    let mut found = Vec::new();
    for path in paths(policies) {
        let around = policies.map(|policy| around(policy, &path).map(|own| (policy, own)));
        let inner: Vec<String> = inside(policies, &path).iter().map(|one| but(one)).collect();
        let inner = match inner.is_empty() {
            true => String::new(),
            false => format!(" (except {})", inner.join(", ")),
        };
        for deed in Direction::deeds() {
            let under = around
                .map(|one| one.is_some_and(|(policy, own)| policy.governs(own, deed.direction)));
            let (from, to) = match under {
                [true, false] => ("the policy's verdicts", "allow"),
                [false, true] => ("allow", "the policy's verdicts"),
                [true, true] | [false, false] => continue,
            };
            let (group, does) = (words(policies, &path), deed.does);
            found.push(format!("what {group} {does}{inner}: {from} -> {to}"));
        }
    }
    found
}

fn paths(policies: [&Policy; 2]) -> BTreeSet<String> {
    let groups = policies
        .into_iter()
        .flat_map(|policy| policy.groups.values());
    groups.map(|group| group.cgroup.clone()).collect()
}
