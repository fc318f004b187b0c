//! The source lines in `.BTF.ext`.

use super::super::ObjectError;
use super::super::btf::MAGIC;
use super::super::btf_ext::{COLUMN_BITS, HEADER_SIZE, LINE_SIZE};
use super::super::strings::unescape;
use super::code::{Functions, code_section};
use super::little_endian::{Words, part};
use super::types::Types;
use crate::artifact::Line;
use crate::location::Location;

/// Adds the lines to the programs.
pub(super) fn add_lines(
    section: &[u8],
    types: &Types<'_>,
    functions: &mut Functions,
) -> Result<(), ObjectError> {
    add(section, types, functions)
        .ok_or_else(|| ObjectError::damaged("its line information cannot be read"))
}

/// The work of [`add_lines`]; `None` at the first thing that cannot be read.
fn add(section: &[u8], types: &Types<'_>, functions: &mut Functions) -> Option<()> {
    let mut words = line_table(section)?;
    if words.0.is_empty() {
        return Some(());
    }
    if words.next()? != LINE_SIZE {
        return None;
    }
    while !words.0.is_empty() {
        let section = code_section(types.string(words.next()?)?).ok()?;
        for _ in 0..words.next()? {
            let offset = words.next()?;
            let (program, insn) = functions.at(section, u64::from(offset))?;
            program.lines.push(line(&mut words, types, insn)?);
        }
    }
    Some(())
}

/// The bytes of the table of lines.
fn line_table(section: &[u8]) -> Option<Words<'_>> {
    let mut words = Words(section);
    let magic = words.next()? & 0xffff;
    let length = words.next()?;
    if magic != u32::from(MAGIC) || length < HEADER_SIZE {
        return None;
    }
    let body = section.get(usize::try_from(length).ok()?..)?;
    // The words of the header: where the functions are and their length, then the same of the lines.
    let [offset, length] = [words.at(2)?, words.at(3)?];
    Some(Words(part(body, offset, length)?))
}

/// The line in the words of a record after its offset.
fn line(words: &mut Words<'_>, types: &Types<'_>, insn: u32) -> Option<Line> {
    let file = unescape(types.string(words.next()?)?)?;
    let text = unescape(types.string(words.next()?)?)?;
    let place = words.next()?;
    Some(Line {
        insn,
        location: Location {
            file: file.into(),
            line: place >> COLUMN_BITS,
            column: place & ((1 << COLUMN_BITS) - 1),
            text: text.into(),
        },
    })
}
