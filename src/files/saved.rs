//! A saved plan: one file with the object that is to be put in force, and where everything stood when the plan was made.
//!
//! ```text
//! MAGIC, the length of the JSON (8 bytes, little-endian), the JSON, the object, SHA-256 of all before
//! ```
//!
//! The sum tells damage, not forgery: whoever may write the file may write any plan. Whether the object is what its text
//! compiles to is asked as of any object. Not here: whether everything still
//! stands so, which the runtime asks under its lock.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sockc_runtime::Standpoint;

/// How a plan begins; no policy and no object does.
const MAGIC: &[u8] = b"\x7fsockc plan 1\n";
/// What every version of the format begins with.
const FAMILY: &[u8] = b"\x7fsockc plan ";
/// Bytes of the length, and of the sum.
const LENGTH: usize = 8;
const SUM: usize = 32;

/// A saved plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// What is known of it.
    pub(crate) about: About,
    /// The object.
    pub(crate) object: Vec<u8>,
}

/// What a plan says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The interfaces that were given instead of the policy's.
    pub(crate) interfaces: Vec<String>,
    /// Whether what redirects `at tc` need may be made. Plans of earlier versions do not say.
    #[serde(default)]
    pub(crate) add_routes: bool,
    /// Where the network namespaces stood: the policy's own first, then those of its blocks.
    pub(crate) standpoints: Vec<Standpoint>,
    /// What changes, on one line.
    pub(crate) summary: String,
}

/// Whether bytes are meant to be a plan.
pub(crate) fn is_plan(bytes: &[u8]) -> bool {
    bytes.starts_with(FAMILY)
}

impl Saved {
    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(&self.about)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend(json);
        bytes.extend(&self.object);
        let sum = Sha256::digest(&bytes);
        bytes.extend(sum);
        Ok(bytes)
    }

    /// The plan of a file's bytes, or what is wrong with them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let damaged = "it is damaged, as after an interrupted copy";
        if !bytes.starts_with(MAGIC) {
            return Err("another version of sockc saved it");
        }
        let (body, sum) = bytes.split_last_chunk::<SUM>().ok_or(damaged)?;
        if Sha256::digest(body).as_slice() != sum {
            return Err(damaged);
        }
        let rest = body.get(MAGIC.len()..).ok_or(damaged)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH>().ok_or(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged)?;
        let (json, object) = rest.split_at_checked(length).ok_or(damaged)?;
        Ok(Self {
            about: serde_json::from_slice(json).map_err(|_| damaged)?,
            object: object.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        Saved {
            about: About {
                interfaces: vec!["eth0".into()],
                add_routes: true,
                standpoints: Vec::new(),
                summary: "No change in effect.".into(),
            },
            object: vec![1, 2, 3],
        }
    }

    #[test]
    fn what_is_saved_is_read() {
        let bytes = saved().bytes().unwrap();
        assert!(is_plan(&bytes));
        assert_eq!(Saved::read(&bytes), Ok(saved()));
    }

    #[test]
    fn damage_anywhere_is_told() {
        let bytes = saved().bytes().unwrap();
        for at in MAGIC.len()..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Saved::read(&changed).is_err(), "{at}");
            assert!(Saved::read(&bytes[..at]).is_err(), "{at}");
        }
        let mut other = bytes;
        other[MAGIC.len() - 2] = b'2';
        assert!(is_plan(&other));
        assert_eq!(
            Saved::read(&other),
            Err("another version of sockc saved it")
        );
    }
}
