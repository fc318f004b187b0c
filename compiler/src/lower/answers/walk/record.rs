//! The end of a walk through a stratum: a list, record by record; and the answer from the best record of all.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{
    GROUP_AT, GROUP_BITS, LAST_AT, MASK_BITS, SERVICE_AT, SERVICE_BITS, address_words, record_size,
};
use crate::classifier::{GUARD, Piece, SERVICE_SIZE, Slots};
use crate::ir::{Block, Builder, Slot, Value};
use crate::tables::TableRef;

use super::asked::group_mask;
use super::maps::{ClassifierMaps, StratumMaps};
use super::{Walk, index_mask, number, table, wide};
use crate::lower::answers::Answers;

impl Walk<'_> {
    /// Compares with one record after the other.
    pub(super) fn list(&self, builder: &mut Builder, stratum: &StratumMaps, node: Value) {
        let size = record_size(self.family, stratum.holds_ports);
        builder.alu(node, AluOp::And, index_mask());
        let last = number(stratum.record_count.saturating_sub(1));
        builder.leave_if_wide(node, JumpOp::Gt, last, self.next);
        times(builder, node, size);
        let record = table(builder, stratum.records);
        builder.alu(record, AluOp::Add, node);
        for place in 0..stratum.longest.max(1) {
            let offset = builder.fit(place * size, "the place of a record");
            self.compare_record(builder, record, offset, (stratum.holds_ports, None));
        }
        builder.jump(self.next);
    }

    /// Compares with the record so far after the pointer; goes on after it if it does not match. What is no record but a child
    /// leads to `child`, where there may be one.
    pub(super) fn compare_record(
        &self,
        builder: &mut Builder,
        record: Value,
        offset: i16,
        (holds_ports, child): (bool, Option<Block>),
    ) {
        let best = self.best;
        let miss = builder.block();
        let words = 8 * address_words(self.family);
        let ports = offset + builder.fit::<_, i16>(words, "the size of addresses");
        let before = record_size(self.family, holds_ports) - 8;
        let after = offset + builder.fit::<_, i16>(before, "the size of what stands before");
        let about = builder.load(record, after, Width::DW);
        builder.leave_if_wide(about, JumpOp::Ge, best, self.next);
        if let Some(child) = child {
            builder.leave_if_wide(about, JumpOp::Eq, 0, child);
        }
        let differs = self.addresses_differ(builder, about, record, offset);
        builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        let ports = holds_ports.then_some((record, ports));
        let differs = self.service_differs(builder, about, ports);
        builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        self.keep_if_asked(builder, (record, after), miss);
        // Loaded again, not copied: newer verifiers (6.12 and 6.18 were seen to) remember that two registers hold the same
        // number, and follow the ways on which they do and on which they do not one by one.
        builder.load_to(best, record, after, Width::DW);
        builder.jump(self.next);
        builder.enter(miss);
        builder.leave_if(about, JumpOp::Set, 1 << LAST_AT, self.next);
    }

    /// Not 0 if the addresses differ in bits that the record's masks keep.
    fn addresses_differ(
        &self,
        builder: &mut Builder,
        about: Value,
        record: Value,
        offset: i16,
    ) -> Value {
        let tables = self.maps.of(self.family);
        let words = address_words(self.family);
        let table = (tables.masks, tables.mask_count);
        let masks = entry_at(builder, about, (0, MASK_BITS), table, 8 * words);
        let mut differs: Option<Value> = None;
        for number in 0..words {
            let at: i16 = builder.fit(8 * number, "the place of a word");
            let word = builder.load(record, offset + at, Width::DW);
            let ours = self.addresses.unwrap_or_else(|| {
                let slot = self.slots.words[number];
                builder.load_slot(slot, 0, Width::DW)
            });
            builder.alu(word, AluOp::Xor, ours);
            let mask = builder.load(masks, at, Width::DW);
            builder.alu(word, AluOp::And, mask);
            match differs {
                Some(sum) => builder.alu(sum, AluOp::Or, word),
                None => differs = Some(word),
            }
        }
        differs.unwrap_or_else(|| {
            builder.bug("a record without addresses");
            masks
        })
    }

    /// Not 0 if a port is out of bounds or the class is another. The bounds stand at `ports`, else with the service.
    fn service_differs(
        &self,
        builder: &mut Builder,
        about: Value,
        ports: Option<(Value, i16)>,
    ) -> Value {
        let maps = self.maps;
        let service = entry_at(
            builder,
            about,
            (SERVICE_AT, SERVICE_BITS),
            (maps.services, maps.service_count),
            SERVICE_SIZE,
        );
        // Both halves at once: a subtraction that borrows takes the guard above it away.
        let above = builder.load_slot(self.slots.guarded, 0, Width::DW);
        let (bounds, at) = ports.unwrap_or((service, 0));
        let low = builder.load(bounds, at, Width::DW);
        builder.alu(above, AluOp::Sub, low);
        let below = builder.load(bounds, at + 8, Width::DW);
        let ports = builder.load_slot(self.slots.ports, 0, Width::DW);
        builder.alu(below, AluOp::Sub, ports);
        builder.alu(above, AluOp::And, below);
        let guard = wide(builder, GUARD);
        builder.alu(above, AluOp::And, guard);
        builder.alu(above, AluOp::Xor, guard);
        let others = builder.load(service, 16, Width::DW);
        let class = builder.load_slot(self.slots.class, 0, Width::DW);
        builder.alu(others, AluOp::Rsh, class);
        builder.alu(others, AluOp::And, 1);
        builder.alu(above, AluOp::Or, others);
        above
    }
}

