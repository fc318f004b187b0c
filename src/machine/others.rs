//! Policies of sockc in other network namespaces: what they decide of groups holds here too.
//!
//! All of them where nothing is in force here, else those for the same groups. Not here: programs next to ours, which are
//! told with the hooks.

use serde::Serialize;
use sockc_compiler::artifact::Manifest;
use sockc_runtime::{Error, Options, OtherNamespace, is_blind};

use crate::output::Output;

/// A policy in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The name of the map by which its programs are known.
    mark: String,
    /// Its hooks, in words.
    hooks: Vec<String>,
    /// Its state folder, where that is seen.
    state: Option<String>,
    /// A path that leads into the namespace, where that is seen.
    path: Option<String>,
    /// Whether it takes connections in of groups that rules of `send` or `receive` here are about.
    competes: bool,
}

/// Says which there are; gives their JSON, or nothing where that is not known, or cannot be seen.
pub(crate) fn tell(options: &Options, output: &mut Output) -> Option<Vec<Row>> {
    match sockc_runtime::others(options) {
        Ok(others) => {
            for other in &others {
                output.note(other.words(&[]));
            }
            in_json(others)
        }
        Err(error) => {
            output.note(unknown(&error));
            None
        }
    }
}

/// That it is not known.
pub(crate) fn unknown(error: &Error) -> String {
    format!("whether policies of other network namespaces hold for groups is not known: {error}")
}

/// Those for the groups of policies.
pub(crate) struct Near(Vec<OtherNamespace>);

impl Near {
    /// Looks for them.
    pub(crate) fn look(options: &Options, manifests: &[&Manifest]) -> Result<Self, Error> {
        sockc_runtime::others_near(options, manifests).map(Self)
    }

    /// What to say of them, next to programs of these ids, which are told.
    pub(crate) fn words(&self, told: &[u32]) -> Vec<String> {
        self.0.iter().map(|one| one.words(told)).collect()
    }

    /// Their JSON; `None` where they cannot be seen.
    pub(crate) fn rows(&self) -> Option<Vec<Row>> {
        in_json(self.0.clone())
    }
}

fn in_json(others: Vec<OtherNamespace>) -> Option<Vec<Row>> {
    (!is_blind()).then(|| others.into_iter().map(row).collect())
}

fn row(other: OtherNamespace) -> Row {
    Row {
        mark: other.mark,
        hooks: other.hooks,
        state: other.state.map(|path| path.display().to_string()),
        path: other.path.map(|path| path.display().to_string()),
        competes: other.competes,
    }
}
