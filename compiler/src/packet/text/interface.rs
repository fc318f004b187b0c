//! Where a packet arrives or leaves: interfaces and zones to classes, both ways.

use sockc_grammar::ast::On;
use sockc_grammar::diagnostic::Diagnostic;

use super::with::find;
use crate::event::Event;
use crate::glob;
use crate::policy::{ClassId, Policy, ZoneId};
use crate::values::kernel_names;

/// The class that is named.
pub(super) fn read(on: &On, policy: &Policy) -> Result<ClassId, Box<Diagnostic>> {
    match on {
        On::Interface(name) => {
            kernel_names::interface(name)?;
            Ok(class_of(policy, &name.value))
        }
        On::Zone(name) => {
            let zones = policy.zones.iter();
            let zones = zones.map(|(id, zone)| (id, zone.name.as_str()));
            let zone = find(name, "zone", zones)?;
            Ok(class_of_zone(policy, zone))
        }
    }
}

/// The class of an interface: that of its zone and of exactly the patterns of `on interface` that it matches.
#[must_use]
pub fn class_of(policy: &Policy, interface: &str) -> ClassId {
    let matches = |pattern: &String| glob::matches(pattern, interface);
    let zone = policy
        .zones
        .iter()
        .find(|(_, zone)| zone.patterns.iter().any(matches))
        .map(|(id, _)| id);
    // A class with a pattern that the interface does not match is not its own; of the others, the one that says most.
    policy
        .classes
        .iter()
        .filter(|(_, class)| class.zone == zone && class.patterns.iter().all(matches))
        .max_by_key(|(id, class)| (class.patterns.len(), std::cmp::Reverse(*id)))
        .map_or(Policy::plain_class(), |(id, _)| id)
}

/// The class of an interface of the zone of which nothing else is known.
pub(crate) fn class_of_zone(policy: &Policy, zone: ZoneId) -> ClassId {
    policy
        .classes
        .iter()
        .filter(|(_, class)| class.zone == Some(zone))
        .min_by_key(|(id, class)| (class.patterns.len(), *id))
        .map_or(Policy::plain_class(), |(id, _)| id)
}

/// An interface as it was written, after `on` or `to`.
pub(super) fn written(on: &On) -> String {
    match on {
        On::Interface(name) => format!("interface {}", pattern(&name.value)),
        On::Zone(name) => format!("zone {}", name.value),
    }
}

/// Where an event came in and leaves: `on …`, `to …`, as these words say it where they are given, else by its classes.
pub(super) fn all_words(
    policy: &Policy,
    event: &Event,
    [on, leaves]: [Option<&On>; 2],
) -> Option<String> {
    let of_class = |class: Option<ClassId>| class_words(policy, class?);
    let on = on.map(written).or_else(|| of_class(event.on()));
    let leaves = leaves.map(written).or_else(|| {
        let words = of_class(event.leaves())?;
        let other = || another(policy, event.leaves()?, &words);
        // What passes through leaves by another interface than it came in by.
        let alike = on.as_ref() == Some(&words);
        Some(other().filter(|_| alike).unwrap_or(words))
    });
    let ends = [("on", on), ("to", leaves)].into_iter();
    let said = ends.filter_map(|(word, words)| Some(format!("{word} {}", words?)));
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// The same with the name of the interface where the policy would have to be to decide it.
pub(crate) fn named(policy: &Policy, event: &Event, name: &str) -> String {
    let name = pattern(name);
    match event {
        Event::Passing { came_in, .. } => match words(policy, *came_in) {
            Some(on) => format!("{on} to interface {name}"),
            None => format!("to interface {name}"),
        },
        _ => format!("on interface {name}"),
    }
}

/// `on …` for a class: nothing for the plain one, the zone where that says enough, else an interface that is in it.
pub(crate) fn words(policy: &Policy, class: ClassId) -> Option<String> {
    class_words(policy, class).map(|words| format!("on {words}"))
}

/// The same without `on`.
pub(crate) fn class_words(policy: &Policy, class: ClassId) -> Option<String> {
    if class == Policy::plain_class() {
        return None;
    }
    let known = policy.classes.get(class)?;
    match known.zone {
        Some(zone) if class_of_zone(policy, zone) == class => {
            Some(format!("zone {}", policy.zones[zone].name))
        }
        zone => {
            let name = example(policy, class);
            let zone = || zone.map(|zone| format!("zone {}", policy.zones[zone].name));
            name.map_or_else(zone, |name| Some(format!("interface {}", pattern(&name))))
        }
    }
}

/// The name of an interface of the class, made of the beginning and the end of its patterns, those of its zone, and those of
/// the policy; one that the policy is on if there is one, none for the plain class.
#[must_use]
pub fn example(policy: &Policy, class: ClassId) -> Option<String> {
    examples(policy, class).into_iter().next()
}

/// Another interface of a class, where one is said in these words; `None` where they name a zone, or there is no other.
fn another(policy: &Policy, class: ClassId, words: &str) -> Option<String> {
    let all = examples(policy, class).into_iter();
    let mut all = all.map(|name| format!("interface {}", pattern(&name)));
    // The words of an interface are those of the first one.
    let said = all.next()?;
    (said == words).then(|| all.find(|other| *other != said))?
}

/// Names of interfaces of a class, the best example first.
pub(crate) fn examples(policy: &Policy, class: ClassId) -> Vec<String> {
    let Some(known) = policy
        .classes
        .get(class)
        .filter(|_| class != Policy::plain_class())
    else {
        return Vec::new();
    };
    let zone = known.zone.iter();
    let zone = zone.flat_map(|zone| &policy.zones[*zone].patterns);
    let own = policy.interfaces.iter();
    let patterns: Vec<&String> = known.patterns.iter().chain(zone).chain(own).collect();
    let pairs = patterns
        .iter()
        .flat_map(|head| patterns.iter().map(move |tail| (head, tail)));
    let all = pairs
        .flat_map(|(head, tail)| ["", "0", "x", "0x1"].map(|middle| joined(head, middle, tail)));
    let all: Vec<String> = all.collect();
    let digits = ["0", "1"].into_iter();
    let names = digits.flat_map(|digit| all.iter().map(move |name| name.replace('?', digit)));
    let names = names
        .filter(|name| !name.is_empty() && name.len() <= 15 && class_of(policy, name) == class);
    // One that the policy is on is the better example.
    let (mut best, others): (Vec<String>, Vec<String>) = names.partition(|name| {
        let mut patterns = policy.interfaces.iter();
        patterns.any(|pattern| glob::matches(pattern, name))
    });
    best.extend(others);
    best
}

/// What stands ahead of the first star of one pattern, then `middle`, then what stands after the last star of another.
fn joined(head: &str, middle: &str, tail: &str) -> String {
    match (head.split_once('*'), tail.rsplit_once('*')) {
        (Some((head, _)), Some((_, tail))) => format!("{head}{middle}{tail}"),
        (None, _) => head.to_owned(),
        (_, None) => tail.to_owned(),
    }
}

/// The name as a pattern of the language; a word that could be a reserved one stands in quotes.
pub(crate) fn pattern(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let starts = name.bytes().next().is_some_and(|byte| byte != b'-');
    let unreserved = name.bytes().any(|byte| byte.is_ascii_digit());
    if starts && unreserved && name.bytes().all(plain) {
        name.to_owned()
    } else {
        super::write::quoted(name)
    }
}
