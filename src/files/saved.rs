//! A saved plan: one file with the object that is to be put in force, and where everything stood when the plan was made.
//!
//! The bytes are those of `seal`: damage is told, and whoever may write the file may write any plan. Whether the object is what its text
//! compiles to is asked as of any object. Not here: whether everything still
//! stands so, which the runtime asks under its lock.

use serde::{Deserialize, Serialize};
use sockc_runtime::{Standpoint, seal, unseal};

/// How a plan begins; no policy and no object does.
const MAGIC: &[u8] = b"\x7fsockc plan 1\n";
/// What every version of the format begins with.
const FAMILY: &[u8] = b"\x7fsockc plan ";

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
        seal(MAGIC, &self.about, &self.object)
    }

    /// The plan of a file's bytes, or what is wrong with them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if !bytes.starts_with(MAGIC) {
            return Err("another version of sockc saved it");
        }
        let (about, object) =
            unseal(MAGIC, bytes).ok_or("it is damaged, as after an interrupted copy")?;
        let object = object.to_vec();
        Ok(Self { about, object })
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
