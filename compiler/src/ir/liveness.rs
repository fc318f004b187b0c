//! Which values are still read after each place of a function.
//!
//! Control flow only goes forward, so one walk against the forward order is enough.

use cranelift_entity::SecondaryMap;

use super::{Block, Function, Value};

/// The values that each block needs from the blocks before it.
pub struct Liveness {
    before: SecondaryMap<Block, Vec<Value>>,
}

impl Liveness {
    /// Of a function whose blocks stand in [`forward_order`](super::forward_order).
    #[must_use]
    pub fn of(function: &Function, order: &[Block]) -> Self {
        let before = SecondaryMap::with_capacity(function.blocks.len());
        let mut liveness = Self { before };
        for &block in order.iter().rev() {
            let mut live = liveness.after(function, block);
            let data = &function.blocks[block];
            data.end.reads(|value| add(&mut live, value));
            for inst in data.insts.iter().rev() {
                if let Some(written) = inst.writes() {
                    live.retain(|&value| value != written);
                }
                inst.reads(|value| add(&mut live, value));
            }
            liveness.before[block] = live;
        }
        liveness
    }

    /// The values that a block reads, or lets through, before it writes them.
    #[must_use]
    pub fn before(&self, block: Block) -> &[Value] {
        &self.before[block]
    }

    /// The values that the blocks after this one need.
    #[must_use]
    pub fn after(&self, function: &Function, block: Block) -> Vec<Value> {
        let mut live = Vec::new();
        for successor in function.blocks[block].end.successors() {
            for &value in &self.before[successor] {
                add(&mut live, value);
            }
        }
        live
    }
}

/// No more are live at once than there are registers, or the function is refused: a search is as good as a set.
fn add(live: &mut Vec<Value>, value: Value) {
    if !live.contains(&value) {
        live.push(value);
    }
}
