//! What an apply leaves to be remembered: the object, its manifest and the hooks, in a pinned map.
//!
//! The map's bytes are the length of the JSON part, that part, and the object after it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sockc_compiler::artifact::{GroupPlan, Manifest};

use super::chunks;
use super::namespaces::{Held, Known, Owner};
use super::pin::Pin;
use crate::error::{Error, at, unreadable};
use crate::hook::{Hook, Point};
use crate::probe::streams::Faults;
use crate::sys::netns::Namespace;

/// The version of [`Record`] and of the dispatchers.
const VERSION: u32 = 4;
/// The oldest one that is read. The counters of version 3 do not stand in blocks, which their maps say themselves; a sockc that
/// knows no blocks must not read them.
const OLDEST: u32 = 3;
/// Bytes of the length.
const HEAD: usize = 8;

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The generation.
    pub(crate) generation: u32,
    /// The object's manifest.
    pub(crate) manifest: Manifest,
    /// The points that have a program.
    pub(crate) points: Vec<Point>,
    /// The hooks.
    pub(crate) hooks: Vec<Attached>,
    /// The ids of the control groups of the manifest's groups, in their order.
    pub(crate) cgroups: Vec<u64>,
    /// The namespace of the policy whose `for netns` block this is.
    pub(crate) owner: Option<Owner>,
    /// The namespaces of this policy's own `for netns` blocks.
    pub(crate) netns: Vec<Held>,
    /// The cookie of the network namespace: its inode may be used again, the cookie is not.
    pub(crate) cookie: Option<u64>,
    /// The network namespaces that its conditions look into, in the manifest's order; an older sockc kept none.
    #[serde(default)]
    pub(crate) looked_into: Vec<Known>,
    /// The interfaces or patterns that were given instead of the policy's.
    #[serde(default)]
    pub(crate) interfaces: Vec<String>,
    /// When it was applied, in seconds since 1970; an older sockc did not say.
    #[serde(default)]
    pub(crate) applied: Option<u64>,
    /// The points where nothing but what fills slots runs.
    #[serde(default)]
    pub(crate) fillers: Vec<Point>,
    /// Everything that is pinned for it; an older sockc kept no list.
    #[serde(default)]
    pub(crate) pins: Option<Vec<Pin>>,
    /// What was found of what the policy names; an older sockc did not keep it.
    #[serde(default)]
    pub(crate) named: Option<Named>,
    /// What the kernel does otherwise on the connections that are taken in; an older sockc did not try.
    #[serde(default)]
    pub(crate) faults: Option<Faults>,
}

/// What was found of what a policy names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The interfaces of other classes than the first: index, and the name that the policy knows it by.
    pub(crate) interfaces: Vec<(u32, String)>,
    /// Whether programs ask for classes.
    pub(crate) asked: bool,
    /// The indices of the interfaces that packets are sent out of, by the manifest's order; 0 of one that is not there.
    #[serde(rename = "ports")]
    pub(crate) out_interfaces: Vec<u32>,
}

/// A hook and what a person calls its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attached {
    /// The hook.
    pub(crate) hook: Hook,
    /// The interface's name, or the path of the control group; empty for the namespace.
    pub(crate) target: String,
}

impl Record {
    /// A record of a generation without hooks.
    pub(crate) fn new(generation: u32, manifest: &Manifest, cookie: Option<u64>) -> Self {
        Self {
            version: VERSION,
            generation,
            manifest: manifest.clone(),
            points: Vec::new(),
            hooks: Vec::new(),
            cgroups: Vec::new(),
            owner: None,
            netns: Vec::new(),
            cookie,
            looked_into: Vec::new(),
            interfaces: Vec::new(),
            applied: None,
            fillers: Vec::new(),
            pins: None,
            named: None,
            faults: None,
        }
    }

    /// Whether it is of a namespace: its inode is used again after its end, the cookie is not.
    pub(crate) fn is_of(&self, namespace: &Namespace) -> bool {
        match (self.cookie, namespace.cookie) {
            (Some(then), Some(now)) => then == now,
            _ => true,
        }
    }

