//! Policies of sockc in other network namespaces: what they decide of groups holds here too.
//!
//! For verbs that say that nothing is in force. Not here: programs next to ours, which are told with the hooks.

use serde::Serialize;
use sockc_runtime::{Options, OtherNamespace};

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
}

/// Says which there are; gives their JSON.
pub(crate) fn tell(options: &Options, output: &mut Output) -> Vec<Row> {
    match sockc_runtime::others(options) {
        Ok(others) => {
            for other in &others {
                output.note(other.words());
            }
            others.into_iter().map(row).collect()
        }
        Err(error) => {
            output.note(format!(
                "whether policies of other network namespaces hold for groups is not known: {error}"
            ));
            Vec::new()
        }
    }
}

fn row(other: OtherNamespace) -> Row {
    Row {
        mark: other.mark,
        hooks: other.hooks,
        state: other.state.map(|path| path.display().to_string()),
        path: other.path.map(|path| path.display().to_string()),
    }
}
