//! Drops that somebody asks to see: a *gate* in front of each, and behind it an event with the packet's first bytes.
//!
//! While nobody asks, a drop costs the gate, which is three instructions: the address of a word, its load, and a jump. A packet that
//! goes on costs nothing more than before. Nothing of the packet is read for it, so that the prologue of a program stays what it is.
//!
//! The kernel takes a reader's rings out of the map when that process ends, however it ends. The first drop that then finds none
//! closes the gate, so that a reader need not say again and again that it is there, and one that stands still for long misses
//! nothing that is not counted. No drop writes to the word but one that finds no room or
//! nobody: a line of the cache that each drop writes to would cost a flood on many processors far more than the event.
//!
//! Not here: who reads, and what an event says ([`crate::dropped`]).

use crate::bpf::constant::{BPF_F_CURRENT_CPU, EBUSY, ENOSPC};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::{Chain, ChainRule, Effect};
use crate::dropped::{SNAP, head_of, offset, word};
use crate::ir::{Arg, Block, Builder, Slot, Value};
use crate::log::offset as log;
use crate::policy::{Action, DefaultVerdict, Policy};

use super::Ends;
use super::outcome::Outcome;
use crate::artifact::MapId;
use crate::lower::context::skb;
use crate::lower::hook::{Head, Reach, code};

/// Whether a chain may drop packets whose bytes its programs can give.
#[must_use]
pub(crate) fn samples(policy: &Policy, chain: &Chain) -> bool {
    let is_frame = matches!(code(chain.hook).head, Head::Frame(_));
    let drops = |entry: &ChainRule| match (entry.effect, policy.rules[entry.rule].action) {
        // Whose socket or interface is absent.
        (Effect::Intercept | Effect::Forward, _) => true,
        (Effect::RedirectPass, Action::Redirect(socket)) => policy.sockets[socket].drop_if_absent,
        (effect, _) => matches!(effect, Effect::Drop | Effect::Reject),
    };
    let by_default = chain.default.verdict != DefaultVerdict::Allow;
    is_frame && (by_default || chain.entries.iter().any(drops))
}

impl Ends<'_> {
    /// The block that leads to `next`, where a packet is dropped whose counter is in its slot, and writes an event of it while somebody
    /// asks: `next` itself where no packet can be given.
    pub(in crate::lower) fn sampled(&mut self, builder: &mut Builder, next: Block) -> Block {
        let maps = &self.given.source.maps;
        let (Some(head), Some(map), Some(events)) =
            (self.given.frame.head, maps.sampling, maps.drops)
        else {
            return next;
        };
        let Head::Frame(reach) = self.given.code().head else {
            return next;
        };
        if let Some(&gate) = self.samples.get(&next) {
            return gate;
        }
        let before = builder.current();
        let gate = builder.head_block();
        self.samples.insert(next, gate);
        let sample = builder.head_block();
        builder.enter(gate);
        let open = at(builder, map, word::OPEN, Width::W);
        builder.leave_if(open, JumpOp::Ne, 0, sample);
        builder.jump(next);
        builder.enter(sample);
        choose(builder, map, next);
        let length = length(builder, self.given.context, reach);
        self.head(builder, head, length, reach);
        let args = [
            Arg::Value(self.given.context),
            Arg::Map(events),
            Arg::Value(flags(builder, length)),
            Arg::SlotAddress(head),
            Arg::Imm(builder.fit(
                head_of(self.given.source.chain.hook),
                "the size of an event",
            )),
        ];
        let result = builder.call_value(Helper::PerfEventOutput, &args);
        refused(builder, map, result, next);
        builder.enter(before);
        gate
    }

    /// The same after `count` rules, if there are any: the leaf has left the counter beside then.
    pub(super) fn sampled_beside(&mut self, builder: &mut Builder, next: Block) -> Block {
        let gate = self.sampled(builder, next);
        if gate == next || self.given.source.counts.is_none() {
            return gate;
        }
        let before = builder.current();
        let block = builder.head_block();
        builder.enter(block);
        let counter = builder.load_slot(self.given.frame.absent, 0, Width::W);
        builder.store_slot(self.given.frame.counter, 0, counter, Width::W);
        builder.jump(gate);
        builder.enter(before);
        block
    }

    /// The same after a decision, if what follows is a drop whatever is found.
    pub(super) fn sampled_after(
        &mut self,
        builder: &mut Builder,
        outcome: Outcome,
        next: Block,
    ) -> Block {
        match outcome {
            Outcome::Drop | Outcome::Reject => self.sampled(builder, next),
            _ => next,
        }
    }

    /// Writes what stands in front of the packet's bytes.
    fn head(&self, builder: &mut Builder, head: Slot, length: Value, reach: Reach) {
        builder.store_slot(head, log::LENGTH, length, Width::W);
        builder.set_slot(head, log::MARK, 0, Width::W);
        builder.set_slot(head, log::HOOK, 0, Width::DW);
        let hook = self.given.source.chain.hook;
        builder.set_slot(head, log::HOOK, hook as i32, Width::B);
        if hook.direction().passes() {
            // The kernel takes nothing of the stack that was not written.
            builder.set_slot(head, offset::PASSING, 0, Width::DW);
        }
        let counter = builder.load_slot(self.given.frame.counter, 0, Width::W);
        builder.store_slot(head, log::COUNTER, counter, Width::W);
        self.note_context(builder, head, head_of(hook));
        if reach.buffered {
            for (from, to) in [
                (skb::VLAN_PRESENT, offset::TAGGED),
                (skb::VLAN_TCI, offset::TAG),
                (skb::VLAN_PROTO, offset::TAG_PROTOCOL),
            ] {
                let value = builder.load(self.given.context, from, Width::W);
                builder.store_slot(head, to, value, Width::H);
            }
        }
        let time = builder.call_value(Helper::KtimeGetNs, &[]);
        builder.store_slot(head, log::TIME, time, Width::DW);
    }
}

