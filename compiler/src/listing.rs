//! A program as a listing, fit for golden files: bytes, mnemonics, the names of maps, and the line each part comes from.
//!
//! Takes a program and the maps of its artifact; gives text. Not here: the mnemonics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cranelift_entity::PrimaryMap;

use crate::artifact::{MapId, MapSpec, Program};
use crate::bpf::decode::decode;
use crate::bpf::disasm::{Names, hex, mnemonic, unknown};
use crate::bpf::insn::Insn;

/// The whole program: index, bytes, mnemonic with absolute jump targets and map names, and the source line where it
/// changes.
#[must_use]
pub fn listing(program: &Program, maps: &PrimaryMap<MapId, MapSpec>) -> String {
    let lines: BTreeMap<usize, _> = program
        .lines
        .iter()
        .map(|line| (line.insn as usize, line))
        .collect();
    let named = map_names(program, maps);
    let mut text = format!("{} ({}):\n", program.name, program.section.name());
    let mut index = 0;
    while let Some(&insn) = program.insns.get(index) {
        let next = program.insns.get(index + 1).copied();
        let names = Names {
            at: Some(index),
            map: named.get(&index).copied(),
        };
        let op = decode(insn, next);
        let words = op.map_or_else(|| unknown(insn), |op| mnemonic(op, &names));
        let origin = lines.get(&index).map_or_else(String::new, |line| {
            format!(
                "  ; {}:{} {}",
                line.location.file, line.location.line, line.location.text
            )
        });
        row(&mut text, index, insn, &words, &origin);
        if let (Some(2), Some(second)) = (op.map(|op| op.slots()), next) {
            row(&mut text, index + 1, second, "", "");
        }
        index += op.map_or(1, |op| op.slots());
    }
    text
}

fn map_names<'a>(
    program: &Program,
    maps: &'a PrimaryMap<MapId, MapSpec>,
) -> BTreeMap<usize, &'a str> {
    let name = |id| maps.get(id).map_or("?", |spec: &MapSpec| &spec.name);
    program
        .relocations
        .iter()
        .map(|relocation| (relocation.insn as usize, name(relocation.map)))
        .collect()
}

fn row(text: &mut String, index: usize, insn: Insn, words: &str, origin: &str) {
    let bytes = hex(insn);
    let line = if origin.is_empty() {
        format!("{index:>6}: {bytes}  {words}")
    } else {
        format!("{index:>6}: {bytes}  {words:<40}{origin}")
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Line, MapKind, Relocation, Section};
    use crate::bpf::asm::*;
    use crate::bpf::opcode::JumpOp;
    use crate::bpf::opcode::Register::*;

    #[test]
    fn a_listing_names_lines_maps_and_targets() {
        let mut maps = PrimaryMap::new();
        let counters = maps.push(MapSpec {
            name: "counters".to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 16,
            max_entries: 1,
            flags: 0,
            data: None,
        });
        let [first, second] = load_map(R1);
        let program = Program {
            name: "xdp_in".to_owned(),
            section: Section::Xdp,
            insns: vec![
                mov64_imm(R0, 2),
                jump_imm(JumpOp::Eq, R0, 2, 2),
                first,
                second,
                exit(),
            ],
            relocations: vec![Relocation {
                insn: 2,
                map: counters,
                value_offset: None,
            }],
            lines: vec![Line {
                insn: 0,
                location: crate::location::Location::new("edge.sk", 3, "allow tcp"),
            }],
        };
        assert_eq!(
            listing(&program, &maps),
            "xdp_in (xdp):\n\
         \x20    0: b7 00 00 00 02 00 00 00  r0 = 0x2                                  ; edge.sk:3 allow tcp\n\
         \x20    1: 15 00 02 00 02 00 00 00  if r0 == 0x2 goto 4\n\
         \x20    2: 18 11 00 00 00 00 00 00  r1 = map[counters] ll\n\
         \x20    3: 00 00 00 00 00 00 00 00\n\
         \x20    4: 95 00 00 00 00 00 00 00  exit\n"
        );
    }
}
