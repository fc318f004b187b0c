//! The rates of bulk rules: one code for each level meters the packets of thousands of rules, from the row of the one that matched.
//!
//! ```text
//! first match of a level stands ahead of the winner ─▶ its row ─▶ counted? ─▶ tokens ─▶ bucket ─ it matches ─▶ it wins
//! ```
//!
//! Comes after all other questions are answered, and level after level, in which rates are in the order of their rules: so tokens are
//! taken only of a rule that is reached. What is alike in all rules of a level is no branch in its code.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::GROUP_BITS;
use crate::classifier::{Level, ROW_SIZE};
use crate::field::Field;
use crate::ir::{Block, Builder, Origin, Slot, Value};
use crate::policy::{Family, RateUnit};

use super::rates::RatedMaps;
use super::{number, table};
use crate::lower::answers::Answers;
use crate::lower::bucket::{Due, Meter, Paced, Row, TRIES, clock};
use crate::lower::question::{Phase, Questions};
use crate::lower::tree::{Leaves, Tree};
use crate::lower::{FROM, TO};

/// Where the answer to a question leads.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) no: Block,
    pub(super) yes: Block,
}

impl Leaves for Answer {
    fn leaf(&mut self, _: &mut Builder, _: Phase, answer: u32, _: Family) -> Block {
        match answer {
            0 => self.no,
            _ => self.yes,
        }
    }

    /// Many rules share a question.
    fn origin(&mut self, builder: &mut Builder, _: Option<u32>) -> Origin {
        builder.head()
    }
}

/// One level.
#[derive(Clone, Copy)]
pub(super) struct Asked<'m> {
    pub(super) maps: &'m RatedMaps,
    pub(super) level: &'m Level,
    /// Its first match.
    pub(super) first: Slot,
    /// Where it leads.
    pub(super) answer: Answer,
}

impl Asked<'_> {
    /// The row of the rule that matched.
    fn row(&self, builder: &mut Builder) -> Value {
        let rank = builder.load_slot(self.first, 0, Width::W);
        builder.alu(rank, AluOp::Rsh, number(GROUP_BITS));
        builder.alu(rank, AluOp::Sub, number(self.maps.first));
        // Neither ever leaves; the verifier does not know what stands in tables.
        builder.leave_if_wide(
            rank,
            JumpOp::Gt,
            number(self.maps.ranks - 1),
            self.answer.no,
        );
        builder.alu(rank, AluOp::Lsh, 2);
        let index = table(builder, self.maps.index);
        builder.alu(index, AluOp::Add, rank);
        let place = builder.load(index, 0, Width::W);
        builder.leave_if_wide(
            place,
            JumpOp::Gt,
            number(self.maps.count - 1),
            self.answer.no,
        );
        builder.alu(place, AluOp::Lsh, number(ROW_SIZE.trailing_zeros()));
        let row = table(builder, self.maps.rows);
        builder.alu(row, AluOp::Add, place);
        row
    }

    /// Where packets go that conform, or do not: rules match the one or the other.
    fn end(&self, builder: &mut Builder, conforms: bool) -> Block {
        let Answer { no, yes } = self.answer;
        let of = |above: bool| if above == conforms { no } else { yes };
        let above = self.level.above;
        if !above.is_mixed() {
            return of(above.some);
        }
        let end = builder.block();
        let asking = builder.current();
        builder.enter(end);
        let row = self.row(builder);
        leave_if_is(builder, row, Row::ABOVE, of(true));
        builder.jump(of(false));
        builder.enter(asking);
        end
    }
}

