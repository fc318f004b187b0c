//! Counting what became of what was given to a named socket, in the per-CPU map `steered`: a number of the row at the index of the
//! name's first slot.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::destination::Ending;
use crate::ir::{Arg, Block, Builder, Operand, Slot, Value};

use super::Ends;

impl Ends<'_> {
    /// The blocks that count a hit and a miss, and go on to these; these themselves where counters are left out. `key` has the index of the
    /// row, and the slot `result` what became of who was there.
    pub(super) fn counted_ends(
        &mut self,
        builder: &mut Builder,
        key: Slot,
        [hit, miss]: [Block; 2],
    ) -> [Block; 2] {
        [(hit, Some(Ending::Given)), (miss, None)]
            .map(|(next, ending)| self.counted(builder, key, next, ending))
    }

    /// The block that counts how it ends, by what the slot `result` holds where that is not known, and goes on to `next`; `next`
    /// itself where counters are left out. `key` as in [`Self::counted_ends`].
    pub(super) fn counted(
        &mut self,
        builder: &mut Builder,
        key: Slot,
        next: Block,
        ending: Option<Ending>,
    ) -> Block {
        if self.given.source.maps.steered.is_none() {
            return next;
        }
        if let Some(&block) = self.counted_ends.get(&(key, next, ending)) {
            return block;
        }
        let block = builder.head_block();
        builder.enter(block);
        if let Some(row) = self.row(builder, key, next) {
            match ending {
                Some(ending) => self.count_ending(builder, row, ending),
                None => self.count_reason(builder, row, next),
            }
        }
        builder.jump(next);
        self.counted_ends.insert((key, next, ending), block);
        block
    }

    /// This CPU's row.
    fn row(&self, builder: &mut Builder, key: Slot, next: Block) -> Option<Value> {
        let map = self.given.source.maps.steered?;
        self.given.unless_asked(builder, next);
        let args = [Arg::Map(map), Arg::SlotAddress(key)];
        let row = builder.call_value(Helper::MapLookupElem, &args);
        builder.leave_if_wide(row, JumpOp::Eq, 0, next);
        Some(row)
    }

    /// Counts by what the slot `result` holds; what no other reason has is a refusal.
    fn count_reason(&self, builder: &mut Builder, row: Value, next: Block) {
        let result = builder.load_slot(self.given.frame.result, 0, Width::W);
        for ending in Ending::ALL {
            let Some(number) = ending.result().filter(|_| ending != Ending::Given) else {
                continue;
            };
            let there = builder.block();
            builder.leave_if(result, JumpOp::Eq, number, there);
            let otherwise = builder.current();
            builder.enter(there);
            self.count_ending(builder, row, ending);
            builder.jump(next);
            builder.enter(otherwise);
        }
        self.count_ending(builder, row, Ending::Refused);
    }

    fn count_ending(&self, builder: &mut Builder, row: Value, ending: Ending) {
        let offset = builder.fit(ending.offset(), "the offset in a row");
        self.add(builder, row, offset, Operand::Imm(1));
    }
}
