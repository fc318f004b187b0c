//! The question whether a packet conforms to the rate of a rule.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::Effect;
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::policy::{Family, Per, Policy, Rate, RateUnit, RuleId};

use super::{Answers, Way};
use crate::lower::bucket::{Due, Meter, Pace, TRIES, clock};
use crate::lower::context::skb;
use crate::lower::question::Phase;
use crate::lower::{FROM, TO};

impl Answers<'_> {
    /// Answers whether the packet conforms to a rule's rate. A rule that only counts is not asked about what stands before it
    /// in the list has decided.
    pub(super) fn ask_meter(&self, builder: &mut Builder, phase: Phase, rule: RuleId, way: Way) {
        let [excess, conforming] = [0, 1].map(|answer| self.answered(builder, answer, way.done));
        builder.enter(way.entry);
        let Some(rate) = self.given.source.policy.rules[rule].rate else {
            builder.bug("a rule without a rate is asked for it");
            return;
        };
        if phase == Phase::Counts {
            self.before_decider(builder, rule, excess);
        }
        let Some(pace) = Pace::of(rate.count, rate.period, rate.burst) else {
            builder.bug("a rate is beyond the clock");
            return;
        };
        let meter = Meter {
            given: self.given,
            pace,
            tries: TRIES,
            conforming,
            excess,
        };
        let cost = self.tokens(builder, &rate);
        price(builder, cost, meter);
        let due = Due {
            cost,
            now: clock(builder),
        };
        let bucket = match (rate.per, self.given.source.maps.meters.rule(rule)) {
            (None, Some(number)) => meter.global_bucket(builder, number),
            (Some(per), Some(number)) => {
                self.bucket_key(builder, number, per, way.family);
                self.bucket_of(builder, meter, due)
            }
            (_, None) => return builder.bug("a rate without a bucket"),
        };
        if let Some(bucket) = bucket {
            meter.take(builder, bucket, due);
        }
    }

    /// Leaves to `excess` if the packet was decided before the rule.
    fn before_decider(&self, builder: &mut Builder, rule: RuleId, excess: Block) {
        let entries = self.given.source.chain.entries.iter();
        let counting = |entry: &crate::chain::ChainRule| {
            entry.rule == rule && entry.effect == Effect::Count && entry.counts
        };
        let Some(index) = entries.clone().position(counting) else {
            return;
        };
        let decider = builder.load_slot(self.given.frame.decider, 0, Width::W);
        let index = builder.fit::<_, i32>(index, "the number of an entry");
        builder.leave_if(decider, JumpOp::Lt, index, excess);
    }

    /// How many tokens the packet takes.
    fn tokens(&self, builder: &mut Builder, rate: &Rate) -> Value {
        match rate.unit {
            RateUnit::Bytes => match (self.given.code().size)(&self.given.frame) {
                Some(place) => self.given.load_at(builder, &place),
                None => {
                    builder.bug("bytes are metered where there are none");
                    builder.imm(1)
                }
            },
            _ if self.given.source.chain.hook.spec().sees.joined => {
                self.weigh(builder);
                builder.load_slot(self.given.frame.weight, 0, Width::W)
            }
            _ => builder.imm(1),
        }
    }

    /// Leaves in the slot `weight` how many packets were joined, as `packets` says.
    fn weigh(&self, builder: &mut Builder) {
        let ready = builder.block();
        builder.set_slot(self.given.frame.weight, 0, 1, Width::W);
        let segments = builder.load(self.given.context, skb::GSO_SEGS, Width::W);
        builder.leave_if(segments, JumpOp::Eq, 0, ready);
        let segments = builder.load(self.given.context, skb::GSO_SEGS, Width::W);
        builder.store_slot(self.given.frame.weight, 0, segments, Width::W);
        builder.jump(ready);
        builder.enter(ready);
    }

    /// The address of the bucket in `buckets` whose key is there. A packet that is the first of its address makes it.
    fn bucket_of(&self, builder: &mut Builder, meter: Meter<'_>, due: Due) -> Option<Value> {
        let (Some(map), Some(slots)) = (self.given.source.maps.buckets, self.bucket) else {
            builder.bug("buckets of addresses without their map");
            return None;
        };
        Some(meter.bucket_in(builder, map, slots, due))
    }

    /// Writes the key of a bucket, if the policy has buckets.
    fn bucket_key(&self, builder: &mut Builder, number: u32, per: Per, family: Family) {
        let Some(slots) = self.bucket else { return };
        let number = builder.fit(number, "the number of a rate");
        builder.set_slot(slots.key, 0, number, Width::W);
        let (name, fields, bits) = match (family, per.destination) {
            (Family::V4, false) => (4, FROM, per.v4),
            (Family::V4, true) => (4, TO, per.v4),
            (Family::V6, false) => (6, FROM, per.v6),
            (Family::V6, true) => (6, TO, per.v6),
        };
        builder.set_slot(slots.key, 4, name, Width::W);
        for (word, field) in (0u8..).zip(fields) {
            let mask = mask(bits, word);
            let byte = 8 + 4 * word;
            if mask == 0 || family == Family::V4 && word > 0 {
                builder.set_slot(slots.key, byte, 0, Width::W);
                continue;
            }
            let address = self.given.read(builder, field, family);
            builder.alu(address, AluOp::And, mask.cast_signed());
            builder.from_network(address, 32);
            builder.store_slot(slots.key, byte, address, Width::W);
        }
    }
}

/// Turns a number of tokens into their cost.
fn price(builder: &mut Builder, cost: Value, meter: Meter<'_>) {
    let pace = meter.pace;
    if let Ok(most) = i32::try_from(pace.most) {
        builder.leave_if_wide(cost, JumpOp::Gt, most, meter.excess);
    }
    let fraction = builder.copy(cost);
    let part = builder.imm(i64::from(pace.fraction));
    builder.alu(fraction, AluOp::Mul, part);
    builder.alu(fraction, AluOp::Rsh, 32);
    let whole = builder.imm(pace.whole);
    builder.alu(cost, AluOp::Mul, whole);
    builder.alu(cost, AluOp::Add, fraction);
}

/// The fields that the buckets of a rate are told apart by.
pub(in crate::lower) fn bucket_fields(rate: &Rate) -> &'static [Field] {
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
pub(in crate::lower) fn has_buckets(policy: &Policy) -> bool {
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
