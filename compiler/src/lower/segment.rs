//! Where a segment stands in its stream, and how what came before is cut off it.
//!
//! TCP puts a segment of which a part came before into its queue as it is, and skips that part when it is read. Where an
//! sk_skb program is asked, the kernel does not skip it (`tcp_read_skb`), so the program cuts it off. It knows where a segment
//! begins and ends from what the kernel keeps with it ([`SEGMENT`]). The kernel runs the program for one socket once at a time,
//! with the socket locked (`sk_psock_verdict_data_ready`).
//!
//! Takes the context of an sk_skb program and a place where the number of the byte that comes next is kept. Not here: what
//! becomes of a segment that is all old, or that is not the next.

use crate::artifact::SEGMENT;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, Slot, Value};

/// So many bytes are cut off at once (`sk_skb_adjust_room` takes fewer than 4096), and so often: more than segments of 64 KiB,
/// which are the largest unless somebody lets the kernel join more.
const PIECE: i32 = 1 << 11;
const PIECES: i32 = 32;
/// Where the second number is.
const ENDS: u8 = 4;

/// A segment.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// Its bytes.
    length: Value,
    /// The number of the first.
    begins: Value,
    /// Where it says in [`ENDS`] whether the end of the stream comes with it.
    numbers: Slot,
}

impl Segment {
    /// Reads it; leaves to `broken` where that is refused, or where its numbers do not fit its length.
    pub(super) fn read(
        builder: &mut Builder,
        context: Value,
        length: Value,
        broken: Block,
    ) -> Self {
        let numbers = builder.slot(8);
        let kept = builder.copy(context);
        let offset: i32 = builder.fit(SEGMENT, "an offset");
        builder.alu(kept, AluOp::Add, offset);
        let args = [Arg::SlotAddress(numbers), Arg::Imm(8), Arg::Value(kept)];
        let unread = builder.call_value(Helper::ProbeReadKernel, &args);
        builder.leave_if_wide(unread, JumpOp::Ne, 0, broken);
        let begins = builder.load_slot(numbers, 0, Width::W);
        let ends = builder.load_slot(numbers, ENDS, Width::W);
        less(builder, ends, begins);
        less(builder, ends, length);
        // The end of the stream takes a number, too.
        builder.leave_if(ends, JumpOp::Gt, 1, broken);
        builder.store_slot(numbers, ENDS, ends, Width::W);
        Self {
            length,
            begins,
            numbers,
        }
    }

    /// 1 if the end of the stream comes with it, else 0.
    pub(super) fn ends(&self, builder: &mut Builder) -> Value {
        builder.load_slot(self.numbers, ENDS, Width::W)
    }

    /// How many of its bytes came before, as the number says that is kept in `next` at an offset. It is below 0, as a number of
    /// 32 bits with a sign, where the segment begins after what comes next.
    pub(super) fn before(&self, builder: &mut Builder, next: Value, offset: i16) -> Value {
        let before = builder.load(next, offset, Width::W);
        less(builder, before, self.begins);
        before
    }

    /// Keeps there that all of it has come.
    pub(super) fn came(&self, builder: &mut Builder, next: Value, offset: i16) {
        let end = builder.copy(self.begins);
        builder.alu(end, AluOp::Add, self.length);
        builder.store(next, offset, end, Width::W);
    }
}

/// Cuts off so many of the first bytes, and goes on in a fresh block; leaves to `broken` where the kernel has no memory for it.
pub(super) fn cut_off(builder: &mut Builder, context: Value, count: Value, broken: Block) {
    let whole = builder.block();
    builder.leave_if(count, JumpOp::Eq, 0, whole);
    let back = builder.imm(0);
    let odd = builder.copy(count);
    builder.alu(odd, AluOp::And, PIECE - 1);
    builder.alu(back, AluOp::Sub, odd);
    shrink(builder, context, Arg::Value(back), broken);
    for pieces in 1..=PIECES {
        builder.leave_if(count, JumpOp::Lt, pieces * PIECE, whole);
        shrink(builder, context, Arg::Imm(-PIECE), broken);
    }
    builder.leave_if(count, JumpOp::Ge, (PIECES + 1) * PIECE, broken);
    builder.jump(whole);
    builder.enter(whole);
}

/// Takes the first bytes away: as many as the length, which is below 0.
fn shrink(builder: &mut Builder, context: Value, length: Arg, broken: Block) {
    let args = [Arg::Value(context), length, Arg::Imm(0), Arg::Imm(0)];
    let refused = builder.call_value(Helper::SkbAdjustRoom, &args);
    builder.leave_if_wide(refused, JumpOp::Ne, 0, broken);
}

/// The difference of two sequence numbers, which are of 32 bits and begin again at 0.
fn less(builder: &mut Builder, number: Value, by: Value) {
    builder.alu(number, AluOp::Sub, by);
    builder.alu(number, AluOp::Lsh, 32);
    builder.alu(number, AluOp::Rsh, 32);
}
