//! Programs, their instructions and their references to maps.

use std::collections::BTreeMap;

use object::read::elf::ElfSymbol64;
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget,
    SymbolIndex, SymbolKind, elf,
};

use super::super::layout::INSN_SIZE;
use super::super::{MAPS, ObjectError, TABLE, WORD, exchange_halves};
use super::file::{File, damaged};
use super::types::Types;
use crate::artifact::{MapId, MapSpec, Program, Relocation, Section};
use crate::bpf::insn::Insn;

type Symbol<'data, 'file> = ElfSymbol64<'data, 'file, LittleEndian>;

/// The symbols that stand for programs and maps, in their order.
pub(super) struct Symbols<'data, 'file> {
    /// Programs, with their section.
    programs: Vec<(Section, Symbol<'data, 'file>)>,
    /// Maps, those with contents among them.
    pub(super) maps: Vec<MapSymbol<'data, 'file>>,
}

/// The symbol of a map.
pub(super) struct MapSymbol<'data, 'file> {
    symbol: Symbol<'data, 'file>,
    /// How the section begins that it has for itself, if it has contents.
    home: Option<&'static str>,
}

impl MapSymbol<'_, '_> {
    /// The map's definition.
    pub(super) fn spec(&self, file: &File<'_>, types: &Types<'_>) -> Result<MapSpec, ObjectError> {
        let name = self.symbol.name().map_err(|error| damaged(&error))?;
        let Some(home) = self.home else {
            return types.map(name);
        };
        let data = file.section(&format!("{home}{name}"))?;
        if (self.symbol.address(), self.symbol.size()) != (0, data.len() as u64) {
            return Err(ObjectError::damaged(format!(
                "the table `{name}` is not its whole section"
            )));
        }
        let table = MapSpec::table(name, data.to_vec());
        Ok(match home {
            TABLE => table,
            _ => MapSpec { flags: 0, ..table },
        })
    }
}

/// A program and where it lies.
struct Function {
    program: Program,
    /// Where it begins in its section, in bytes.
    start: u64,
}

/// The programs, in their order.
pub(super) struct Functions(Vec<Function>);

/// The symbols of a file.
pub(super) fn symbols<'data, 'file>(
    file: &'file File<'data>,
) -> Result<Symbols<'data, 'file>, ObjectError> {
    let mut symbols = Symbols {
        programs: Vec::new(),
        maps: Vec::new(),
    };
    for symbol in file.elf.symbols() {
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let section = file.elf.section_by_index(index);
        let section = section.map_err(|error| damaged(&error))?;
        let section = section.name().map_err(|error| damaged(&error))?;
        match symbol.kind() {
            SymbolKind::Data if section == MAPS => {
                symbols.maps.push(MapSymbol { symbol, home: None });
            }
            SymbolKind::Data => {
                let mut homes = [TABLE, WORD].into_iter();
                let home = homes.find(|home| section.starts_with(home));
                symbols
                    .maps
                    .extend(home.map(|_| MapSymbol { symbol, home }));
            }
            SymbolKind::Text => symbols.programs.push((code_section(section)?, symbol)),
            _ => {}
        }
    }
    Ok(symbols)
}

/// The programs that the symbols name, without references and lines.
pub(super) fn functions(
    file: &File<'_>,
    symbols: &Symbols<'_, '_>,
) -> Result<Functions, ObjectError> {
    let mut functions = Vec::with_capacity(symbols.programs.len());
    for (section, symbol) in &symbols.programs {
        let name = symbol.name().map_err(|error| damaged(&error))?;
        let code = file.section(section.name())?;
        let insns = instructions(code, symbol.address(), symbol.size()).ok_or_else(|| {
            ObjectError::damaged(format!("program `{name}` lies outside its section"))
        })?;
        functions.push(Function {
            program: Program {
                name: name.to_owned(),
                section: *section,
                insns,
                relocations: Vec::new(),
                lines: Vec::new(),
            },
            start: symbol.address(),
        });
    }
    Ok(Functions(functions))
}

/// Adds the references to maps.
pub(super) fn add_relocations(
    file: &File<'_>,
    symbols: &Symbols<'_, '_>,
    functions: &mut Functions,
) -> Result<(), ObjectError> {
    let wrong = || ObjectError::damaged("a reference of a program to a map cannot be read");
    let maps: BTreeMap<usize, (MapId, bool)> = symbols
        .maps
        .iter()
        .zip(0..)
        .map(|(map, id)| {
            let has_contents = map.home.is_some();
            (map.symbol.index().0, (MapId::from_u32(id), has_contents))
        })
        .collect();
    for section in file.elf.sections() {
        let name = section.name().map_err(|error| damaged(&error))?;
        for (offset, relocation) in section.relocations() {
            let &(map, has_contents) = match (relocation.target(), relocation.flags()) {
                (
                    RelocationTarget::Symbol(SymbolIndex(symbol)),
                    RelocationFlags::Elf {
                        r_type: elf::R_BPF_64_64,
                    },
                ) => maps.get(&symbol).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            };
            let (program, insn) = functions
                .at(code_section(name)?, offset)
                .ok_or_else(wrong)?;
            let value_offset = has_contents
                .then(|| in_memory(program, insn).ok_or_else(wrong))
                .transpose()?;
            program.relocations.push(Relocation {
                insn,
                map,
                value_offset,
            });
        }
    }
    for function in &mut functions.0 {
        let relocations = &mut function.program.relocations;
        relocations.sort_by_key(|relocation| relocation.insn);
    }
    Ok(())
}

/// Turns the load of a value's address from its form in the file into the one in memory; gives the offset it loads.
fn in_memory(program: &mut Program, at: u32) -> Option<u32> {
    exchange_halves(&mut program.insns, at);
    let second = program.insns.get(at as usize + 1)?;
    Some(second.imm.cast_unsigned())
}

impl Functions {
    /// The program and the instruction at a byte of a section.
    pub(super) fn at(&mut self, section: Section, offset: u64) -> Option<(&mut Program, u32)> {
        self.0.iter_mut().find_map(|Function { program, start }| {
            let bytes = offset.checked_sub(*start)?;
            let size = u64::from(INSN_SIZE);
            let insn = bytes / size;
            let inside = program.section == section
                && bytes % size == 0
                && insn < program.insns.len() as u64;
            let insn = u32::try_from(insn).ok()?;
            inside.then_some((program, insn))
        })
    }

    /// The programs.
    pub(super) fn into_programs(self) -> Vec<Program> {
        self.0
            .into_iter()
            .map(|function| function.program)
            .collect()
    }
}

/// The section of programs of this name.
pub(super) fn code_section(name: &str) -> Result<Section, ObjectError> {
    Section::ALL
        .into_iter()
        .find(|section| section.name() == name)
        .ok_or_else(|| ObjectError::damaged(format!("programs in a section `{name}`")))
}

/// The instructions in a range of a section; `None` if it is not inside or not whole instructions.
fn instructions(code: &[u8], start: u64, size: u64) -> Option<Vec<Insn>> {
    let end = start.checked_add(size)?;
    let code = code.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
    let (chunks, rest) = code.as_chunks();
    rest.is_empty().then(|| {
        chunks
            .iter()
            .map(|bytes| Insn::from_bytes(*bytes))
            .collect()
    })
}