/// The entry of a table whose number stands at some bits of a record. A table has a power of two of entries.
fn entry_at(
    builder: &mut Builder,
    record: Value,
    (at, bits): (u32, u32),
    (place, count): (TableRef, u32),
    size: usize,
) -> Value {
    let index = builder.copy(record);
    if at > 0 {
        builder.alu(index, AluOp::Rsh, number(at));
    }
    let mask = count.min(1 << bits) - 1;
    builder.alu(index, AluOp::And, number(mask));
    builder.alu(index, AluOp::Lsh, number(size.trailing_zeros()));
    let entry = table(builder, place);
    builder.alu(entry, AluOp::Add, index);
    entry
}

/// `value *= size`
pub(super) fn times(builder: &mut Builder, value: Value, size: usize) {
    match size.is_power_of_two() {
        true => builder.alu(value, AluOp::Lsh, number(size.trailing_zeros())),
        false => {
            let size = builder.fit::<_, i32>(size, "the size of a record");
            builder.alu(value, AluOp::Mul, size);
        }
    }
}

/// Leaves the slot of a rank's counter in a slot of the stack and goes on. Nearly always there is one piece, and the rank is that.
fn leave_counter(builder: &mut Builder, pieces: &[Piece], rank: Value, to: (Slot, Block)) {
    match *pieces {
        [] => builder.bug("records without ranks"),
        [only] => {
            match only.slots {
                Slots::Below(0) => {}
                Slots::Below(distance) => builder.alu(rank, AluOp::Sub, number(distance)),
                Slots::Shared(slot) => builder.set(rank, slot.into()),
            }
            builder.store_slot(to.0, 0, rank, Width::W);
            builder.jump(to.1);
        }
        _ => {
            let (lower, higher) = pieces.split_at(pieces.len() / 2);
            let above = builder.block();
            builder.leave_if_wide(rank, JumpOp::Ge, number(higher[0].first), above);
            leave_counter(builder, lower, rank, to);
            builder.enter(above);
            leave_counter(builder, higher, rank, to);
        }
    }
}

fn shifted(builder: &mut Builder, value: Value, bits: i32) {
    if bits > 0 {
        builder.alu(value, AluOp::Rsh, bits);
    }
}

impl Answers<'_> {
    /// The answer, from the best record.
    pub(super) fn answer_first_match(
        &self,
        builder: &mut Builder,
        maps: &ClassifierMaps,
        best: Value,
        slot: Slot,
        done: Block,
    ) {
        let nobody = builder.block();
        let asks = maps.remembered() > 0;
        match asks {
            true => builder.leave_if(best, JumpOp::Eq, -1, nobody),
            false => builder.leave_if_wide(best, JumpOp::Eq, -1, nobody),
        }
        // With questions, what is left of a record are the 32 bits above its service.
        let shift = if asks { 0 } else { number(GROUP_AT) };
        let group = builder.copy(best);
        shifted(builder, group, shift);
        builder.alu(group, AluOp::And, group_mask(maps.group_bits));
        builder.alu(group, AluOp::Add, 1);
        builder.store_slot(self.given.frame.answer, 0, group, Width::W);
        let rank = builder.copy(best);
        shifted(builder, rank, shift + number(GROUP_BITS));
        leave_counter(builder, &maps.ranks, rank, (slot, done));
        builder.enter(nobody);
        // Nobody reads it then, but a slot that a path may read has to be written, and 0 would be a value to the verifier.
        builder.set_slot(slot, 0, 1, Width::W);
        builder.set_slot(self.given.frame.answer, 0, 1, Width::W);
        builder.jump(done);
    }
}
