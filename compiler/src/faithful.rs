//! Whether an object is what its text compiles to.
//!
//! An object carries the texts it was compiled from, and all that is said of it (guards, `expect`, what a plan compares) is
//! said of these. Its code is another matter: it may have been damaged, or changed by somebody. Compiling is a pure function
//! of the texts and of what the manifest says of the target, so this module compiles the texts again and compares every
//! byte. Not here: loading, and whether a compile is right.

mod difference;
#[cfg(test)]
mod tests;

use std::fmt;

use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;

use crate::artifact::{Artifact, BUILD, MANIFEST_VERSION, Manifest};
use crate::kept::{KeptError, KeptTexts};
use crate::object::{self, ObjectError};
use crate::pipeline::{self, Compilation, Counters, Lints, Options};
use crate::policy::Policy;
use crate::target::Target;

/// Why an object is not known to be what its text compiles to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfaithful {
    /// It is not a sockc object, or it is damaged.
    Object(ObjectError),
    /// Another compiler made it, which this one cannot speak for.
    OtherBuild {
        /// The other one; see `BUILD`.
        build: String,
    },
    /// Not all texts that it was compiled from are in it.
    Texts(KeptError),
    /// Its text does not compile.
    Text {
        /// The first mistake.
        mistake: String,
    },
    /// Its text compiles to something else.
    Differs {
        /// The first difference.
        what: String,
    },
    /// The compiler has a bug.
    Bug {
        /// What is wrong.
        what: String,
    },
}

/// Checks an object, and so the objects of its `for netns` blocks.
///
/// # Errors
///
/// Why it is not what its text compiles to, or why that cannot be known.
pub fn check(bytes: &[u8]) -> Result<(), Unfaithful> {
    read(bytes).map(drop)
}

/// The same; gives the object's manifest.
///
/// # Errors
///
/// As [`check`].
pub fn read(bytes: &[u8]) -> Result<Manifest, Unfaithful> {
    // The manifest first: an object of another version has another form, or no sum.
    let manifest = object::read_manifest(bytes).map_err(Unfaithful::Object)?;
    policy_of(bytes, &manifest)?;
    Ok(manifest)
}

/// The same of an object whose manifest was read already; gives the policy that its text was compiled from just now.
///
/// # Errors
///
/// As [`check`].
pub fn policy_of(bytes: &[u8], manifest: &Manifest) -> Result<Policy, Unfaithful> {
    if manifest.version != MANIFEST_VERSION {
        let found = manifest.version;
        return Err(Unfaithful::Object(ObjectError::ManifestVersion { found }));
    }
    object::check_sum(bytes).map_err(Unfaithful::Object)?;
    if manifest.made.build != BUILD {
        return Err(Unfaithful::OtherBuild {
            build: manifest.made.build.clone(),
        });
    }
    let (policy, again) = compiled_again(bytes, manifest)?;
    let expected = object::write(&again).map_err(Unfaithful::Object)?;
    if expected == bytes {
        return Ok(policy);
    }
    Err(Unfaithful::Differs {
        what: difference::between(bytes, &expected, &again),
    })
}

/// What the texts of an object compile to.
fn compiled_again(bytes: &[u8], manifest: &Manifest) -> Result<(Policy, Artifact), Unfaithful> {
    let kept = KeptTexts::of_object(bytes, manifest).map_err(Unfaithful::Texts)?;
    let mut texts = kept.texts;
    let mut sources = SourceMap::default();
    let id = sources.add(&kept.name, &kept.text);
    let target = target(manifest);
    let options = Options {
        counters: if manifest.made.counters {
            Counters::Kept
        } else {
            Counters::LeftOut
        },
        lints: Lints::LeftOut,
        machine: &manifest.made.costly,
        ..Options::from(&target)
    };
    let outcome = pipeline::compile(&mut sources, id, &kept.stem, options, &mut texts);
    artifact(outcome)
}

/// The policy and the artifact of an outcome, or why there is none.
fn artifact(outcome: Compilation) -> Result<(Policy, Artifact), Unfaithful> {
    if let Some(what) = outcome.internal {
        return Err(Unfaithful::Bug { what });
    }
    let mut wrong = outcome.diagnostics.into_iter();
    match (
        wrong.find(|one| one.severity == Severity::Error),
        outcome.policy.zip(outcome.built),
    ) {
        (None, Some((policy, built))) => Ok((policy, built.artifact)),
        (Some(wrong), _) if wrong.code == crate::reading::codes::UNREADABLE => {
            Err(Unfaithful::Texts(KeptError::NotKept {
                what: wrong.message,
            }))
        }
        (Some(wrong), _) => Err(Unfaithful::Text {
            mistake: wrong.message,
        }),
        (None, None) => Err(Unfaithful::Bug {
            what: "a policy without a mistake was not built".to_owned(),
        }),
    }
}

/// The target that a manifest speaks of. A name that is not known belongs to a kernel that was probed: its features are
/// what counts.
fn target(manifest: &Manifest) -> Target {
    let known = Target::releases().find(|release| release.name == manifest.target);
    Target {
        name: manifest.target.clone(),
        gotol: manifest.made.gotol,
        atomics: manifest.made.atomics,
        lookup_interface: manifest.made.lookup_interface,
        ..known.unwrap_or_else(Target::baseline)
    }
}

impl fmt::Display for Unfaithful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => error.fmt(f),
            Self::OtherBuild { build } => write!(
                f,
                "another sockc made it ({build}; this one is {BUILD}), so its code cannot be compared with its text; \
                 compile the policy again with this sockc"
            ),
            Self::Texts(error) => write!(
                f,
                "its code cannot be compared with its text: {error}; give the policy itself"
            ),
            Self::Text { mistake } => write!(
                f,
                "it was changed after it was compiled: its text does not compile ({mistake}); compile the policy again"
            ),
            Self::Differs { what } => write!(
                f,
                "it was changed after it was compiled: {what}; compile the policy again"
            ),
            Self::Bug { what } => write!(f, "this is a bug in sockc: {what}"),
        }
    }
}

impl std::error::Error for Unfaithful {}
