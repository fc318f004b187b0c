//! The walk through a classifier's tables: straight code without calls, the same whatever the number of rules.
//!
//! ```text
//! words of the packet ─▶ for each stratum: hash or root ─▶ node, node, … ─▶ list, record by record ─▶ best so far
//!     ─▶ group and counter of the best
//! ```
//!
//! Strata do not wait for each other, so a processor loads from several at once. A list is left at the first record that
//! matches, at its end, and before a record that cannot be better than what was found. Indices come from frozen tables,
//! but the verifier does not know that: each is compared with the table's end once, on a way that is never taken.
//! The layout is that of [`crate::classifier::tables`].

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{
    FamilyTables, GROUP_AT, GROUP_BITS, INDEX_BITS, LAST_AT, MASK_BITS, RANK_AT, RankSlots,
    SERVICE_AT, SERVICE_BITS, SHIFT_AT, SIZE_AT, StratumTables, Tables, WORD_AT, address_words,
    record_size,
};
use crate::classifier::{GUARD, MULTIPLIERS, Root, SERVICE_SIZE};
use crate::field::Field;
use crate::ir::{Block, Builder, Slot, Value};
use crate::policy::Family;
use crate::tables::TablePlace as Place;

use super::Lowering;
use super::packet::{FROM, TO};

/// A classifier's tables, each at its place.
#[derive(Clone, Debug)]
pub(crate) struct ClassifierMaps {
    /// The classes of protocols.
    pub classes: Place,
    /// The services.
    pub services: Place,
    /// Counters by rank, unless they stand in a row.
    pub slots: Option<Place>,
    /// What is added to a rank where they do.
    pub first_slot: u32,
    /// For IPv4.
    pub v4: FamilyMaps,
    /// For IPv6.
    pub v6: FamilyMaps,
    /// How many services the table has room for: a power of two.
    service_count: u32,
    /// How many ranks there are.
    ranks: u32,
}

/// The tables of one family.
#[derive(Clone, Debug)]
pub(crate) struct FamilyMaps {
    masks: Place,
    mask_count: u32,
    strata: Vec<StratumMaps>,
}

/// The tables of one stratum.
#[derive(Clone, Debug)]
struct StratumMaps {
    root: Root,
    start: u32,
    children: Place,
    child_count: u32,
    records: Place,
    record_count: u32,
    depth: u32,
    longest: usize,
    words: Vec<u32>,
    first_rank: u32,
}

impl ClassifierMaps {
    /// Puts the tables into maps; `add` gives the place of one, by its name.
    ///
    /// `None` where a table has more entries than a program can count, which no map holds.
    pub(crate) fn new(
        tables: &Tables,
        ranks: u32,
        mut add: impl FnMut(&str, &[u8]) -> Place,
    ) -> Option<Self> {
        let (slots, first_slot) = match &tables.slots {
            RankSlots::Offset(first) => (None, *first),
            RankSlots::Table(bytes) => (Some(add("slots", bytes)), 0),
        };
        Some(Self {
            classes: add("classes", &tables.classes),
            services: add("services", &tables.services),
            slots,
            first_slot,
            v4: family(&tables.v4, Family::V4, &mut add)?,
            v6: family(&tables.v6, Family::V6, &mut add)?,
            service_count: entries(&tables.services, SERVICE_SIZE)?,
            ranks,
        })
    }

