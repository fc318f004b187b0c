//! `.BTF.ext`: which function and which source line each instruction belongs to.
//!
//! A header, then two tables, each with a record size and a block per section of programs. The kernel wants a record at the
//! first instruction of every function or none at all, strictly increasing, never on the second half of a 64-bit immediate;
//! [`super::check`] has seen to that.

use super::ObjectError;
use super::btf::{Btf, TypeId, header};
use super::layout::{CodeSection, INSN_SIZE, Layout, PlacedProgram};
use crate::artifact::Line;

/// The size of the header.
pub(super) const HEADER_SIZE: u32 = 32;
/// The size of a record that names a function: where it begins in bytes, its type.
const FUNCTION_SIZE: u32 = 8;
/// The size of a line record: where it begins in bytes, file name, text, line and column.
pub(super) const LINE_SIZE: u32 = 16;
/// The column is kept in ten bits.
pub(super) const COLUMN_BITS: u32 = 10;

/// The block of one section: how many records, and their words.
type Block = (u32, Vec<u32>);

/// The section `.BTF.ext`; names and texts go into `btf`.
pub(super) fn encode(
    btf: &mut Btf,
    layout: &Layout<'_>,
    functions: &[TypeId],
) -> Result<Vec<u8>, ObjectError> {
    let function_table = table(btf, layout, FUNCTION_SIZE, |_, placed| {
        let id = functions.get(placed.index).map_or(0, |id| id.0);
        vec![placed.offset, id]
    })?;
    let line_table = table(btf, layout, LINE_SIZE, |btf, placed| {
        let lines = placed.program.lines.iter();
        lines.flat_map(|line| record(btf, placed, line)).collect()
    })?;
    let functions_length = length(&function_table)?;
    let lines_length = length(&line_table)?;
    let mut bytes: Vec<u8> = header(HEADER_SIZE).collect();
    let tables = [0, functions_length, functions_length, lines_length];
    // The third table, of relocations by type, is empty and at the end.
    let relocations = [functions_length.saturating_add(lines_length), 0];
    for word in tables.into_iter().chain(relocations) {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(function_table);
    bytes.extend(line_table);
    Ok(bytes)
}

/// The record of a line. A line or column that does not fit is written as the largest that does.
fn record(btf: &mut Btf, placed: &PlacedProgram<'_>, line: &Line) -> [u32; 4] {
    let number = line.location.line.min(u32::MAX >> COLUMN_BITS);
    let column = line.location.column.min((1 << COLUMN_BITS) - 1);
    [
        placed.offset.saturating_add(line.insn * INSN_SIZE),
        btf.text(&line.location.file),
        btf.text(&line.location.text),
        number << COLUMN_BITS | column,
    ]
}

/// A table: record size, then for each section its name, the number of records, and the records. One without records has
/// no bytes at all, because libbpf refuses one that has only a record size.
fn table(
    btf: &mut Btf,
    layout: &Layout<'_>,
    record_size: u32,
    mut words: impl FnMut(&mut Btf, &PlacedProgram<'_>) -> Vec<u32>,
) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = Vec::new();
    for section in &layout.sections {
        let (count, records) = block(btf, section, record_size, &mut words)?;
        if count == 0 {
            continue;
        }
        if bytes.is_empty() {
            bytes.extend(record_size.to_le_bytes());
        }
        bytes.extend(btf.name(section.section.name()).to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(records.into_iter().flat_map(u32::to_le_bytes));
    }
    Ok(bytes)
}

/// The records of one section.
fn block(
    btf: &mut Btf,
    section: &CodeSection<'_>,
    record_size: u32,
    words: &mut impl FnMut(&mut Btf, &PlacedProgram<'_>) -> Vec<u32>,
) -> Result<Block, ObjectError> {
    let mut records = Vec::new();
    for placed in &section.programs {
        records.extend(words(btf, placed));
    }
    let count = length(&records)? / (record_size / 4);
    Ok((count, records))
}

/// The length as the format counts it.
fn length<T>(items: &[T]) -> Result<u32, ObjectError> {
    u32::try_from(items.len()).map_err(|_| ObjectError::TooLarge {
        part: "line information",
    })
}
