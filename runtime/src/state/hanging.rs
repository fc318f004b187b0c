//! What hangs where, of a record: read without the manifest, which of 100,000 rules is long.
//!
//! Not here: all else that was applied, which stands in [`super::record`].

use std::path::Path;

use serde::Deserialize;

use super::chunks::Kept;
use super::record::{Attached, check_version, damaged, part_in_json};
use crate::error::{Error, unreadable};
use crate::hook::Point;

/// The hooks of a generation.
#[derive(Debug)]
pub(crate) struct Hanging {
    /// The hooks.
    pub(crate) hooks: Vec<Attached>,
    /// The points where nothing but what fills slots runs.
    pub(crate) fillers: Vec<Point>,
}

/// The same as it stands in a record; see there.
#[derive(Deserialize)]
struct Written {
    version: u32,
    hooks: Vec<Attached>,
    #[serde(default)]
    fillers: Vec<Point>,
}

impl Hanging {
    /// Reads it from the record in the map pinned at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let kept = Kept::open(path).map_err(|error| unreadable(path, error))?;
        let (json, _) = part_in_json(&kept, path)?;
        let written: Written =
            serde_json::from_slice(&json).map_err(|error| damaged(path, error.to_string()))?;
        check_version(written.version, path)?;
        Ok(Self {
            hooks: written.hooks,
            fillers: written.fillers,
        })
    }
}