    /// The tables of a family.
    fn of(&self, family: Family) -> &FamilyMaps {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

fn entries(table: &[u8], size: usize) -> Option<u32> {
    u32::try_from(table.len() / size).ok()
}

fn family(
    tables: &FamilyTables,
    family: Family,
    add: &mut impl FnMut(&str, &[u8]) -> Place,
) -> Option<FamilyMaps> {
    let name = match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    };
    let strata = tables.strata.iter().enumerate().map(|(number, stratum)| {
        let StratumTables {
            root,
            start,
            depth,
            longest,
            record_count,
            first_rank,
            ..
        } = *stratum;
        Some(StratumMaps {
            root,
            start,
            children: add(&format!("{name}_nodes_{number}"), &stratum.children),
            child_count: entries(&stratum.children, 4)?,
            records: add(&format!("{name}_lists_{number}"), &stratum.records),
            record_count,
            depth,
            longest,
            words: stratum.words.clone(),
            first_rank,
        })
    });
    let strata = strata.collect::<Option<_>>()?;
    Some(FamilyMaps {
        masks: add(&format!("{name}_masks"), &tables.masks),
        mask_count: entries(&tables.masks, 8 * address_words(family))?,
        strata,
    })
}

/// The slots of a walk.
pub(super) struct WalkFrame {
    /// The words of the packet, eight bytes each: addresses, then class and ports.
    words: Vec<Slot>,
    /// The ports, the sender's in the high half.
    ports: Slot,
    /// The same with [`GUARD`].
    guarded: Slot,
    /// The class of the protocol.
    class: Slot,
}

/// Where the blocks of a walk lead.
#[derive(Clone, Copy)]
struct Walk<'m> {
    maps: &'m ClassifierMaps,
    family: Family,
    /// After the stratum.
    next: Block,
}

impl WalkFrame {
    /// A walk shares its room with the tuples of socket lookups and the keys of tries: one question is answered at a time.
    pub(super) fn new(builder: &mut Builder, tuple: Slot, prefix: Slot) -> Self {
        let words = (0..5).map(|word| builder.part(tuple, 8 * word, 8));
        let words = words.collect();
        let [ports, guarded, class] = [0, 8, 16].map(|byte| builder.part(prefix, byte, 8));
        Self {
            words,
            ports,
            guarded,
            class,
        }
    }
}

/// 32 bits as an operand of a 32-bit comparison or a 64-bit operation that only looks at its low bits.
fn number(value: u32) -> i32 {
    i32::from_ne_bytes(value.to_ne_bytes())
}

