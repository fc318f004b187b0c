use super::*;
use crate::artifact::{MapId, Relocation, Section};
use crate::bpf::disasm::disassemble;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, Width};
use crate::interpret::{Input, Maps, Quiet, Xdp, run};
use crate::ir::{Arg, Builder, End, Slot, Value};
use crate::location::Location;

fn origin(line: u32) -> Location {
    Location::new("a.sk", line, format!("line {line}"))
}

fn listing(builder: Builder) -> Vec<String> {
    listing_for(builder, &Target::baseline())
}

fn listing_for(builder: Builder, target: &Target) -> Vec<String> {
    let program = emit(&builder.finish(), target).unwrap();
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
fn a_branch_falls_through_to_the_block_after_it() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let yes = builder.block();
    let context = builder.argument();
    let value = builder.load(context, 4, Width::W);
    builder.alu(value, AluOp::And, 15);
    builder.leave_if(value, JumpOp::Eq, 3, yes);
    builder.end(crate::ir::End::Return(2));
    builder.enter(yes);
    builder.end(crate::ir::End::Return(1));
    assert_eq!(
        listing(builder),
        [
            "r0 = *(u32 *)(r1 + 4)",
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
    let context = builder.argument();
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
    // Each load from the context may become four instructions in the kernel.
    assert!(emit(&long(6_000), &Target::baseline()).is_ok());
    assert_eq!(
        emit(&long(7_000), &Target::baseline()).unwrap_err(),
        EmitError::TooFar
    );
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
    assert!(long > 10_000 && long < 11_000, "{long} long jumps");
}

/// Every call may become 17 instructions in the kernel, which wants jumps over them to reach then too.
#[test]
fn calls_are_counted_as_what_the_kernel_makes_of_them() {
    let calls = |count: usize| {
        let mut builder = Builder::new("f", Section::Xdp, origin(1));
        let context = builder.argument();
        let far = builder.block();
        let value = builder.load(context, 0, Width::W);
        builder.leave_if(value, JumpOp::Eq, 0, far);
        for _ in 0..count {
            builder.call(crate::bpf::helper::Helper::KtimeGetNs, &[]);
        }
        builder.jump(far);
        builder.enter(far);
        builder.end(crate::ir::End::Return(2));
        builder.finish()
    };
    // 17 * 1,900 = 32,300 is short of 32,767; 17 * 1,950 = 33,150 is beyond.
    assert!(emit(&calls(1_900), &Target::baseline()).is_ok());
    let refused = emit(&calls(1_950), &Target::baseline());
    assert_eq!(refused.unwrap_err(), EmitError::TooFar);
    assert!(emit(&calls(30_000), &Target::baseline().with_gotol()).is_ok());
}

const COMPARISONS: [JumpOp; 11] = [
    JumpOp::Eq,
    JumpOp::Ne,
    JumpOp::Gt,
    JumpOp::Ge,
    JumpOp::Lt,
    JumpOp::Le,
    JumpOp::SGt,
    JumpOp::SGe,
    JumpOp::SLt,
    JumpOp::SLe,
    JumpOp::Set,
];

/// What a comparison means, as the kernel's manual has it.
fn holds(op: JumpOp, left: u32, right: i32) -> bool {
    let (signed, unsigned) = (left.cast_signed(), right.cast_unsigned());
    match op {
        JumpOp::Eq => left == unsigned,
        JumpOp::Ne => left != unsigned,
        JumpOp::Gt => left > unsigned,
        JumpOp::Ge => left >= unsigned,
        JumpOp::Lt => left < unsigned,
        JumpOp::Le => left <= unsigned,
        JumpOp::SGt => signed > right,
        JumpOp::SGe => signed >= right,
        JumpOp::SLt => signed < right,
        JumpOp::SLe => signed <= right,
        JumpOp::Set => left & unsigned != 0,
    }
}

/// 1 where a comparison holds and 2 where it does not. The side that writes its number goes on to the other one, so it
/// stands right after the comparison.
fn compared(op: JumpOp, right: i32, then_first: bool, target: &Target) -> Program {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let context = builder.argument();
    let code = builder.slot(8);
    let (first, second) = if then_first { (1, 2) } else { (2, 1) };
    builder.set_slot(code, 0, second, Width::DW);
    let left = builder.load(context, 12, Width::W);
    let [after, end] = [(); 2].map(|()| builder.block());
    let (then, other) = if then_first {
        (after, end)
    } else {
        (end, after)
    };
    builder.end(crate::ir::End::Branch {
        op,
        narrow: true,
        lhs: left,
        rhs: crate::ir::Operand::Imm(right),
        then,
        other,
    });
    builder.enter(after);
    builder.set_slot(code, 0, first, Width::DW);
    builder.jump(end);
    builder.enter(end);
    let code = builder.load_slot(code, 0, Width::DW);
    builder.end(crate::ir::End::ReturnValue(code));
    emit(&builder.finish(), target).unwrap()
}

/// Long jumps as well: a target whose short ones reach nowhere.
#[test]
fn every_comparison_decides_as_it_should_however_it_is_laid_out() {
    let mut far = Target::baseline().with_gotol();
    far.limits.jump.ours = 0;
    let values = [0, 1, 2, 6, 7, 8, 15];
    for target in [Target::baseline(), far] {
        for op in COMPARISONS {
            for (right, then_first) in [(1, true), (1, false), (7, true), (7, false), (-1, true)] {
                let program = compared(op, right, then_first, &target);
                for left in values {
                    let input = Input::Xdp(Xdp {
                        ingress_ifindex: left,
                        ..Xdp::new(vec![0; 64])
                    });
                    let outcome = run(&program, &mut Maps::default(), input, &mut Quiet);
                    let wanted = if holds(op, left, right) { 1 } else { 2 };
                    let said = outcome.unwrap().code();
                    assert_eq!(said, wanted, "{left} {op:?} {right}, {then_first}");
                }
            }
        }
    }
}

#[test]
fn too_many_insns_are_refused() {
    let mut target = Target::baseline();
    target.limits.instructions.ours = 100;
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
        .map(|line| (line.insn, line.location.line))
        .collect();
    assert_eq!(
        lines,
        [(0, 7)],
        "the empty first block gives its place to the one after it"
    );
}

#[test]
fn a_value_that_is_read_after_a_call_is_in_a_register_that_survives_it() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let context = builder.argument();
    let value = builder.load(context, 0, Width::W);
    builder.call(crate::bpf::helper::Helper::KtimeGetNs, &[]);
    builder.end(crate::ir::End::ReturnValue(value));
    assert_eq!(
        listing(builder)[..2],
        ["r6 = *(u32 *)(r1 + 0)", "call bpf_ktime_get_ns"]
    );
}

#[test]
fn a_value_that_one_way_does_not_write_is_a_bug() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let context = builder.argument();
    let [read, end] = [(); 2].map(|()| builder.block());
    let (tested, value) = (builder.load(context, 0, Width::W), builder.value());
    builder.leave_if(tested, JumpOp::Eq, 1, read);
    builder.set(value, 1);
    builder.jump(read);
    builder.enter(read);
    builder.leave_if(value, JumpOp::Eq, 1, end);
    builder.jump(end);
    builder.enter(end);
    builder.end(End::Return(1));
    assert_refused(builder, "v2 is read where it has no value");
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

#[test]
fn a_table_is_referred_to_by_an_address_in_it() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let table = MapId::from_u32(3);
    let index = builder.imm(8);
    let entry = builder.map_value(table, 40);
    builder.alu(entry, AluOp::Add, index);
    let value = builder.load(entry, -4, Width::W);
    builder.end(crate::ir::End::ReturnValue(value));
    let program = emit(&builder.finish(), &Target::baseline()).unwrap();
    let reference = Relocation {
        insn: 1,
        map: table,
        value_offset: Some(40),
    };
    assert_eq!(program.relocations, [reference]);
    assert_eq!(program.insns[1..3], asm::load_map_value(Register::R1, 40));
}

