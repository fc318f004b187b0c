//! What no way reads is not stored.
//!
//! Slots may share bytes, so that bytes are followed, not slots.

use cranelift_entity::SecondaryMap;

use super::dead_slots;
use crate::ir::{Arg, Block, End, Function, Inst, Slot, SocketRegion};

/// The bytes that are followed: as many as can be moved, since a frame may be too large until its unused slots are gone.
const FRAME: usize = dead_slots::FRAME as usize;

pub(super) fn run(function: &mut Function, order: &[Block]) {
    let mut before: SecondaryMap<Block, Bytes> = SecondaryMap::new();
    for &block in order.iter().rev() {
        let mut live = Bytes::default();
        let end = &function.blocks[block].end;
        for successor in end.successors() {
            live.join(&before[successor]);
        }
        reads_of_end(function, end, &mut live);
        let insts = std::mem::take(&mut function.blocks[block].insts);
        let mut kept = Vec::with_capacity(insts.len());
        for inst in insts.into_iter().rev() {
            if let Some(bytes) = stored(function, &inst) {
                if !live.any(bytes) {
                    continue;
                }
                live.set(bytes, false);
            }
            reads(function, &inst, &mut live);
            kept.push(inst);
        }
        kept.reverse();
        function.blocks[block].insts = kept;
        before[block] = live;
    }
}

/// Some bytes of the stack, one after the other: the first one, from its lowest address, and how many.
type Range = (usize, usize);

/// Bytes of the stack that are still read.
#[derive(Clone, Default)]
struct Bytes([u64; FRAME / 64]);

impl Bytes {
    fn join(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    fn set(&mut self, (first, count): Range, live: bool) {
        for byte in first..(first + count).min(FRAME) {
            let bit = 1 << (byte % 64);
            match live {
                true => self.0[byte / 64] |= bit,
                false => self.0[byte / 64] &= !bit,
            }
        }
    }

    fn any(&self, (first, count): Range) -> bool {
        (first..(first + count).min(FRAME)).any(|byte| self.0[byte / 64] & 1 << (byte % 64) != 0)
    }
}

/// So many bytes of a slot, from `byte` on.
fn part(function: &Function, slot: Slot, byte: u8, count: usize) -> Range {
    let below = usize::from(function.slots[slot].offset.unsigned_abs());
    (FRAME.saturating_sub(below) + usize::from(byte), count)
}

/// The bytes that an instruction writes, if that is all it does.
fn stored(function: &Function, inst: &Inst) -> Option<Range> {
    match inst {
        Inst::StoreSlot {
            slot, byte, width, ..
        }
        | Inst::SetSlot {
            slot, byte, width, ..
        } => Some(part(function, *slot, *byte, width.bytes())),
        _ => None,
    }
}

fn reads(function: &Function, inst: &Inst, live: &mut Bytes) {
    match inst {
        Inst::LoadSlot {
            slot, byte, width, ..
        } => live.set(part(function, *slot, *byte, width.bytes()), true),
        Inst::Call { args, .. } => {
            for arg in args {
                match arg {
                    Arg::SlotAddress(slot) => {
                        let size = function.slots[*slot].size as usize;
                        live.set(part(function, *slot, 0, size), true);
                    }
                    Arg::SlotValue(slot, width) => {
                        live.set(part(function, *slot, 0, width.bytes()), true);
                    }
                    Arg::Value(_) | Arg::Imm(_) | Arg::Map(_) => {}
                }
            }
        }
        Inst::Argument { .. }
        | Inst::Imm { .. }
        | Inst::Copy { .. }
        | Inst::Alu { .. }
        | Inst::FromNetwork { .. }
        | Inst::Load { .. }
        | Inst::Store { .. }
        | Inst::StoreSlot { .. }
        | Inst::SetSlot { .. }
        | Inst::MapValue { .. }
        | Inst::AtomicAdd { .. }
        | Inst::CompareExchange { .. } => {}
    }
}

fn reads_of_end(function: &Function, end: &End, live: &mut Bytes) {
    match end {
        End::Socket(region) => {
            live.set(part(function, region.state, 0, 1), false);
            live.set(part(function, region.protocol, 0, 1), true);
            live.set(part(function, region.tuple, 0, SocketRegion::TUPLE), true);
            if let Some(netns) = region.netns {
                live.set(part(function, netns, 0, 4), true);
            }
        }
        End::Slot(region) => match &region.places {
            None => live.set(part(function, region.key, 0, 4), true),
            Some(places) => {
                live.set(part(function, places.first, 0, 4), true);
                if let Some(hash) = places.hash {
                    live.set(part(function, hash, 0, 8), true);
                }
            }
        },
        End::Headers(region) => {
            for slot in [region.protocol, region.part] {
                live.set(part(function, slot, 0, 1), true);
            }
        }
        End::Frame(_)
        | End::Open
        | End::Jump(_)
        | End::Branch { .. }
        | End::Return(_)
        | End::ReturnValue(_) => {}
    }
}
