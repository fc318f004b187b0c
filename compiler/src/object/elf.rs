//! The ELF file around everything: sections, symbols, relocations.
//!
//! Symbols come in the order of programs and maps, which is how [`super::read`] finds that order again.

use std::borrow::Cow;

use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};

use super::layout::{INSN_SIZE, Layout, MAP_SIZE, PlacedProgram};
use super::sum;
use super::types::LICENSE_VARIABLE;
use super::{
    BTF, BTF_EXT, LICENSE, LICENSE_TEXT, LISTS, MANIFEST, MAPS, NETNS, ObjectError, SUM, home,
};
use crate::artifact::{Artifact, MapSpec, Program};
use crate::bpf::insn::Insn;

/// The bytes of the sections of types and lines.
pub(super) struct Debug {
    /// `.BTF`
    pub(super) btf: Vec<u8>,
    /// `.BTF.ext`
    pub(super) btf_ext: Vec<u8>,
}

/// The sections that only we read.
pub(super) struct Extra<'a> {
    /// `.sockc.manifest`
    pub(super) manifest: Vec<u8>,
    /// `.sockc.lists`, if it is there.
    pub(super) lists: Option<Vec<u8>>,
    /// `.sockc.netns.NAME`, by name.
    pub(super) netns: Vec<(&'a str, Vec<u8>)>,
}

/// The file.
pub(super) fn assemble(
    artifact: &Artifact,
    layout: &Layout<'_>,
    debug: Debug,
    extra: Extra<'_>,
) -> Result<Vec<u8>, ObjectError> {
    let mut file = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = add_code(&mut file, layout);
    add_functions(&mut file, artifact, layout, &code);
    let maps = add_maps(&mut file, artifact);
    add_relocations(&mut file, layout, &code, &maps)?;
    let license = add_section(&mut file, LICENSE, SectionKind::Data, LICENSE_TEXT, 1);
    add_symbol(
        &mut file,
        LICENSE_VARIABLE,
        SymbolKind::Data,
        license,
        0..LICENSE_TEXT.len() as u64,
    );
    add_section(&mut file, BTF, SectionKind::Other, debug.btf, 4);
    add_section(&mut file, BTF_EXT, SectionKind::Other, debug.btf_ext, 4);
    add_section(&mut file, MANIFEST, SectionKind::Other, extra.manifest, 1);
    if let Some(lists) = extra.lists {
        add_section(&mut file, LISTS, SectionKind::Other, lists, 1);
    }
    for (name, object) in extra.netns {
        let name = format!("{NETNS}{name}");
        // Aligned as an ELF file wants to be when it is read in place.
        add_section(&mut file, &name, SectionKind::Other, object, 8);
    }
    add_section(&mut file, SUM, SectionKind::Other, vec![0; sum::SIZE], 1);
    file.write().map_err(refused)
}

/// The sections of programs, in the layout's order.
fn add_code(file: &mut Object<'_>, layout: &Layout<'_>) -> Vec<SectionId> {
    layout
        .sections
        .iter()
        .map(|section| {
            let programs = section.programs.iter();
            let code: Vec<u8> = programs
                .flat_map(|placed| as_linked(placed.program))
                .flat_map(Insn::to_bytes)
                .collect();
            let name = section.section.name();
            add_section(file, name, SectionKind::Text, code, u64::from(INSN_SIZE))
        })
        .collect()
}

/// The instructions as the file holds them: the offset into a table stands in the first half of its load, where loaders
/// look for it.
fn as_linked(program: &Program) -> Vec<Insn> {
    let mut insns = program.insns.clone();
    for relocation in &program.relocations {
        if relocation.value_offset.is_some() {
            super::exchange_halves(&mut insns, relocation.insn);
        }
    }
    insns
}

