//! Which values are still read after each place of a function.
//!
//! Control flow only goes forward, so one walk against the forward order is enough.

use cranelift_entity::SecondaryMap;

use super::{Block, End, Function, Inst, Value};

/// The values that each block needs from the blocks before it.
pub(crate) struct Liveness {
    before: SecondaryMap<Block, Live>,
}

impl Liveness {
    /// Of a function whose blocks stand in [`forward_order`](super::forward_order).
    #[must_use]
    pub(crate) fn of(function: &Function, order: &[Block]) -> Self {
        let mut before = SecondaryMap::with_capacity(function.blocks.len());
        for &block in order.iter().rev() {
            let data = &function.blocks[block];
            let mut live = Live::before_end(&data.end, &before);
            data.insts.iter().rev().for_each(|inst| live.step(inst));
            before[block] = live;
        }
        Self { before }
    }

    /// The values that a block reads, or lets through, before it writes them.
    #[must_use]
    pub(crate) fn before(&self, block: Block) -> &[Value] {
        &self.before[block].0
    }

    /// The values that the blocks after this one need.
    #[must_use]
    pub(crate) fn after(&self, function: &Function, block: Block) -> Vec<Value> {
        Live::after_end(&function.blocks[block].end, &self.before).0
    }
}

/// The values that are live at one place, on a walk from the end of a block to its start.
///
/// No more are live at once than there are registers, or the function is refused: a search is as good as a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Vec<Value>);

impl Live {
    /// At the last place of a block, before its end reads anything; `before` says what the blocks after it need.
    #[must_use]
    pub(crate) fn before_end(end: &End, before: &SecondaryMap<Block, Self>) -> Self {
        let mut live = Self::after_end(end, before);
        end.reads(|value| live.add(value));
        live
    }

    /// Goes on to the place before an instruction.
    pub(crate) fn step(&mut self, inst: &Inst) {
        if let Some(written) = inst.writes() {
            self.0.retain(|&value| value != written);
        }
        inst.reads(|value| self.add(value));
    }

    /// Whether a value is live here.
    #[must_use]
    pub(crate) fn contains(&self, value: Value) -> bool {
        self.0.contains(&value)
    }

    fn after_end(end: &End, before: &SecondaryMap<Block, Self>) -> Self {
        let mut live = Self::default();
        for successor in end.successors() {
            before[successor]
                .0
                .iter()
                .for_each(|&value| live.add(value));
        }
        live
    }

    fn add(&mut self, value: Value) {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }
}
