//! The object file: an [`Artifact`] as a standard ELF relocatable for BPF, and back.
//!
//! [`write()`] takes an artifact and gives the bytes of a file that aya, libbpf (`bpftool`, `ip`, `tc`) and `llvm-objdump`
//! read; the same artifact gives the same bytes. [`read`] and [`read_manifest`] take the bytes of such a file and give back
//! what was written, or say in plain words why they cannot; they never panic, whatever the bytes.
//!
//! ```text
//! xdp, classifier, …   the programs, several functions to a section
//! .maps                one slot for each map; what the map is, its type in .BTF says
//! .rodata.NAME         the contents of one constant table, which loaders make a frozen map of
//! license              "Dual MIT/GPL"
//! .BTF, .BTF.ext       names, types, and which source line each instruction comes from
//! .sockc.manifest      the manifest as JSON, then its counters as JSON, a row each; other loaders pass over it
//! .sockc.lists          the texts of the lists of sets, packed; left out where there are none
//! .sockc.netns.NAME    the object of one `for netns` block, whole; other loaders pass over it
//! .sockc.sum            SHA-256 of the whole file, with zeros where the sum stands; other loaders pass over it
//! ```
//!
//! Not here: files, loading, and whether the programs are right.

mod btf;
mod btf_ext;
mod check;
mod elf;
mod error;
mod layout;
mod lists;
mod manifest;
mod read;
mod rows;
mod strings;
mod sum;
mod types;

#[cfg(test)]
mod tests;

pub use error::ObjectError;
pub use manifest::decode_manifest;
pub use read::{Code, manifest_place, namespaces, read, read_code, read_lists, read_manifest};
pub use sum::{check_sum, kept_sum};

use crate::artifact::{Artifact, MapSpec};
use crate::beside::{beside, is_much};
use crate::bpf::insn::Insn;

/// The manifest of so few counters is written in no time.
const FEW: usize = 1024;

/// The section of the map definitions.
const MAPS: &str = ".maps";
/// How the section of a constant table begins; the table's name follows.
const TABLE: &str = ".rodata.";
/// How the section of a value begins that programs write to by its address; the map's name follows.
const WORD: &str = ".data.";
/// The section of the license.
const LICENSE: &str = "license";
/// The license as the kernel compares it; some helpers are for GPL-compatible programs only.
const LICENSE_TEXT: &[u8] = b"Dual MIT/GPL\0";
/// The section of the manifest.
const MANIFEST: &str = ".sockc.manifest";
/// The section of the lists of sets.
const LISTS: &str = ".sockc.lists";
/// How the section of the object of a `for netns` block begins; the namespace's name follows.
const NETNS: &str = ".sockc.netns.";
/// The section of the sum over the file.
const SUM: &str = ".sockc.sum";
/// The section of the types.
const BTF: &str = ".BTF";
/// The section of the line information.
const BTF_EXT: &str = ".BTF.ext";

/// How the section of a map begins that has contents.
fn home(spec: &MapSpec) -> &'static str {
    if spec.is_table() { TABLE } else { WORD }
}

/// Exchanges the immediates of a 64-bit load; nothing happens where the two halves are not there.
fn exchange_halves(insns: &mut [Insn], at: u32) {
    if let Some([first, second, ..]) = insns.get_mut(at as usize..) {
        std::mem::swap(&mut first.imm, &mut second.imm);
    }
}

/// The object file of an artifact.
///
/// # Errors
///
/// [`ObjectError::Unwritable`] if the artifact breaks a rule of its own types, which is a bug in sockc, and
/// [`ObjectError::TooLarge`] if a part outgrows what the format or the kernel can hold.
pub fn write(artifact: &Artifact) -> Result<Vec<u8>, ObjectError> {
    check::check(artifact).map_err(|what| ObjectError::Unwritable { what })?;
    let layout = layout::Layout::of(artifact)?;
    // Both are long where there are many rules.
    let (manifest, debug) = beside(
        is_much(artifact.manifest.counters.len(), FEW),
        || manifest::encode(&artifact.manifest),
        || debug(artifact, &layout),
    );
    let bytes = elf::assemble(
        artifact,
        &layout,
        debug?,
        elf::Extra {
            manifest: manifest?,
            lists: lists::encode(&artifact.lists)?,
            netns: inner(artifact)?,
        },
    )?;
    sum::seal(bytes)
}

/// Names, types and source lines.
fn debug(artifact: &Artifact, layout: &layout::Layout<'_>) -> Result<elf::Debug, ObjectError> {
    let mut types = btf::Btf::new();
    let functions = types::describe(&mut types, artifact)?;
    let btf_ext = btf_ext::encode(&mut types, layout, &functions)?;
    Ok(elf::Debug {
        btf: types.finish()?,
        btf_ext,
    })
}

/// The objects of the `for netns` blocks, by the names of their namespaces.
fn inner(artifact: &Artifact) -> Result<Vec<(&str, Vec<u8>)>, ObjectError> {
    let blocks = artifact.netns.iter();
    blocks
        .map(|(name, artifact)| Ok((name.as_str(), write(artifact)?)))
        .collect()
}
