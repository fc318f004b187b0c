//! How much work a function gives the kernel's verifier, before anything is emitted.
//!
//! The verifier walks every path, and stops where it meets a state that it has walked from before. Here each block is walked
//! once for each state in which its registers can be told apart; the instructions of all these walks are what it
//! processes. Takes a function that goes forward; gives numbers that lie near the kernel's (`golden/verified.txt` has
//! those), rather above them than below.
//!
//! Not here: limits, and what is said of a function beyond them.

mod state;

use std::collections::BTreeSet;

use cranelift_entity::{EntityRef, SecondaryMap};

use crate::ir::{Arg, Block, End, Function, Inst, Origin, Places, SlotRegion, forward_order};
use state::{Matter, State};

/// The work that a function gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifierCost {
    /// Instructions that are processed, over all states; at least so many where counting was given up.
    pub processed: usize,
    /// Branches that are pending at most on one path.
    pub pending_jumps: usize,
}

/// The verifier remembers a state only where so many instructions and two jumps lie after the last one; so it walks short
/// ways after a join again. All work is so many percent of what is walked once (for the policies of `rules/` kernels process
/// 120 to 254).
const WORK: usize = 260;

impl VerifierCost {
    /// The work that a function gives; counting is given up beyond `most` processed instructions.
    #[must_use]
    pub fn of(function: &Function, most: usize) -> Self {
        let order = forward_order(function).unwrap_or_default();
        let walked = processed(function, &order, most);
        Self {
            processed: walked.saturating_mul(WORK) / 100,
            pending_jumps: pending_jumps(function, &order),
        }
    }
}

/// The instructions of a function, near enough.
#[must_use]
pub(crate) fn size(function: &Function) -> usize {
    let order = forward_order(function).unwrap_or_default();
    order.iter().map(|&block| length(function, block)).sum()
}

fn processed(function: &Function, order: &[Block], most: usize) -> usize {
    let matters = Matter::of(function, order);
    let mut states: SecondaryMap<Block, BTreeSet<State>> = SecondaryMap::new();
    states[function.entry].insert(State::default());
    let mut processed = 0;
    for &block in order {
        let here = std::mem::take(&mut states[block]);
        let once = length(function, block);
        processed += here.len() * (once + again(&function.blocks[block].end));
        if processed > most {
            break;
        }
        for state in here {
            let after = state.after(function, block);
            for successor in after.successors(&function.blocks[block].end) {
                states[successor].insert(after.only(matters.at(successor)));
            }
        }
    }
    processed
}

/// The loops, once.
const HEADERS: usize = 39;
const FRAME: usize = 18;
/// The loop over the places of a name's members, with a hash that orders them and without.
const ORDERED: usize = 92;
const UNORDERED: usize = 38;
/// Of what [`WORK`] says for the rest, a turn over places takes so many percent. At its end the verifier remembers for certain that
/// its ways are alike, and walks it 1.2 times up to 32 places, 1.8 times with 64, whose first states it has forgotten when it comes
/// back to them (Linux 5.10 to 6.18; at TC 6.18 may walk all turns once more, however many names there are).
const TURN: usize = 90;

/// How many tests a place has at most: whether it is empty, the state of what is in it, whether that is closed, whether it was taken.
const TESTS: usize = 4;

/// What the verifier walks of a loop after the first time: it goes through as often as the loop can run.
fn again(end: &End) -> usize {
    match end {
        End::Headers(_) => 6 * HEADERS,
        End::Frame(_) => 2 * FRAME,
        End::Slot(region) => match &region.places {
            Some(places) => places.count as usize * turn(places) * TURN / 100,
            None => 0,
        },
        _ => 0,
    }
}

/// The instructions for one place.
fn turn(places: &Places) -> usize {
    match places.hash {
        Some(_) => ORDERED,
        None => UNORDERED,
    }
}

/// The instructions of a block, near enough.
fn length(function: &Function, block: Block) -> usize {
    /// A region prepares a call, tests what came, and releases it.
    const REGION: usize = 24;
    let data = &function.blocks[block];
    let end = match data.end {
        End::Jump(_) | End::Branch { .. } => 1,
        End::Open | End::Return(_) | End::ReturnValue(_) => 2,
        End::Slot(ref region) => match &region.places {
            Some(places) => turn(places),
            None => REGION,
        },
        End::Socket(_) => REGION,
        End::Headers(_) => HEADERS,
        End::Frame(_) => FRAME,
    };
    let insts = data.insts.iter().map(|inst| match inst {
        Inst::Call { args, .. } => {
            let addresses = args.iter().filter(|arg| matches!(arg, Arg::SlotAddress(_)));
            2 + args.len() + addresses.count()
        }
        Inst::CompareExchange { .. } => 3,
        _ => 1,
    });
    insts.sum::<usize>() + end
}

/// A branch stays pending while the way after it is walked, and is taken up when that way has ended.
fn pending_jumps(function: &Function, order: &[Block]) -> usize {
    let mut pending: SecondaryMap<Block, usize> = SecondaryMap::new();
    let mut most = 0;
    for (index, &block) in order.iter().enumerate() {
        let here = pending[block];
        let mut go = |to: Block, more: usize| {
            pending[to] = pending[to].max(here + more);
            most = most.max(here + more);
        };
        match function.blocks[block].end {
            End::Branch { then, other, .. } => {
                // The way that is laid out after the branch is walked first.
                let first_is_then = order.get(index + 1) == Some(&then) && then != other;
                go(then, usize::from(first_is_then));
                go(other, usize::from(!first_is_then));
            }
            End::Jump(to) => go(to, 0),
            // The tests of each place are pending while the next one is walked.
            End::Slot(SlotRegion {
                places: Some(ref places),
                hit,
                miss,
                ..
            }) => {
                go(hit, TESTS * places.count as usize);
                go(miss, TESTS * places.count as usize);
            }
            // The null test of a region is pending while what is after it is walked.
            ref end => {
                for successor in end.successors() {
                    go(successor, 1);
                }
            }
        }
    }
    most
}

/// The places that a function's code comes from, with how much of it stands for each: its own instructions, and a test for
/// each way that leads to it. The most expensive come first; code of no rule, which begins where the function does, is left
/// out.
#[must_use]
pub(crate) fn shares(function: &Function) -> Vec<(Origin, usize)> {
    let head = function.blocks[function.entry].origin;
    let mut shares: SecondaryMap<Origin, usize> = SecondaryMap::new();
    for block in forward_order(function).unwrap_or_default() {
        let data = &function.blocks[block];
        shares[data.origin] += length(function, block);
        for successor in data.end.successors() {
            let there = function.blocks[successor].origin;
            if there != data.origin {
                shares[there] += 1;
            }
        }
    }
    let mut all: Vec<(Origin, usize)> = function
        .origins
        .keys()
        .filter(|&origin| origin != head)
        .map(|origin| (origin, shares[origin]))
        .filter(|&(_, share)| share > 0)
        .collect();
    all.sort_by_key(|&(origin, share)| (std::cmp::Reverse(share), origin.index()));
    all
}

#[cfg(test)]
mod tests;
