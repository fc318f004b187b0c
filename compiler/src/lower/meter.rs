//! Rates: whether a packet conforms, and the tokens it takes.
//!
//! A bucket is one number: the time at which it will be full again (the generic cell rate algorithm's arrival time), in
//! sixteenths of a nanosecond since boot, which 64 bits hold for 36 years. A packet that takes n tokens moves it on by n
//! times what one costs, and conforms if it is then at most a full bucket's worth ahead of the clock. So a refused packet
//! takes nothing, and an untouched bucket needs no entry.
//!
//! Rates of one bucket have a value each in the array `rates`; those of one for each address share the LRU hash `buckets`,
//! which forgets the addresses that were seen longest ago when it is full. Where the target has compare-and-exchange, a
//! packet that loses [`TRIES`] races counts as excess; without it each race may let through as many packets as there are
//! processors in it.
//!
//! In the literature: the generic cell rate algorithm (ITU-T I.371, annex A), the virtual scheduling form of a token bucket. There a
//! packet that keeps to the rate is a conforming one.

use crate::artifact::MapId;
use crate::bpf::constant::BPF_NOEXIST;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::Effect;
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, Slot};
use crate::policy::{Family, Per, Policy, Rate, RateUnit, RuleId};

use super::Lowering;
use super::hook::code;
use super::question::Phase;

mod numbers;

pub(crate) use numbers::Meters;
pub(super) use numbers::Pace;

/// Size of a key of the map `buckets`: the rate's number, the family (4 or 6), 16 bytes of address.
pub const BUCKET_KEY: u32 = 24;

/// How often a packet tries to take its tokens while others take theirs.
const TRIES: usize = 8;

/// Where a bucket is looked for.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    /// [`BUCKET_KEY`] bytes.
    pub(super) key: Slot,
    /// What a bucket holds that the packet makes.
    start: Slot,
}

impl Bucket {
    /// Bytes of stack.
    const KEY: u8 = 24;

    pub(super) fn new(builder: &mut Builder, room: Slot) -> Self {
        Self {
            key: builder.part(room, 0, BUCKET_KEY),
            start: builder.part(room, Self::KEY, 8),
        }
    }
}

/// Where a packet goes that conforms, and one that does not.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    /// It conforms, and its tokens are taken.
    pub(super) conforming: Block,
    /// It does not.
    pub(super) excess: Block,
}

