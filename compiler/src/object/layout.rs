//! Where each program and each map lies in its section.

use super::ObjectError;
use crate::artifact::{Artifact, Program, Section};

/// The size of an instruction in the file.
pub(super) const INSN_SIZE: u32 = 8;
/// The size of a map's slot in `.maps`: five attributes, each a pointer (see [`super::types`]).
pub(super) const MAP_SIZE: u32 = 40;

/// A program and where it begins in its section, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedProgram<'a> {
    /// Its place in [`Artifact::programs`].
    pub(super) index: usize,
    /// The program.
    pub(super) program: &'a Program,
    /// Where it begins.
    pub(super) offset: u32,
}

/// A section of programs.
#[derive(Debug)]
pub(super) struct CodeSection<'a> {
    /// The section.
    pub(super) section: Section,
    /// Its programs, one after the other.
    pub(super) programs: Vec<PlacedProgram<'a>>,
    /// Its size in bytes.
    pub(super) size: u32,
}

/// The sections of programs, in the order in which the artifact first names them.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    /// The sections.
    pub(super) sections: Vec<CodeSection<'a>>,
}

impl<'a> Layout<'a> {
    /// The layout of an artifact.
    pub(super) fn of(artifact: &'a Artifact) -> Result<Self, ObjectError> {
        let mut layout = Self {
            sections: Vec::new(),
        };
        for (index, program) in artifact.programs.iter().enumerate() {
            layout.section(program.section).push(index, program)?;
        }
        Ok(layout)
    }

    /// The section, made if it is new.
    fn section(&mut self, wanted: Section) -> &mut CodeSection<'a> {
        let known = self.sections.iter().position(|s| s.section == wanted);
        let index = known.unwrap_or(self.sections.len());
        if known.is_none() {
            self.sections.push(CodeSection {
                section: wanted,
                programs: Vec::new(),
                size: 0,
            });
        }
        &mut self.sections[index]
    }
}

impl<'a> CodeSection<'a> {
    /// Puts a program after the others.
    fn push(&mut self, index: usize, program: &'a Program) -> Result<(), ObjectError> {
        let offset = self.size;
        self.size = u32::try_from(program.insns.len())
            .ok()
            .and_then(|insns| insns.checked_mul(INSN_SIZE))
            .and_then(|size| offset.checked_add(size))
            .ok_or(ObjectError::TooLarge { part: "code" })?;
        self.programs.push(PlacedProgram {
            index,
            program,
            offset,
        });
        Ok(())
    }
}