/// An exchange whose old value is compared with what was expected; `values` are expected and new.
fn exchange(values: fn(&mut Builder, Value) -> (Value, Value)) -> Vec<String> {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let lost = builder.block();
    let base = builder.argument();
    let (expected, new) = values(&mut builder, base);
    let old = builder.compare_exchange(base, 8, expected, new);
    builder.leave_if_wide(old, JumpOp::Ne, expected, lost);
    builder.end(crate::ir::End::Return(1));
    builder.enter(lost);
    builder.end(crate::ir::End::Return(0));
    listing_for(builder, &Target::baseline().with_atomics())
}

#[test]
fn an_exchange_expects_in_r0_and_keeps_what_is_read_later() {
    let expected_first = exchange(|builder, base| {
        let expected = builder.load(base, 0, Width::DW);
        (expected, builder.load(base, 16, Width::DW))
    });
    assert_eq!(
        expected_first[..5],
        [
            "r2 = *(u64 *)(r1 + 0)",
            "r3 = *(u64 *)(r1 + 16)",
            "r0 = r2",
            "r0 = cmpxchg((u64 *)(r1 + 8), r0, r3)",
            "if r0 != r2 goto +2",
        ]
    );
    let new_first = exchange(|builder, base| {
        let new = builder.load(base, 16, Width::DW);
        (builder.load(base, 0, Width::DW), new)
    });
    assert_eq!(
        new_first[..5],
        [
            "r2 = *(u64 *)(r1 + 16)",
            "r3 = *(u64 *)(r1 + 0)",
            "r0 = r3",
            "r0 = cmpxchg((u64 *)(r1 + 8), r0, r2)",
            "if r0 != r3 goto +2",
        ]
    );
}

