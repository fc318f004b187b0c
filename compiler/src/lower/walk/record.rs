//! The end of a walk through a stratum: a list, record by record; and the answer from the best record of all.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{
    GROUP_AT, GROUP_BITS, LAST_AT, MASK_BITS, RANK_AT, SERVICE_AT, SERVICE_BITS, address_words,
    record_size,
};
use crate::classifier::{GUARD, SERVICE_SIZE};
use crate::ir::{Block, Slot, Value};
use crate::tables::TablePlace as Place;

use super::maps::{ClassifierMaps, StratumMaps};
use super::{Walk, index_mask, number};
use crate::lower::Lowering;

impl Lowering<'_> {
    /// Compares with one record after the other.
    pub(super) fn list(&mut self, walk: Walk<'_>, stratum: &StratumMaps, node: Value) {
        let size = record_size(walk.family);
        self.builder.alu(node, AluOp::And, index_mask());
        let last = number(stratum.record_count.saturating_sub(1));
        self.builder
            .leave_if_wide(node, JumpOp::Gt, last, walk.next);
        let bytes = self.builder.fit::<_, i32>(size, "the size of a record");
        self.builder.alu(node, AluOp::Mul, bytes);
        let record = self.table(stratum.records);
        self.builder.alu(record, AluOp::Add, node);
        for place in 0..stratum.longest.max(1) {
            let offset = self.builder.fit(place * size, "the place of a record");
            self.compare_record(walk, record, offset);
        }
        self.builder.jump(walk.next);
    }

    /// Compares with the record so far after the pointer; goes on after it if it does not match.
    fn compare_record(&mut self, walk: Walk<'_>, record: Value, offset: i16) {
        let best = walk.best;
        let miss = self.builder.block();
        let words = 8 * address_words(walk.family);
        let after = offset + self.builder.fit::<_, i16>(words, "the size of addresses");
        let about = self.builder.load(record, after, Width::DW);
        self.builder
            .leave_if_wide(about, JumpOp::Ge, best, walk.next);
        let differs = self.addresses_differ(walk, about, record, offset);
        self.builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        let differs = self.service_differs(walk, about);
        self.builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        // Loaded again, not copied: newer verifiers (6.12 and 6.18 were seen to) remember that two registers hold the same
        // number, and follow the ways on which they do and on which they do not one by one.
        self.builder.load_to(best, record, after, Width::DW);
        self.builder.jump(walk.next);
        self.builder.enter(miss);
        self.builder
            .leave_if(about, JumpOp::Set, 1 << LAST_AT, walk.next);
    }

    /// Not 0 if the addresses differ in bits that the record's masks keep.
    fn addresses_differ(
        &mut self,
        walk: Walk<'_>,
        about: Value,
        record: Value,
        offset: i16,
    ) -> Value {
        let tables = walk.maps.of(walk.family);
        let words = address_words(walk.family);
        let table = (tables.masks, tables.mask_count);
        let masks = self.entry_at(about, (0, MASK_BITS), table, 8 * words);
        let mut differs: Option<Value> = None;
        for number in 0..words {
            let at: i16 = self.builder.fit(8 * number, "the place of a word");
            let word = self.builder.load(record, offset + at, Width::DW);
            let ours = walk.addresses.unwrap_or_else(|| {
                let slot = self.walk.words[number];
                self.builder.load_slot(slot, 0, Width::DW)
            });
            self.builder.alu(word, AluOp::Xor, ours);
            let mask = self.builder.load(masks, at, Width::DW);
            self.builder.alu(word, AluOp::And, mask);
            match differs {
                Some(sum) => self.builder.alu(sum, AluOp::Or, word),
                None => differs = Some(word),
            }
        }
        differs.unwrap_or_else(|| {
            self.builder.bug("a record without addresses");
            masks
        })
    }

    /// Not 0 if a port is out of bounds or the class is another.
    fn service_differs(&mut self, walk: Walk<'_>, about: Value) -> Value {
        let maps = walk.maps;
        let service = self.entry_at(
            about,
            (SERVICE_AT, SERVICE_BITS),
            (maps.services, maps.service_count),
            SERVICE_SIZE,
        );
        // Both halves at once: a subtraction that borrows takes the guard above it away.
        let above = self.builder.load_slot(self.walk.guarded, 0, Width::DW);
        let low = self.builder.load(service, 0, Width::DW);
        self.builder.alu(above, AluOp::Sub, low);
        let below = self.builder.load(service, 8, Width::DW);
        let ports = self.builder.load_slot(self.walk.ports, 0, Width::DW);
        self.builder.alu(below, AluOp::Sub, ports);
        self.builder.alu(above, AluOp::And, below);
        let guard = self.wide(GUARD);
        self.builder.alu(above, AluOp::And, guard);
        self.builder.alu(above, AluOp::Xor, guard);
        let others = self.builder.load(service, 16, Width::DW);
        let class = self.builder.load_slot(self.walk.class, 0, Width::DW);
        self.builder.alu(others, AluOp::Rsh, class);
        self.builder.alu(others, AluOp::And, 1);
        self.builder.alu(above, AluOp::Or, others);
        above
    }

    /// The entry of a table whose number stands at some bits of a record. A table has a power of two of entries.
    fn entry_at(
        &mut self,
        record: Value,
        (at, bits): (u32, u32),
        (table, count): (Place, u32),
        size: usize,
    ) -> Value {
        let index = self.builder.copy(record);
        if at > 0 {
            self.builder.alu(index, AluOp::Rsh, number(at));
        }
        let mask = count.min(1 << bits) - 1;
        self.builder.alu(index, AluOp::And, number(mask));
        self.builder
            .alu(index, AluOp::Lsh, number(size.trailing_zeros()));
        let entry = self.table(table);
        self.builder.alu(entry, AluOp::Add, index);
        entry
    }

    /// The answer, from the best record.
    pub(super) fn answer_first_match(
        &mut self,
        maps: &ClassifierMaps,
        best: Value,
        slot: Slot,
        done: Block,
    ) {
        let nobody = self.builder.block();
        self.builder.leave_if_wide(best, JumpOp::Eq, -1, nobody);
        let group = self.builder.copy(best);
        self.builder.alu(group, AluOp::Rsh, number(GROUP_AT));
        self.builder
            .alu(group, AluOp::And, number((1 << GROUP_BITS) - 1));
        self.builder.alu(group, AluOp::Add, 1);
        self.builder
            .store_slot(self.frame.answer, 0, group, Width::W);
        let rank = self.builder.copy(best);
        self.builder.alu(rank, AluOp::Rsh, number(RANK_AT));
        match maps.slots {
            None => self.builder.alu(rank, AluOp::Add, number(maps.first_slot)),
            Some(place) => {
                let last = number(maps.ranks.saturating_sub(1));
                self.builder.leave_if_wide(rank, JumpOp::Gt, last, nobody);
                self.builder.alu(rank, AluOp::Lsh, 2);
                let pointer = self.table(place);
                self.builder.alu(pointer, AluOp::Add, rank);
                self.builder.load_to(rank, pointer, 0, Width::W);
            }
        }
        self.builder.store_slot(slot, 0, rank, Width::W);
        self.builder.jump(done);
        self.builder.enter(nobody);
        // Nobody reads it then, but a slot that a path may read has to be written, and 0 would be a value to the verifier.
        self.builder.set_slot(slot, 0, 1, Width::W);
        self.builder.set_slot(self.frame.answer, 0, 1, Width::W);
        self.builder.jump(done);
    }
}
