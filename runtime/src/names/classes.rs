//! The class of an interface: its zone, and which of the patterns that rules name it matches.
//!
//! Takes the classes of a manifest and the name of an interface; gives the number of its class. Not here: which programs a
//! class has, and where they hang.

use sockc_compiler::artifact::ClassPlan;

use crate::error::Error;

/// An interface that the patterns of two zones cover, while a policy is in force that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTwoZones {
    /// Its name.
    pub interface: String,
    /// The zones.
    pub zones: [String; 2],
    /// The name that the policy holds on it by; `None` if it does not.
    pub held_as: Option<String>,
}

impl InTwoZones {
    /// What is to be said of it.
    #[must_use]
    pub fn words(&self) -> String {
        let Self {
            interface,
            zones: [one, other],
            held_as,
        } = self;
        let said =
            format!("the interface \"{interface}\" is in two zones, \"{one}\" and \"{other}\"");
        match held_as {
            None => format!(
                "{said}: the policy does not hold on it; an interface can be in one only, so change the patterns of one of them and apply that"
            ),
            Some(then) => format!(
                "{said}: the policy stays on it as on \"{then}\", which it was called; apply refuses a file until the patterns of one of them change"
            ),
        }
    }
}

/// The zones of an interface that is in two; nothing of any other.
pub(crate) fn two_zones(classes: &[ClassPlan], interface: &str) -> Option<[String; 2]> {
    match class_of(classes, interface) {
        Err(Error::TwoZones { zones, .. }) => Some(zones),
        _ => None,
    }
}

/// The number of the class of an interface; 0 where the policy knows no classes. An interface in two zones is an error.
pub(crate) fn class_of(classes: &[ClassPlan], interface: &str) -> Result<usize, Error> {
    if classes.is_empty() {
        return Ok(0);
    }
    let zone = zone_of(classes, interface)?;
    let patterns = matched(classes, interface);
    let found = classes.iter().position(|class| {
        let class_zone = class.zone.as_ref().map(|(name, _)| name.as_str());
        class_zone == zone && same(&class.patterns, &patterns)
    });
    found.ok_or_else(|| Error::Object {
        cause: format!("it has no class for the interface \"{interface}\""),
    })
}

/// The zone whose patterns cover an interface.
fn zone_of<'a>(classes: &'a [ClassPlan], interface: &str) -> Result<Option<&'a str>, Error> {
    let mut found: Option<&str> = None;
    for (zone, patterns) in classes.iter().filter_map(|class| class.zone.as_ref()) {
        if !patterns.iter().any(|pattern| covers(pattern, interface)) {
            continue;
        }
        match found {
            Some(other) if other != zone => {
                return Err(Error::TwoZones {
                    interface: interface.to_owned(),
                    zones: [other.to_owned(), zone.clone()],
                });
            }
            _ => found = Some(zone),
        }
    }
    Ok(found)
}

/// Of all patterns that rules name, those that cover an interface.
fn matched<'a>(classes: &'a [ClassPlan], interface: &str) -> Vec<&'a str> {
    let all = classes.iter().flat_map(|class| &class.patterns);
    let mut matched: Vec<&str> = all
        .map(String::as_str)
        .filter(|pattern| covers(pattern, interface))
        .collect();
    matched.sort_unstable();
    matched.dedup();
    matched
}

fn same(patterns: &[String], sorted: &[&str]) -> bool {
    let mut patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns == sorted
}

/// Whether it may be the name of several interfaces.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// `lo` is meant only by its name: who writes `*` thinks of the network.
pub(crate) fn covers(wanted: &str, name: &str) -> bool {
    wanted == name
        || (is_pattern(wanted) && name != "lo" && matches(wanted.as_bytes(), name.as_bytes()))
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, tail))) => matches(rest, name) || matches(pattern, tail),
        (Some((b'?', rest)), Some((_, tail))) => matches(rest, tail),
        (Some((one, rest)), Some((other, tail))) => one == other && matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(zone: Option<&str>, patterns: &[&str]) -> ClassPlan {
        ClassPlan {
            // A zone's patterns are its own name and whatever begins with it.
            zone: zone.map(|zone| (zone.to_owned(), vec![format!("{zone}*"), "both".to_owned()])),
            patterns: patterns.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    #[test]
    fn zone_and_patterns_tell_the_class() {
        let classes = [
            class(None, &[]),
            class(Some("wan"), &[]),
            class(Some("wan"), &["wan1"]),
            class(None, &["eth*", "eth1"]),
            class(None, &["eth*"]),
        ];
        for (name, expected) in [
            ("lo", 0),
            ("wan0", 1),
            ("wan1", 2),
            ("eth1", 3),
            ("eth2", 4),
            ("x", 0),
        ] {
            assert_eq!(class_of(&classes, name).unwrap(), expected, "{name}");
        }
        assert_eq!(class_of(&[], "eth0").unwrap(), 0);
    }

    #[test]
    fn two_zones_are_named_and_a_missing_class_is_no_panic() {
        let classes = [
            class(None, &[]),
            class(Some("wan"), &[]),
            class(Some("lan"), &["lan1"]),
        ];
        let error = class_of(&classes, "both").unwrap_err().to_string();
        assert!(
            error.contains("\"both\" is in two zones, \"wan\" and \"lan\""),
            "{error}"
        );
        assert!(matches!(
            class_of(&classes, "lan2"),
            Err(Error::Object { .. })
        ));
    }

    #[test]
    fn patterns_cover_names_but_not_lo() {
        assert!(covers("eth0", "eth0"));
        assert!(!covers("eth0", "eth01"));
        assert!(covers("br-*", "br-"));
        assert!(covers("br-*", "br-a1"));
        assert!(covers("*", "eth0"));
        assert!(covers("e?h*", "eth0"));
        assert!(!covers("e?h", "eth0"));
        assert!(!covers("*", "lo"));
        assert!(covers("lo", "lo"));
    }
}
