//! The search of intervals for a number, by halves.
//!
//! Takes intervals and where each leads; gives comparisons from the current block on. A comparison is said to come from what
//! its interval says. Not here: what the number is.

use crate::bpf::opcode::JumpOp;
use crate::ir::{Block, Builder, Origin, Value};

/// An interval's upper bound, where it leads, and where its comparison with the next one comes from.
pub(super) type Arm = (u32, Block, Origin);

/// Searches intervals for a value in the current block; `low` is the smallest one that can still occur.
pub(super) fn search(builder: &mut Builder, value: Value, arms: &[Arm], low: u32) {
    let origin = comparison(arms, builder.head());
    builder.set_origin(origin);
    match *arms {
        [] => {}
        [(_, only, _)] => builder.jump(only),
        [(point, first, _), (_, rest, _)] if point == low => {
            split(builder, value, JumpOp::Eq, point, first, rest)
        }
        [(high, first, _), (_, rest, _)] => split(builder, value, JumpOp::Gt, high, rest, first),
        [(before, outside, _), (point, inside, _), (_, after, _)]
            if after == outside && before.checked_add(1) == Some(point) =>
        {
            split(builder, value, JumpOp::Eq, point, inside, outside);
        }
        _ => {
            let middle = arms.len() / 2;
            let (lower, higher) = arms.split_at(middle);
            let bound = arms[middle - 1].0;
            builder.set_origin(comparison(higher, origin));
            let upper = builder.block();
            builder.set_origin(comparison(lower, origin));
            builder.leave_if(value, JumpOp::Gt, immediate(bound), upper);
            search(builder, value, lower, low);
            builder.enter(upper);
            search(builder, value, higher, bound.saturating_add(1));
        }
    }
}

fn split(builder: &mut Builder, value: Value, op: JumpOp, bound: u32, then: Block, other: Block) {
    builder.leave_if(value, op, immediate(bound), then);
    builder.jump(other);
}

/// Where the first comparison of a search comes from.
fn comparison(arms: &[Arm], none: Origin) -> Origin {
    let middle = (arms.len() / 2).max(1);
    arms.get(middle - 1).map_or(none, |arm| arm.2)
}

/// 32-bit comparisons take the immediate's bits as unsigned.
pub(super) fn immediate(value: u32) -> i32 {
    i32::from_ne_bytes(value.to_ne_bytes())
}
