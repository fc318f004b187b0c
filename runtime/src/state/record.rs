//! What an apply leaves to be remembered: the object, its manifest and the hooks, in a pinned map.
//!
//! The map's bytes are the length of the JSON part, that part, and the object after it. The manifest mostly stands in the object
//! alone, and the JSON says where: that of 100,000 rules is as long as all else.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sockc_compiler::artifact::{GroupPlan, Manifest};
use sockc_compiler::object;

use super::author::{self, Author};
use super::chunks::{self, Kept};
use super::namespaces::{Held, Known, Owner};
use super::pin::Pin;
use crate::error::{Error, at, unreadable};
use crate::hook::{Hook, Point};
use crate::probe::streams::Faults;
use crate::sys::netns::Namespace;

/// The version of [`Record`] and of the dispatchers.
const VERSION: u32 = 6;
/// The oldest one that is read. The counters of version 3 do not stand in blocks, which their maps say themselves; a sockc that
/// knows no blocks must not read them. Those of version 4 have their manifest in the JSON, always; in those of version 5 its
/// counters do not stand in rows, and nothing is on trial, which a sockc that knows no trials would end.
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
    #[serde(with = "shared")]
    pub(crate) manifest: Arc<Manifest>,
    /// Where it stands in the object, first byte and length; then the JSON has an empty one. Nothing of one that is not the object's
    /// own.
    #[serde(default)]
    pub(crate) in_object: Option<(u64, u64)>,
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
    /// The SSH connection that it was put in force on trial from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<String>,
    /// For how long it was put in force on trial, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<u64>,
    /// Who applied it; an older sockc did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<Author>,
    /// The sum that stands in the object, in digits; nothing of a `for netns` block or of an older sockc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object_sum: Option<String>,
    /// A sum over what a history tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<u64>,
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

impl Named {
    /// The name by which programs know the interface with an index, if they do.
    pub(crate) fn known(&self, index: u32) -> Option<&str> {
        let mut told = self.interfaces.iter();
        let known = told.find(|(there, _)| *there == index);
        known.map(|(_, known)| known.as_str())
    }
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
    /// The names and patterns of interfaces that the policy is for.
    pub(crate) fn wanted(&self) -> &[String] {
        match self.interfaces.as_slice() {
            [] => &self.manifest.interfaces,
            given => given,
        }
    }

    /// A record of a generation without hooks.
    pub(crate) fn new(
        generation: u32,
        manifest: impl Into<Arc<Manifest>>,
        cookie: Option<u64>,
    ) -> Self {
        Self {
            version: VERSION,
            generation,
            manifest: manifest.into(),
            in_object: None,
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
            connection: None,
            within: None,
            author: None,
            object_sum: None,
            seal: None,
        }
    }

    /// Says who applies it, and which object; to be called when generation, time and interfaces are known.
    pub(crate) fn is_applied_by(&mut self, author: Option<Author>, object: &[u8]) {
        self.author = author;
        let sum = object::kept_sum(object);
        self.object_sum = sum.map(|sum| sum.iter().map(|byte| format!("{byte:02x}")).collect());
        self.seal = Some(self.sum());
    }

    /// Whether what a history tells of it is what was written; one of an older sockc was not sealed.
    pub(crate) fn is_sealed(&self) -> bool {
        self.seal.is_none_or(|seal| seal == self.sum())
    }

    /// A sum over what a history tells.
    fn sum(&self) -> u64 {
        let generation = self.generation.to_string();
        let applied = self.applied.unwrap_or(0).to_string();
        let author = self.author.as_ref().map(Author::words).unwrap_or_default();
        let object = self.object_sum.clone().unwrap_or_default();
        let whole = [generation, applied, object];
        let parts = whole.iter().chain(&author).chain(&self.interfaces);
        author::sum(parts.map(|part| part.as_bytes()))
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
        let bare = self.in_object.map(|_| Self {
            manifest: Arc::default(),
            ..self.clone()
        });
        let json = serde_json::to_vec(bare.as_ref().unwrap_or(self));
        let json = json.map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let length = (json.len() as u64).to_le_bytes();
        let id = chunks::write("record", &[&length, &json, object], path).map_err(at(what))?;
        if self.version == VERSION {
            remember(id, self);
        }
        Ok(())
    }

    /// Says that the manifest is the one of this object.
    pub(crate) fn is_of_object(&mut self, object: &[u8]) {
        self.in_object = object::manifest_place(object);
    }

