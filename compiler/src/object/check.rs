//! The rules an artifact keeps before it can be an object; most are the kernel's or a loader's.
//!
//! Takes an artifact and gives the first rule it breaks, in words. Which of our stages is at fault, or whether the file that
//! it was read from is damaged, the caller knows.

use std::collections::BTreeSet;

use cranelift_entity::PrimaryMap;

use crate::artifact::{
    Artifact, MapId, MapKind, MapSpec, Program, Relocation, Section, TABLE_LIMIT,
};
use crate::bpf::constant::{BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG};
use crate::bpf::insn::Insn;

/// The opcode of a 64-bit immediate load, which takes two instructions.
const LOAD_IMM64: u8 = 0x18;
/// `BPF_OBJ_NAME_LEN` less the zero byte.
const MAP_NAME_LIMIT: usize = 15;
/// `KSYM_NAME_LEN` of the oldest kernels less the zero byte: BTF with a longer name is refused.
const PROGRAM_NAME_LIMIT: usize = 127;
/// The smallest page of the machines we run on.
const PAGE: u32 = 4096;
/// More programs or maps than this do not fit the 16-bit counts of BTF.
const COUNT_LIMIT: usize = 0xffff;

/// The first broken rule.
pub(super) fn check(artifact: &Artifact) -> Result<(), String> {
    if artifact.programs.len() > COUNT_LIMIT || artifact.maps.len() > COUNT_LIMIT {
        return Err("more than 65535 programs or maps".to_owned());
    }
    check_netns(artifact)?;
    let mut names = BTreeSet::from([super::types::LICENSE_VARIABLE]);
    for spec in artifact.maps.values() {
        check_name(&spec.name, MAP_NAME_LIMIT, &mut names)?;
        check_map(spec).map_err(|rule| format!("map `{}`: {rule}", spec.name))?;
    }
    for program in &artifact.programs {
        check_name(&program.name, PROGRAM_NAME_LIMIT, &mut names)?;
        check_program(program, &artifact.maps)
            .map_err(|rule| format!("program `{}`: {rule}", program.name))?;
    }
    Ok(())
}

/// Namespaces differ, have names that a section's can hold, and have none of their own.
fn check_netns(artifact: &Artifact) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (name, inner) in &artifact.netns {
        if name.is_empty() || name.contains('\0') || !names.insert(name) {
            return Err(format!(
                "the network namespace {name:?} cannot be named or is there twice"
            ));
        }
        if !inner.netns.is_empty() {
            return Err(format!(
                "the network namespace {name:?} has namespaces of its own"
            ));
        }
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

/// The kernel's rules for each kind, and those of maps with contents.
fn check_map(spec: &MapSpec) -> Result<(), &'static str> {
    if let Some(data) = &spec.data {
        return check_contents(spec, data);
    }
    match spec.kind {
        MapKind::RingBuf => check_ring(spec),
        _ if spec.key_size == 0 || spec.value_size == 0 => Err("a key or value of no bytes"),
        // A prefix length and 1 to 256 bytes (`LPM_DATA_SIZE_MAX`).
        MapKind::LpmTrie if !(5..=260).contains(&spec.key_size) => Err("no key of a trie"),
        MapKind::LpmTrie if spec.flags & BPF_F_NO_PREALLOC == 0 => {
            Err("a trie without BPF_F_NO_PREALLOC")
        }
        // `dev_map_alloc_check`: an index and a program, and none of the flags that we know.
        MapKind::DevMap if (spec.key_size, spec.value_size, spec.flags) != (4, 8, 0) => {
            Err("no map of interfaces")
        }
        // `perf_event_array_alloc`: descriptors by processors.
        MapKind::PerfEventArray if (spec.key_size, spec.value_size, spec.flags) != (4, 4, 0) => {
            Err("no map of events")
        }
        _ => Ok(()),
    }
}

/// A ring has bytes only.
fn check_ring(spec: &MapSpec) -> Result<(), &'static str> {
    if spec.key_size != 0 || spec.value_size != 0 {
        return Err("a ring buffer with keys or values");
    }
    if spec.max_entries < PAGE || !spec.max_entries.is_power_of_two() {
        return Err("a ring buffer's size is a power of two of whole pages");
    }
    Ok(())
}

/// What every loader makes of a section `.rodata.NAME` or `.data.NAME`.
fn check_contents(spec: &MapSpec, data: &[u8]) -> Result<(), &'static str> {
    if data.is_empty() || data.len() > TABLE_LIMIT {
        return Err("contents have 1 byte to 4 MiB");
    }
    let shape = (spec.kind, spec.key_size, spec.max_entries);
    let flags = [0, BPF_F_RDONLY_PROG].contains(&spec.flags);
    let fits = usize::try_from(spec.value_size) == Ok(data.len());
    if shape != (MapKind::Array, 4, 1) || !flags || !fits {
        return Err("contents are those of an array with one entry of their size");
    }
    Ok(())
}

/// Instructions, relocations and lines fit together.
fn check_program(program: &Program, maps: &PrimaryMap<MapId, MapSpec>) -> Result<(), String> {
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
        let Some(spec) = maps.get(relocation.map) else {
            return Err(format!("{:?} does not exist", relocation.map));
        };
        check_offset(program, relocation, spec)?;
    }
    if !increases(program.relocations.iter().map(|relocation| relocation.insn)) {
        return Err("map references do not increase".to_owned());
    }
    check_lines(program, &starts)
}

/// Only maps with contents are referred to by the addresses in them, and only so.
fn check_offset(program: &Program, relocation: &Relocation, spec: &MapSpec) -> Result<(), String> {
    let at = relocation.insn;
    let (Some(_), Some(offset)) = (&spec.data, relocation.value_offset) else {
        let same = spec.data.is_none() && relocation.value_offset.is_none();
        return if same {
            Ok(())
        } else {
            Err(format!("the map reference at {at} is of the wrong kind"))
        };
    };
    let halves = program.insns.get(at as usize..);
    let holds = matches!(halves, Some([first, second, ..])
        if first.imm == 0 && second.imm.cast_unsigned() == offset);
    if !holds || offset >= spec.value_size {
        return Err(format!("the table reference at {at} leads elsewhere"));
    }
    Ok(())
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