impl Lowering<'_> {
    /// Answers whether the packet conforms to a rule's rate. A rule that only counts is not asked about what stands before it
    /// in the list has decided.
    pub(super) fn ask_meter(
        &mut self,
        phase: Phase,
        rule: RuleId,
        entry: Block,
        family: Family,
        done: Block,
    ) {
        let [excess, conforming] = [1, 2].map(|answer| {
            let block = self.builder.block();
            self.builder.enter(block);
            self.builder
                .set_slot(self.frame.answer, 0, answer, Width::W);
            self.builder.jump(done);
            block
        });
        let ways = Ways { conforming, excess };
        self.builder.enter(entry);
        let Some(rate) = self.source.policy.rules[rule].rate else {
            self.builder.bug("a rule without a rate is asked for it");
            return;
        };
        if phase == Phase::Counts {
            self.before_decider(rule, excess);
        }
        let Some(pace) = Pace::of(rate.count, rate.period, rate.burst) else {
            self.builder.bug("a rate is beyond the clock");
            return;
        };
        self.tokens(&rate);
        self.price(pace, ways);
        match (rate.per, self.source.maps.meters.rule(rule)) {
            (None, Some(number)) => self.global_bucket(number, ways),
            (Some(per), Some(number)) => self.bucket_of(number, per, family, ways),
            (_, None) => return self.builder.bug("a rate without a bucket"),
        }
        self.take(pace, TRIES, ways);
    }

    /// Leaves to `excess` if the packet was decided before the rule.
    fn before_decider(&mut self, rule: RuleId, excess: Block) {
        let entries = self.source.chain.entries.iter();
        let counting = |entry: &crate::chain::ChainRule| {
            entry.rule == rule && entry.effect == Effect::Count && entry.counts
        };
        let Some(index) = entries.clone().position(counting) else {
            return;
        };
        let decider = self.builder.load_slot(self.frame.decider, 0, Width::W);
        let index = self.builder.fit::<_, i32>(index, "the number of an entry");
        self.builder.leave_if(decider, JumpOp::Lt, index, excess);
    }

    /// Leaves in r7 how many tokens the packet takes.
    fn tokens(&mut self, rate: &Rate) {
        let tokens = self.registers.network;
        let hook = self.source.chain.hook;
        match rate.unit {
            RateUnit::Bytes => match (code(hook).size)(self) {
                Some(place) => self.load_at(tokens, &place),
                None => self.builder.bug("bytes are metered where there are none"),
            },
            _ if hook.spec().sees.joined => {
                self.weigh();
                self.builder
                    .load_slot_to(tokens, self.frame.weight, 0, Width::W);
            }
            _ => self.builder.set(tokens, 1),
        }
    }

    /// Turns tokens in r7 into their cost, and leaves the clock in r9.
    fn price(&mut self, pace: Pace, ways: Ways) {
        let cost = self.registers.network;
        if let Ok(most) = i32::try_from(pace.most) {
            self.builder
                .leave_if_wide(cost, JumpOp::Gt, most, ways.excess);
        }
        let fraction = self.builder.copy(cost);
        let part = self.builder.imm(i64::from(pace.fraction));
        self.builder.alu(fraction, AluOp::Mul, part);
        self.builder.alu(fraction, AluOp::Rsh, 32);
        let whole = self.builder.imm(pace.whole);
        self.builder.alu(cost, AluOp::Mul, whole);
        self.builder.alu(cost, AluOp::Add, fraction);
        self.clock();
    }

    /// Leaves the clock in r9.
    pub(super) fn clock(&mut self) {
        let now = self.registers.cursor;
        let time = self.builder.call_value(Helper::KtimeGetNs, &[]);
        self.builder.assign(now, time);
        self.builder.alu(now, AluOp::Lsh, 4);
    }

    /// Leaves in r8 the address of a bucket in `rates`.
    pub(super) fn global_bucket(&mut self, number: u32, ways: Ways) {
        let Some(map) = self.source.maps.rates else {
            self.builder.bug("a bucket without its map");
            return;
        };
        let number = self.builder.fit(number, "the number of a bucket");
        self.builder.set_slot(self.frame.key, 0, number, Width::W);
        let args = [Arg::Map(map), Arg::SlotAddress(self.frame.key)];
        self.look_up(&args);
        let bucket = self.registers.end;
        self.builder
            .leave_if_wide(bucket, JumpOp::Eq, 0, ways.excess);
    }

    /// Leaves in r8 the address of a bucket in `buckets`. A packet that is the first of its address makes it.
    fn bucket_of(&mut self, number: u32, per: Per, family: Family, ways: Ways) {
        let (Some(map), Some(slots)) = (self.source.maps.buckets, self.bucket) else {
            self.builder.bug("buckets of addresses without their map");
            return;
        };
        self.bucket_key(slots, number, per, family);
        self.bucket_in(map, slots, ways);
    }

    /// Leaves in r8 the address of the bucket whose key is there, at the time in r9. If there is none, what r7 says is
    /// taken from a new one.
    pub(super) fn bucket_in(&mut self, map: MapId, slots: Bucket, ways: Ways) {
        let args = [Arg::Map(map), Arg::SlotAddress(slots.key)];
        let (bucket, found) = (self.registers.end, self.head_block());
        self.look_up(&args);
        self.builder.leave_if_wide(bucket, JumpOp::Ne, 0, found);
        let start = self.builder.copy(self.registers.cursor);
        let cost = self.registers.network;
        self.builder.alu(start, AluOp::Add, cost);
        self.builder.store_slot(slots.start, 0, start, Width::DW);
        let new = [
            args[0],
            args[1],
            Arg::SlotAddress(slots.start),
            Arg::Imm(BPF_NOEXIST),
        ];
        let refused = self.builder.call_value(Helper::MapUpdateElem, &new);
        self.builder
            .leave_if_wide(refused, JumpOp::Eq, 0, ways.conforming);
        // Another processor was quicker.
        self.look_up(&args);
        self.builder
            .leave_if_wide(bucket, JumpOp::Eq, 0, ways.excess);
        self.builder.jump(found);
        self.builder.enter(found);
    }

    fn look_up(&mut self, args: &[Arg]) {
        let found = self.builder.call_value(Helper::MapLookupElem, args);
        self.builder.assign(self.registers.end, found);
    }

    fn bucket_key(&mut self, slots: Bucket, number: u32, per: Per, family: Family) {
        let number = self.builder.fit(number, "the number of a rate");
        self.builder.set_slot(slots.key, 0, number, Width::W);
        let (name, fields, bits) = match (family, per.destination) {
            (Family::V4, false) => (4, FROM, per.v4),
            (Family::V4, true) => (4, TO, per.v4),
            (Family::V6, false) => (6, FROM, per.v6),
            (Family::V6, true) => (6, TO, per.v6),
        };
        self.builder.set_slot(slots.key, 4, name, Width::W);
        for (word, field) in (0u8..).zip(fields) {
            let mask = mask(bits, word);
            let byte = 8 + 4 * word;
            if mask == 0 || family == Family::V4 && word > 0 {
                self.builder.set_slot(slots.key, byte, 0, Width::W);
                continue;
            }
            let address = self.builder.value();
            self.read(address, field, family);
            self.builder.alu(address, AluOp::And, mask.cast_signed());
            self.builder.from_network(address, 32);
            self.builder.store_slot(slots.key, byte, address, Width::W);
        }
    }

    /// Takes the tokens whose cost is in r7 from the bucket at r8, at the time in r9.
    pub(super) fn take(&mut self, pace: Pace, tries: usize, ways: Ways) {
        let registers = self.registers;
        let (old, new) = (registers.transport, registers.probe);
        let (bucket, now) = (registers.end, registers.cursor);
        for _ in 0..tries {
            let ahead = self.head_block();
            self.builder.load_to(old, bucket, 0, Width::DW);
            self.builder.assign(new, old);
            self.builder.leave_if_wide(new, JumpOp::Gt, now, ahead);
            self.builder.assign(new, now);
            self.builder.jump(ahead);
            self.builder.enter(ahead);
            self.builder.alu(new, AluOp::Add, registers.network);
            let distance = self.builder.copy(new);
            self.builder.alu(distance, AluOp::Sub, now);
            let limit = self.builder.imm(pace.limit);
            self.builder
                .leave_if_wide(distance, JumpOp::Gt, limit, ways.excess);
            if !self.source.atomics {
                self.builder.store(bucket, 0, new, Width::DW);
                self.builder.jump(ways.conforming);
                return;
            }
            let there = self.builder.compare_exchange(bucket, 0, old, new);
            self.builder
                .leave_if_wide(there, JumpOp::Eq, old, ways.conforming);
        }
        self.builder.jump(ways.excess);
    }

    /// Takes one token from a bucket of `rates`, for the limit of a log.
    pub(super) fn take_one(&mut self, number: u32, pace: Pace, ways: Ways) {
        self.clock();
        self.global_bucket(number, ways);
        self.builder.set(self.registers.network, pace.whole);
        self.take(pace, TRIES / 2, ways);
    }
}

