//! The sk_skb program of pairs, which moves what arrives on one side to the other.
//!
//! It knows the socket that it is at by its cookie, finds out with whom that one is joined, counts, and hands the data to
//! the other's send queue (`sk_psock_skb_redirect` with no ingress flag, `skb_send_sock` in `sk_psock_backlog`). A socket that
//! is joined with nobody keeps its data: its reader gets it.
//!
//! The kernel takes what is handed over however much the other side still has to send. So the program says after every
//! [`PairsPlan::STEP`] bytes of a side that they were moved, and whoever keeps the pairs stops a side that is too far ahead.
//!
//! Takes the maps; gives a program of its own. Not here: any rule but the splice, and who puts sockets into the maps.

use crate::artifact::{MapId, PairsPlan, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, End, Function, Slot, Value};
use crate::location::Location;

use super::context::skb;

/// `SK_PASS`
const PASS: i32 = 1;
/// `SK_DROP`
const DROP: i32 = 0;
/// Where the bytes that were moved stand in a value of `joined`; the cookie of the other side is at the beginning.
const MOVED: i16 = 8;
/// Where it says whether data from here is what comes back.
const BACK: i16 = 16;

/// The maps of some pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpliceMaps {
    /// The SOCKHASH of where data goes to.
    pub targets: MapId,
    /// The hash map of who is joined with whom.
    pub joined: MapId,
    /// The ring that says how far each side has come.
    pub moved: MapId,
    /// The counters and the slot of the splice, if it counts; what comes back counts in the next one.
    pub counter: Option<(MapId, u32)>,
}

/// The sk_skb program of some pairs; `place` is the splice's.
#[must_use]
pub(crate) fn splice(name: &str, place: &Location, maps: &SpliceMaps) -> Function {
    let mut program = Builder::new(name, Section::SkSkb, place.clone());
    let builder = &mut program;
    let context = builder.argument();
    let [alone, empty, next] = [(); 3].map(|()| builder.head_block());
    let cookie = builder.call_value(Helper::GetSocketCookie, &[Arg::Value(context)]);
    let own = builder.slot(8);
    builder.store_slot(own, 0, cookie, Width::DW);
    let args = [Arg::Map(maps.joined), Arg::SlotAddress(own)];
    let joined = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(joined, JumpOp::Eq, 0, alone);
    let length = builder.load(context, skb::LEN, Width::W);
    builder.leave_if(length, JumpOp::Eq, 0, empty);
    if let Some(counter) = maps.counter {
        count(builder, counter, joined, length);
    }
    tell(builder, maps.moved, (joined, own), length, next);
    builder.enter(next);
    let other = builder.slot(8);
    let cookie = builder.load(joined, 0, Width::DW);
    builder.store_slot(other, 0, cookie, Width::DW);
    let args = [
        Arg::Value(context),
        Arg::Map(maps.targets),
        Arg::SlotAddress(other),
        Arg::Imm(0),
    ];
    let verdict = builder.call_value(Helper::SkRedirectHash, &args);
    builder.end(End::ReturnValue(verdict));
    builder.enter(alone);
    builder.end(End::Return(PASS));
    // The end of a side comes as a segment without data, and to send nothing is an error to the kernel: it would send nothing
    // more to that socket (`sk_psock_backlog`, where 0 becomes EPIPE).
    builder.enter(empty);
    builder.end(End::Return(DROP));
    program.finish()
}

/// Counts one for the data, and its bytes. Data that waits when a socket comes in is moved in the process that puts it there,
/// which the kernel may take off its CPU.
fn count(builder: &mut Builder, (map, slot): (MapId, u32), joined: Value, length: Value) {
    let key = builder.opaque_slot(4);
    let number = builder.load(joined, BACK, Width::W);
    let slot: i32 = builder.fit(slot, "the slot of a counter");
    builder.alu(number, AluOp::Add, slot);
    builder.store_slot(key, 0, number, Width::W);
    let uncounted = builder.block();
    let args = [Arg::Map(map), Arg::SlotAddress(key)];
    let counter = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(counter, JumpOp::Eq, 0, uncounted);
    let one = builder.imm(1);
    builder.atomic_add(counter, 0, one, Width::DW);
    builder.atomic_add(counter, 8, length, Width::DW);
    builder.jump(uncounted);
    builder.enter(uncounted);
}

/// Adds to what was moved, and says so whenever that passes a multiple of the step. The kernel runs the program for one
/// socket once at a time, with the socket locked (`sk_psock_verdict_data_ready`).
fn tell(
    builder: &mut Builder,
    moved: MapId,
    (joined, own): (Value, Slot),
    length: Value,
    next: Block,
) {
    let step: i32 = builder.fit(PairsPlan::STEP.ilog2(), "a step");
    let before = builder.load(joined, MOVED, Width::DW);
    let after = builder.copy(before);
    builder.alu(after, AluOp::Add, length);
    builder.store(joined, MOVED, after, Width::DW);
    builder.alu(before, AluOp::Rsh, step);
    builder.alu(after, AluOp::Rsh, step);
    builder.leave_if_wide(before, JumpOp::Eq, after, next);
    // Where the ring is full, the next step says it.
    let args = [
        Arg::Map(moved),
        Arg::SlotAddress(own),
        Arg::Imm(8),
        Arg::Imm(0),
    ];
    builder.call(Helper::RingbufOutput, &args);
    builder.jump(next);
}
