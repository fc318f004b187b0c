//! Hand-written programs: what works, and each fault.

mod faults;
mod maps;
mod mutation;
mod packets;
mod sockets;

use cranelift_entity::PrimaryMap;

use super::*;
use crate::artifact::{MapKind, MapSpec, Relocation, Section};
use crate::bpf::asm::*;
use crate::bpf::insn::Insn;
use crate::bpf::opcode::Register::*;
use crate::bpf::opcode::{AluOp, JumpOp, Width};

/// A program that refers to the map of `relocations[i].1` at instruction `relocations[i].0`.
fn program(section: Section, insns: Vec<Insn>, relocations: &[(u32, MapId)]) -> Program {
    Program {
        name: "test".to_owned(),
        section,
        relocations: relocations
            .iter()
            .map(|&(insn, map)| Relocation {
                insn,
                map,
                value_offset: value_offset(&insns, insn),
            })
            .collect(),
        lines: Vec::new(),
        insns,
    }
}

/// The offset of a load of a value's address.
fn value_offset(insns: &[Insn], at: u32) -> Option<u32> {
    let at = usize::try_from(at).unwrap();
    match crate::bpf::decode::decode(insns[at], insns.get(at + 1).copied()) {
        Some(Op::MapValue { offset, .. }) => Some(offset),
        _ => None,
    }
}

fn xdp(frame: &[u8], insns: Vec<Insn>) -> Result<Execution, FaultKind> {
    let program = program(Section::Xdp, insns, &[]);
    let input = Input::Xdp(Xdp::new(frame.to_vec()));
    run(&program, &mut Maps::default(), input, &mut Quiet).map_err(|fault| fault.kind)
}

fn spec(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec::new("m", kind, key_size, value_size, max_entries)
}

fn one_map(spec: MapSpec) -> (Maps, MapId) {
    let mut specs = PrimaryMap::new();
    let id = specs.push(spec);
    (Maps::new(&specs), id)
}

#[track_caller]
fn result(insns: Vec<Insn>) -> u64 {
    xdp(&[], insns).unwrap().r0
}

/// XDP: the byte at an offset, or 99 where the packet ends before.
fn byte_at(offset: i16) -> Vec<Insn> {
    vec![
        load(Width::W, R2, R1, 0),
        load(Width::W, R3, R1, 4),
        mov64_reg(R4, R2),
        alu64_imm(AluOp::Add, R4, i32::from(offset) + 1),
        mov64_imm(R0, 99),
        jump_reg(JumpOp::Gt, R4, R3, 1),
        load(Width::B, R0, R2, offset),
        exit(),
    ]
}

#[test]
fn a_bounds_check_and_a_packet_load() {
    assert_eq!(xdp(&[7, 8], byte_at(1)).unwrap().r0, 8);
    assert_eq!(xdp(&[7], byte_at(1)).unwrap().r0, 99);
}

#[test]
fn the_trace_names_the_instructions_that_ran() {
    let outcome = xdp(&[7], byte_at(1)).unwrap();
    assert_eq!(outcome.trace, [0, 1, 2, 3, 4, 5, 7]);
    assert_eq!(outcome.steps(), 7);
}

#[test]
fn negative_codes_are_read_as_32_bits() {
    let outcome = xdp(&[], vec![mov64_imm(R0, -1), exit()]).unwrap();
    assert_eq!((outcome.r0, outcome.code()), (u64::MAX, -1));
}

#[test]
fn immediates_are_sign_extended_only_on_64_bits() {
    assert_eq!(result(vec![mov64_imm(R0, -2), exit()]), u64::MAX - 1);
    assert_eq!(result(vec![mov32_imm(R0, -2), exit()]), 0xffff_fffe);
    let [first, second] = load_imm64(R0, 0x1122_3344_5566_7788);
    assert_eq!(result(vec![first, second, exit()]), 0x1122_3344_5566_7788);
}

