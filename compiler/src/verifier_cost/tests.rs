use super::*;
use crate::artifact::Section;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::Builder;
use crate::location::Location;

const MAX_COST: usize = 100_000;

fn origin(line: u32) -> Location {
    Location {
        file: "t.sk".into(),
        line,
        column: 1,
        text: "t".into(),
    }
}

/// `count` tests of one number, each of which may add to another that becomes part of a pointer only if `matters`.
fn ladder(count: i32, matters: bool) -> Function {
    let mut builder = Builder::new("ladder", Section::Xdp, origin(1));
    let context = builder.argument();
    let (sum, number) = (builder.value(), builder.value());
    builder.load_to(number, context, 16, Width::W);
    builder.set(sum, 0);
    for bound in 0..count {
        let (more, next) = (builder.block(), builder.block());
        builder.leave_if(number, JumpOp::Eq, bound, more);
        builder.jump(next);
        builder.enter(more);
        builder.alu(sum, AluOp::Add, 1);
        builder.jump(next);
        builder.enter(next);
    }
    if matters {
        let end = builder.block();
        builder.leave_if(sum, JumpOp::Gt, 3, end);
        builder.jump(end);
        builder.enter(end);
    }
    builder.end(End::Return(0));
    builder.finish()
}

#[test]
fn states_that_cannot_be_told_apart_are_walked_once() {
    let (once, often) = (ladder(50, false), ladder(50, true));
    let cost = |function: &Function| VerifierCost::of(function, MAX_COST).processed;
    assert!(cost(&once) < size(&once) * 3, "{}", cost(&once));
    assert!(cost(&often) > size(&often) * 10, "{}", cost(&often));
}

#[test]
fn counting_is_given_up_beyond_the_most_that_is_asked_for() {
    let cost = VerifierCost::of(&ladder(2_000, true), 1_000);
    assert!((1_000..10_000).contains(&cost.processed), "{cost:?}");
}

#[test]
fn each_branch_whose_first_way_goes_on_is_pending() {
    assert_eq!(
        VerifierCost::of(&ladder(7, false), MAX_COST).pending_jumps,
        7
    );
}

/// Two leaves: one of two instructions, reached by three ways, and one of four, reached by one.
#[test]
fn the_place_with_the_most_code_and_ways_comes_first() {
    let mut builder = Builder::new("leaves", Section::Xdp, origin(1));
    let context = builder.argument();
    let number = builder.value();
    builder.load_to(number, context, 16, Width::W);
    let [often, rare] = [2, 3].map(|line| builder.origin(origin(line)));
    builder.set_origin(often);
    let first = builder.block();
    builder.set_origin(rare);
    let second = builder.block();
    builder.set_origin(builder.head());
    for bound in 0..3 {
        builder.leave_if(number, JumpOp::Eq, bound, first);
    }
    builder.jump(second);
    builder.enter(first);
    builder.end(End::Return(0));
    builder.enter(second);
    builder.end(End::Return(1));
    let function = builder.finish();
    assert_eq!(shares(&function), [(often, 5), (rare, 3)]);
}
