//! Reads an object of ours back.
//!
//! Takes bytes that may be anything, and gives the artifact or its manifest, or an error that says whether the file is cut
//! short, not ours, of another version, or damaged. What it gives keeps the rules of [`super::check`]. Objects of other
//! compilers are not read: they have no manifest, and much that is not needed here.

mod code;
mod file;
mod lines;
mod types;
mod words;

use super::{BTF, BTF_EXT, MANIFEST, ObjectError, check, manifest};
use crate::artifact::{Artifact, Manifest};
use file::File;

/// The manifest of an object.
///
/// # Errors
///
/// The bytes are no object of this version of sockc, or are damaged.
pub fn read_manifest(bytes: &[u8]) -> Result<Manifest, ObjectError> {
    manifest_of(&File::open(bytes)?)
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
    let types = types::Types::parse(file.section(BTF)?)?;
    let symbols = code::symbols(&file)?;
    let mut maps = cranelift_entity::PrimaryMap::new();
    for map in &symbols.maps {
        maps.push(map.spec(&file, &types)?);
    }
    let mut functions = code::functions(&file, &symbols)?;
    code::add_relocations(&file, &symbols, &mut functions)?;
    lines::add_lines(file.section(BTF_EXT)?, &types, &mut functions)?;
    let artifact = Artifact {
        programs: functions.into_programs(),
        maps,
        manifest,
        netns: Vec::new(),
    };
    check::check(&artifact).map_err(ObjectError::damaged)?;
    Ok(artifact)
}

/// The manifest of an open object; an object without one is not ours.
fn manifest_of(file: &File<'_>) -> Result<Manifest, ObjectError> {
    let bytes = file.find(MANIFEST)?.ok_or(ObjectError::Foreign)?;
    manifest::decode(bytes)
}
