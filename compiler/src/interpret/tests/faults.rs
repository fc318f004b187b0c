//! Each fault, by the smallest program that has it.

use super::*;
use crate::bpf::helper::Helper;
use crate::tests::asm::mov32_reg;

#[track_caller]
fn fault(insns: Vec<Insn>) -> FaultKind {
    xdp(&[1, 2, 3, 4], insns).unwrap_err()
}

#[test]
fn registers_and_stack_must_be_written_first() {
    assert_eq!(fault(vec![exit()]), FaultKind::UninitialisedRegister(R0));
    let insns = vec![load(Width::W, R0, R10, -4), exit()];
    assert_eq!(fault(insns), FaultKind::UninitialisedStack);
    let half = vec![
        store_reg(Width::DW, R10, -8, R1),
        load(Width::W, R0, R10, -8),
        exit(),
    ];
    assert_eq!(fault(half), FaultKind::UninitialisedStack);
    let overwritten = vec![
        store_reg(Width::DW, R10, -8, R1),
        store_imm(Width::B, R10, -1, 0),
        load(Width::DW, R0, R10, -8),
        exit(),
    ];
    assert_eq!(fault(overwritten), FaultKind::UninitialisedStack);
}

#[test]
fn a_call_voids_the_arguments() {
    let insns = vec![call(Helper::KtimeGetNs), mov64_reg(R0, R1), exit()];
    assert_eq!(fault(insns), FaultKind::UninitialisedRegister(R1));
}

#[test]
fn accesses_stay_in_their_region() {
    let beyond = vec![load(Width::W, R2, R1, 0), load(Width::W, R0, R2, 1), exit()];
    assert_eq!(fault(beyond), FaultKind::OutOfBounds);
    let before = vec![
        load(Width::W, R2, R1, 0),
        load(Width::B, R0, R2, -1),
        exit(),
    ];
    assert_eq!(fault(before), FaultKind::OutOfBounds);
    let above = vec![store_imm(Width::B, R10, 0, 1), exit()];
    assert_eq!(fault(above), FaultKind::OutOfBounds);
    let below = vec![store_imm(Width::DW, R10, -520, 1), exit()];
    assert_eq!(fault(below), FaultKind::OutOfBounds);
    let misaligned = vec![store_imm(Width::W, R10, -6, 1), exit()];
    assert_eq!(fault(misaligned), FaultKind::Misaligned);
}

#[test]
fn contexts_are_read_whole_in_place_and_never_written() {
    let read = |width, offset| vec![load(width, R0, R1, offset), exit()];
    assert_eq!(fault(read(Width::DW, 0)), FaultKind::BadField);
    assert_eq!(fault(read(Width::B, 12)), FaultKind::BadField);
    assert_eq!(fault(read(Width::W, 14)), FaultKind::Misaligned);
    assert_eq!(fault(read(Width::W, 200)), FaultKind::BadField);
    let moved = vec![alu64_imm(AluOp::Add, R1, 4), exit()];
    assert_eq!(fault(moved), FaultKind::PointerArithmetic);
    let written = vec![store_imm(Width::W, R1, 12, 0), exit()];
    assert_eq!(fault(written), FaultKind::ReadOnly);
}

#[test]
fn numbers_are_no_pointers_and_pointers_no_numbers() {
    let null = vec![mov64_imm(R2, 0), load(Width::B, R0, R2, 0), exit()];
    assert_eq!(fault(null), FaultKind::NullPointer);
    let number = vec![mov64_imm(R2, 8), load(Width::B, R0, R2, 0), exit()];
    assert_eq!(fault(number), FaultKind::NotAPointer);
    let result = vec![mov64_reg(R0, R1), exit()];
    assert_eq!(fault(result), FaultKind::NotAScalar(R0));
    let narrow = vec![mov32_reg(R0, R10), exit()];
    assert_eq!(fault(narrow), FaultKind::PointerArithmetic);
    let product = vec![alu64_imm(AluOp::Mul, R1, 2), exit()];
    assert_eq!(fault(product), FaultKind::PointerArithmetic);
    let compared = vec![jump_reg(JumpOp::Gt, R1, R10, 0), exit()];
    assert_eq!(fault(compared), FaultKind::PointerCompare);
    let narrow = vec![jump32_imm(JumpOp::Eq, R1, 0, 0), exit()];
    assert_eq!(fault(narrow), FaultKind::PointerCompare);
}

#[test]
fn the_frame_pointer_is_not_written() {
    assert_eq!(fault(vec![mov64_imm(R10, 0)]), FaultKind::ReadOnly);
}

#[test]
fn programs_end_inside() {
    assert_eq!(fault(vec![mov64_imm(R0, 0)]), FaultKind::OutOfProgram);
    assert_eq!(fault(vec![ja(-3)]), FaultKind::OutOfProgram);
    assert_eq!(fault(vec![ja(-1)]), FaultKind::TooManySteps);
    let unknown = Insn {
        opcode: 0xff,
        ..Insn::default()
    };
    assert_eq!(fault(vec![unknown]), FaultKind::UnknownInstruction);
}

#[test]
fn helpers_are_for_their_types_of_program() {
    let insns = vec![call(Helper::SkbPullData), exit()];
    assert_eq!(
        fault(insns),
        FaultKind::HelperNotAllowed(Helper::SkbPullData)
    );
    let unknown = Insn {
        imm: 9999,
        ..call(Helper::KtimeGetNs)
    };
    assert_eq!(fault(vec![unknown]), FaultKind::UnknownHelper(9999));
}

#[test]
fn packet_pointers_are_stale_after_a_pull() {
    let insns = vec![
        mov64_reg(R6, R1),
        load(Width::W, R7, R1, 76),
        mov64_imm(R2, 14),
        call(Helper::SkbPullData),
        load(Width::B, R0, R7, 0),
        exit(),
    ];
    let program = program(Section::Classifier, insns, &[]);
    let input = Input::Skb(Skb::new(vec![0; 60]));
    let fault = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap_err();
    let kind = FaultKind::StalePacketPointer;
    assert_eq!(fault, Fault { insn: 4, kind });
    assert_eq!(
        fault.to_string(),
        "instruction 4: a packet pointer from before the packet was pulled"
    );
}

#[test]
fn an_input_is_for_its_program() {
    let program = program(Section::SkMsg, vec![exit()], &[]);
    let input = Input::Xdp(Xdp::default());
    let fault = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap_err();
    assert_eq!(fault.kind, FaultKind::WrongInput);
}
