//! Whether the object that is kept with what is in force is what its text compiles to.
//!
//! Takes the record and the object in it; gives what is not as a compile left it, and why that cannot be known where it
//! cannot. What is said of a policy in force is said of its text, so this is asked before anything is. Not here: whether
//! what is pinned was made of that object, which is for [`super::drift`].

use sockc_compiler::faithful::{self, Unfaithful};
use sockc_compiler::object::{self, ObjectError};
use sockc_compiler::policy::Policy;

use super::drift::Drift;
use crate::state::State;
use crate::state::record::Record;

/// What came of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// What is not what its text compiles to.
    pub(crate) drift: Option<Drift>,
    /// The policy that its text says, where both are the same.
    pub(crate) text: Option<Policy>,
    /// Why that was not looked at.
    pub(crate) unknown: Option<String>,
}

impl Verified {
    /// Compares the object of a record with its text. That of a `for netns` block has no text of its own: it is compared
    /// with its part of the outer object, by [`within`].
    pub(crate) fn of(state: &State, record: &Record, object: &[u8]) -> Self {
        // One that was read from its place in the object is its own.
        let of_other_object = match record.in_object {
            Some(place) => object::manifest_place(object) != Some(place),
            None => object::read_manifest(object).is_ok_and(|one| one != *record.manifest),
        };
        if of_other_object {
            return Self::drifted(
                state,
                record,
                "a manifest that is not the one of its object".to_owned(),
            );
        }
        if record.owner.is_some() {
            return Self::default();
        }
        let compared = match record.in_object {
            Some(_) => faithful::policy_of(object, &record.manifest),
            None => object::read_manifest(object)
                .map_err(Unfaithful::Object)
                .and_then(|manifest| faithful::policy_of(object, &manifest)),
        };
        match compared {
            Ok(policy) => Self {
                text: Some(policy),
                ..Self::default()
            },
            Err(error @ (Unfaithful::OtherBuild { .. } | Unfaithful::Texts(_))) => Self {
                unknown: Some(reason(&error)),
                ..Self::default()
            },
            Err(Unfaithful::Object(ObjectError::ManifestVersion { found }))
                if found == record.manifest.version =>
            {
                Self {
                    unknown: Some(format!(
                        "another sockc put it in force (manifest version {found})"
                    )),
                    ..Self::default()
                }
            }
            Err(Unfaithful::Differs { what }) => Self::drifted(state, record, what),
            Err(error) => Self::drifted(state, record, error.to_string()),
        }
    }

    fn drifted(state: &State, record: &Record, what: String) -> Self {
        Self {
            drift: Some(changed(state, record.generation, what)),
            ..Self::default()
        }
    }
}

/// Why an object was not compared, without what a person should do about a file.
fn reason(error: &Unfaithful) -> String {
    match error {
        Unfaithful::OtherBuild { build } => format!("another sockc ({build}) put it in force"),
        Unfaithful::Texts(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Whether the object of a block is the one that the outer object holds for it; what differs if it is not.
pub(crate) fn within(outer: &[u8], netns: &str, inner: &[u8]) -> Option<String> {
    let blocks = object::namespaces(outer).ok()?;
    let held = blocks.into_iter().find(|(name, _)| name == netns);
    match held {
        Some((_, held)) if held == inner => None,
        Some(_) => Some("an object that is not the one of the block it was made of".to_owned()),
        None => Some("an object of a block that the outer policy does not have".to_owned()),
    }
}

/// That the record of a generation is not what sockc left.
pub(crate) fn changed(state: &State, generation: u32, found: String) -> Drift {
    Drift {
        path: state.record(generation),
        expected: "what its text compiles to".to_owned(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{BPFFS, Space, permitted};
    use sockc_compiler::files::Texts;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;
    use std::path::Path;

    fn object(text: &str) -> Vec<u8> {
        let mut sources = SourceMap::default();
        let id = sources.add("a.sk", text);
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "a", &target, &mut Texts::default());
        object::write(&outcome.built.unwrap().artifact).unwrap()
    }

    #[test]
    fn the_object_of_a_block_is_the_one_that_the_outer_object_holds() {
        let block = "for netns \"blue\" { default in drop allow tcp to port 22 }";
        let outer = object(&format!("policy a\ndefault in drop\n{block}\n"));
        let [(_, inner)] = object::namespaces(&outer).unwrap().try_into().unwrap();
        assert_eq!(within(&outer, "blue", &inner), None);
        let other = object("default in allow drop tcp to port 22");
        assert!(within(&outer, "blue", &other).is_some());
        assert!(within(&outer, "green", &inner).is_some());
    }

    /// A record whose manifest is not that of its object says something else than what runs.
    #[test]
    fn a_manifest_of_another_object_is_told() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space
            .run(|| {
                let state = State::at(Path::new(BPFFS), 1).unwrap();
                let object = object("default in drop allow tcp to port 22");
                let mut manifest = object::read_manifest(&object).unwrap();
                let same = Record::new(1, manifest.clone(), None);
                assert_eq!(Verified::of(&state, &same, &object).drift, None);
                manifest.interfaces.push("eth7".to_owned());
                let other = Record::new(1, manifest.clone(), None);
                let told = Verified::of(&state, &other, &object).drift.unwrap();
                assert!(told.found.contains("a manifest"), "{told}");
            })
            .unwrap();
    }

    /// What a sockc put in force whose manifests are of another version cannot be compared; a record that says that it is of
    /// this version was changed.
    #[test]
    fn an_object_of_another_version_is_not_known() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space
            .run(|| {
                let state = State::at(Path::new(BPFFS), 1).unwrap();
                let made = object("default in drop allow tcp to port 22");
                let of_this = object::read_manifest(&made).unwrap();
                let mut artifact = object::read(&made).unwrap();
                artifact.manifest.version -= 1;
                let earlier = object::write(&artifact).unwrap();
                let record = Record::new(1, artifact.manifest.clone(), None);
                let found = Verified::of(&state, &record, &earlier);
                assert_eq!(found.drift, None);
                let unknown = found.unknown.unwrap();
                assert!(unknown.contains("another sockc"), "{unknown}");
                let record = Record::new(1, of_this, None);
                assert!(Verified::of(&state, &record, &earlier).drift.is_some());
            })
            .unwrap();
    }
}
