//! The policy that an object was compiled from, read back from the object alone.
//!
//! Takes the bytes of an object; gives the policy and the texts it was written in. No file is read: files may have changed
//! since. Not here: whether the object's code does what the texts say.

use std::fmt;

use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::{SourceId, SourceMap};

use crate::artifact::Manifest;
use crate::files::Texts;
use crate::object::{self, ObjectError};
use crate::pipeline;
use crate::policy::Policy;

/// The texts of an object.
#[derive(Clone, Debug)]
pub struct KeptTexts {
    /// Everything that was read for the compile.
    pub texts: Texts,
    /// The name of the policy's own file, as it was given then.
    pub name: String,
    /// The text of that file.
    pub text: String,
    /// What the policy is called if its text does not say.
    pub stem: String,
}

/// A policy and its texts.
#[derive(Debug)]
pub struct Kept {
    /// The texts; spans of the policy point into them.
    pub sources: SourceMap,
    /// The policy's own file among them.
    pub id: SourceId,
    /// The policy.
    pub policy: Policy,
}

/// Why an object does not tell what policy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptError {
    /// It is not a sockc object, or damaged.
    Object(ObjectError),
    /// It does not carry all texts that it was compiled from.
    NotKept {
        /// What is missing, in words.
        what: String,
    },
    /// This sockc does not understand its text.
    NotUnderstood {
        /// The first thing that is not understood.
        what: String,
    },
}

impl KeptTexts {
    /// The texts of an object.
    ///
    /// # Errors
    ///
    /// It is no object, or carries no text.
    pub fn of_object(object: &[u8], manifest: &Manifest) -> Result<Self, KeptError> {
        let lists = object::read_lists(object).map_err(KeptError::Object)?;
        let Some((name, text)) = manifest.sources.first() else {
            return Err(KeptError::NotKept {
                what: "it carries no text".to_owned(),
            });
        };
        Ok(Self {
            texts: Texts::of_object(manifest, &lists),
            name: name.clone(),
            text: text.clone(),
            stem: manifest.policy.clone(),
        })
    }

    /// The policy that they describe.
    ///
    /// # Errors
    ///
    /// A text is missing, or this sockc reads it otherwise.
    pub fn policy(&self) -> Result<Kept, KeptError> {
        let mut sources = SourceMap::default();
        let id = sources.add(&self.name, &self.text);
        let mut texts = self.texts.clone();
        let outcome = pipeline::resolve(&mut sources, id, &self.stem, &mut texts);
        let wrong = outcome.diagnostics.iter();
        let wrong = wrong.clone().find(|one| one.severity == Severity::Error);
        match (outcome.policy, wrong) {
            (_, Some(wrong)) if wrong.code == crate::reading::codes::UNREADABLE => {
                Err(KeptError::NotKept {
                    what: wrong.message.clone(),
                })
            }
            (Some(policy), None) => Ok(Kept {
                sources,
                id,
                policy,
            }),
            (_, wrong) => Err(KeptError::NotUnderstood {
                what: wrong.map_or_else(String::new, |wrong| wrong.message.clone()),
            }),
        }
    }
}

impl fmt::Display for KeptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => error.fmt(f),
            Self::NotKept { what } => {
                write!(f, "not everything it was compiled from was kept: {what}")
            }
            Self::NotUnderstood { what } => {
                write!(f, "this sockc does not understand its text: {what}")
            }
        }
    }
}

impl std::error::Error for KeptError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    const POLICY: &str = "\
include <essentials>
include \"common.sk\"
default in drop
set bad = file \"lists/bad.txt\" max 10
drop tcp from @bad to any:22
allow tcp to any:22
";

    fn object() -> Vec<u8> {
        let mut files = Texts::default()
            .with("rules/common.sk", "allow udp to any:53\n")
            .with("rules/lists/bad.txt", "192.0.2.0/24\n2001:db8::/32\n");
        let mut sources = SourceMap::default();
        let id = sources.add("rules/edge.sk", POLICY);
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "edge", &target, &mut files);
        object::write(&outcome.built.unwrap().artifact).unwrap()
    }

    #[test]
    fn an_object_tells_its_policy_with_includes_and_lists() {
        let object = object();
        let manifest = object::read_manifest(&object).unwrap();
        let kept = KeptTexts::of_object(&object, &manifest).unwrap();
        let policy = kept.policy().unwrap().policy;
        assert_eq!(policy.name, "edge");
        let texts: Vec<_> = policy
            .rules
            .values()
            .map(|rule| &*rule.place.text)
            .collect();
        assert!(texts.contains(&"drop tcp from @bad to any:22"), "{texts:?}");
        assert!(texts.contains(&"allow udp to any:53"), "{texts:?}");
        assert!(texts.len() > 3, "the essentials are there: {texts:?}");
    }

    #[test]
    fn a_text_that_is_not_there_is_told() {
        let object = object();
        let mut artifact = object::read(&object).unwrap();
        artifact.lists.clear();
        let old = object::write(&artifact).unwrap();
        let kept = KeptTexts::of_object(&old, &artifact.manifest).unwrap();
        let error = kept.policy().unwrap_err();
        assert!(error.to_string().contains("bad.txt"), "{error}");
        artifact.manifest.sources.clear();
        let error = KeptTexts::of_object(&old, &artifact.manifest).unwrap_err();
        assert!(matches!(error, KeptError::NotKept { .. }), "{error}");
    }
}
