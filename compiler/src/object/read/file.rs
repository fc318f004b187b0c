//! The ELF file and its sections; tells a file that is cut short from one that is something else.

use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection, elf};

use super::super::ObjectError;

/// The header of a 64-bit ELF file is that long.
const HEADER_SIZE: usize = 64;

/// An ELF relocatable for BPF.
pub(in crate::object) struct File<'a> {
    /// The file.
    pub(super) elf: ElfFile64<'a, LittleEndian>,
}

impl<'a> File<'a> {
    /// Opens a file.
    pub(in crate::object) fn open(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let magic = &elf::ELFMAG[..];
        if !bytes.starts_with(magic) && !magic.starts_with(bytes) {
            return Err(ObjectError::NotAnObject);
        }
        if bytes.len() < HEADER_SIZE {
            return Err(ObjectError::CutShort);
        }
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes)
            .map_err(|_| ObjectError::NotAnObject)?;
        if header.e_machine(LittleEndian) != elf::EM_BPF
            || header.e_type(LittleEndian) != elf::ET_REL
        {
            return Err(ObjectError::NotAnObject);
        }
        check_length(header, bytes)?;
        let elf = ElfFile64::parse(bytes).map_err(|error| damaged(&error))?;
        Ok(Self { elf })
    }

    /// The bytes of a section, if there is one of this name.
    pub(super) fn find(&self, name: &str) -> Result<Option<&'a [u8]>, ObjectError> {
        let section = self.elf.section_by_name(name);
        let data = section.map(|section| section.data()).transpose();
        data.map_err(|error| damaged(&error))
    }

    /// Where a section's bytes stand in the file, if there is one of this name.
    pub(in crate::object) fn range(&self, name: &str) -> Option<(u64, u64)> {
        self.elf.section_by_name(name)?.file_range()
    }

    /// What follows `prefix` in the name, and the bytes, of every section whose name begins so, in order.
    pub(super) fn beginning(&self, prefix: &str) -> Result<Vec<(&str, &'a [u8])>, ObjectError> {
        let mut found = Vec::new();
        for section in self.elf.sections() {
            let name = section.name().map_err(|error| damaged(&error))?;
            if let Some(rest) = name.strip_prefix(prefix) {
                found.push((rest, section.data().map_err(|error| damaged(&error))?));
            }
        }
        Ok(found)
    }

    /// The bytes of a section that every sockc object has.
    pub(super) fn section(&self, name: &str) -> Result<&'a [u8], ObjectError> {
        self.find(name)?
            .ok_or_else(|| ObjectError::damaged(format!("it has no section `{name}`")))
    }
}

/// The section table and every section lie inside the file.
fn check_length(header: &elf::FileHeader64<LittleEndian>, bytes: &[u8]) -> Result<(), ObjectError> {
    let count = u64::from(header.e_shnum(LittleEndian));
    let size = u64::from(header.e_shentsize(LittleEndian));
    let inside = |offset: u64, size: u64| {
        let end = offset.checked_add(size);
        end.is_some_and(|end| end <= bytes.len() as u64)
    };
    if !inside(header.e_shoff(LittleEndian), count * size) {
        return Err(ObjectError::CutShort);
    }
    let sections = header
        .section_headers(LittleEndian, bytes)
        .map_err(|error| damaged(&error))?;
    let ranges = sections.iter().filter_map(|s| s.file_range(LittleEndian));
    for (offset, size) in ranges {
        if !inside(offset, size) {
            return Err(ObjectError::CutShort);
        }
    }
    Ok(())
}

/// The ELF reader refused it.
pub(super) fn damaged(error: &object::Error) -> ObjectError {
    ObjectError::damaged(format!(
        "its ELF structure does not hold together ({error})"
    ))
}
