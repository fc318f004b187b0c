//! Who put a policy in force, from where and why: what a history tells of it.
//!
//! Takes what the caller says; nothing of it is asked again, and nothing is decided by it.

use serde::{Deserialize, Serialize};

/// Who put a policy in force, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The number of the user.
    pub uid: u32,
    /// The user's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who had asked to be that user, as `sudo` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<String>,
    /// The file that it was read from; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The generation that it is again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u32>,
    /// What the user wrote of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Author {
    /// All that it says, one by one: a sum over it is the same in every build, whatever is added here.
    pub(super) fn words(&self) -> Vec<String> {
        let told = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let all = [
            Some(format!("uid {}", self.uid)),
            told("user", self.user.clone()),
            told("sudo", self.sudo_user.clone()),
            told("file", self.file.clone()),
            told("again", self.again.map(|again| again.to_string())),
            told("note", self.note.clone()),
        ];
        all.into_iter().flatten().collect()
    }
}

/// A sum over texts (FNV-1a), which tells damage and no forgery: the same in every build of sockc.
pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // An end of each, so that no byte goes over from one to the next.
        for byte in part.iter().copied().chain([0xff, 0x00]) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_ends_of_parts_count() {
        let of = |parts: &[&str]| sum(parts.iter().map(|part| part.as_bytes()));
        let all = [
            of(&["ab", "c"]),
            of(&["a", "bc"]),
            of(&["abc"]),
            of(&["ab", "d"]),
            of(&["ab", "c", ""]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }
}
