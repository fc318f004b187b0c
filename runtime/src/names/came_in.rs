//! Interfaces that rules of `forward` name with `on`: those by which packets came in, on which the policy need not be.
//!
//! Programs know them by their number and a class, as socket lookups do. Takes a manifest and the interfaces that there are; gives
//! what no rule holds for any more. Not here: who fills the classes in.

use sockc_compiler::artifact::Manifest;

use super::classes::{class_of, covers, is_pattern};
use super::loss::NamedKind;
use crate::error::Error;
use crate::state::record::{Named, Record};

/// The interfaces that there are, as rules of `forward` know them or are to know them.
pub(super) struct CameIn<'a> {
    pub(super) manifest: &'a Manifest,
    /// The names and patterns that the policy is for; that one of them is not there is told by itself.
    pub(super) wanted: &'a [String],
    /// The number of each interface, and the name by which the policy knows it.
    pub(super) known: Vec<(u32, &'a str)>,
    /// What the programs in force know.
    pub(super) before: Option<&'a Named>,
}

/// What asks for the classes of interfaces.
pub(super) fn kinds(manifest: &Manifest) -> &'static [NamedKind] {
    match &manifest.passing {
        None => &[NamedKind::Lookups],
        Some(plan) if plan.lookups => &[NamedKind::Lookups, NamedKind::CameIn],
        Some(_) => &[NamedKind::CameIn],
    }
}

/// The class of an interface as far as it matters to what asks for it; 0 is that of those that nothing names.
pub(super) fn class(manifest: &Manifest, kind: NamedKind, name: &str) -> Result<usize, Error> {
    let class = class_of(&manifest.classes, name)?;
    let told = match (kind, &manifest.passing) {
        (NamedKind::CameIn, Some(plan)) => plan.came_in.contains(&class),
        _ => true,
    };
    Ok(if told { class } else { 0 })
}

impl<'a> CameIn<'a> {
    /// Those of the policy in force.
    pub(super) fn of(record: &'a Record, present: &'a [(u32, String)]) -> Self {
        let before = record.named.as_ref();
        let known = present.iter().map(|(index, name)| {
            let known = before.and_then(|named| named.known(*index));
            (*index, known.unwrap_or(name))
        });
        Self {
            manifest: &record.manifest,
            wanted: record.wanted(),
            known: known.collect(),
            before,
        }
    }

    /// The names that rules of `forward` name with `on`, by themselves or by a zone, and that no interface has.
    pub(super) fn missing(&self) -> Vec<String> {
        let classes = self.manifest.passing.iter().flat_map(|plan| &plan.came_in);
        let classes = classes.filter_map(|class| self.manifest.classes.get(*class));
        let patterns = classes.flat_map(|class| {
            let of_zone = class.zone.iter().flat_map(|(_, patterns)| patterns);
            class.patterns.iter().chain(of_zone)
        });
        let mut missing = Vec::new();
        for name in patterns.filter(|name| !is_pattern(name)) {
            let is_there = self.known.iter().any(|(_, known)| known == name);
            let is_told = self.wanted.iter().any(|one| covers(one, name));
            if !is_there && !is_told && self.class(name) != 0 && !missing.contains(name) {
                missing.push(name.clone());
            }
        }
        missing
    }

    /// What a person should know of rules of `forward` that an apply finds no interface for.
    pub(super) fn notes(&self) -> Vec<String> {
        let missing = self.missing();
        let missing = missing.iter().map(|name| {
            format!(
                "there is no interface \"{name}\" now: when it comes, what the rules of `forward` say of what comes in by it does not hold until `sockc apply --running`"
            )
        });
        let lost = self.lost();
        let lost = lost.iter().map(|(was, now)| {
            format!(
                "what comes in by \"{now}\" met the rules of `forward` for \"{was}\", as the policy knew it: as \"{now}\" it meets none of those, since no rule names that"
            )
        });
        missing.chain(lost).collect()
    }

    /// The interfaces that the programs in force know by a name, and that an apply knows by none: that name, and what each is called.
    fn lost(&self) -> Vec<(&str, &str)> {
        let named = self.before.iter().flat_map(|named| &named.interfaces);
        let lost = named.filter_map(|(index, was)| {
            let (_, now) = self.known.iter().find(|(there, _)| there == index)?;
            let lost = self.class(was) != 0 && self.class(now) == 0;
            lost.then_some((was.as_str(), *now))
        });
        lost.collect()
    }

    /// Of one in two zones that is told by itself, and it is in none for rules.
    fn class(&self, name: &str) -> usize {
        class(self.manifest, NamedKind::CameIn, name).unwrap_or(0)
    }
}
