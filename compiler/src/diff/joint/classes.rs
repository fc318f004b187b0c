//! Classes of interfaces that the rules of neither of two policies tell apart.
//!
//! Takes the zones and patterns of both; gives every combination of them that a name can match, and what each policy
//! makes of it. Not here: which interfaces there are.

use cranelift_entity::PrimaryMap;

use crate::packet::text::example;
use crate::policy::{ClassId, Policy};
use crate::resolve::globs::combinations;

/// The most classes that a field of 8 bits can tell apart.
const MAX_CLASSES: usize = 255;

/// Two policies whose interfaces make more kinds than can be told apart.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct TooMany;

/// The shared classes.
pub(super) struct Classes {
    /// The name of an interface of each; `None` for those that nothing names.
    pub(super) names: PrimaryMap<ClassId, Option<String>>,
    /// For each the own class of each policy.
    pub(super) sides: [PrimaryMap<ClassId, ClassId>; 2],
}

impl Classes {
    pub(super) fn of(old: &Policy, new: &Policy) -> Result<Self, TooMany> {
        if same(old, new) {
            return Ok(Self::alike(new));
        }
        let mut patterns: Vec<&str> = Vec::new();
        for pattern in [old, new].into_iter().flat_map(all_patterns) {
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        let mut classes = Self {
            names: PrimaryMap::new(),
            sides: Default::default(),
        };
        for (numbers, name) in combinations(&patterns).ok_or(TooMany)? {
            let matched: Vec<&str> = numbers.iter().map(|&number| patterns[number]).collect();
            classes.add([old, new], &matched, name);
        }
        if classes.names.len() > MAX_CLASSES {
            return Err(TooMany);
        }
        Ok(classes)
    }

    /// Both policies tell the same interfaces apart.
    fn alike(policy: &Policy) -> Self {
        let side = || policy.classes.keys().collect();
        let classes = policy.classes.keys();
        Self {
            names: classes.map(|class| example(policy, class)).collect(),
            sides: [side(), side()],
        }
    }

    /// Adds the class of names that match exactly these patterns; none if a policy has them in two zones.
    fn add(&mut self, policies: [&Policy; 2], matched: &[&str], name: String) {
        let own = policies.map(|policy| class_of(policy, matched));
        let [Some(old), Some(new)] = own else {
            return;
        };
        self.names.push((!name.is_empty()).then_some(name));
        for (side, own) in self.sides.iter_mut().zip([old, new]) {
            side.push(own);
        }
    }

    /// For each class of one of the policies the shared ones that it is.
    pub(super) fn shared(&self, side: usize, policy: &Policy) -> PrimaryMap<ClassId, Vec<ClassId>> {
        let mut shared: PrimaryMap<ClassId, Vec<ClassId>> =
            policy.classes.keys().map(|_| Vec::new()).collect();
        for (class, &own) in &self.sides[side] {
            shared[own].push(class);
        }
        shared
    }
}

/// Whether the classes of two policies are the same, one by one.
fn same(old: &Policy, new: &Policy) -> bool {
    let zones = |policy: &Policy| -> Vec<(String, Vec<String>)> {
        let zones = policy.zones.values();
        zones
            .map(|zone| (zone.name.clone(), zone.patterns.clone()))
            .collect()
    };
    old.classes.values().eq(new.classes.values()) && zones(old) == zones(new)
}

/// The patterns of zones and of rules.
fn all_patterns(policy: &Policy) -> impl Iterator<Item = &str> {
    let zones = policy.zones.values().flat_map(|zone| &zone.patterns);
    let rules = policy.classes.values().flat_map(|class| &class.patterns);
    zones.chain(rules).map(String::as_str)
}

/// The class of a policy for names that match exactly these patterns; `None` if they would be in two zones.
fn class_of(policy: &Policy, matched: &[&str]) -> Option<ClassId> {
    let named = |pattern: &String| matched.contains(&pattern.as_str());
    let mut zones = policy
        .zones
        .iter()
        .filter(|(_, zone)| zone.patterns.iter().any(named));
    let zone = zones.next().map(|(id, _)| id);
    if zones.next().is_some() {
        return None;
    }
    let classes = policy.classes.iter();
    let fitting =
        classes.filter(|(_, class)| class.zone == zone && class.patterns.iter().all(named));
    let most = fitting.max_by_key(|(id, class)| (class.patterns.len(), std::cmp::Reverse(*id)));
    Some(most.map_or(Policy::plain_class(), |(id, _)| id))
}
