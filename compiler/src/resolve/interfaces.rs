//! Zones, and the classes of interfaces that the rules of a policy tell apart.
//!
//! Takes the zones and the patterns that rules and `expect` lines name; gives the classes, and which of them a zone or a
//! pattern means. Not here: which interfaces there are, which only the machine knows.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::{Name, Zone as WrittenZone};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::codes;
use super::declared::Declared;
use super::globs::{combinations, matches};
use super::mentions::Mentions;
use super::report::Report;
use crate::glob::is_pattern;
use crate::policy::{Class, ClassId, SourceLocation, Zone, ZoneId};

/// The most classes that a field of 8 bits can tell apart.
const MAX_CLASSES: usize = 255;

/// The zones, and what they and the patterns of rules mean.
pub(super) struct Interfaces {
    /// `None` for a zone of the policy around this one that this one does not name.
    zones: Declared<Option<ZoneId>>,
    /// The zones, in order, also those of the policy around.
    declared: Vec<Zone>,
    /// The patterns of the zones, in order.
    patterns: Vec<(Name, ZoneId)>,
    /// Whether the classes could be told apart.
    classified: bool,
    /// The classes that a zone means.
    of_zone: BTreeMap<ZoneId, Vec<ClassId>>,
    /// The classes that a pattern means.
    of_pattern: BTreeMap<String, Vec<ClassId>>,
}

/// A class while classes are counted: its zone, and the numbers of the rules' patterns that it matches.
type Key = (Option<ZoneId>, Vec<usize>);

impl Interfaces {
    /// No zones yet.
    pub(super) fn new() -> Self {
        Self {
            zones: Declared::new("zone"),
            declared: Vec::new(),
            patterns: Vec::new(),
            classified: false,
            of_zone: BTreeMap::new(),
            of_pattern: BTreeMap::new(),
        }
    }

    /// Declares a zone.
    pub(super) fn declare(
        &mut self,
        written: &WrittenZone,
        place: SourceLocation,
        zones: &mut PrimaryMap<ZoneId, Zone>,
        report: &mut Report,
    ) {
        let next = zones.next_key();
        if !self.zones.declare(&written.name, Some(next), report) {
            return;
        }
        let mut patterns: Vec<String> = Vec::new();
        for pattern in &written.interfaces {
            if !patterns.contains(&pattern.value) {
                self.refuse_second_zone(pattern, next, zones, report);
                self.patterns.push((pattern.clone(), next));
                patterns.push(pattern.value.clone());
            }
        }
        let zone = Zone {
            name: written.name.value.clone(),
            patterns,
            place,
        };
        self.declared.push(zone.clone());
        zones.push(zone);
    }

    /// The same zones for a policy inside this one, in which only those count that it names.
    pub(super) fn inherited(&self) -> Self {
        let mut inherited = Self {
            zones: self.zones.clone(),
            declared: self.declared.clone(),
            ..Self::new()
        };
        for zone in &self.declared {
            inherited.zones.set(&zone.name, None);
        }
        inherited
    }

    /// Takes in the zones of the policy around this one that this one names.
    pub(super) fn inherit(
        &mut self,
        mentions: &Mentions<'_>,
        zones: &mut PrimaryMap<ZoneId, Zone>,
        report: &mut Report,
    ) {
        for zone in self.declared.clone() {
            let outer = matches!(self.zones.get(&zone.name), Some(None));
            if !outer || !mentions.zones.contains(zone.name.as_str()) {
                continue;
            }
            let id = zones.next_key();
            for pattern in &zone.patterns {
                let pattern = Name {
                    value: pattern.clone(),
                    span: zone.place.span,
                };
                self.refuse_second_zone(&pattern, id, zones, report);
                self.patterns.push((pattern, id));
            }
            self.zones.set(&zone.name, Some(id));
            zones.push(zone);
        }
    }

    /// Reports an interface that is named in one zone and named or covered in another. Patterns that both may match
    /// something are looked at where the interfaces are known.
    fn refuse_second_zone(
        &self,
        pattern: &Name,
        zone: ZoneId,
        zones: &PrimaryMap<ZoneId, Zone>,
        report: &mut Report,
    ) {
        let both = |other: &str| {
            let covered = |glob: &str, name: &str| !is_pattern(name) && matches(glob, name);
            other == pattern.value
                || covered(other, &pattern.value)
                || covered(&pattern.value, other)
        };
        let found = self
            .patterns
            .iter()
            .find(|(other, of)| *of != zone && both(&other.value));
        if let Some((other, of)) = found {
            let name = if is_pattern(&pattern.value) && !is_pattern(&other.value) {
                &other.value
            } else {
                &pattern.value
            };
            report.push(
                Diagnostic::error(
                    codes::TWO_ZONES,
                    format!("the interface `{name}` is in two zones"),
                    pattern.span,
                    "named here",
                )
                .also(other.span, format!("and in zone `{}`", zones[*of].name))
                .help("leave it out of one of them: a packet is in one zone or in none"),
            );
        }
    }

