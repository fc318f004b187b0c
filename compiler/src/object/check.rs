//! The rules an artifact keeps before it can be an object; most are the kernel's or a loader's.
//!
//! Takes an artifact and gives the first rule it breaks, in words. Which of our stages is at fault, or whether the file that
//! it was read from is damaged, the caller knows.

use std::collections::BTreeSet;

use crate::artifact::{Artifact, MapSpec, Program, Section};
use crate::bpf::insn::Insn;

/// The opcode of a 64-bit immediate load, which takes two instructions.
const LOAD_IMM64: u8 = 0x18;
/// `BPF_OBJ_NAME_LEN` less the zero byte.
const MAP_NAME_LIMIT: usize = 15;
/// `KSYM_NAME_LEN` of the oldest kernels less the zero byte: BTF with a longer name is refused.
const PROGRAM_NAME_LIMIT: usize = 127;
/// More programs or maps than this do not fit the 16-bit counts of BTF.
const COUNT_LIMIT: usize = 0xffff;

/// The first broken rule.
pub(super) fn check(artifact: &Artifact) -> Result<(), String> {
    if artifact.programs.len() > COUNT_LIMIT || artifact.maps.len() > COUNT_LIMIT {
        return Err("more than 65535 programs or maps".to_owned());
    }
    let mut names = BTreeSet::from([super::types::LICENSE_VARIABLE]);
    for spec in artifact.maps.values() {
        check_name(&spec.name, MAP_NAME_LIMIT, &mut names)?;
        check_map(spec)?;
    }
    for program in &artifact.programs {
        check_name(&program.name, PROGRAM_NAME_LIMIT, &mut names)?;
        check_program(program, artifact.maps.len())
            .map_err(|rule| format!("program `{}`: {rule}", program.name))?;
    }
    Ok(())
}

/// A name is a C identifier, not too long, used once, and not that of a section, which assemblers refuse.
fn check_name<'a>(
    name: &'a str,
    limit: usize,
    names: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    let word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let digit_first = name.starts_with(|first: char| first.is_ascii_digit());
    if name.is_empty() || digit_first || !name.bytes().all(word) {
        return Err(format!("the name `{name}` is not an identifier"));
    }
    if name.len() > limit {
        return Err(format!("the name `{name}` is longer than {limit} bytes"));
    }
    if name == super::LICENSE || Section::ALL.iter().any(|section| section.name() == name) {
        return Err(format!("the name `{name}` is that of a section"));
    }
    if !names.insert(name) {
        return Err(format!("the name `{name}` is used twice"));
    }
    Ok(())
}

/// Every map type in use has keys and values.
fn check_map(spec: &MapSpec) -> Result<(), String> {
    if spec.key_size == 0 || spec.value_size == 0 {
        return Err(format!("map `{}`: a key or value of no bytes", spec.name));
    }
    Ok(())
}

/// Instructions, relocations and lines fit together.
fn check_program(program: &Program, maps: usize) -> Result<(), String> {
    if program.insns.is_empty() {
        return Err("no instructions".to_owned());
    }
    let starts = starts(&program.insns)?;
    let wide = |at: u32| {
        let insn = program.insns.get(at as usize);
        begins(&starts, at) && insn.is_some_and(|insn| insn.opcode == LOAD_IMM64)
    };
    for relocation in &program.relocations {
        if !wide(relocation.insn) {
            return Err(format!(
                "the map reference at {} is not at a 64-bit immediate load",
                relocation.insn
            ));
        }
        if relocation.map.as_u32() as usize >= maps {
            return Err(format!("{:?} does not exist", relocation.map));
        }
    }
    if !increases(program.relocations.iter().map(|relocation| relocation.insn)) {
        return Err("map references do not increase".to_owned());
    }
    check_lines(program, &starts)
}

/// The kernel's rules for line information (`check_btf_line`).
fn check_lines(program: &Program, starts: &[bool]) -> Result<(), String> {
    if program.lines.first().is_some_and(|line| line.insn != 0) {
        return Err("the first line is not at the first instruction".to_owned());
    }
    if !increases(program.lines.iter().map(|line| line.insn)) {
        return Err("lines do not increase".to_owned());
    }
    match program.lines.iter().find(|line| !begins(starts, line.insn)) {
        Some(line) => Err(format!(
            "the line at {} is not at an instruction",
            line.insn
        )),
        None => Ok(()),
    }
}

/// For each place whether an instruction begins there: not on the second half of a 64-bit immediate load.
fn starts(insns: &[Insn]) -> Result<Vec<bool>, String> {
    let mut second = false;
    let mut starts = Vec::with_capacity(insns.len());
    for insn in insns {
        starts.push(!second);
        second = !second && insn.opcode == LOAD_IMM64;
    }
    if second {
        return Err("the last instruction is half a 64-bit immediate load".to_owned());
    }
    Ok(starts)
}

/// Whether an instruction begins at `at`.
fn begins(starts: &[bool], at: u32) -> bool {
    starts.get(at as usize).copied().unwrap_or(false)
}

/// Whether each number is larger than the one before.
fn increases(numbers: impl Iterator<Item = u32>) -> bool {
    let mut last = None;
    for number in numbers {
        if last.is_some_and(|last| number <= last) {
            return false;
        }
        last = Some(number);
    }
    true
}
