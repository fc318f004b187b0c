//! The manifest as JSON: all of it but the counters, and after that the counters in rows.

use serde::{Deserialize, Serialize};

use super::ObjectError;
use super::rows::Rows;
use crate::artifact::{MANIFEST_VERSION, Manifest};

/// The first version whose counters stand in rows after the rest; before, they stood in it.
const WITH_ROWS: u32 = 6;

/// The part of every version of the manifest that stays.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The manifest's bytes.
pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = Vec::new();
    write(&manifest.without_counters(), &mut bytes)?;
    bytes.push(b'\n');
    write(&Rows::of(&manifest.counters, &manifest.sources), &mut bytes)?;
    Ok(bytes)
}

fn write(what: &impl Serialize, bytes: &mut Vec<u8>) -> Result<(), ObjectError> {
    serde_json::to_writer(bytes, what).map_err(|error| ObjectError::Unwritable {
        what: format!("the manifest cannot be written as JSON ({error})"),
    })
}

/// The manifest in these bytes, of this version or an older one, for those who know what they read of it.
///
/// # Errors
///
/// Why it cannot be read, in words.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let said = |error: serde_json::Error| error.to_string();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut manifest = Manifest::deserialize(&mut json).map_err(said)?;
    if manifest.version >= WITH_ROWS {
        let rows = Rows::deserialize(&mut json).map_err(said)?;
        manifest.counters = rows.counters(&manifest.sources)?;
    }
    json.end().map_err(said)?;
    Ok(manifest)
}

/// The manifest in these bytes. Where it is not one of this version, the version is looked at first: another one may differ in
/// everything else.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ObjectError> {
    let damaged =
        |cause: String| ObjectError::damaged(format!("its manifest cannot be read ({cause})"));
    match decode_manifest(bytes) {
        Ok(manifest) if manifest.version == MANIFEST_VERSION => Ok(manifest),
        read => {
            let mut json = serde_json::Deserializer::from_slice(bytes);
            let version = Versioned::deserialize(&mut json);
            match version.map_err(|error| damaged(error.to_string()))?.version {
                MANIFEST_VERSION => read.map_err(damaged),
                found => Err(ObjectError::ManifestVersion { found }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Counter, CounterKind};
    use crate::location::Location;

    fn manifest(version: u32) -> Manifest {
        let counter = |line| Counter {
            kind: CounterKind::Rule,
            label: None,
            location: Location::new("a.sk", line, "drop tcp"),
            direction: "in".into(),
            verdict: "drop".into(),
            audit: false,
            log: None,
            counted: true,
        };
        Manifest {
            version,
            policy: "a".into(),
            counters: (0..4).map(counter).collect(),
            sources: vec![("a.sk".into(), "drop tcp\n\ndrop tcp\n".into())],
            ..Manifest::default()
        }
    }

    #[test]
    fn a_manifest_comes_back() {
        let manifest = manifest(MANIFEST_VERSION);
        let bytes = encode(&manifest).unwrap();
        assert_eq!(decode(&bytes).unwrap(), manifest);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(decode(&[&*bytes, b"{}"].concat()).is_err());
    }

    /// A record that an older sockc left holds such a one.
    #[test]
    fn one_whose_counters_stand_in_it_is_read_by_those_who_ask_for_any() {
        let old = manifest(WITH_ROWS - 1);
        let bytes = serde_json::to_vec(&old).unwrap();
        assert_eq!(decode_manifest(&bytes).unwrap(), old);
        let found = WITH_ROWS - 1;
        assert_eq!(decode(&bytes), Err(ObjectError::ManifestVersion { found }));
        let next = encode(&manifest(MANIFEST_VERSION + 1)).unwrap();
        let found = MANIFEST_VERSION + 1;
        assert_eq!(decode(&next), Err(ObjectError::ManifestVersion { found }));
    }
}
