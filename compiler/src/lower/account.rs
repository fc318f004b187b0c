//! Counting: packets and bytes in the per-CPU map `counters`, keyed by the slot `counter`.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Operand, Value};

use super::Lowering;
use super::context::skb;
use super::hook::code;
use super::packet::ETHERNET;

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
        self.unless_asked(next);
        let args = [Arg::Map(map), Arg::SlotAddress(self.frame.counter)];
        let counter = self.registers.end;
        let found = self.builder.call_value(Helper::MapLookupElem, &args);
        self.builder.assign(counter, found);
        self.builder.leave_if_wide(counter, JumpOp::Eq, 0, next);
        let packets = self.packets();
        self.add(counter, 0, packets);
        if let Some(size) = self.size() {
            self.add(counter, 8, Operand::Value(size));
        }
        self.builder.jump(next);
        self.accounts.insert(next, block);
        block
    }

    /// Adds to a number of this CPU's counter.
    ///
    /// The kernel runs packet hooks and lookups with soft interrupts off, so nothing else counts on the CPU meanwhile. It
    /// runs `sk_msg` in the writing process (`sk_psock_msg_verdict`), which a preemptible kernel may take off its CPU
    /// between the load and the store.
    fn add(&mut self, counter: Value, offset: i16, amount: Operand) {
        if code(self.source.chain.hook).preemptible {
            let amount = match amount {
                Operand::Value(value) => value,
                Operand::Imm(imm) => self.builder.imm(i64::from(imm)),
            };
            return self.builder.atomic_add(counter, offset, amount, Width::DW);
        }
        let sum = self.builder.load(counter, offset, Width::DW);
        self.builder.alu(sum, AluOp::Add, amount);
        self.builder.store(counter, offset, sum, Width::DW);
    }

    /// How many packets are counted. TC sees segments that were joined; `gso_segs` says how many (0 for one that was not).
    fn packets(&mut self) -> Operand {
        if !self.source.chain.hook.spec().sees.joined {
            return Operand::Imm(1);
        }
        let ready = self.builder.block();
        let (context, segments) = (self.registers.context, self.registers.probe);
        self.builder
            .load_to(segments, context, skb::GSO_SEGS, Width::W);
        self.builder.leave_if(segments, JumpOp::Ne, 0, ready);
        self.builder.set(segments, 1);
        self.builder.jump(ready);
        self.builder.enter(ready);
        Operand::Value(segments)
    }

    /// Bytes of what is counted; a socket lookup has none.
    fn size(&mut self) -> Option<Value> {
        if self.is_uniform() && self.source.chain.hook.spec().sees.joined {
            return Some(self.after_ethernet());
        }
        let place = (code(self.source.chain.hook).size)(self)?;
        let size = self.builder.value();
        self.load_at(size, &place);
        Some(size)
    }

    /// Where the IP header was not read: the bytes after the Ethernet header, which every frame has whose type is known.
    fn after_ethernet(&mut self) -> Value {
        let length = self
            .builder
            .load(self.registers.context, skb::LEN, Width::W);
        self.builder.alu(length, AluOp::Sub, ETHERNET);
        length
    }

    /// Leaves in the slot `weight` how many packets were joined, as `packets` says.
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
