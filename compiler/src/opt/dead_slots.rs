//! Slots that nothing touches are gone, and the others move together: the frame is no larger than what is used of it.
//!
//! The stack is moved by words of 8 bytes: what hid a constant from the verifier (`Builder::opaque_slot`) goes on hiding it,
//! and what shares bytes goes on sharing them.

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::ir::{Block, Function, Slot, SlotData};

/// The bytes of a word.
const WORD: u32 = 8;

/// Words of the stack, a bit each, the one next to the frame pointer first: more than there are, since a frame may be too
/// large until its unused slots are gone.
type Words = u128;

/// The bytes that they are.
pub(super) const FRAME: u32 = Words::BITS * WORD;

pub(super) fn run(function: &mut Function, order: &[Block]) {
    if let Err(slot) = pack(function, order) {
        function.bug(format!("{slot} cannot be moved on the stack"));
    }
}

/// The slot that cannot be moved, if there is one.
fn pack(function: &mut Function, order: &[Block]) -> Result<(), Slot> {
    let mut words = SecondaryMap::new();
    for (slot, data) in &function.slots {
        words[slot] = words_of(*data).ok_or(slot)?;
    }
    let used = used(function, order, &words);
    let mut kept = PrimaryMap::new();
    let mut new: SecondaryMap<Slot, Option<Slot>> = SecondaryMap::new();
    for (slot, data) in &function.slots {
        if words[slot] & used != 0 {
            new[slot] = Some(kept.push(moved(*data, used).ok_or(slot)?));
        }
    }
    let mut lost = None;
    touch(function, order, |slot| match new[*slot] {
        Some(kept) => *slot = kept,
        None => lost = Some(*slot),
    });
    function.slots = kept;
    lost.map_or(Ok(()), Err)
}

/// The words of the slots that something touches, and of those that share words with them: a slot and its parts, which lie
/// within it ([`crate::ir::Builder::part`]), so that none is left that shares words with those.
fn used(function: &mut Function, order: &[Block], words: &SecondaryMap<Slot, Words>) -> Words {
    let mut touched = 0;
    touch(function, order, |slot| touched |= words[*slot]);
    let shared = words.values().filter(|&slot| slot & touched != 0);
    shared.fold(0, |used, slot| used | slot)
}

/// The words that a slot stands in; `None` if it lies beyond all of them, or not below the frame pointer.
fn words_of(slot: SlotData) -> Option<Words> {
    let below = u32::from(slot.offset.unsigned_abs());
    let words = first(slot)?..below.div_ceil(WORD);
    words
        .map(|word| 1_u128.checked_shl(word))
        .try_fold(0, |words, word| Some(words | word?))
}

/// The first of them.
fn first(slot: SlotData) -> Option<u32> {
    let below = u32::from(slot.offset.unsigned_abs());
    below.checked_sub(slot.size).map(|after| after / WORD)
}

/// A slot without the words before it that nobody uses.
fn moved(slot: SlotData, used: Words) -> Option<SlotData> {
    let before = 1_u128.checked_shl(first(slot)?)? - 1;
    let unused = i16::try_from((!used & before).count_ones() * WORD).ok()?;
    Some(SlotData {
        offset: slot.offset.checked_add(unused)?,
        ..slot
    })
}

/// Calls `with` for each slot that something reads, writes or takes the address of.
fn touch(function: &mut Function, order: &[Block], mut with: impl FnMut(&mut Slot)) {
    for &block in order {
        let data = &mut function.blocks[block];
        data.insts.iter_mut().for_each(|inst| inst.slots(&mut with));
        data.end.slots(&mut with);
    }
}
