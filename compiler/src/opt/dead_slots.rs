//! Slots that nothing touches are gone, and the others move together: the frame is no larger than what is used of it.
//!
//! The stack is moved by words of 8 bytes: what hid a constant from the verifier (`Builder::opaque_slot`) goes on hiding it,
//! and what shares bytes goes on sharing them.

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::ir::{Block, Function, Slot, SlotData};

/// The bytes of a word.
const WORD: u32 = 8;

pub(super) fn run(function: &mut Function, order: &[Block]) {
    let used = used(function, order);
    let mut kept = PrimaryMap::new();
    let mut new: SecondaryMap<Slot, Option<Slot>> = SecondaryMap::new();
    for (slot, data) in &function.slots {
        if words(*data) & used != 0 {
            new[slot] = Some(kept.push(moved(*data, used)));
        }
    }
    function.slots = kept;
    touch(function, order, |slot| *slot = new[*slot].unwrap_or(*slot));
}

/// The words of the stack that slots stand in which something touches, and those that share words with them.
fn used(function: &mut Function, order: &[Block]) -> u64 {
    let slots: Vec<u64> = function.slots.values().map(|data| words(*data)).collect();
    let mut used = 0;
    touch(function, order, |slot| {
        used |= slots.get(slot.as_u32() as usize).copied().unwrap_or(0);
    });
    loop {
        let shared = slots.iter().filter(|&slot| slot & used != 0);
        let more = shared.fold(used, |used, slot| used | slot);
        if more == used {
            return used;
        }
        used = more;
    }
}

/// The words that a slot stands in, a bit each, the one next to the frame pointer first.
fn words(slot: SlotData) -> u64 {
    let below = u32::from(slot.offset.unsigned_abs());
    let words = first(slot)..below.div_ceil(WORD);
    words.fold(0, |words, word| {
        words | 1_u64.checked_shl(word).unwrap_or(0)
    })
}

/// The first of them.
fn first(slot: SlotData) -> u32 {
    u32::from(slot.offset.unsigned_abs()).saturating_sub(slot.size) / WORD
}

/// A slot without the words before it that nobody uses.
fn moved(slot: SlotData, used: u64) -> SlotData {
    let before = 1_u64
        .checked_shl(first(slot))
        .map_or(u64::MAX, |bit| bit - 1);
    let unused = (!used & before).count_ones() * WORD;
    SlotData {
        offset: i16::try_from(unused).map_or(slot.offset, |unused| slot.offset + unused),
        ..slot
    }
}

/// Calls `with` for each slot that something reads, writes or takes the address of.
fn touch(function: &mut Function, order: &[Block], mut with: impl FnMut(&mut Slot)) {
    for &block in order {
        let data = &mut function.blocks[block];
        data.insts.iter_mut().for_each(|inst| inst.slots(&mut with));
        data.end.slots(&mut with);
    }
}
