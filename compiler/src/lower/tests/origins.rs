//! Every instruction of a tree is said to come from the rule that it is there for.

use std::collections::BTreeSet;

use crate::artifact::Program;
use crate::bpf::decode::{Op, Operand, decode};
use crate::object;

use super::built;

/// The line that each instruction comes from. No statement of these policies is on line 1, which is said of the head.
fn lines(program: &Program) -> Vec<u32> {
    let line = |insn: usize| {
        let mut lines = program.lines.iter().rev();
        lines
            .find(|line| line.insn as usize <= insn)
            .unwrap()
            .location
            .line
    };
    (0..program.insns.len()).map(line).collect()
}

/// Each comparison with a constant, in order: its line and the constant.
fn comparisons(program: &Program) -> Vec<(u32, i32)> {
    let lines = lines(program);
    let comparison = |index: usize| {
        let next = program.insns.get(index + 1).copied();
        match decode(program.insns[index], next)? {
            Op::Branch {
                src: Operand::Imm(imm),
                ..
            } => Some((lines[index], imm)),
            _ => None,
        }
    };
    (0..program.insns.len()).filter_map(comparison).collect()
}

/// A lookup has no prologue but the question for the family.
#[test]
fn each_comparison_of_a_lookup_names_its_rule() {
    let built = built(
        "# head\nsocket proxy = registered\n\
         redirect tcp to 192.0.2.1:80 to sock proxy\n\
         redirect tcp to 192.0.2.1:443 to sock proxy\n\
         redirect udp to 192.0.2.2:53 to sock proxy\n",
    );
    let program = &built.artifact.programs[0];
    let of_rules: Vec<_> = comparisons(program)
        .into_iter()
        .filter(|(line, _)| *line > 1)
        .collect();
    let [first, second] = [0xc000_0201_u32, 0xc000_0202].map(u32::cast_signed);
    let expected = [
        (3, 6),
        (3, 79),
        (3, 80),
        (3, first),
        (4, 443),
        (4, first),
        (5, 53),
        (5, second),
    ];
    let sorted = |found: &[(u32, i32)]| found.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&of_rules), sorted(&expected));
}

/// What lies between two instructions of statements is of a statement itself, the answers to questions left out.
#[test]
fn nothing_in_a_tree_is_the_heads() {
    let built = built(
        "# head\ndefault in drop\n\
         allow tcp from 10.0.0.0/8 to 192.0.2.1:{22, 80, 443, 1000-2000}\n\
         drop udp to [2001:db8::1]:53 if length > 1000 and ttl < 9\n\
         allow icmp { echo-request, 3/4 }\n",
    );
    let program = &built.artifact.programs[0];
    let lines = lines(program);
    let successors: Vec<Vec<usize>> = (0..lines.len())
        .map(|index| successors(program, index))
        .collect();
    let mut after = lines.iter().map(|line| *line > 1).collect::<Vec<_>>();
    let mut before = after.clone();
    for index in 0..lines.len() {
        for &next in &successors[index] {
            after[next] |= after[index];
        }
    }
    for index in (0..lines.len()).rev() {
        before[index] |= successors[index].iter().any(|&next| before[next]);
    }
    let of_the_head: Vec<usize> = (0..lines.len())
        .filter(|&index| after[index] && before[index] && lines[index] == 1)
        .collect();
    assert_eq!(of_the_head, [0; 0]);
}

/// Where an instruction can go on.
fn successors(program: &Program, index: usize) -> Vec<usize> {
    let next = program.insns.get(index + 1).copied();
    // The second half of a wide load is none of its own.
    let Some(op) = decode(program.insns[index], next) else {
        return Vec::new();
    };
    // A jump backward is of a loop over headers, before every tree.
    let to = |offset: i32| {
        usize::try_from(offset)
            .ok()
            .map(|offset| index + 1 + offset)
    };
    match op {
        Op::Exit => Vec::new(),
        Op::Goto { offset, .. } => to(offset).into_iter().collect(),
        Op::Branch { offset, .. } => to(offset.into()).into_iter().chain([index + 1]).collect(),
        op => vec![index + op.slots()],
    }
}

/// BTF of the object says the same.
#[test]
fn the_object_names_the_rule() {
    let built = built("# head\ndefault in drop\nallow tcp to 192.0.2.1:4711\n");
    let object = object::write(&built.artifact).unwrap();
    let read = object::read(&object).unwrap();
    let found = comparisons(&read.programs[0]).into_iter();
    let lines: Vec<u32> = found.filter(|one| one.1 == 4711).map(|one| one.0).collect();
    assert_eq!(lines, [3]);
}
