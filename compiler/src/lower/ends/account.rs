//! Counting: packets and bytes in the per-CPU map `counters`, in the slot that `counter` holds.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Block, Builder, Operand, Value};

use super::Ends;
use crate::lower::context::skb;
use crate::lower::counter::counter_of;
use crate::lower::prologue::ETHERNET;

impl Ends<'_> {
    /// The block that counts and goes on to `next`; `next` itself where counters are left out.
    pub(super) fn account(&mut self, builder: &mut Builder, next: Block) -> Block {
        let Some(map) = self.given.source.maps.counters else {
            return next;
        };
        if let Some(&block) = self.accounts.get(&next) {
            return block;
        }
        let block = builder.head_block();
        builder.enter(block);
        self.given.unless_asked(builder, next);
        let frame = &self.given.frame;
        let counter = counter_of(builder, map, [frame.counter, frame.counter_block], next);
        let packets = self.packets(builder);
        self.add(builder, counter, 0, packets);
        if let Some(size) = self.size(builder) {
            self.add(builder, counter, 8, Operand::Value(size));
        }
        builder.jump(next);
        self.accounts.insert(next, block);
        block
    }

    /// The block that counts what did not come to what its rule says, in the slot that the leaf has left for that, and goes on to `next`.
    pub(super) fn account_beside(&mut self, builder: &mut Builder, next: Block) -> Block {
        let account = self.account(builder, next);
        // Who counts nothing may log, or be asked: that goes by the slot, too.
        let block = builder.head_block();
        builder.enter(block);
        let counter = builder.load_slot(self.given.frame.absent, 0, Width::W);
        builder.store_slot(self.given.frame.counter, 0, counter, Width::W);
        builder.jump(account);
        block
    }

    /// Adds to a number of this CPU's counter.
    ///
    /// The kernel runs packet hooks and lookups with soft interrupts off, so nothing else counts on the CPU meanwhile. It
    /// runs `sk_msg` in the writing process (`sk_psock_msg_verdict`), which a preemptible kernel may take off its CPU
    /// between the load and the store.
    pub(super) fn add(&self, builder: &mut Builder, counter: Value, offset: i16, amount: Operand) {
        if self.given.code().preemptible {
            let amount = match amount {
                Operand::Value(value) => value,
                Operand::Imm(imm) => builder.imm(i64::from(imm)),
            };
            return builder.atomic_add(counter, offset, amount, Width::DW);
        }
        let sum = builder.load(counter, offset, Width::DW);
        builder.alu(sum, AluOp::Add, amount);
        builder.store(counter, offset, sum, Width::DW);
    }

    /// How many packets are counted. TC sees segments that were joined; `gso_segs` says how many (0 for one that was not).
    fn packets(&self, builder: &mut Builder) -> Operand {
        if !self.given.source.chain.hook.spec().sees.joined {
            return Operand::Imm(1);
        }
        let ready = builder.block();
        let context = self.given.context;
        let segments = builder.load(context, skb::GSO_SEGS, Width::W);
        builder.leave_if(segments, JumpOp::Ne, 0, ready);
        builder.set(segments, 1);
        builder.jump(ready);
        builder.enter(ready);
        Operand::Value(segments)
    }

    /// Bytes of what is counted; a socket lookup has none.
    fn size(&self, builder: &mut Builder) -> Option<Value> {
        if self.given.is_uniform() && self.given.source.chain.hook.spec().sees.joined {
            return Some(self.after_ethernet(builder));
        }
        let load = (self.given.code().size)(&self.given.frame)?;
        Some(self.given.load_at(builder, &load))
    }

    /// Where the IP header was not read: the bytes after the Ethernet header, which every frame has whose type is known.
    fn after_ethernet(&self, builder: &mut Builder) -> Value {
        let length = builder.load(self.given.context, skb::LEN, Width::W);
        builder.alu(length, AluOp::Sub, ETHERNET);
        length
    }
}
