//! The lists of sets as they travel in an object: JSON, packed by DEFLATE.
//!
//! What a list holds stands in the tables too, but merged and without its lines. Whoever wants to know what a policy says
//! that is in force reads it from the object alone, so the texts are there. Not here: what a list means.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::ObjectError;

/// The maximum number of bytes of all lists together. An object with more of them carries none.
const MAX_BYTES: usize = 256 << 20;
/// How hard the packing tries: addresses shrink to a third, and more work gains little.
const LEVEL: u8 = 3;

/// Names and texts.
type Lists = [(String, String)];

/// The section's bytes; `None` if there are no lists, or more than an object carries.
pub(super) fn encode(lists: &Lists) -> Result<Option<Vec<u8>>, ObjectError> {
    let json = serde_json::to_vec(lists).map_err(|error| ObjectError::Unwritable {
        what: format!("the lists of sets cannot be written as JSON ({error})"),
    })?;
    let travels = !lists.is_empty() && json.len() <= MAX_BYTES;
    Ok(travels.then(|| compress_to_vec(&json, LEVEL)))
}

/// The lists of these bytes. What would unpack to more than an object carries is refused before it does.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<(String, String)>, ObjectError> {
    let damaged = |error: &dyn std::fmt::Display| {
        ObjectError::damaged(format!("its lists of sets cannot be read ({error})"))
    };
    let json = decompress_to_vec_with_limit(bytes, MAX_BYTES).map_err(|error| damaged(&error))?;
    serde_json::from_slice(&json).map_err(|error| damaged(&error))
}
