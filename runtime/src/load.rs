//! Loads an object by aya: maps first, then programs, all pinned in the folder of a generation.
//!
//! Takes the bytes of an object, and the maps that live outside the generation; gives what is pinned, or what the verifier
//! said, by the rule. Whether an object may be handed to aya at all is asked in [`checked`] before. Not here: what maps are
//! filled with, and where programs hang.

pub(crate) mod checked;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use sockc_compiler::artifact::Manifest;

use crate::error::{Error, at, is_machine, reasons, system_error, unreadable};
use crate::state::{State, make_folder};
use crate::sys::map::Shape;
use crate::sys::{bpffs, map};

use std::os::fd::AsFd;

/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 6;

/// What the verifier says (`check_btf_func`) of the types of functions that aya left out, since the kernel had refused to answer
/// whether it takes such types. Every kernel that we load on does (5.0 and later), so a refusal said nothing of that.
const OTHER_TYPES: &str = " in func info";
const UNASKED: &str = "it refused a question about type information (BTF) before, without which this cannot be; try again";

/// How aya names the map of a constant table, which it fills and freezes: by the section. Programs alone refer to it, so it
/// needs no pin.
const TABLE: &str = ".rodata.";

/// A map that lives outside the generation: its name in the object, and its pin.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The name in the object.
    pub(crate) name: String,
    /// The pin, which is used again if it is there.
    pub(crate) pin: PathBuf,
    /// Whether the generation gets a pin of its own next to it.
    pub(crate) again: bool,
}

/// Makes the maps of the object, except those of `kept` that are there already.
pub(crate) fn maps(
    object: &[u8],
    state: &State,
    generation: u32,
    kept: &[Kept],
    shapes: &BTreeMap<String, Shape>,
) -> Result<Ebpf, Error> {
    check_kept(shapes, kept)?;
    make_folder(&state.generation(generation).join("map"))?;
    let mut loader = EbpfLoader::new();
    // aya asks for a log only of what was refused. With `DEBUG` it has the path to the refused instruction with its source
    // lines (`pop_stack` in kernel/bpf/verifier.c throws the other paths away), else no line at all.
    loader.verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS);
    for map in kept {
        loader.map_pin_path(&map.name, map.pin.as_path());
    }
    let ebpf = loader.load(object).map_err(|error| refused(&error))?;
    for (name, map) in ebpf.maps() {
        let elsewhere = |kept: &Kept| kept.name == name && !kept.again;
        if name.starts_with(TABLE) || kept.iter().any(elsewhere) {
            continue;
        }
        check_name(name)?;
        map.pin(state.map(generation, name))
            .map_err(|error| kernel(format!("pin the map \"{name}\""), &error))?;
    }
    Ok(ebpf)
}

/// A name becomes a pin: it must lead nowhere else, and the bpf file system refuses dots.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains(['/', '.']) {
        return Err(Error::Object {
            cause: format!("\"{name}\" cannot be the name of a map or program"),
        });
    }
    Ok(())
}

/// The shapes of the maps of an object, by name.
pub(crate) fn shapes(object: &[u8]) -> Result<BTreeMap<String, Shape>, Error> {
    let parsed = aya_obj::Object::parse(object).map_err(|error| Error::Object {
        cause: reasons(&error),
    })?;
    let shape = |map: &aya_obj::Map| Shape {
        kind: map.map_type(),
        key: map.key_size(),
        value: map.value_size(),
        entries: map.max_entries(),
    };
    let maps = parsed.maps.iter();
    Ok(maps.map(|(name, map)| (name.clone(), shape(map))).collect())
}

/// aya takes a pinned map for the object's whatever its sizes, and programs would then read beyond its values.
fn check_kept(shapes: &BTreeMap<String, Shape>, kept: &[Kept]) -> Result<(), Error> {
    for one in kept {
        let wanted = shapes.get(&one.name).ok_or_else(|| Error::Object {
            cause: format!("it lacks the map \"{}\"", one.name),
        })?;
        let pinned = match bpffs::open(&one.pin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            pinned => pinned.map_err(|cause| unreadable(&one.pin, cause))?,
        };
        let there = map::shape(pinned.as_fd()).map_err(at("look at a pinned map"))?;
        if *wanted != there {
            return Err(Error::State {
                path: one.pin.clone(),
                cause: "the sockets there are in a map of another shape".to_owned(),
            });
        }
    }
    Ok(())
}

