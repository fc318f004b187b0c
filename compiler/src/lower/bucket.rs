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
//! Not here: who asks for tokens, and what a rate costs for how many.
//!
//! In the literature: the generic cell rate algorithm (ITU-T I.371, annex A), the virtual scheduling form of a token bucket. There a
//! packet that keeps to the rate is a conforming one.

use crate::artifact::MapId;
use crate::bpf::constant::BPF_NOEXIST;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, Slot, Value};

use super::given::Given;

mod numbers;

pub(crate) use numbers::Meters;
pub(super) use numbers::{Pace, Row, mask};

/// Size of a key of the map `buckets`: the rate's number, the family (4 or 6), 16 bytes of address.
pub const BUCKET_KEY: u32 = 24;

/// Bytes of room that a bucket that is looked for takes.
pub(super) const BUCKET_ROOM: u8 = 32;

/// How often a packet tries to take its tokens while others take theirs.
pub(super) const TRIES: usize = 8;

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

/// Where the numbers of a rate stand.
#[derive(Clone, Copy)]
pub(super) enum Paced {
    /// In the code.
    Here(Pace),
    /// In a row of a table, at this address.
    In(Value),
}

impl Paced {
    /// What the whole part of a token costs.
    pub(super) fn whole(self, builder: &mut Builder) -> Value {
        match self {
            Self::Here(pace) => builder.imm(pace.whole),
            Self::In(row) => builder.load(row, Row::WHOLE, Width::DW),
        }
    }

    /// The rest, in parts of 2^32.
    fn fraction(self, builder: &mut Builder) -> Value {
        match self {
            Self::Here(pace) => builder.imm(i64::from(pace.fraction)),
            Self::In(row) => builder.load(row, Row::FRACTION, Width::W),
        }
    }

    /// How far a bucket may be ahead.
    fn limit(self, builder: &mut Builder) -> Value {
        match self {
            Self::Here(pace) => builder.imm(pace.limit),
            Self::In(row) => builder.load(row, Row::LIMIT, Width::DW),
        }
    }
}

/// How tokens are taken.
#[derive(Clone, Copy)]
pub(super) struct Meter<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) pace: Paced,
    /// How often it is tried while others take theirs.
    pub(super) tries: usize,
    /// Where a packet goes that conforms, and whose tokens are taken.
    pub(super) conforming: Block,
    /// Where one goes that does not.
    pub(super) excess: Block,
}

/// What a packet takes from a bucket.
#[derive(Clone, Copy)]
pub(super) struct Due {
    /// What its tokens cost.
    pub(super) cost: Value,
    /// The time.
    pub(super) now: Value,
}

/// The time, in the buckets' unit.
pub(super) fn clock(builder: &mut Builder) -> Value {
    let now = builder.call_value(Helper::KtimeGetNs, &[]);
    builder.alu(now, AluOp::Lsh, 4);
    now
}

impl Meter<'_> {
    /// The address of a bucket in `rates`.
    pub(super) fn global_bucket(self, builder: &mut Builder, number: u32) -> Option<Value> {
        let Some(map) = self.given.source.maps.rates else {
            builder.bug("a bucket without its map");
            return None;
        };
        let number = builder.fit(number, "the number of a bucket");
        builder.set_slot(self.given.frame.key, 0, number, Width::W);
        Some(self.given.found(builder, map, self.excess))
    }

    /// The same of the bucket whose number stands in a row.
    pub(super) fn bucket_of_row(self, builder: &mut Builder, row: Value) -> Option<Value> {
        let Some(map) = self.given.source.maps.rates else {
            builder.bug("a bucket without its map");
            return None;
        };
        let number = builder.load(row, Row::BUCKET, Width::W);
        builder.store_slot(self.given.frame.key, 0, number, Width::W);
        Some(self.given.found(builder, map, self.excess))
    }

    /// The address of the bucket whose key is there. If there is none, what is due is taken from a new one.
    pub(super) fn bucket_in(
        self,
        builder: &mut Builder,
        map: MapId,
        slots: Bucket,
        due: Due,
    ) -> Value {
        let args = [Arg::Map(map), Arg::SlotAddress(slots.key)];
        let (bucket, found) = (builder.value(), builder.head_block());
        builder.call_to(bucket, Helper::MapLookupElem, &args);
        builder.leave_if_wide(bucket, JumpOp::Ne, 0, found);
        let start = builder.copy(due.now);
        builder.alu(start, AluOp::Add, due.cost);
        builder.store_slot(slots.start, 0, start, Width::DW);
        let new = [
            args[0],
            args[1],
            Arg::SlotAddress(slots.start),
            Arg::Imm(BPF_NOEXIST),
        ];
        let refused = builder.call_value(Helper::MapUpdateElem, &new);
        builder.leave_if_wide(refused, JumpOp::Eq, 0, self.conforming);
        // Another processor was quicker.
        builder.call_to(bucket, Helper::MapLookupElem, &args);
        builder.leave_if_wide(bucket, JumpOp::Eq, 0, self.excess);
        builder.jump(found);
        builder.enter(found);
        bucket
    }

    /// Turns a number of tokens into their cost; to the excess with more than ever fit.
    pub(super) fn price(self, builder: &mut Builder, cost: Value) {
        match self.pace {
            Paced::Here(pace) => {
                if let Ok(most) = i32::try_from(pace.most) {
                    builder.leave_if_wide(cost, JumpOp::Gt, most, self.excess);
                }
            }
            Paced::In(row) => {
                let most = builder.load(row, Row::MOST, Width::DW);
                builder.leave_if_wide(cost, JumpOp::Gt, most, self.excess);
            }
        }
        let fraction = builder.copy(cost);
        let part = self.pace.fraction(builder);
        builder.alu(fraction, AluOp::Mul, part);
        builder.alu(fraction, AluOp::Rsh, 32);
        let whole = self.pace.whole(builder);
        builder.alu(cost, AluOp::Mul, whole);
        builder.alu(cost, AluOp::Add, fraction);
    }

    /// Takes what is due from the bucket at this address.
    pub(super) fn take(self, builder: &mut Builder, bucket: Value, due: Due) {
        let now = due.now;
        for _ in 0..self.tries {
            let ahead = builder.head_block();
            let old = builder.load(bucket, 0, Width::DW);
            let new = builder.copy(old);
            builder.leave_if_wide(new, JumpOp::Gt, now, ahead);
            builder.assign(new, now);
            builder.jump(ahead);
            builder.enter(ahead);
            builder.alu(new, AluOp::Add, due.cost);
            let distance = builder.copy(new);
            builder.alu(distance, AluOp::Sub, now);
            let limit = self.pace.limit(builder);
            builder.leave_if_wide(distance, JumpOp::Gt, limit, self.excess);
            if !self.given.source.atomics {
                builder.store(bucket, 0, new, Width::DW);
                builder.jump(self.conforming);
                return;
            }
            let there = builder.compare_exchange(bucket, 0, old, new);
            builder.leave_if_wide(there, JumpOp::Eq, old, self.conforming);
        }
        builder.jump(self.excess);
    }

    /// Takes one token from a bucket of `rates`, for the limit of a log.
    pub(super) fn take_one(self, builder: &mut Builder, number: u32) {
        let now = clock(builder);
        let Some(bucket) = self.global_bucket(builder, number) else {
            return;
        };
        let cost = self.pace.whole(builder);
        self.take(builder, bucket, Due { cost, now });
    }
}
