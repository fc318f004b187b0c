//! What an object that is not what its text compiles to has otherwise, in words: the first difference, the gravest first.
//!
//! Takes the bytes of both; gives one sentence. Not here: whether they differ.

use crate::artifact::{Artifact, MapSpec, Program};
use crate::bpf::disasm::disassemble;
use crate::bpf::insn::Insn;
use crate::object;

/// The first difference between an object and what its text compiles to, which was written from `again`.
pub(super) fn between(bytes: &[u8], expected: &[u8], again: &Artifact) -> String {
    let found = match object::read(bytes) {
        Ok(artifact) => artifact,
        Err(error) => return format!("it cannot be read whole ({error})"),
    };
    of_artifacts(&found, again).unwrap_or_else(|| in_bytes(bytes, expected))
}

/// The first difference between what was read and what was compiled, if there is one that has a name.
fn of_artifacts(found: &Artifact, again: &Artifact) -> Option<String> {
    programs(found, again)
        .or_else(|| maps(found, again))
        .or_else(|| {
            (found.manifest != again.manifest).then(|| {
                "its manifest (where programs attach, what sets hold, what counters are called) is not what its text compiles to"
                    .to_owned()
            })
        })
        .or_else(|| blocks(found, again))
}

fn programs(found: &Artifact, again: &Artifact) -> Option<String> {
    let names = |artifact: &Artifact| -> Vec<String> {
        artifact
            .programs
            .iter()
            .map(|program| program.name.clone())
            .collect()
    };
    let (there, expected) = (names(found), names(again));
    if there != expected {
        return Some(format!(
            "it has the programs {}, and its text compiles to {}",
            list(&there),
            list(&expected)
        ));
    }
    let pairs = found.programs.iter().zip(&again.programs);
    pairs
        .filter(|(there, expected)| there != expected)
        .find_map(|(there, expected)| program(there, expected))
}

/// The first difference between two programs of one name. What only lines tell differently is no difference in what they do,
/// but it is one.
fn program(there: &Program, expected: &Program) -> Option<String> {
    let name = &there.name;
    if let Some(at) = first(&there.insns, &expected.insns) {
        return Some(format!(
            "instruction {at} of the program `{name}` is {}, and its text compiles to {}",
            instruction(&there.insns, at),
            instruction(&expected.insns, at)
        ));
    }
    if there.relocations != expected.relocations {
        return Some(format!(
            "the program `{name}` uses other maps than its text compiles to"
        ));
    }
    (there.section != expected.section).then(|| {
        format!(
            "the program `{name}` stands in the section `{}`, and its text compiles to `{}`",
            there.section.name(),
            expected.section.name()
        )
    })
}

fn maps(found: &Artifact, again: &Artifact) -> Option<String> {
    if found.maps.len() != again.maps.len() {
        return Some(format!(
            "it has {} maps, and its text compiles to {}",
            found.maps.len(),
            again.maps.len()
        ));
    }
    let pairs = found.maps.values().zip(again.maps.values());
    pairs
        .filter(|(there, expected)| there != expected)
        .map(|(there, expected)| map(there, expected))
        .next()
}

fn map(there: &MapSpec, expected: &MapSpec) -> String {
    let name = &there.name;
    if there.max_entries != expected.max_entries {
        return format!(
            "the map `{name}` has room for {}, and its text compiles to {}",
            there.max_entries, expected.max_entries
        );
    }
    if let (Some(there), Some(expected)) = (&there.data, &expected.data)
        && let Some(at) = first(there, expected)
    {
        return format!("byte {at} of the table `{name}` is not what its text compiles to");
    }
    format!("the map `{name}` has another shape than its text compiles to")
}

/// The blocks of namespaces, each of which is an object.
fn blocks(found: &Artifact, again: &Artifact) -> Option<String> {
    let pairs = found.netns.iter().zip(&again.netns);
    pairs
        .filter(|(there, expected)| there != expected)
        .find_map(|((name, there), (_, expected))| {
            let what = of_artifacts(there, expected)?;
            Some(format!("in its block for the namespace \"{name}\" {what}"))
        })
}

/// Where two files differ, if nothing that has a name does.
fn in_bytes(bytes: &[u8], expected: &[u8]) -> String {
    match first(bytes, expected) {
        Some(at) => format!("byte {at} of the file is not what its text compiles to"),
        None => "it is the same; nothing was changed".to_owned(),
    }
}

/// Where two lists begin to differ; the end of the shorter one counts.
fn first<T: PartialEq>(there: &[T], expected: &[T]) -> Option<usize> {
    let differs = there.iter().zip(expected).position(|(one, two)| one != two);
    let ends = there.len().min(expected.len());
    differs.or((there.len() != expected.len()).then_some(ends))
}

/// An instruction of a program in words.
fn instruction(insns: &[Insn], at: usize) -> String {
    match insns.get(at) {
        Some(insn) => format!("`{}`", disassemble(*insn, insns.get(at + 1).copied())),
        None => "the end".to_owned(),
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
