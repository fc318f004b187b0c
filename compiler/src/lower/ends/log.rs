//! `log`: a record in the ring buffer `log`, written after the counter of whoever logs.
//!
//! A sample is taken by random numbers; a limit is a bucket of the map `rates`. A full ring takes no record, and nothing
//! waits for it: what found no room is counted.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::chain::{ChainRule, Effect};
use crate::field::Field;
use crate::hook::Ability;
use crate::ir::{Arg, Block, Builder, Operand, Slot};
use crate::log::{FIELDS, SIZE, offset};
use crate::policy::{Action, Family, Log, RuleId, SocketId};

use super::Ends;
use crate::lower::Source;
use crate::lower::bucket::{Meter, Pace, Paced, TRIES};
use crate::lower::counter::counter_in;

/// Whether anything that counts in a chain logs.
pub(in crate::lower) fn logs(source: &Source<'_>) -> bool {
    let rules = &source.policy.rules;
    let counts = |entry: &&ChainRule| entry.counts || entry.effect == Effect::RedirectPass;
    let mut entries = source.chain.entries.iter().filter(counts);
    let default = source.policy.default_of(source.chain.hook.direction());
    let default = default.filter(|_| source.chain.default.counts);
    entries.any(|entry| rules[entry.rule].log.is_some())
        || default.is_some_and(|line| line.log.is_some())
}

/// The fields that a record holds.
pub(in crate::lower) fn fields() -> impl Iterator<Item = Field> {
    FIELDS.into_iter().map(|(field, ..)| field)
}

/// Who logs, what it is about (`None` for what is malformed), and where it goes on.
pub(super) type Gate = (Option<RuleId>, Option<Family>, Block);