    /// Finds the classes. There is always one for interfaces that nothing names, and it is the first.
    pub(super) fn classify(
        &mut self,
        mentions: &Mentions<'_>,
        classes: &mut PrimaryMap<ClassId, Class>,
        report: &mut Report,
    ) {
        let distinct = distinct(&mentions.interfaces);
        let expected = distinct_beyond(&mentions.expected_interfaces, &distinct);
        let zones = self
            .patterns
            .iter()
            .map(|(pattern, _)| pattern.value.as_str());
        let all: Vec<&str> = zones
            .chain(distinct.iter().copied())
            .chain(expected)
            .collect();
        let Some(found) = combinations(&all) else {
            self.too_many(mentions, report);
            return;
        };
        let mut meant: BTreeMap<Key, BTreeSet<&str>> = BTreeMap::new();
        for numbers in found.into_keys() {
            if let Some(key) = self.key(&numbers, distinct.len()) {
                let names = numbers.iter().map(|&number| all[number]);
                meant.entry(key).or_default().extend(names);
            }
        }
        if meant.len() > MAX_CLASSES {
            self.too_many(mentions, report);
            return;
        }
        self.classified = true;
        classes.clear();
        for ((zone, numbers), patterns) in meant {
            let class = classes.push(Class {
                zone,
                patterns: numbers
                    .iter()
                    .map(|&number| distinct[number].to_owned())
                    .collect(),
            });
            if let Some(zone) = zone {
                self.of_zone.entry(zone).or_default().push(class);
            }
            for pattern in patterns {
                let of_pattern = self.of_pattern.entry(pattern.to_owned());
                of_pattern.or_default().push(class);
            }
        }
    }

    /// The class of the names that match exactly these of all patterns; `None` if they would be in two zones. The zones'
    /// patterns come first, then those of rules, of which there are so many.
    fn key(&self, numbers: &[usize], of_rules: usize) -> Option<Key> {
        let mut zone = None;
        let mut named = Vec::new();
        for &number in numbers {
            match self.patterns.get(number) {
                Some((_, other)) if zone.is_some_and(|zone| zone != *other) => return None,
                Some((_, other)) => zone = Some(*other),
                None => named.push(number - self.patterns.len()),
            }
        }
        named.retain(|&number| number < of_rules);
        Some((zone, named))
    }

    fn too_many(&self, mentions: &Mentions<'_>, report: &mut Report) {
        let rules = mentions.interfaces.iter().map(|name| name.span);
        let zones = self.patterns.iter().map(|(name, _)| name.span);
        let expected = mentions.expected_interfaces.iter().map(|name| name.span);
        let Some(span) = rules.chain(zones).chain(expected).next_back() else {
            return;
        };
        report.error(
            codes::TOO_MANY_CLASSES,
            format!("the rules tell more than {MAX_CLASSES} kinds of interfaces apart"),
            span,
            "the last zone or pattern that they name",
            "use fewer zones and patterns, and fewer patterns that can match the same names",
        );
    }

    /// The classes of a zone; an unknown one is reported.
    pub(super) fn zone(&self, name: &Name, report: &mut Report) -> Option<Vec<ClassId>> {
        let zone = (*self.zones.look_up(&name.value, name.span, report)?)?;
        let known = self.of_zone.get(&zone);
        self.classified.then(|| known.cloned().unwrap_or_default())
    }

    /// The classes of a pattern that rules or `expect` lines name: an empty list if no name can match it, `None` if there
    /// were too many to tell apart.
    pub(super) fn pattern(&self, pattern: &Name) -> Option<Vec<ClassId>> {
        let known = self.of_pattern.get(&pattern.value);
        self.classified.then(|| known.cloned().unwrap_or_default())
    }

    /// The patterns of all zones, each once, in order.
    pub(super) fn of_zones(&self) -> Vec<String> {
        let mut patterns = Vec::new();
        for (pattern, _) in &self.patterns {
            if !patterns.contains(&pattern.value) {
                patterns.push(pattern.value.clone());
            }
        }
        patterns
    }
}

fn distinct<'a>(names: &[&'a Name]) -> Vec<&'a str> {
    distinct_beyond(names, &[])
}

/// Each name once, in order, those that are known left out.
fn distinct_beyond<'a>(names: &[&'a Name], known: &[&str]) -> Vec<&'a str> {
    let mut distinct: Vec<&str> = Vec::new();
    for name in names {
        let name = name.value.as_str();
        if !distinct.contains(&name) && !known.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// What the rules of a `for` block carry.
#[derive(Clone)]
pub(super) struct Block {
    /// The classes; `None` if what the block names is wrong.
    pub(super) classes: Option<Vec<ClassId>>,
    /// Where the block names them.
    pub(super) span: Span,
}