impl Lowering<'_> {
    /// Leaves the group of the first match as the answer, and its counter in the slot `first_match`.
    pub(super) fn find_first_match(&mut self, entry: Block, family: Family, done: Block) {
        let (Some(maps), Some(slot)) = (self.source.classifier, self.frame.first_match) else {
            return self.no_answer(Field::FirstMatch, entry, done);
        };
        let tables = maps.of(family);
        self.builder.enter(entry);
        self.packet_words(maps, family);
        self.builder.set(self.registers.end, -1);
        for stratum in &tables.strata {
            let next = self.builder.block();
            let walk = Walk { maps, family, next };
            self.stratum(walk, stratum);
            self.builder.enter(next);
        }
        self.answer_first_match(maps, slot, done);
    }

    /// Leaves the words of the packet in their slots, and for IPv4 the addresses in their register too.
    fn packet_words(&mut self, maps: &ClassifierMaps, family: Family) {
        let pairs: &[[Field; 2]] = match family {
            Family::V4 => &[[FROM[0], TO[0]]],
            Family::V6 => &[
                [FROM[0], FROM[1]],
                [FROM[2], FROM[3]],
                [TO[0], TO[1]],
                [TO[2], TO[3]],
            ],
        };
        let (high, low) = (self.registers.transport, self.registers.probe);
        for (number, &[first, second]) in pairs.iter().enumerate() {
            self.read(low, second, family);
            self.read(high, first, family);
            self.builder.alu(high, AluOp::Lsh, 32);
            self.builder.alu(high, AluOp::Or, low);
            let slot = self.walk.words[number];
            self.builder.store_slot(slot, 0, high, Width::DW);
        }
        self.class_and_ports(maps, family);
        if family == Family::V4 {
            let addresses = self.walk.words[0];
            self.builder.load_slot_to(high, addresses, 0, Width::DW);
        }
    }

    fn class_and_ports(&mut self, maps: &ClassifierMaps, family: Family) {
        let (class, probe) = (self.registers.cursor, self.registers.probe);
        self.read(probe, Field::Protocol, family);
        if self.source.chain.hook.is_packet() {
            // A later fragment is 2, which becomes 256; the others are 0 and 1.
            self.read(class, Field::Fragment, family);
            self.builder.alu(class, AluOp::Rsh, 1);
            self.builder.alu(class, AluOp::Lsh, 8);
            self.builder.alu(probe, AluOp::Add, class);
        }
        self.builder.alu(probe, AluOp::And, 0x1ff);
        self.table_at(class, maps.classes);
        self.builder.alu(class, AluOp::Add, probe);
        self.builder.load_to(class, class, 0, Width::B);
        self.builder
            .store_slot(self.walk.class, 0, class, Width::DW);
        self.ports_of_class(class, family);
    }

    /// Packets without ports have what the parser left there; no service that looks at ports has their class.
    fn ports_of_class(&mut self, class: Value, family: Family) {
        let (from, to) = (self.registers.transport, self.registers.probe);
        self.read(from, Field::FromPort, family);
        self.read(to, Field::ToPort, family);
        let last = self.walk.words[address_words(family)];
        self.builder.alu(class, AluOp::Lsh, 16);
        self.builder.alu(class, AluOp::Or, from);
        self.builder.alu(class, AluOp::Lsh, 16);
        self.builder.alu(class, AluOp::Or, to);
        self.builder.store_slot(last, 0, class, Width::DW);
        self.builder.alu(from, AluOp::Lsh, 32);
        self.builder.alu(from, AluOp::Or, to);
        self.builder.store_slot(self.walk.ports, 0, from, Width::DW);
        let guard = self.builder.imm(i64::from_ne_bytes(GUARD.to_ne_bytes()));
        self.builder.alu(from, AluOp::Or, guard);
        self.builder
            .store_slot(self.walk.guarded, 0, from, Width::DW);
    }

    fn table_at(&mut self, dst: Value, place: Place) {
        self.builder.map_value_to(dst, place.map, place.offset);
    }

    fn stratum(&mut self, walk: Walk<'_>, stratum: &StratumMaps) {
        let node = self.registers.probe;
        if stratum.first_rank > 0 {
            // What was found stands before everything in here.
            let first = self.wide(u64::from(stratum.first_rank) << RANK_AT);
            let best = self.registers.end;
            self.builder
                .leave_if_wide(best, JumpOp::Lt, first, walk.next);
        }
        match stratum.root {
            Root::Hash { shape, bits, first } => {
                self.hash(walk, &shape.masks(), bits);
                self.builder.alu(node, AluOp::Add, number(first));
                self.child(walk, stratum);
            }
            Root::Tree(_) => self.builder.set(node, i64::from(stratum.start)),
        }
        let list = self.builder.block();
        for _ in 0..stratum.depth {
            // A list's top bit makes it negative.
            self.builder.leave_if(node, JumpOp::SLt, 0, list);
            self.step(walk, stratum);
        }
        self.builder.jump(list);
        self.builder.enter(list);
        self.list(walk, stratum);
    }

    /// The hash of the masked addresses, as `stratum::hash` computes it, in the register of nodes.
    fn hash(&mut self, walk: Walk<'_>, masks: &[u64], bits: u32) {
        let sum = self.registers.probe;
        let mut begun = false;
        for (number, (&mask, multiplier)) in masks.iter().zip(MULTIPLIERS).enumerate() {
            if mask == 0 {
                continue;
            }
            let word = self.address_word(number, walk.family);
            if mask != u64::MAX {
                let mask = self.wide(mask);
                self.builder.alu(word, AluOp::And, mask);
            }
            let multiplier = self.wide(multiplier);
            self.builder.alu(word, AluOp::Mul, multiplier);
            match begun {
                true => self.builder.alu(sum, AluOp::Add, word),
                false => self.builder.assign(sum, word),
            }
            begun = true;
        }
        let high = self.builder.copy(sum);
        self.builder.alu(high, AluOp::Rsh, 29);
        self.builder.alu(sum, AluOp::Xor, high);
        let multiplier = self.wide(MULTIPLIERS[1]);
        self.builder.alu(sum, AluOp::Mul, multiplier);
        self.builder.alu(sum, AluOp::Rsh, number(64 - bits));
    }

    fn wide(&mut self, value: u64) -> Value {
        self.builder.imm(i64::from_ne_bytes(value.to_ne_bytes()))
    }

    /// A word of the addresses, free to be changed.
    fn address_word(&mut self, number: usize, family: Family) -> Value {
        match family {
            Family::V4 => self.builder.copy(self.registers.transport),
            Family::V6 => {
                let slot = self.walk.words[number];
                self.builder.load_slot(slot, 0, Width::DW)
            }
        }
    }

    /// Loads the child whose number is in the register of nodes.
    fn child(&mut self, walk: Walk<'_>, stratum: &StratumMaps) {
        let node = self.registers.probe;
        let last = number(stratum.child_count.saturating_sub(1));
        self.builder
            .leave_if_wide(node, JumpOp::Gt, last, walk.next);
        self.builder.alu(node, AluOp::Lsh, 2);
        let pointer = self.builder.value();
        self.table_at(pointer, stratum.children);
        self.builder.alu(pointer, AluOp::Add, node);
        self.builder.load_to(node, pointer, 0, Width::W);
    }

    /// From a node to its child.
    fn step(&mut self, walk: Walk<'_>, stratum: &StratumMaps) {
        let node = self.registers.probe;
        let value = self.looked_at(walk, stratum);
        let shift = self.builder.copy(node);
        self.builder.alu(shift, AluOp::Rsh, number(SHIFT_AT));
        self.builder.alu(shift, AluOp::And, 63);
        self.builder.alu(value, AluOp::Rsh, shift);
        // One byte for each size: 1, 2, 4 and 8 bits.
        let mask = self.wide(0xff0f_0301);
        let size = self.builder.copy(node);
        self.builder.alu(size, AluOp::Rsh, number(SIZE_AT - 3));
        self.builder.alu(size, AluOp::And, 24);
        self.builder.alu(mask, AluOp::Rsh, size);
        self.builder.alu(mask, AluOp::And, 255);
        self.builder.alu(value, AluOp::And, mask);
        self.builder.alu(node, AluOp::And, index_mask());
        self.builder.alu(node, AluOp::Add, value);
        self.child(walk, stratum);
    }

    /// The word that a node looks at, chosen without a branch: all that the stratum's nodes look at are mixed, and a factor
    /// of 0 or 1 takes each in.
    fn looked_at(&mut self, walk: Walk<'_>, stratum: &StratumMaps) -> Value {
        let node = self.registers.probe;
        let Some((&first, others)) = stratum.words.split_first() else {
            self.builder.bug("nodes that look at no word");
            return self.builder.imm(0);
        };
        let value = self.packet_word(first, walk.family);
        for &other in others {
            let chosen = self.builder.copy(node);
            self.builder.alu(chosen, AluOp::Rsh, number(WORD_AT));
            self.builder.alu(chosen, AluOp::Xor, number(other));
            self.builder.alu(chosen, AluOp::Sub, 1);
            self.builder.alu(chosen, AluOp::Rsh, 63);
            let difference = self.packet_word(other, walk.family);
            let base = self.packet_word(first, walk.family);
            self.builder.alu(difference, AluOp::Xor, base);
            self.builder.alu(difference, AluOp::Mul, chosen);
            self.builder.alu(value, AluOp::Xor, difference);
        }
        value
    }

    fn packet_word(&mut self, number: u32, family: Family) -> Value {
        if family == Family::V4 && number == 0 {
            return self.builder.copy(self.registers.transport);
        }
        let slot = self.walk.words[number as usize];
        self.builder.load_slot(slot, 0, Width::DW)
    }

    /// Compares with one record after the other.
    fn list(&mut self, walk: Walk<'_>, stratum: &StratumMaps) {
        let (node, record) = (self.registers.probe, self.registers.cursor);
        let size = record_size(walk.family);
        self.builder.alu(node, AluOp::And, index_mask());
        let last = number(stratum.record_count.saturating_sub(1));
        self.builder
            .leave_if_wide(node, JumpOp::Gt, last, walk.next);
        let bytes = self.builder.fit::<_, i32>(size, "the size of a record");
        self.builder.alu(node, AluOp::Mul, bytes);
        self.table_at(record, stratum.records);
        self.builder.alu(record, AluOp::Add, node);
        for place in 0..stratum.longest.max(1) {
            let offset = self.builder.fit(place * size, "the place of a record");
            self.compare_record(walk, offset);
        }
        self.builder.jump(walk.next);
    }

    /// Compares with the record so far after the pointer; goes on after it if it does not match.
    fn compare_record(&mut self, walk: Walk<'_>, offset: i16) {
        let (about, best) = (self.registers.probe, self.registers.end);
        let miss = self.builder.block();
        let words = 8 * address_words(walk.family);
        let after = offset + self.builder.fit::<_, i16>(words, "the size of addresses");
        self.builder
            .load_to(about, self.registers.cursor, after, Width::DW);
        self.builder
            .leave_if_wide(about, JumpOp::Ge, best, walk.next);
        let differs = self.addresses_differ(walk, offset);
        self.builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        let differs = self.service_differs(walk);
        self.builder.leave_if_wide(differs, JumpOp::Ne, 0, miss);
        // Loaded again, not copied: newer verifiers (6.12 and 6.18 were seen to) remember that two registers hold the same
        // number, and follow the ways on which they do and on which they do not one by one.
        self.builder
            .load_to(best, self.registers.cursor, after, Width::DW);
        self.builder.jump(walk.next);
        self.builder.enter(miss);
        self.builder
            .leave_if(about, JumpOp::Set, 1 << LAST_AT, walk.next);
    }

    /// Not 0 if the addresses differ in bits that the record's masks keep.
    fn addresses_differ(&mut self, walk: Walk<'_>, offset: i16) -> Value {
        let (maps, family) = (walk.maps, walk.family);
        let tables = maps.of(family);
        let words = address_words(family);
        let masks = self.entry_at((0, MASK_BITS), (tables.masks, tables.mask_count), 8 * words);
        let mut differs: Option<Value> = None;
        for number in 0..words {
            let at: i16 = self.builder.fit(8 * number, "the place of a word");
            let word = self
                .builder
                .load(self.registers.cursor, offset + at, Width::DW);
            match family {
                Family::V4 => self.builder.alu(word, AluOp::Xor, self.registers.transport),
                Family::V6 => {
                    let slot = self.walk.words[number];
                    let ours = self.builder.load_slot(slot, 0, Width::DW);
                    self.builder.alu(word, AluOp::Xor, ours);
                }
            }
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
    fn service_differs(&mut self, walk: Walk<'_>) -> Value {
        let maps = walk.maps;
        let service = self.entry_at(
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
        (at, bits): (u32, u32),
        (table, count): (Place, u32),
        size: usize,
    ) -> Value {
        let index = self.builder.copy(self.registers.probe);
        if at > 0 {
            self.builder.alu(index, AluOp::Rsh, number(at));
        }
        let mask = count.min(1 << bits) - 1;
        self.builder.alu(index, AluOp::And, number(mask));
        self.builder
            .alu(index, AluOp::Lsh, number(size.trailing_zeros()));
        let entry = self.builder.value();
        self.table_at(entry, table);
        self.builder.alu(entry, AluOp::Add, index);
        entry
    }

    /// The answer, from the best record.
    fn answer_first_match(&mut self, maps: &ClassifierMaps, slot: Slot, done: Block) {
        let (best, rank) = (self.registers.end, self.registers.probe);
        let nobody = self.builder.block();
        self.builder.leave_if_wide(best, JumpOp::Eq, -1, nobody);
        let group = self.builder.copy(best);
        self.builder.alu(group, AluOp::Rsh, number(GROUP_AT));
        self.builder
            .alu(group, AluOp::And, number((1 << GROUP_BITS) - 1));
        self.builder.alu(group, AluOp::Add, 1);
        self.builder
            .store_slot(self.frame.answer, 0, group, Width::W);
        self.builder.assign(rank, best);
        self.builder.alu(rank, AluOp::Rsh, number(RANK_AT));
        match maps.slots {
            None => self.builder.alu(rank, AluOp::Add, number(maps.first_slot)),
            Some(place) => {
                let last = number(maps.ranks.saturating_sub(1));
                self.builder.leave_if_wide(rank, JumpOp::Gt, last, nobody);
                self.builder.alu(rank, AluOp::Lsh, 2);
                let pointer = self.builder.value();
                self.table_at(pointer, place);
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

/// The bits of a child that are an index.
fn index_mask() -> i32 {
    number((1 << INDEX_BITS) - 1)
}
