//! An object's own programs, asked in the compiler's interpreter: there is no second reading of the rules.
//!
//! Takes an object; gives the program of a group at a point, and what it does on an input. Not here: what is asked, and what
//! becomes of the answer.

use sockc_compiler::artifact::{Artifact, AttachPoint, Program};
use sockc_compiler::interpret::{Bare, Execution, Input, Maps, run};

use crate::error::Error;

/// The program of an object at a point; `None` if nothing is decided there.
pub(super) fn program(artifact: &Artifact, point: AttachPoint) -> Result<Option<&Program>, Error> {
    let mut attached = artifact.manifest.programs.iter();
    let Some(attached) = attached.find(|one| one.point == point) else {
        return Ok(None);
    };
    let mut programs = artifact.programs.iter();
    let program = programs.find(|one| one.name == attached.program);
    program.map(Some).ok_or_else(|| lacks("the program"))
}

/// What a program does on an input at a time of its clock.
pub(super) fn ask(
    program: &Program,
    maps: &mut Maps,
    input: Input,
    now: u64,
) -> Result<Execution, Error> {
    let mut world = Bare {
        now,
        ..Bare::default()
    };
    run(program, maps, input, &mut world).map_err(|fault| Error::Object {
        cause: format!("a program of a group cannot be asked: {fault}"),
    })
}

/// What an object must have for its groups, and has not.
pub(super) fn lacks(what: &str) -> Error {
    Error::Object {
        cause: format!("it lacks {what} of a group"),
    }
}
