//! The manifest as JSON.

use serde::{Deserialize, Serialize};

use super::{FEW, ObjectError};
use crate::artifact::{MANIFEST_VERSION, Manifest};
use crate::beside::{beside, is_much};

/// The part of every version of the manifest that stays.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The counters of a manifest that has none, with the bracket that ends them. It stands nowhere else: in strings, quotes are escaped.
const NO_COUNTERS: &[u8] = b"\"counters\":[]";

/// The manifest's bytes.
pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ObjectError> {
    match is_much(manifest.counters.len(), FEW) {
        false => json(manifest),
        true => in_parts(manifest),
    }
}

/// The same bytes, made of parts: each half of the counters, and the rest.
fn in_parts(manifest: &Manifest) -> Result<Vec<u8>, ObjectError> {
    let (first, last) = manifest.counters.split_at(manifest.counters.len() / 2);
    let (last, (first, rest)) = beside(
        true,
        || json(last),
        || (json(first), json(&manifest.without_counters())),
    );
    let (first, last, rest) = (first?, last?, rest?);
    let mut places = rest.windows(NO_COUNTERS.len());
    let place = places.position(|bytes| bytes == NO_COUNTERS);
    let (Some(place), [inner @ .., _], [_, others @ ..]) = (place, &*first, &*last) else {
        let what = "the manifest has no place for its counters".to_owned();
        return Err(ObjectError::Unwritable { what });
    };
    let (head, tail) = rest.split_at(place + NO_COUNTERS.len());
    let head = &head[..head.len() - b"[]".len()];
    // What is left of the two lists is one: its first bracket is that of the first, its last that of the second.
    Ok([head, inner, b",", others, tail].concat())
}

fn json(what: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, ObjectError> {
    serde_json::to_vec(what).map_err(|error| ObjectError::Unwritable {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Counter, CounterKind};
    use crate::location::Location;

    /// Rules and policies may be called as the place is that is looked for.
    #[test]
    fn parts_are_what_the_whole_is() {
        let counter = |line| Counter {
            kind: CounterKind::Rule,
            label: None,
            location: Location::new("a.sk", line, "note \"\"counters\":[]\""),
            direction: "in".into(),
            verdict: "drop".into(),
            audit: false,
            log: None,
            counted: true,
        };
        for count in [2, 3, 5000] {
            let manifest = Manifest {
                policy: "\"counters\":[]".into(),
                counters: (0..count).map(counter).collect(),
                sources: vec![("\"counters\":[]".into(), "[]".into())],
                ..Manifest::default()
            };
            let whole = serde_json::to_vec(&manifest).unwrap();
            assert!(in_parts(&manifest).unwrap() == whole, "{count}");
            assert!(encode(&manifest).unwrap() == whole, "{count}");
        }
    }
}