impl Answers<'_> {
    /// Ends the current block: asks the rate of a level's first match.
    pub(super) fn ask_rate(
        &self,
        builder: &mut Builder,
        asked: Asked<'_>,
        (phase, family): (Phase, Family),
        questions: &mut Questions,
    ) {
        let [excess, conforming] = [false, true].map(|conforms| asked.end(builder, conforms));
        self.counted(builder, asked, (phase, family, conforming), questions);
        let row = asked.row(builder);
        let meter = Meter {
            given: self.given,
            pace: Paced::In(row),
            tries: TRIES,
            conforming,
            excess,
        };
        let cost = self.due(builder, asked, row);
        meter.price(builder, cost);
        let due = Due {
            cost,
            now: clock(builder),
        };
        if let Some(bucket) = self.bucket_of_level(builder, asked, (meter, row, due), family) {
            meter.take(builder, bucket, due);
        }
    }

    /// Goes on with what the rate counts; the rest conforms.
    fn counted(
        &self,
        builder: &mut Builder,
        asked: Asked<'_>,
        (phase, family, conforming): (Phase, Family, Block),
        questions: &mut Questions,
    ) {
        let connections = asked.level.connections;
        let Some(starts) = asked.maps.starts.as_ref().filter(|_| connections.some) else {
            return;
        };
        let [told, counted] = [(); 2].map(|()| builder.block());
        if connections.is_mixed() {
            let row = asked.row(builder);
            leave_if_is(builder, row, Row::CONNECTIONS, told);
            builder.jump(counted);
        } else {
            builder.jump(told);
        }
        let mut leaves = Answer {
            no: conforming,
            yes: counted,
        };
        let what = (starts, phase, family);
        let root = Tree::write(builder, self.given, (&mut leaves, questions), what);
        builder.enter(told);
        builder.jump(root);
        builder.enter(counted);
    }

    /// How many tokens the packet takes.
    fn due(&self, builder: &mut Builder, asked: Asked<'_>, row: Value) -> Value {
        let bytes = asked.level.bytes;
        if !bytes.is_mixed() {
            let unit = if bytes.some {
                RateUnit::Bytes
            } else {
                RateUnit::Packets
            };
            return self.tokens(builder, unit);
        }
        let [of_bytes, ready] = [(); 2].map(|()| builder.block());
        leave_if_is(builder, row, Row::BYTES, of_bytes);
        let cost = self.tokens(builder, RateUnit::Packets);
        builder.jump(ready);
        builder.enter(of_bytes);
        let size = self.tokens(builder, RateUnit::Bytes);
        builder.assign(cost, size);
        builder.jump(ready);
        builder.enter(ready);
        cost
    }

    /// The address of the bucket.
    fn bucket_of_level(
        &self,
        builder: &mut Builder,
        asked: Asked<'_>,
        (meter, row, due): (Meter<'_>, Value, Due),
        family: Family,
    ) -> Option<Value> {
        let per = asked.level.per;
        if !per.some {
            return meter.bucket_of_row(builder, row);
        }
        let [of_address, ready] = [(); 2].map(|()| builder.block());
        let mut only = None;
        if per.others {
            leave_if_is(builder, row, Row::PER, of_address);
            only = Some(meter.bucket_of_row(builder, row)?);
            builder.jump(ready);
            builder.enter(of_address);
        }
        self.key_of_row(builder, asked, row, family);
        let bucket = self.bucket_of(builder, meter, due)?;
        let Some(joint) = only else {
            return Some(bucket);
        };
        builder.assign(joint, bucket);
        builder.jump(ready);
        builder.enter(ready);
        Some(joint)
    }

    /// Writes the key of the bucket of an address.
    fn key_of_row(&self, builder: &mut Builder, asked: Asked<'_>, row: Value, family: Family) {
        let Some(slots) = self.bucket else {
            return builder.bug("buckets of addresses without the room for their keys");
        };
        let number = builder.load(row, Row::BUCKET, Width::W);
        builder.store_slot(slots.key, 0, number, Width::W);
        let name = if family == Family::V4 { 4 } else { 6 };
        builder.set_slot(slots.key, 4, name, Width::W);
        let destination = asked.level.destination;
        let [to, ready] = [(); 2].map(|()| builder.block());
        if destination.others {
            leave_if_is(builder, row, Row::DESTINATION, to);
            self.address_of_row(builder, (slots.key, row), FROM, family);
            builder.jump(ready);
        } else {
            builder.jump(to);
        }
        builder.enter(to);
        self.address_of_row(builder, (slots.key, row), TO, family);
        builder.jump(ready);
        builder.enter(ready);
    }

    /// Writes the address of one side, as far as the row keeps it.
    fn address_of_row(
        &self,
        builder: &mut Builder,
        (key, row): (Slot, Value),
        words: [Field; 4],
        family: Family,
    ) {
        for (word, field) in (0u8..).zip(words) {
            let byte = 8 + 4 * word;
            if family == Family::V4 && word > 0 {
                builder.set_slot(key, byte, 0, Width::W);
                continue;
            }
            let at = match family {
                Family::V4 => Row::V4,
                Family::V6 => Row::V6 + 4 * i16::from(word),
            };
            let address = self.given.read(builder, field, family);
            let mask = builder.load(row, at, Width::W);
            builder.alu(address, AluOp::And, mask);
            builder.from_network(address, 32);
            builder.store_slot(key, byte, address, Width::W);
        }
    }
}

/// Leaves to `then` if a row is of a kind.
fn leave_if_is(builder: &mut Builder, row: Value, kind: i32, then: Block) {
    let kinds = builder.load(row, Row::KIND, Width::W);
    builder.leave_if(kinds, JumpOp::Set, kind, then);
}
