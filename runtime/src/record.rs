//! What an apply leaves to be remembered: the object, its manifest and the hooks, in a pinned map.
//!
//! The bpf file system holds no ordinary files, and a file elsewhere could tell something else than the kernel. The map is an
//! array of chunks; the first two words are the lengths of the JSON part and of the object behind it.

use std::os::fd::AsFd;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sockc_compiler::artifact::Manifest;

use crate::error::{Error, at};
use crate::hook::{Hook, Point};
use crate::sys::{bpffs, map};

/// The version of [`Record`] and of the dispatchers.
const VERSION: u32 = 2;
/// Bytes in an element of the map.
const CHUNK: u32 = 16 << 10;
/// Bytes of the two lengths.
const HEAD: usize = 16;

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
    /// The cookie of the network namespace: its inode may be used again, the cookie is not.
    pub(crate) cookie: Option<u64>,
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
            cookie,
        }
    }

    /// Whether a hook is one of this record.
    pub(crate) fn has(&self, hook: &Hook) -> bool {
        self.hooks.iter().any(|attached| attached.hook == *hook)
    }

    /// Writes the record and the object into a map pinned at `path`.
    pub(crate) fn write(&self, object: &[u8], path: &Path) -> Result<(), Error> {
        let what = "keep what was applied";
        let json = serde_json::to_vec(self).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let mut bytes = Vec::with_capacity(HEAD + json.len() + object.len());
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend((object.len() as u64).to_le_bytes());
        bytes.extend(json);
        bytes.extend(object);
        bytes.resize(bytes.len().next_multiple_of(CHUNK as usize), 0);
        let chunks = u32::try_from(bytes.len() / CHUNK as usize).unwrap_or(u32::MAX);
        let record = map::create("record", map::Shape::array(CHUNK, chunks)).map_err(at(what))?;
        for (index, chunk) in (0u32..).zip(bytes.chunks(CHUNK as usize)) {
            map::update(record.as_fd(), &index.to_ne_bytes(), chunk).map_err(at(what))?;
        }
        bpffs::pin(record.as_fd(), path).map_err(at(what))
    }

    /// Reads the record and the object from the map pinned at `path`.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<u8>), Error> {
        let damaged = |cause: String| Error::State {
            path: path.to_owned(),
            cause,
        };
        let bytes = read_chunks(path).map_err(|error| damaged(error.to_string()))?;
        let (json, object) = split(&bytes).ok_or_else(|| damaged("it is cut short".to_owned()))?;
        let record: Self =
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged("another version of sockc wrote it".to_owned()));
        }
        Ok((record, object.to_vec()))
    }
}

fn read_chunks(path: &Path) -> std::io::Result<Vec<u8>> {
    let record = bpffs::open(path)?;
    let shape = map::shape(record.as_fd())?;
    let mut bytes = Vec::new();
    for index in 0..shape.entries {
        let mut chunk = vec![0; shape.value as usize];
        map::lookup(record.as_fd(), &index.to_ne_bytes(), &mut chunk)?;
        bytes.extend(chunk);
    }
    Ok(bytes)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let (json, object) = head.split_first_chunk::<8>()?;
    let json = usize::try_from(u64::from_le_bytes(*json)).ok()?;
    let object = usize::try_from(u64::from_le_bytes(object.try_into().ok()?)).ok()?;
    let (json, rest) = rest.split_at_checked(json)?;
    Some((json, rest.get(..object)?))
}