/// What stands in the word.
fn at(builder: &mut Builder, map: MapId, offset: u32, width: Width) -> Value {
    let word = builder.map_value(map, offset);
    builder.load(word, 0, width)
}

/// Leaves to `next` with what is not in the sample.
fn choose(builder: &mut Builder, map: MapId, next: Block) {
    let random = builder.call_value(Helper::GetPrandomU32, &[]);
    let most = at(builder, map, word::SHARE, Width::W);
    builder.leave_if(random, JumpOp::Gt, most, next);
}

/// The length of the frame: of one that may lie in pieces the context tells it, of another one where it begins and ends.
fn length(builder: &mut Builder, context: Value, reach: Reach) -> Value {
    if reach.buffered {
        return builder.load(context, skb::LEN, Width::W);
    }
    let [data, end] = reach.bounds;
    let end = builder.load(context, end, Width::W);
    let start = builder.load(context, data, Width::W);
    builder.alu(end, AluOp::Sub, start);
    end
}

/// How many bytes of the packet are taken, and for which processor. The kernel refuses more than there are.
fn flags(builder: &mut Builder, length: Value) -> Value {
    let ready = builder.block();
    let snap: i32 = builder.fit(SNAP, "the bytes of an event");
    let taken = builder.copy(length);
    builder.leave_if(taken, JumpOp::Le, snap, ready);
    builder.set(taken, i64::from(snap));
    builder.jump(ready);
    builder.enter(ready);
    builder.alu(taken, AluOp::Lsh, 32);
    let processor = builder.imm(BPF_F_CURRENT_CPU.cast_signed());
    builder.alu(taken, AluOp::Or, processor);
    taken
}

/// Counts what found no room; closes the gate where nobody reads any more, or the processor is not the one that it was when its ring was
/// made (it says -EOPNOTSUPP after it was away). Goes on to `next` in any case.
fn refused(builder: &mut Builder, map: MapId, result: Value, next: Block) {
    let [full, nobody] = [(); 2].map(|()| builder.head_block());
    builder.leave_if(result, JumpOp::Eq, 0, next);
    builder.leave_if(result, JumpOp::Eq, -EBUSY, full);
    builder.leave_if(result, JumpOp::Ne, -ENOSPC, nobody);
    builder.jump(full);
    builder.enter(full);
    let lost = builder.map_value(map, word::LOST);
    let one = builder.imm(1);
    builder.atomic_add(lost, 0, one, Width::DW);
    builder.jump(next);
    builder.enter(nobody);
    let closed = builder.imm(0);
    let open = builder.map_value(map, word::OPEN);
    builder.store(open, 0, closed, Width::W);
    builder.jump(next);
}
