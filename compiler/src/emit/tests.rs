use super::*;
use crate::artifact::Section;
use crate::bpf::disasm::disassemble;
use crate::bpf::opcode::{AluOp, Width};
use crate::ir::{Builder, OriginData};

fn origin(line: u32) -> OriginData {
    OriginData {
        file: "a.sk".into(),
        line,
        column: 1,
        text: format!("line {line}"),
    }
}

fn listing(builder: Builder) -> Vec<String> {
    let program = emit(&builder.finish(), &Target::baseline()).unwrap();
    let next = program
        .insns
        .iter()
        .skip(1)
        .copied()
        .map(Some)
        .chain([None]);
    program
        .insns
        .iter()
        .zip(next)
        .map(|(insn, next)| disassemble(*insn, next))
        .collect()
}

#[test]
fn a_branch_falls_through_to_the_block_behind_it() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let yes = builder.block();
    let context = builder.argument_in(Register::R6);
    let value = builder.load(context, 4, Width::W);
    builder.alu(value, AluOp::And, 15);
    builder.leave_if(value, JumpOp::Eq, 3, yes);
    builder.end(crate::ir::End::Return(2));
    builder.enter(yes);
    builder.end(crate::ir::End::Return(1));
    assert_eq!(
        listing(builder),
        [
            "r6 = r1",
            "r0 = *(u32 *)(r6 + 4)",
            "r0 &= 0xf",
            "if w0 == 0x3 goto +2",
            "r0 = 0x2",
            "exit",
            "r0 = 0x1",
            "exit",
        ]
    );
}

/// A function whose first block jumps over `blocks` blocks of two instructions each.
fn long(blocks: usize) -> Function {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let context = builder.argument_in(Register::R6);
    let far = builder.block();
    let value = builder.load(context, 0, Width::W);
    builder.leave_if(value, JumpOp::Eq, 0, far);
    for _ in 0..blocks {
        let value = builder.load(context, 0, Width::W);
        builder.leave_if(value, JumpOp::Eq, 1, far);
    }
    builder.jump(far);
    builder.enter(far);
    builder.end(crate::ir::End::Return(2));
    builder.finish()
}

#[test]
fn a_jump_that_does_not_reach_needs_gotol() {
    assert!(emit(&long(16_000), &Target::baseline()).is_ok());
    assert_eq!(
        emit(&long(17_000), &Target::baseline()).unwrap_err(),
        EmitError::TooFar
    );
    let program = emit(&long(17_000), &Target::baseline().with_gotol()).unwrap();
    let long = program
        .insns
        .iter()
        .filter(|insn| insn.opcode == 0x06)
        .count();
    assert!(long > 0 && long < 2_000, "{long} long jumps");
}

#[test]
fn too_many_insns_are_refused() {
    let target = Target {
        max_insns: 100,
        ..Target::baseline()
    };
    assert!(matches!(
        emit(&long(60), &target),
        Err(EmitError::TooManyInsns(_))
    ));
}

#[test]
fn lines_change_with_the_origin() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let second = builder.origin(origin(7));
    builder.set_origin(second);
    let block = builder.block();
    builder.jump(block);
    builder.enter(block);
    builder.end(crate::ir::End::Return(0));
    let program = emit(&builder.finish(), &Target::baseline()).unwrap();
    let lines: Vec<(u32, u32)> = program
        .lines
        .iter()
        .map(|line| (line.insn, line.line))
        .collect();
    assert_eq!(
        lines,
        [(0, 7)],
        "the empty first block gives its place to the one behind it"
    );
}

#[test]
fn a_value_read_behind_a_call_is_a_bug() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let context = builder.argument_in(Register::R6);
    let value = builder.load(context, 0, Width::W);
    builder.call(crate::bpf::helper::Helper::KtimeGetNs, &[]);
    builder.end(crate::ir::End::ReturnValue(value));
    assert!(matches!(
        emit(&builder.finish(), &Target::baseline()),
        Err(EmitError::Invalid(_))
    ));
}

#[test]
fn a_jump_backward_is_a_bug() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let entry = builder.current();
    builder.jump(entry);
    assert!(matches!(
        emit(&builder.finish(), &Target::baseline()),
        Err(EmitError::Invalid(_))
    ));
}