const FROM: [Field; 4] = [Field::From0, Field::From1, Field::From2, Field::From3];
const TO: [Field; 4] = [Field::To0, Field::To1, Field::To2, Field::To3];

/// The fields that the buckets of a rate are told apart by.
pub(super) fn bucket_fields(rate: &Rate) -> &'static [Field] {
    match rate.per {
        None => &[],
        Some(per) if per.destination => &TO,
        Some(_) => &FROM,
    }
}

/// The bits of a word of an address, in host order, that the first `bits` bits of the address are in.
fn mask(bits: u8, word: u8) -> u32 {
    let bits = u32::from(bits).saturating_sub(32 * u32::from(word)).min(32);
    match bits {
        0 => 0,
        _ => u32::MAX << (32 - bits),
    }
}

/// Whether a policy has rates of one bucket for each address.
pub(super) fn has_buckets(policy: &Policy) -> bool {
    policy
        .rules
        .values()
        .any(|rule| rule.rate.is_some_and(|rate| rate.per.is_some()))
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_mask_keeps_the_first_bits_of_an_address() {
        let words = |bits| [0, 1, 2, 3].map(|word| mask(bits, word));
        assert_eq!(words(0), [0; 4]);
        assert_eq!(words(24), [0xffff_ff00, 0, 0, 0]);
        assert_eq!(words(32), [u32::MAX, 0, 0, 0]);
        assert_eq!(words(56), [u32::MAX, 0xffff_ff00, 0, 0]);
        assert_eq!(words(128), [u32::MAX; 4]);
    }
}
