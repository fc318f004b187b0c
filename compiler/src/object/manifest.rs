//! The manifest as JSON.

use serde::Deserialize;

use super::ObjectError;
use crate::artifact::{MANIFEST_VERSION, Manifest};

/// The part of every version of the manifest that stays.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The manifest's bytes.
pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ObjectError> {
    serde_json::to_vec(manifest).map_err(|error| ObjectError::Unwritable {
        what: format!("the manifest cannot be written as JSON ({error})"),
    })
}

/// The manifest in these bytes. Where it is not one of this version, the version is looked at first: another one may differ in
/// everything else.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ObjectError> {
    let damaged = |error: serde_json::Error| {
        ObjectError::damaged(format!("its manifest cannot be read ({error})"))
    };
    match serde_json::from_slice::<Manifest>(bytes) {
        Ok(manifest) if manifest.version == MANIFEST_VERSION => Ok(manifest),
        read => {
            let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
            match version {
                MANIFEST_VERSION => read.map_err(damaged),
                found => Err(ObjectError::ManifestVersion { found }),
            }
        }
    }
}