/// A symbol for each program, in the artifact's order.
fn add_functions(
    file: &mut Object<'_>,
    artifact: &Artifact,
    layout: &Layout<'_>,
    code: &[SectionId],
) {
    let mut placed: Vec<(&PlacedProgram<'_>, SectionId)> =
        Vec::with_capacity(artifact.programs.len());
    for (section, id) in layout.sections.iter().zip(code) {
        placed.extend(section.programs.iter().map(|program| (program, *id)));
    }
    placed.sort_by_key(|(program, _)| program.index);
    for (
        PlacedProgram {
            program, offset, ..
        },
        section,
    ) in placed
    {
        let start = u64::from(*offset);
        let end = start + program.insns.len() as u64 * u64::from(INSN_SIZE);
        add_symbol(file, &program.name, SymbolKind::Text, section, start..end);
    }
}

/// The section of maps, all zero bytes, the sections of those with contents, and a symbol for each.
fn add_maps<'a>(file: &mut Object<'a>, artifact: &'a Artifact) -> Vec<SymbolId> {
    let size = u64::from(MAP_SIZE);
    let specs = artifact.maps.values();
    let defined = specs.filter(|spec| spec.data.is_none()).count();
    let slots = vec![0; defined * MAP_SIZE as usize];
    // An empty section is left out.
    let section = (defined > 0).then(|| add_section(file, MAPS, SectionKind::Data, slots, 8));
    let mut end = 0;
    let mut symbols = Vec::with_capacity(artifact.maps.len());
    for spec in artifact.maps.values() {
        let place = match (&spec.data, section) {
            (Some(data), _) => (add_contents(file, spec, data), 0..data.len() as u64),
            (None, Some(section)) => {
                let start = end;
                end += size;
                (section, start..end)
            }
            (None, None) => continue,
        };
        symbols.push(add_symbol(
            file,
            &spec.name,
            SymbolKind::Data,
            place.0,
            place.1,
        ));
    }
    symbols
}

/// The section of a map with contents.
fn add_contents<'a>(file: &mut Object<'a>, spec: &MapSpec, data: &'a [u8]) -> SectionId {
    let name = format!("{}{}", home(spec), spec.name);
    let kind = match spec.is_table() {
        true => SectionKind::ReadOnlyData,
        false => SectionKind::Data,
    };
    add_section(file, &name, kind, data, 8)
}

/// A relocation for each reference to a map.
fn add_relocations(
    file: &mut Object<'_>,
    layout: &Layout<'_>,
    code: &[SectionId],
    maps: &[SymbolId],
) -> Result<(), ObjectError> {
    for (section, id) in layout.sections.iter().zip(code) {
        for placed in &section.programs {
            for relocation in &placed.program.relocations {
                let map = relocation.map.as_u32() as usize;
                let symbol = *maps.get(map).ok_or_else(|| ObjectError::Unwritable {
                    what: format!("{:?} does not exist", relocation.map),
                })?;
                let offset =
                    u64::from(placed.offset) + u64::from(relocation.insn) * u64::from(INSN_SIZE);
                file.add_relocation(*id, reference(offset, symbol))
                    .map_err(refused)?;
            }
        }
    }
    Ok(())
}

/// A reference to a map. The addend is 0: another one would be written over the instruction.
fn reference(offset: u64, symbol: SymbolId) -> Relocation {
    Relocation {
        offset,
        symbol,
        addend: 0,
        flags: RelocationFlags::Elf {
            r_type: elf::R_BPF_64_64,
        },
    }
}

/// A section with these bytes.
fn add_section<'a>(
    file: &mut Object<'a>,
    name: &str,
    kind: SectionKind,
    bytes: impl Into<Cow<'a, [u8]>>,
    align: u64,
) -> SectionId {
    let section = file.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
    file.set_section_data(section, bytes, align);
    section
}

/// A global symbol for a range of a section.
fn add_symbol(
    file: &mut Object<'_>,
    name: &str,
    kind: SymbolKind,
    section: SectionId,
    range: std::ops::Range<u64>,
) -> SymbolId {
    file.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value: range.start,
        size: range.end - range.start,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    })
}

/// The ELF writer refused what we gave it.
fn refused(error: object::write::Error) -> ObjectError {
    ObjectError::Unwritable {
        what: format!("the ELF writer refused it ({error})"),
    }
}
