//! Counting: packets and bytes in the per-CPU map `counters`, keyed by the slot `counter`.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::hook::Hook;
use crate::ir::{Arg, Block, Value};

use super::Lowering;
use super::context::{msg, skb};

impl Lowering<'_> {
    /// The block that counts and goes on to `next`; `next` itself where counters are left out.
    pub(super) fn account(&mut self, next: Block) -> Block {
        let Some(map) = self.source.maps.counters else {
            return next;
        };
        if let Some(&block) = self.accounts.get(&next) {
            return block;
        }
        let block = self.head_block();
        self.builder.enter(block);
        let joined = matches!(self.source.chain.hook, Hook::TcIn | Hook::TcOut);
        if joined {
            self.weigh();
        }
        let args = [Arg::Map(map), Arg::SlotAddress(self.frame.counter)];
        let counter = self.registers.end;
        let found = self.builder.call_value(Helper::MapLookupElem, &args);
        self.builder.assign(counter, found);
        self.builder.leave_if_wide(counter, JumpOp::Eq, 0, next);
        let packets = self.builder.load(counter, 0, Width::DW);
        if joined {
            let weight = self.builder.load_slot(self.frame.weight, 0, Width::W);
            self.builder.alu(packets, AluOp::Add, weight);
        } else {
            self.builder.alu(packets, AluOp::Add, 1);
        }
        self.builder.store(counter, 0, packets, Width::DW);
        if let Some(size) = self.size() {
            let bytes = self.builder.load(counter, 8, Width::DW);
            self.builder.alu(bytes, AluOp::Add, size);
            self.builder.store(counter, 8, bytes, Width::DW);
        }
        self.builder.jump(next);
        self.accounts.insert(next, block);
        block
    }

    /// Bytes of what is counted; a socket lookup has none.
    fn size(&mut self) -> Option<Value> {
        match self.source.chain.hook {
            Hook::Xdp | Hook::TcIn | Hook::TcOut => {
                Some(self.builder.load_slot(self.frame.length, 0, Width::W))
            }
            Hook::SkMsg => Some(
                self.builder
                    .load(self.registers.context, msg::SIZE, Width::W),
            ),
            Hook::SkLookup => None,
        }
    }

    /// TC sees segments that were joined; `gso_segs` says how many (0 for one that was not).
    pub(super) fn weigh(&mut self) {
        let ready = self.builder.block();
        self.builder.set_slot(self.frame.weight, 0, 1, Width::W);
        let segments = self
            .builder
            .load(self.registers.context, skb::GSO_SEGS, Width::W);
        self.builder.leave_if(segments, JumpOp::Eq, 0, ready);
        let segments = self
            .builder
            .load(self.registers.context, skb::GSO_SEGS, Width::W);
        self.builder
            .store_slot(self.frame.weight, 0, segments, Width::W);
        self.builder.jump(ready);
        self.builder.enter(ready);
    }
}
