//! The question whether a packet conforms to the rate of a rule.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::Effect;
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::policy::{Family, Per, Rate, RateUnit, RuleId};

use super::{Answers, ClassifierMaps, Way};
use crate::lower::bucket::{Due, Meter, Pace, Paced, TRIES, clock, mask};
use crate::lower::context::skb;
use crate::lower::question::Phase;
use crate::lower::{FROM, Source, TO};

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
            pace: Paced::Here(pace),
            tries: TRIES,
            conforming,
            excess,
        };
        let cost = self.tokens(builder, rate.unit);
        meter.price(builder, cost);
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
    pub(super) fn tokens(&self, builder: &mut Builder, unit: RateUnit) -> Value {
        match unit {
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
    pub(super) fn bucket_of(
        &self,
        builder: &mut Builder,
        meter: Meter<'_>,
        due: Due,
    ) -> Option<Value> {
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

/// The fields that the buckets of a rate are told apart by.
pub(in crate::lower) fn bucket_fields(rate: &Rate) -> &'static [Field] {
    match rate.per {
        None => &[],
        Some(per) if per.destination => &TO,
        Some(_) => &FROM,
    }
}

/// Whether a chain may ask for rates of one bucket for each address.
pub(in crate::lower) fn has_buckets(source: &Source<'_>) -> bool {
    let classifiers = source.classifier.into_iter();
    let mut levels = classifiers.flat_map(ClassifierMaps::levels);
    let mut rules = source.policy.rules.values();
    levels.any(|level| level.per.some)
        || rules.any(|rule| rule.rate.is_some_and(|rate| rate.per.is_some()))
}
