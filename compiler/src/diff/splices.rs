//! Splices, and the pairs that they join, that are not the same in two policies.
//!
//! Takes both policies; gives sentences. A splice decides nothing about packets: which connections it joins is for the proxy.

use std::collections::BTreeMap;

use crate::policy::Policy;

/// What is said of splices that come, go, or have other room.
pub(super) fn settings(old: &Policy, new: &Policy) -> Vec<String> {
    let rooms = |policy: &Policy| -> BTreeMap<String, u32> {
        let pairs = policy.splices.iter().map(|one| &policy.pairs[one.pairs]);
        pairs.map(|pairs| (pairs.name.clone(), pairs.max)).collect()
    };
    let (left, right) = (rooms(old), rooms(new));
    let come = right.iter().map(|(name, max)| match left.get(name) {
        None => Some(format!(
            "splice: pairs {name} are new: connections that a proxy hands over are joined in the kernel"
        )),
        Some(before) if before != max => {
            Some(format!("splice: pairs {name}: max {before} -> {max}"))
        }
        Some(_) => None,
    });
    let gone = left.keys().filter(|name| !right.contains_key(*name));
    let gone = gone.map(|name| {
        format!("splice: pairs {name} are gone: connections that are joined are reset")
    });
    come.flatten().chain(gone).collect()
}
