//! Interfaces by which a machine passes packets on without asking a policy's list of `forward`.
//!
//! Takes a policy and where it is to be, or is; says so to a person. Not here: which interfaces these are.

use sockc_compiler::policy::{Direction, Policy};
use sockc_runtime::{Options, passed_by};

use crate::machine::local::{in_netns, within};

/// So many interfaces are named.
const MOST: usize = 3;

/// What a person should know of the lists of a policy and of its `for netns` blocks; nothing where all that passes through meets them.
pub(crate) fn notes(policy: &Policy, options: &Options) -> Vec<String> {
    let on = match options.interfaces.as_slice() {
        [] => &policy.interfaces,
        named => named,
    };
    let mut notes: Vec<String> = own_note(policy, on, options).into_iter().collect();
    for inner in &policy.netns {
        let options = within(options, &inner.name);
        let found = own_note(&inner.policy, &inner.policy.interfaces, &options);
        notes.extend(found.map(|note| in_netns(&inner.name, &note)));
    }
    notes
}

/// The same of a policy in its own namespace, which is on these interfaces.
pub(crate) fn own_note(policy: &Policy, on: &[String], options: &Options) -> Option<String> {
    if !policy.has_list(Direction::Forward) {
        return None;
    }
    match passed_by(options, on) {
        Ok(beside) => note(&beside),
        Err(error) => Some(format!(
            "whether all that passes through meets `forward` is not known: {error}"
        )),
    }
}

fn note(beside: &[String]) -> Option<String> {
    let named = beside.get(..MOST).unwrap_or(beside).join(", ");
    let by = match beside.len() {
        0 => return None,
        1 => format!("{named}: the policy is not on it"),
        len if len > MOST => format!("{named} and {} more: the policy is not on them", len - MOST),
        _ => format!("{named}: the policy is not on them"),
    };
    Some(format!(
        "this machine passes packets on, and no rule or default of `forward` is asked about what leaves by {by}; where something is to leave there, name it in `interfaces`, or in a zone where there is no such line"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_are_named() {
        let names: Vec<String> = (0..5).map(|number| format!("eth{number}")).collect();
        let said = |count: usize| note(&names[..count]).unwrap_or_default();
        assert_eq!(note(&[]), None);
        assert!(said(1).contains("leaves by eth0: the policy is not on it;"));
        assert!(said(3).contains("leaves by eth0, eth1, eth2: the policy is not on them;"));
        assert!(said(5).contains("eth2 and 2 more: the policy is not on them;"));
    }
}
