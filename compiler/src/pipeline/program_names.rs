//! What the programs are called in the object.
//!
//! The programs of packet hooks have the name of their hook, and after it what tells the class of interfaces that they
//! hold for. The kernel keeps 15 bytes of a name and needs no two to differ; in the object each is a symbol of its own.

use std::collections::BTreeSet;

use cranelift_entity::SecondaryMap;

use crate::chain::{Chain, Effect};
use crate::hook::Population;
use crate::policy::{Class, ClassId, GroupId, Policy};

/// Longest name of a class; what is cut off is told apart by the class's number.
const MAX_LENGTH: usize = 40;

/// The names of a policy's programs.
pub(super) struct ProgramNames<'p> {
    policy: &'p Policy,
    /// For each class but the plain one: its zone, else its patterns.
    classes: SecondaryMap<ClassId, String>,
}

impl<'p> ProgramNames<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        let mut classes = SecondaryMap::new();
        let mut taken = BTreeSet::new();
        for (id, class) in policy.classes.iter().skip(1) {
            let mut name = class_name(policy, class);
            while !taken.insert(name.clone()) {
                name = format!("{name}_{}", id.as_u32());
            }
            classes[id] = name;
        }
        Self { policy, classes }
    }

    /// The name of a chain's program.
    pub(super) fn of(&self, chain: &Chain) -> String {
        let stem = chain.hook.spec().program;
        match (chain.class, chain.group) {
            (Some(class), _) if class != Policy::plain_class() => {
                format!("{stem}_{}", self.classes[class])
            }
            (_, Some(group)) => suffixed(self.policy, stem, group),
            _ => stem.into(),
        }
    }
}

/// With several groups, each has programs and maps of its own.
pub(super) fn suffixed(policy: &Policy, stem: &str, group: GroupId) -> String {
    if policy.groups.len() == 1 {
        stem.into()
    } else {
        format!("{stem}_{}", group.as_u32())
    }
}

/// The groups that rules or a default speak of, in the manifest's order. Others are not looked for on the machine.
pub(super) fn with_rules(chains: &[Chain]) -> Vec<GroupId> {
    let groups: BTreeSet<GroupId> = chains.iter().filter_map(|chain| chain.group).collect();
    groups.into_iter().collect()
}

/// Whether the sockets of a group are taken into maps, for what a hook decides of them.
pub(super) fn takes_in(chains: &[Chain], group: GroupId) -> bool {
    let mut chains = chains.iter().filter(|chain| chain.group == Some(group));
    chains.any(|chain| chain.hook.spec().takes_in.is_some())
}

/// Whether those whose data is seen as it arrives are.
pub(super) fn reads(chains: &[Chain], group: GroupId) -> bool {
    let mut chains = chains.iter().filter(|chain| chain.group == Some(group));
    chains.any(|chain| chain.hook.spec().takes_in == Some(Population::Readers))
}

/// Whether what is written to its sockets may take a shortcut.
pub(super) fn shortens(chains: &[Chain], group: GroupId) -> bool {
    let chains = chains.iter().filter(|chain| chain.group == Some(group));
    let mut entries = chains.flat_map(|chain| &chain.entries);
    entries.any(|entry| entry.effect == Effect::Shortcut)
}

/// The zone's name and the patterns, as part of an identifier of C.
fn class_name(policy: &Policy, class: &Class) -> String {
    let zone = class.zone.map(|zone| policy.zones[zone].name.as_str());
    let parts: Vec<&str> = zone
        .into_iter()
        .chain(class.patterns.iter().map(String::as_str))
        .collect();
    let plain = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_lowercase(),
        _ => '_',
    };
    parts
        .join("_")
        .chars()
        .map(plain)
        .take(MAX_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainDefault;
    use crate::hook::Hook;
    use crate::policy::DefaultVerdict;

    fn class(patterns: &[&str]) -> Class {
        Class {
            zone: None,
            patterns: patterns.iter().map(|&one| one.into()).collect(),
        }
    }

    #[test]
    fn no_two_classes_share_a_name() {
        let mut policy = Policy::default();
        let long = "x".repeat(50);
        for patterns in [
            &["br-*"][..],
            &["br_?"],
            &["BR", ""],
            &["br__2"],
            &[&long],
            &[&long, "y"],
        ] {
            policy.classes.push(class(patterns));
        }
        let names = ProgramNames::new(&policy);
        let all: BTreeSet<&String> = names.classes.values().collect();
        assert_eq!(all.len(), policy.classes.len(), "{all:?}");
        assert!(names.classes.values().all(|name| name.len() < 60));
    }

    #[test]
    fn the_plain_class_has_the_name_of_the_hook() {
        let mut policy = Policy::default();
        let wan = policy.classes.push(class(&["wan0"]));
        let names = ProgramNames::new(&policy);
        let mut chain = Chain {
            hook: Hook::Xdp,
            group: None,
            class: Some(Policy::plain_class()),
            entries: Vec::new(),
            default: ChainDefault {
                verdict: DefaultVerdict::Allow,
                counts: true,
            },
        };
        assert_eq!(names.of(&chain), "xdp_in");
        chain.class = Some(wan);
        assert_eq!(names.of(&chain), "xdp_in_wan0");
    }
}