    /// Whether a hook is one of this record.
    pub(crate) fn has(&self, hook: &Hook) -> bool {
        self.hooks.iter().any(|attached| attached.hook == *hook)
    }

    /// By which its state knows a group of this name and path.
    pub(crate) fn number_of(&self, plan: &GroupPlan) -> Option<u64> {
        let mut known = self.manifest.groups.iter().zip(&self.cgroups);
        let known = known.find(|(one, _)| one.name == plan.name && one.cgroup == plan.cgroup);
        known.map(|(_, number)| *number)
    }

    /// The groups whose sockets are taken into maps, with the numbers by which its state knows them.
    pub(crate) fn taken_in(&self) -> impl Iterator<Item = (&GroupPlan, u64)> {
        let known = self.manifest.groups.iter().zip(&self.cgroups);
        let taken_in = known.filter(|(plan, _)| plan.takes_in());
        taken_in.map(|(plan, number)| (plan, *number))
    }

    /// Whether data of a group is seen as it arrives, by the number of the group.
    pub(crate) fn reads(&self, group: u64) -> bool {
        self.points.contains(&Point::Receive(group))
    }

    /// Whether its conditions look into a namespace of this name.
    pub(crate) fn knows(&self, namespace: &str) -> bool {
        self.looked_into.iter().any(|known| known.name == namespace)
    }

    /// Writes the record and the object into a map pinned at `path`.
    pub(crate) fn write(&self, object: &[u8], path: &Path) -> Result<(), Error> {
        let what = "keep what was applied";
        let json = serde_json::to_vec(self).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let mut bytes = Vec::with_capacity(HEAD + json.len() + object.len());
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend(json);
        bytes.extend(object);
        chunks::write("record", &bytes, path).map_err(at(what))
    }

    /// Reads the record and the object from the map pinned at `path`.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<u8>), Error> {
        let damaged = |cause: String| Error::State {
            path: path.to_owned(),
            cause,
        };
        let bytes = chunks::read(path).map_err(|error| unreadable(path, error))?;
        let (json, object) = split(&bytes).ok_or_else(|| damaged("it is cut short".to_owned()))?;
        let record: Self =
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if !(OLDEST..=VERSION).contains(&record.version) {
            return Err(damaged("another version of sockc wrote it".to_owned()));
        }
        Ok((record, object.to_vec()))
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (json, rest) = bytes.split_first_chunk::<HEAD>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*json)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{BPFFS, Space, permitted};

    #[test]
    fn what_was_kept_comes_back_and_another_version_is_told() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space
            .run(|| {
                let path = Path::new(BPFFS).join("record");
                let mut record = Record::new(7, &Manifest::default(), Some(3));
                record.write(b"object", &path).unwrap();
                let kept = Record::read(&path).unwrap();
                assert_eq!(kept, (record.clone(), b"object".to_vec()));
                record.version = OLDEST;
                let path = Path::new(BPFFS).join("oldest");
                record.write(b"object", &path).unwrap();
                assert_eq!(Record::read(&path).unwrap().0, record);
                for version in [OLDEST - 1, VERSION + 1] {
                    record.version = version;
                    let path = Path::new(BPFFS).join(version.to_string());
                    record.write(b"object", &path).unwrap();
                    let error = Record::read(&path).unwrap_err();
                    assert!(error.to_string().contains("another version"), "{error}");
                }
            })
            .unwrap();
    }

    /// A namespace that ended and another one may have one inode; the cookie tells them apart, where the kernel has one.
    #[test]
    fn a_namespace_of_the_same_inode_is_another_one_by_its_cookie() {
        let mut namespace = Namespace::current().unwrap();
        let record = |cookie| Record::new(1, &Manifest::default(), cookie);
        for (then, now, same) in [
            (Some(1), Some(1), true),
            (Some(1), Some(2), false),
            (None, Some(2), true),
            (Some(1), None, true),
        ] {
            namespace.cookie = now;
            assert_eq!(record(then).is_of(&namespace), same);
        }
    }
}
