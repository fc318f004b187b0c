//! The address of a counter in the map `counters`, whose values are blocks of them ([`crate::counter_blocks`]).
//!
//! Takes a slot; gives the address of its counter. Not here: what is added there, and which slot it is.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::counter_blocks::{KEY_SHIFT, PLACE_MASK, PLACE_SHIFT, place};
use crate::ir::{Arg, Block, Builder, Slot, Value};

/// The counter whose slot stands in `slot`; `none` is where there is no such block. The block's key comes to stand in `key`.
pub(super) fn counter_of(
    builder: &mut Builder,
    map: MapId,
    [slot, key]: [Slot; 2],
    none: Block,
) -> Value {
    let block = builder.load_slot(slot, 0, Width::W);
    builder.alu(block, AluOp::Rsh, KEY_SHIFT);
    builder.store_slot(key, 0, block, Width::W);
    let counter = block_of(builder, map, key, none);
    let within = builder.load_slot(slot, 0, Width::W);
    builder.alu(within, AluOp::And, PLACE_MASK);
    builder.alu(within, AluOp::Lsh, PLACE_SHIFT);
    builder.alu(counter, AluOp::Add, within);
    counter
}

/// The block of a slot that is known, and the offset of the counter there.
pub(super) fn counter_at(
    builder: &mut Builder,
    map: MapId,
    slot: u32,
    none: Block,
) -> (Value, i16) {
    let key = builder.opaque_slot(4);
    counter_in(builder, map, (slot, key), none)
}

/// The same, where the block's key comes to stand in a place that is there already.
pub(super) fn counter_in(
    builder: &mut Builder,
    map: MapId,
    (slot, key): (u32, Slot),
    none: Block,
) -> (Value, i16) {
    let (block, offset) = place(slot);
    let block = builder.fit(block, "the block of a counter");
    builder.set_slot(key, 0, block, Width::W);
    let offset = builder.fit(offset, "the place of a counter");
    (block_of(builder, map, key, none), offset)
}

fn block_of(builder: &mut Builder, map: MapId, key: Slot, none: Block) -> Value {
    let args = [Arg::Map(map), Arg::SlotAddress(key)];
    let block = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(block, JumpOp::Eq, 0, none);
    block
}