#[test]
fn an_exchange_is_refused_where_the_target_has_none() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let base = builder.argument();
    let value = builder.imm(1);
    let old = builder.compare_exchange(base, 0, value, value);
    builder.end(crate::ir::End::ReturnValue(old));
    let function = builder.finish();
    assert_eq!(
        emit(&function, &Target::baseline()).unwrap_err(),
        EmitError::NoAtomics
    );
    assert!(emit(&function, &Target::baseline().with_atomics()).is_ok());
}

#[test]
fn adding_atomically_is_for_every_target() {
    let mut builder = Builder::new("f", Section::Xdp, origin(1));
    let base = builder.argument();
    let one = builder.imm(1);
    builder.atomic_add(base, 8, one, Width::DW);
    builder.atomic_add(base, 16, one, Width::W);
    builder.end(crate::ir::End::Return(0));
    assert_eq!(
        listing(builder)[1..3],
        [
            "lock *(u64 *)(r1 + 8) += r0",
            "lock *(u32 *)(r1 + 16) += w0"
        ]
    );
}

#[test]
fn what_must_not_happen_becomes_no_program() {
    let mut builder = empty();
    builder.end(End::Return(1));
    builder.bug("first");
    builder.bug("second");
    assert_refused(builder, "first");
    let mut builder = empty();
    let number: i16 = builder.fit(40_000, "an offset");
    assert_eq!(number, 0);
    builder.end(End::Return(1));
    assert_refused(builder, "an offset is 40000, which does not fit");
}

/// What is stored is what some instruction says that it reads: the passes go by that.
#[test]
fn a_slot_that_is_overrun_becomes_no_program() {
    let refused = |with: fn(&mut Builder, Slot), why: &str| {
        let mut builder = empty();
        let slot = builder.slot(16);
        with(&mut builder, slot);
        builder.end(End::Return(1));
        assert_refused(builder, why);
    };
    refused(
        |builder, slot| builder.set_slot(slot, 9, 0, Width::DW),
        "ss0 is overrun",
    );
    refused(
        |builder, slot| {
            let part = builder.part(slot, 8, 8);
            let [none, nine] = [0, 9].map(Arg::Imm);
            let args = [none, none, Arg::SlotAddress(part), nine, none];
            builder.call(Helper::CsumDiff, &args);
        },
        "ss1 is overrun",
    );
    refused(
        |builder, slot| {
            builder.part(slot, 8, 9);
        },
        "a part of ss0 ends after it",
    );
}

#[test]
fn a_block_that_nobody_ended_becomes_no_program() {
    assert_refused(empty(), "block0: it has no end");
}

fn empty() -> Builder {
    Builder::new("f", Section::Xdp, origin(1))
}

fn assert_refused(builder: Builder, why: &str) {
    let refused = emit(&builder.finish(), &Target::baseline()).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, EmitError::Invalid(_)), "{said}");
    assert!(said.ends_with(why), "{said}");
}