impl Ends<'_> {
    /// The block that writes the record of a rule, or of the default, and goes on to `next`: `next` itself where nothing
    /// is logged.
    pub(in crate::lower) fn logged(
        &mut self,
        builder: &mut Builder,
        rule: Option<RuleId>,
        family: Option<Family>,
        next: Block,
    ) -> Block {
        let policy = self.given.source.policy;
        let of = self.given.source.chain.hook.direction();
        let log = match rule {
            Some(rule) => policy.rules[rule].log.as_ref(),
            None => policy.default_of(of).and_then(|line| line.log.as_ref()),
        };
        let Some(log) = log else { return next };
        if let Some(&gate) = self.gates.get(&(rule, family, next)) {
            return gate;
        }
        let write = self.record(builder, family, next);
        let gate = builder.head_block();
        self.gates.insert((rule, family, next), gate);
        builder.enter(gate);
        self.given.unless_asked(builder, next);
        self.sample(builder, log, next);
        let number = self.given.source.maps.meters.log(rule, of);
        let Some((count, period)) = log.max else {
            builder.jump(write);
            return gate;
        };
        let (Some(pace), Some(number)) = (Pace::of(count.into(), period, count.into()), number)
        else {
            builder.bug("a limited log without a bucket");
            return gate;
        };
        let meter = Meter {
            given: self.given,
            pace: Paced::Here(pace),
            tries: TRIES / 2,
            conforming: write,
            excess: next,
        };
        meter.take_one(builder, number);
        gate
    }

    /// Leaves to `next` with what is not in the sample.
    fn sample(&self, builder: &mut Builder, log: &Log, next: Block) {
        let Some((part, whole)) = log.sample.filter(|(part, whole)| part < whole) else {
            return;
        };
        let bound = (u64::from(part) << 32) / u64::from(whole);
        let bound: u32 = builder.fit(bound, "the share of a sample");
        let bound = bound.cast_signed();
        let random = builder.call_value(Helper::GetPrandomU32, &[]);
        builder.leave_if(random, JumpOp::Ge, bound, next);
    }

    /// The block that writes a record and goes on to `next`.
    fn record(&mut self, builder: &mut Builder, family: Option<Family>, next: Block) -> Block {
        if let Some(&block) = self.records.get(&(family, next)) {
            return block;
        }
        let block = builder.head_block();
        self.records.insert((family, next), block);
        builder.enter(block);
        let (Some(record), Some(map)) = (self.record, self.given.source.maps.log) else {
            builder.bug("a log without its map");
            return block;
        };
        for byte in (0u8..).step_by(8).take(SIZE / 8) {
            builder.set_slot(record, byte, 0, Width::DW);
        }
        let time = builder.call_value(Helper::KtimeGetNs, &[]);
        builder.store_slot(record, offset::TIME, time, Width::DW);
        let counter = builder.load_slot(self.given.frame.counter, 0, Width::W);
        builder.store_slot(record, offset::COUNTER, counter, Width::W);
        let hook = self.given.source.chain.hook as i32;
        builder.set_slot(record, offset::HOOK, hook, Width::B);
        self.note_context(builder, record, SIZE);
        if let Some(family) = family {
            self.note_packet(builder, record, family);
        }
        let size = builder.fit(SIZE, "the size of a record");
        let args = [
            Arg::Map(map),
            Arg::SlotAddress(record),
            Arg::Imm(size),
            Arg::Imm(0),
        ];
        let refused = builder.call_value(Helper::RingbufOutput, &args);
        builder.leave_if(refused, JumpOp::Eq, 0, next);
        let lost = self.lost(builder, next);
        builder.jump(lost);
        block
    }

    /// The block that counts a record for which there was no room, and goes on to `next`.
    fn lost(&mut self, builder: &mut Builder, next: Block) -> Block {
        if let Some(&block) = self.losses.get(&next) {
            return block;
        }
        let before = builder.current();
        let block = builder.head_block();
        self.losses.insert(next, block);
        builder.enter(block);
        let source = &self.given.source;
        match (source.maps.lost, source.counters.lost, self.record) {
            (Some(map), Some(slot), Some(record)) => {
                // The stack has little room, and nobody reads the record any more.
                let (counter, at) = counter_in(builder, map, (slot, record), next);
                self.add(builder, counter, at, Operand::Imm(1));
                builder.jump(next);
            }
            _ => builder.bug("a log without a counter of what it loses"),
        }
        builder.enter(before);
        block
    }

    /// What the context says of the packet, as far as it stands in so many bytes.
    pub(super) fn note_context(&self, builder: &mut Builder, record: Slot, bytes: usize) {
        let noted = self.given.code().noted.iter();
        for &(from, to) in noted.filter(|(_, to)| usize::from(*to) < bytes) {
            let value = builder.load(self.given.context, from, Width::W);
            builder.store_slot(record, to, value, Width::W);
        }
    }

    fn note_packet(&self, builder: &mut Builder, record: Slot, family: Family) {
        let name = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        builder.set_slot(record, offset::FAMILY, name, Width::B);
        let hook = self.given.source.chain.hook;
        for (field, byte, width) in FIELDS {
            let foreign = family == Family::V4 && field.is_of_v6();
            // What a hook cannot tell stays zero.
            if foreign || hook.reads(field) != Ability::Yes {
                continue;
            }
            // Nor what nobody knows yet, as the sender of who connects.
            if field != Field::Protocol
                && (self.given.code().field)(&self.given.frame, field, family).is_none()
            {
                continue;
            }
            let value = match hook.spec().sees.protocols {
                [only] if field == Field::Protocol => builder.imm(i64::from(only.0)),
                _ => self.given.read(builder, field, family),
            };
            builder.store_slot(record, byte, value, width);
        }
    }

    /// After a new flow that is dropped because its socket is absent: the redirects that may have sent it here log it. Which
    /// of them it was says the counter.
    pub(in crate::lower) fn logged_absent(
        &mut self,
        builder: &mut Builder,
        socket: SocketId,
        family: Family,
        next: Block,
    ) -> Block {
        let source = self.given.source;
        let mut gates = Vec::new();
        for entry in &source.chain.entries {
            let rule = &source.policy.rules[entry.rule];
            let to_this = rule.action == Action::Redirect(socket);
            if to_this && entry.effect == Effect::RedirectPass && rule.log.is_some() {
                let gate = self.logged(builder, Some(entry.rule), Some(family), next);
                gates.push((source.counters.rules[entry.rule], gate));
            }
        }
        if gates.is_empty() {
            return next;
        }
        let block = builder.head_block();
        builder.enter(block);
        let counter = builder.load_slot(self.given.frame.counter, 0, Width::W);
        for (slot, gate) in gates {
            let slot: i32 = builder.fit(slot, "the slot of a counter");
            builder.leave_if(counter, JumpOp::Eq, slot, gate);
        }
        builder.jump(next);
        block
    }
}