    /// Reads the record and the object from the map pinned at `path`.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<u8>), Error> {
        let kept = Kept::open(path).map_err(|error| unreadable(path, error))?;
        let record = Self::of(&kept, path)?;
        let (_, beginning) = json(&kept, path)?;
        let object = kept.read(beginning, usize::MAX);
        Ok((record, object.map_err(|error| unreadable(path, error))?))
    }

    /// Reads the record alone.
    pub(crate) fn read_alone(path: &Path) -> Result<Self, Error> {
        let kept = Kept::open(path).map_err(|error| unreadable(path, error))?;
        Self::of(&kept, path)
    }

    /// Reads the record without its manifest, which is most of it.
    pub(crate) fn read_bare(path: &Path) -> Result<Self, Error> {
        let kept = Kept::open(path).map_err(|error| unreadable(path, error))?;
        Self::bare(&kept, path)
    }

    fn bare(kept: &Kept, path: &Path) -> Result<Self, Error> {
        let (length, _) = json(kept, path)?;
        let json = kept.read(HEAD, length);
        let json = json.map_err(|error| unreadable(path, error))?;
        if json.len() < length {
            return Err(cut_short(path));
        }
        Self::parse(&json, path)
    }

    /// The record in a map. What this process has read or written before it does not read again: the record of 100,000 rules is long,
    /// and an apply asks it at each of its steps.
    fn of(kept: &Kept, path: &Path) -> Result<Self, Error> {
        let id = kept.id();
        if let Some(known) = id.and_then(known) {
            return Ok(known);
        }
        let (_, beginning) = json(kept, path)?;
        let mut record = Self::bare(kept, path)?;
        if let Some(place) = record.in_object {
            record.manifest = manifest(kept, place, beginning, path)?;
        }
        if let Some(id) = id {
            remember(id, &record);
        }
        Ok(record)
    }

    fn parse(json: &[u8], path: &Path) -> Result<Self, Error> {
        let record: Self =
            serde_json::from_slice(json).map_err(|error| damaged(path, error.to_string()))?;
        check_version(record.version, path)?;
        Ok(record)
    }
}

/// Refuses what another sockc wrote, of which this one does not know what it says.
pub(super) fn check_version(version: u32, path: &Path) -> Result<(), Error> {
    match (OLDEST..=VERSION).contains(&version) {
        true => Ok(()),
        false => Err(damaged(
            path,
            "another version of sockc wrote it".to_owned(),
        )),
    }
}

/// The JSON in a map, and where the object behind it begins.
pub(super) fn part_in_json(kept: &Kept, path: &Path) -> Result<(Vec<u8>, usize), Error> {
    let (length, beginning) = json(kept, path)?;
    let json = kept.read(HEAD, length);
    let json = json.map_err(|error| unreadable(path, error))?;
    if json.len() < length {
        return Err(cut_short(path));
    }
    Ok((json, beginning))
}

/// How long the JSON in a map is, and where the object behind it begins.
fn json(kept: &Kept, path: &Path) -> Result<(usize, usize), Error> {
    let head = kept
        .read(0, HEAD)
        .map_err(|error| unreadable(path, error))?;
    let length = head
        .first_chunk::<HEAD>()
        .map(|length| u64::from_le_bytes(*length));
    let length = length.and_then(|length| usize::try_from(length).ok());
    let places = length.and_then(|length| Some((length, HEAD.checked_add(length)?)));
    places.ok_or_else(|| cut_short(path))
}

/// The manifest at a place of the object that begins at `beginning`.
fn manifest(
    kept: &Kept,
    (start, length): (u64, u64),
    beginning: usize,
    path: &Path,
) -> Result<Arc<Manifest>, Error> {
    let number = |number: u64| usize::try_from(number).map_err(|_| cut_short(path));
    let (start, length) = (beginning.saturating_add(number(start)?), number(length)?);
    let bytes = kept
        .read(start, length)
        .map_err(|error| unreadable(path, error))?;
    if bytes.len() < length {
        return Err(cut_short(path));
    }
    let read = object::decode_manifest(&bytes);
    read.map(Arc::new).map_err(|cause| damaged(path, cause))
}

