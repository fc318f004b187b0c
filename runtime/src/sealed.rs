//! Files with an object and what is known of it, which tell that they were damaged.
//!
//! ```text
//! the beginning that says what file it is, the length of the JSON (8 bytes, little-endian), the JSON, the object, SHA-256 of all before
//! ```
//!
//! The sum tells damage, not forgery: whoever may write the file may write any. Not here: what files there are, and how they are
//! written and read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Bytes of the length, and of the sum.
const LENGTH: usize = 8;
const SUM: usize = 32;

/// The bytes of a file that begins so, with what is known of an object, and the object.
///
/// # Errors
///
/// What is known cannot be written as JSON.
pub fn seal<T: Serialize>(
    beginning: &[u8],
    about: &T,
    object: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(about)?;
    let mut bytes = beginning.to_vec();
    bytes.extend((json.len() as u64).to_le_bytes());
    bytes.extend(json);
    bytes.extend(object);
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    Ok(bytes)
}

/// What the bytes of a file that begins so hold; `None` where they are not what was written.
#[must_use]
pub fn unseal<'b, T: DeserializeOwned>(beginning: &[u8], bytes: &'b [u8]) -> Option<(T, &'b [u8])> {
    let (body, sum) = bytes.split_last_chunk::<SUM>()?;
    if Sha256::digest(body).as_slice() != sum {
        return None;
    }
    let rest = body.strip_prefix(beginning)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (json, object) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(json).ok()?, object))
}