/// Loads the programs that the manifest names and pins them. The maps must still be held by `ebpf`.
pub(crate) fn programs(
    ebpf: &mut Ebpf,
    manifest: &Manifest,
    state: &State,
    generation: u32,
) -> Result<(), Error> {
    make_folder(&state.generation(generation).join("prog"))?;
    for attach in &manifest.programs {
        let name = &attach.program;
        check_name(name)?;
        let program = ebpf.program_mut(name).ok_or_else(|| Error::Object {
            cause: format!("it lacks the program \"{name}\""),
        })?;
        load(program).map_err(|error| program_refused(name, &error))?;
        program
            .pin(state.program(generation, name))
            .map_err(|error| kernel(format!("pin the program \"{name}\""), &error))?;
    }
    Ok(())
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::SkLookup(program) => program.load(),
        Program::SkMsg(program) => program.load(),
        Program::SkSkb(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSockopt(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// A refusal behind an error of aya; the system's own where there is one.
fn kernel(what: String, error: &(dyn std::error::Error + 'static)) -> Error {
    let cause = system_error(error).unwrap_or_else(|| io::Error::other(reasons(error)));
    Error::Kernel { what, cause }
}

fn refused(error: &aya::EbpfError) -> Error {
    let what = || "make the maps of the object".to_owned();
    match error {
        aya::EbpfError::MapError(_) => kernel(what(), error),
        // The object is well, if the system has no room for it now.
        error if system_error(error).is_some_and(|cause| is_machine(&cause)) => {
            kernel(what(), error)
        }
        error => Error::Object {
            cause: reasons(error),
        },
    }
}

fn program_refused(name: &str, error: &ProgramError) -> Error {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return match system_error(error) {
            Some(_) => kernel(format!("load the program \"{name}\""), error),
            None => Error::Object {
                cause: format!("the program \"{name}\": {}", reasons(error)),
            },
        };
    };
    if is_machine(io_error) {
        return kernel(format!("load the program \"{name}\""), error);
    }
    let log = verifier_log.to_string();
    if log.contains(OTHER_TYPES) {
        return Error::Kernel {
            what: format!("load the program \"{name}\""),
            cause: io::Error::other(UNASKED),
        };
    }
    let cause = match io_error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(io_error.to_string()),
    };
    Error::Program {
        name: name.to_owned(),
        cause,
        rule: rule_of(&log),
        log: last_lines(&log),
    }
}

/// The verifier precedes the code of each source line by `; TEXT @ FILE:LINE`.
fn rule_of(log: &str) -> Option<String> {
    let line = log
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("; "))?;
    Some(line.trim().to_owned())
}

fn last_lines(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines
        .iter()
        .skip(from)
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(check_name("sockets").is_ok());
        for name in ["", "..", "../control", "/etc", "a.b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_question_that_was_refused_is_no_fault_of_the_program() {
        let refused = |log: &str| {
            let error = ProgramError::LoadError {
                io_error: io::Error::from_raw_os_error(libc::EINVAL),
                verifier_log: aya_obj::VerifierLog::new(log.to_owned()),
            };
            program_refused("xdp_in", &error)
        };
        let error = refused("invalid type id 64 in func info");
        assert_eq!(
            error.to_string(),
            "the kernel refused to load the program \"xdp_in\": it refused a question about type information (BTF) before, without which this cannot be; try again"
        );
        assert!(matches!(refused("R0 invalid"), Error::Program { .. }));
    }

    #[test]
    fn the_rule_and_the_end_of_the_log_are_found() {
        let log = "0: R1=ctx()\n; drop in tcp @ edge.sk:7\n5: (85) call 6\nR0 invalid\nprocessed 6 insns\n";
        assert_eq!(rule_of(log).as_deref(), Some("drop in tcp @ edge.sk:7"));
        assert_eq!(
            last_lines(log).last().map(String::as_str),
            Some("processed 6 insns")
        );
        assert_eq!(rule_of(""), None);
    }
}