/// A manifest that several have, as JSON.
mod shared {
    use super::{Arc, Deserialize, Manifest, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(
        manifest: &Arc<Manifest>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Manifest::serialize(manifest, serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Manifest>, D::Error> {
        Manifest::deserialize(deserializer).map(Arc::new)
    }
}

/// The last records that this process has read or written, by the ids of their maps.
static KNOWN: Mutex<VecDeque<(u32, Record)>> = Mutex::new(VecDeque::new());
/// So many are kept: of the policy before and of the next.
const REMEMBERED: usize = 2;

fn known(id: u32) -> Option<Record> {
    let all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all.iter().find(|(known, _)| *known == id);
    found.map(|(_, record)| record.clone())
}

fn remember(id: u32, record: &Record) {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.truncate(REMEMBERED - 1);
    all.push_front((id, record.clone()));
}

pub(super) fn damaged(path: &Path, cause: String) -> Error {
    Error::State {
        path: path.to_owned(),
        cause,
    }
}

fn cut_short(path: &Path) -> Error {
    damaged(path, "it is cut short".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use sockc_compiler::files::Texts;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;

    use super::*;
    use crate::lab::{BPFFS, Space, permitted};
    use crate::load::checked::Object;
    use crate::sys::{bpffs, map};

    #[test]
    fn what_was_kept_comes_back_and_another_version_is_told() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space
            .run(|| {
                let path = Path::new(BPFFS).join("record");
                let mut record = Record::new(7, Manifest::default(), Some(3));
                record.write(b"object", &path).unwrap();
                let kept = Record::read(&path).unwrap();
                assert_eq!(kept, (record.clone(), b"object".to_vec()));
                for _ in 0..2 {
                    assert_eq!(Record::read_alone(&path).unwrap(), record);
                }
                record.version = OLDEST;
                let path = Path::new(BPFFS).join("oldest");
                record.write(b"object", &path).unwrap();
                assert_eq!(Record::read(&path).unwrap().0, record);
                for version in [OLDEST - 1, VERSION + 1] {
                    record.version = version;
                    let path = Path::new(BPFFS).join(version.to_string());
                    record.write(b"object", &path).unwrap();
                    for error in [
                        Record::read(&path).unwrap_err(),
                        Record::read_alone(&path).unwrap_err(),
                    ] {
                        assert!(error.to_string().contains("another version"), "{error}");
                    }
                }
            })
            .unwrap();
    }

    /// The manifest of an object stands in a record once, and comes back whichever of both is read, by another process too.
    #[test]
    fn a_manifest_that_is_its_objects_stands_there_alone() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(kept_in_the_object).unwrap();
    }

    fn kept_in_the_object() {
        let rules: String = (1..3000)
            .map(|port| format!("drop tcp to any:{port}\n"))
            .collect();
        let mut sources = SourceMap::default();
        let id = sources.add("a.sk", format!("default in allow\n{rules}"));
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "a", &target, &mut Texts::default());
        let (object, manifest) = Object::written(outcome.built.unwrap().artifact).unwrap();
        let object = object.bytes();
        let path = |name: &str| Path::new(BPFFS).join(name);
        let apart = Record::new(7, Arc::clone(&manifest), None);
        let mut within = apart.clone();
        within.is_of_object(object);
        apart.write(object, &path("apart")).unwrap();
        within.write(object, &path("within")).unwrap();
        let length = |name: &str| {
            Kept::open(&path(name))
                .unwrap()
                .read(0, usize::MAX)
                .unwrap()
                .len()
        };
        assert!(length("within") < object.len() + 4096);
        assert!(length("apart") > length("within") + 100_000);
        for record in [apart, within] {
            let path = path(if record.in_object.is_some() {
                "within"
            } else {
                "apart"
            });
            for _ in 0..2 {
                KNOWN.lock().unwrap().clear();
                assert_eq!(
                    Record::read(&path).unwrap(),
                    (record.clone(), object.to_vec())
                );
                KNOWN.lock().unwrap().clear();
                assert_eq!(Record::read_alone(&path).unwrap(), record);
            }
        }
        // A place that leads beyond the object is no manifest.
        let mut beyond = Record::new(7, manifest, None);
        for place in [
            (0, 10),
            (object.len() as u64 - 1, 2),
            (u64::MAX, 1),
            (1, u64::MAX),
        ] {
            beyond.in_object = Some(place);
            let path = path(&format!("{}-{}", place.0, place.1));
            beyond.write(object, &path).unwrap();
            KNOWN.lock().unwrap().clear();
            let error = Record::read_alone(&path).unwrap_err();
            assert!(matches!(error, Error::State { .. }), "{error}");
        }
    }

    /// What was read is known by its map, not by its path; and a map that may change is read each time.
    #[test]
    fn a_record_in_another_map_is_another_one() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(read_after_a_change).unwrap();
    }

    fn read_after_a_change() {
        let path = Path::new(BPFFS).join("record");
        for generation in 1..6 {
            let record = Record::new(generation, Manifest::default(), None);
            record.write(b"object", &path).unwrap();
            for _ in 0..2 {
                assert_eq!(Record::read_alone(&path).unwrap(), record);
            }
            fs::remove_file(&path).unwrap();
        }
        let open = map::create("record", map::Shape::array(16 << 10, 1)).unwrap();
        bpffs::pin(open.as_fd(), &path).unwrap();
        for generation in 1..3 {
            let record = Record::new(generation, Manifest::default(), None);
            let json = serde_json::to_vec(&record).unwrap();
            let length = json.len() as u64;
            let mut bytes = (length + 8).to_le_bytes().to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend(json);
            bytes.resize(16 << 10, 0);
            map::update(open.as_fd(), &[0; 4], &bytes).unwrap();
            assert_eq!(Record::read_alone(&path).unwrap(), record);
        }
    }

    /// A namespace that ended and another one may have one inode; the cookie tells them apart, where the kernel has one.
    #[test]
    fn a_namespace_of_the_same_inode_is_another_one_by_its_cookie() {
        let mut namespace = Namespace::current().unwrap();
        let record = |cookie| Record::new(1, Manifest::default(), cookie);
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
