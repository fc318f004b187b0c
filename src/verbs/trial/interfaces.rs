//! The interfaces of a lab: those that the policy names, and one for each class that its rules tell apart.
//!
//! Takes a policy; gives names. Not here: making the interfaces.

use sockc_compiler::glob;
use sockc_compiler::packet::text::{class_of, example};
use sockc_compiler::policy::{ClassId, Direction, Policy};
use sockc_runtime::lab::{BACK, FRONT};

/// Where packets leave that pass through, where a policy names no interface.
const BESIDE: &str = "beside";

/// The interfaces of a lab.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interfaces {
    /// Those that programs hang on; never empty.
    attached: Vec<String>,
    /// For each class one of them, if its packets can be sent there; two where packets pass through, if there are two.
    classes: Vec<Vec<String>>,
    /// Those that rules send packets out of.
    out_interfaces: Vec<String>,
}

impl Interfaces {
    /// What a lab for this policy needs.
    pub(crate) fn of(policy: &Policy) -> Self {
        // What the kernel makes no interface of has no packets to try.
        let literal = |name: &&String| {
            !glob::is_pattern(name) && *name != "lo" && glob::never_an_interface(name).is_none()
        };
        let mut found = Self {
            attached: policy.interfaces.iter().filter(literal).cloned().collect(),
            classes: Vec::new(),
            out_interfaces: policy.out_interfaces.values().cloned().collect(),
        };
        for class in policy.classes.keys() {
            let most = match policy.has_list(Direction::Forward) {
                true => 2,
                false => 1,
            };
            let mut names: Vec<String> = Vec::new();
            for name in candidates(policy, class) {
                let is_new = !names.contains(&name);
                if is_new && names.len() < most && stands_for(policy, class, &name) {
                    names.push(name);
                }
            }
            found.classes.push(names);
        }
        if found.classes.iter().all(Vec::is_empty) {
            // A policy for `lo` alone, say: its rules are tried on another interface.
            let class = class_of(policy, FRONT).as_u32() as usize;
            if let Some(place) = found.classes.get_mut(class) {
                place.push(FRONT.into());
            }
        }
        found
            .attached
            .extend(found.classes.iter().flatten().cloned());
        found.attached.sort();
        found.attached.dedup();
        found
    }

    /// Those that programs hang on.
    pub(crate) fn attached(&self) -> &[String] {
        &self.attached
    }

    /// All of them, each once.
    pub(crate) fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.attached.iter().map(String::as_str).collect();
        for port in &self.out_interfaces {
            if !all.contains(&port.as_str()) {
                all.push(port);
            }
        }
        all
    }

    /// Those that rules send packets out of, by number.
    pub(crate) fn out_interfaces(&self) -> &[String] {
        &self.out_interfaces
    }

    /// The classes that there is an interface for, with its name; a class of two interfaces twice.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (ClassId, &str)> {
        let numbered = (0u32..).zip(&self.classes);
        numbered.flat_map(|(class, names)| {
            let class = ClassId::from_u32(class);
            names.iter().map(move |name| (class, name.as_str()))
        })
    }
}

/// Names that may be of the class, the most natural first.
fn candidates(policy: &Policy, class: ClassId) -> Vec<String> {
    if policy.interfaces.is_empty() {
        return [FRONT, BESIDE]
            .map(str::to_owned)
            .into_iter()
            .chain(example(policy, class))
            .collect();
    }
    let (patterns, mut names): (Vec<String>, Vec<String>) = policy
        .interfaces
        .iter()
        .cloned()
        .partition(|name| glob::is_pattern(name));
    for pattern in patterns {
        let filled = ["0", "1", "x", ""].map(|part| pattern.replace(['*', '?'], part));
        names.extend(filled);
        names.push(pattern.replace('?', "0").replace('*', ""));
    }
    names.extend(example(policy, class));
    names
}

/// Whether an interface of this name is one of the policy's and of the class.
fn stands_for(policy: &Policy, class: ClassId, name: &str) -> bool {
    let mut wanted = policy.interfaces.iter();
    let covered = policy.interfaces.is_empty() || wanted.any(|one| glob::matches(one, name));
    covered
        && glob::never_an_interface(name).is_none()
        && name != "lo"
        && name != BACK
        && class_of(policy, name) == class
}