#[test]
fn narrow_jumps_look_at_the_low_half() {
    let [first, second] = load_imm64(R1, 1 << 32);
    let program = |jump| {
        vec![
            first,
            second,
            mov64_imm(R0, 1),
            jump,
            mov64_imm(R0, 0),
            exit(),
        ]
    };
    assert_eq!(result(program(jump32_imm(JumpOp::Eq, R1, 0, 1))), 1);
    assert_eq!(result(program(jump_imm(JumpOp::Eq, R1, 0, 1))), 0);
}

#[test]
fn far_jumps_and_jumps_back() {
    let far = vec![gotol(1), mov64_imm(R0, 1), mov64_imm(R0, 2), exit()];
    assert_eq!(result(far), 2);
    let back = vec![
        mov64_imm(R0, 0),
        alu64_imm(AluOp::Add, R0, 1),
        jump_imm(JumpOp::Lt, R0, 10, -2),
        exit(),
    ];
    assert_eq!(result(back), 10);
}

#[test]
fn the_stack_keeps_bytes_and_pointers() {
    let insns = vec![
        store_imm(Width::DW, R10, -8, -1),
        store_imm(Width::B, R10, -8, 0x12),
        load(Width::H, R0, R10, -8),
        store_reg(Width::DW, R10, -16, R1),
        load(Width::DW, R2, R10, -16),
        load(Width::W, R3, R2, 12),
        alu64_reg(AluOp::Add, R0, R3),
        exit(),
    ];
    assert_eq!(result(insns), 0xff12 + 1);
}

#[test]
fn pointers_move_both_ways() {
    let insns = vec![
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -8),
        store_imm(Width::W, R2, 0, 5),
        mov64_imm(R3, 4),
        alu64_reg(AluOp::Sub, R2, R3),
        mov64_imm(R4, 0),
        alu64_reg(AluOp::Add, R4, R2),
        load(Width::W, R0, R4, 4),
        exit(),
    ];
    assert_eq!(result(insns), 5);
}

#[test]
fn contexts_have_their_fields() {
    let mut input = Skb::new(vec![0; 60]);
    (input.mark, input.gso_segs, input.protocol) = (7, 3, 0x0800);
    input.vlan = Some((0x8100, 0x2005));
    for (offset, width, value) in [
        (0, Width::W, 60),
        (8, Width::W, 7),
        (8, Width::B, 7),
        (16, Width::W, 0x0008),
        (17, Width::B, 0),
        (20, Width::W, 1),
        (24, Width::H, 0x2005),
        (28, Width::W, 0x0081),
        (164, Width::W, 3),
    ] {
        let insns = vec![load(width, R0, R1, offset), exit()];
        let program = program(Section::Classifier, insns, &[]);
        let input = Input::Skb(input.clone());
        let outcome = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap();
        assert_eq!(outcome.r0, value, "{offset}");
    }
}

#[test]
fn pulling_makes_more_of_the_packet_linear() {
    let insns = vec![
        mov64_reg(R6, R1),
        mov64_imm(R2, 40),
        call(crate::bpf::helper::Helper::SkbPullData),
        mov64_reg(R7, R0),
        load(Width::W, R2, R6, 76),
        load(Width::W, R3, R6, 80),
        alu64_imm(AluOp::Add, R2, 40),
        mov64_imm(R0, 1),
        jump_reg(JumpOp::Le, R2, R3, 1),
        mov64_imm(R0, 0),
        alu64_reg(AluOp::Sub, R0, R7),
        exit(),
    ];
    let program = program(Section::Classifier, insns, &[]);
    // What fits is pulled; a packet that is too short stays as it is, and the helper says ENOMEM.
    for (length, expected) in [(60, 1), (39, 12)] {
        let input = Input::Skb(Skb::new(vec![0; length]).with_linear(14));
        let outcome = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap();
        assert_eq!(outcome.r0, expected);
    }
}
