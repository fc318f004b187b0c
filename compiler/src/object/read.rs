//! Reads a sockc object back.
//!
//! Takes bytes that may be anything, and gives the artifact or its manifest, or an error that says whether the file is cut
//! short, not ours, of another version, or damaged. What it gives keeps the rules of [`super::check`]. Objects of other
//! compilers are not read: they have no manifest, and much that is not needed here.

mod code;
pub(super) mod file;
mod lines;
mod little_endian;
mod types;

use super::{BTF, BTF_EXT, LISTS, MANIFEST, NETNS, ObjectError, check, lists, manifest};
use cranelift_entity::PrimaryMap;

use crate::artifact::{Artifact, Manifest, MapId, MapSpec, Program};
use file::File;

/// The manifest of an object.
///
/// # Errors
///
/// The bytes are no object of this version of sockc, or are damaged.
pub fn read_manifest(bytes: &[u8]) -> Result<Manifest, ObjectError> {
    manifest_of(&File::open(bytes)?)
}

/// Where the manifest stands in an object, as JSON: its first byte and how many there are. `None` if these bytes are no object, or one
/// of others.
#[must_use]
pub fn manifest_place(bytes: &[u8]) -> Option<(u64, u64)> {
    File::open(bytes).ok()?.range(MANIFEST)
}

/// The lists of sets that travel in an object: name and text. None where the policy has none, they are too large, or the
/// object was written before lists travelled.
///
/// # Errors
///
/// The bytes are not a sockc object, or are damaged.
pub fn read_lists(bytes: &[u8]) -> Result<Vec<(String, String)>, ObjectError> {
    lists_of(&File::open(bytes)?)
}

/// The artifact that an object was written from. A source line's number and column come back as far as the format holds
/// them: a column up to 1023, a line up to 4194303, and no text where all texts together are longer than 15 MiB.
///
/// # Errors
///
/// The bytes are no object of this version of sockc, or are damaged.
pub fn read(bytes: &[u8]) -> Result<Artifact, ObjectError> {
    let file = File::open(bytes)?;
    let manifest = manifest_of(&file)?;
    let Code { programs, maps } = code_of(&file)?;
    let artifact = Artifact {
        programs,
        maps,
        manifest,
        lists: lists_of(&file)?,
        netns: netns(&file)?,
    };
    check::check(&artifact).map_err(ObjectError::damaged)?;
    Ok(artifact)
}

/// The programs of an object and its maps: of 100,000 rules the smaller part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The programs.
    pub programs: Vec<Program>,
    /// The maps that they name.
    pub maps: PrimaryMap<MapId, MapSpec>,
}

/// Programs and maps alone, without asking what else [`read`] asks.
///
/// # Errors
///
/// The bytes are no object, or are damaged.
pub fn read_code(bytes: &[u8]) -> Result<Code, ObjectError> {
    code_of(&File::open(bytes)?)
}

fn code_of(file: &File<'_>) -> Result<Code, ObjectError> {
    let types = types::Types::parse(file.section(BTF)?)?;
    let symbols = code::symbols(file)?;
    let mut maps = PrimaryMap::new();
    for map in &symbols.maps {
        maps.push(map.spec(file, &types)?);
    }
    let mut functions = code::functions(file, &symbols)?;
    code::add_relocations(file, &symbols, &mut functions)?;
    lines::add_lines(file.section(BTF_EXT)?, &types, &mut functions)?;
    Ok(Code {
        programs: functions.into_programs(),
        maps,
    })
}

/// The objects of the `for netns` blocks that travel in this one, by the names of their namespaces: each an object of its
/// own, as [`super::write()`] would write it.
///
/// # Errors
///
/// The bytes are no object of this version of sockc, or are damaged.
pub fn namespaces(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ObjectError> {
    let file = File::open(bytes)?;
    let found = file.beginning(NETNS)?;
    // Reading the manifest of 100,000 rules takes long: where there is nothing to give, its version counts for nothing.
    match found.is_empty() {
        true => file.find(MANIFEST)?.map(drop).ok_or(ObjectError::Foreign)?,
        false => manifest_of(&file).map(drop)?,
    }
    Ok(found
        .into_iter()
        .map(|(name, object)| (name.to_owned(), object.to_vec()))
        .collect())
}

/// The artifacts of the `for netns` blocks. One that has blocks itself is refused before they are read, so that the depth is
/// bounded whatever the bytes.
fn netns(file: &File<'_>) -> Result<Vec<(String, Artifact)>, ObjectError> {
    let mut artifacts = Vec::new();
    for (name, object) in file.beginning(NETNS)? {
        if !File::open(object)?.beginning(NETNS)?.is_empty() {
            return Err(ObjectError::damaged(format!(
                "the network namespace {name:?} has namespaces of its own"
            )));
        }
        artifacts.push((name.to_owned(), read(object)?));
    }
    Ok(artifacts)
}

/// The lists of sets of an open object.
fn lists_of(file: &File<'_>) -> Result<Vec<(String, String)>, ObjectError> {
    let found = file.find(LISTS)?.map(lists::decode);
    Ok(found.transpose()?.unwrap_or_default())
}

/// The manifest of an open object; an object without one is not ours.
fn manifest_of(file: &File<'_>) -> Result<Manifest, ObjectError> {
    let bytes = file.find(MANIFEST)?.ok_or(ObjectError::Foreign)?;
    manifest::decode(bytes)
}
