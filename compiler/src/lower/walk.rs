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

mod maps;
mod record;

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{INDEX_BITS, RANK_AT, SHIFT_AT, SIZE_AT, WORD_AT, address_words};
use crate::classifier::{GUARD, MULTIPLIERS, Root};
use crate::field::Field;
use crate::ir::{Block, Builder, Slot, Value};
use crate::policy::Family;
use crate::tables::TablePlace as Place;

use super::Lowering;
use super::packet::{FROM, TO};

pub(crate) use maps::ClassifierMaps;
use maps::StratumMaps;

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
    /// Both addresses, if they are of IPv4.
    addresses: Option<Value>,
    /// What stands about the best record so far.
    best: Value,
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
        let addresses = self.packet_words(maps, family);
        let best = self.builder.imm(-1);
        for stratum in &tables.strata {
            let next = self.builder.block();
            let walk = Walk {
                maps,
                family,
                addresses,
                best,
                next,
            };
            self.stratum(walk, stratum);
            self.builder.enter(next);
        }
        self.answer_first_match(maps, best, slot, done);
    }

    /// Leaves the words of the packet in their slots; gives both addresses of IPv4, which are one.
    fn packet_words(&mut self, maps: &ClassifierMaps, family: Family) -> Option<Value> {
        let pairs: &[[Field; 2]] = match family {
            Family::V4 => &[[FROM[0], TO[0]]],
            Family::V6 => &[
                [FROM[0], FROM[1]],
                [FROM[2], FROM[3]],
                [TO[0], TO[1]],
                [TO[2], TO[3]],
            ],
        };
        for (number, &[first, second]) in pairs.iter().enumerate() {
            let low = self.read(second, family);
            let high = self.read(first, family);
            self.builder.alu(high, AluOp::Lsh, 32);
            self.builder.alu(high, AluOp::Or, low);
            let slot = self.walk.words[number];
            self.builder.store_slot(slot, 0, high, Width::DW);
        }
        self.class_and_ports(maps, family);
        match family {
            Family::V4 => Some(self.builder.load_slot(self.walk.words[0], 0, Width::DW)),
            Family::V6 => None,
        }
    }

    fn class_and_ports(&mut self, maps: &ClassifierMaps, family: Family) {
        let protocol = self.read(Field::Protocol, family);
        if self.source.chain.hook.is_packet() {
            // A later fragment is 2, which becomes 256; the others are 0 and 1.
            let later = self.read(Field::Fragment, family);
            self.builder.alu(later, AluOp::Rsh, 1);
            self.builder.alu(later, AluOp::Lsh, 8);
            self.builder.alu(protocol, AluOp::Add, later);
        }
        self.builder.alu(protocol, AluOp::And, 0x1ff);
        let entry = self.table(maps.classes);
        self.builder.alu(entry, AluOp::Add, protocol);
        let class = self.builder.load(entry, 0, Width::B);
        self.builder
            .store_slot(self.walk.class, 0, class, Width::DW);
        self.ports_of_class(class, family);
    }

    /// Packets without ports have what the parser left there; no service that looks at ports has their class.
    fn ports_of_class(&mut self, class: Value, family: Family) {
        let from = self.read(Field::FromPort, family);
        let to = self.read(Field::ToPort, family);
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

    fn table(&mut self, place: Place) -> Value {
        self.builder.map_value(place.map, place.offset)
    }

    fn stratum(&mut self, walk: Walk<'_>, stratum: &StratumMaps) {
        if stratum.first_rank > 0 {
            // What was found stands before everything in here.
            let first = self.wide(u64::from(stratum.first_rank) << RANK_AT);
            self.builder
                .leave_if_wide(walk.best, JumpOp::Lt, first, walk.next);
        }
        let node = match stratum.root {
            Root::Hash { shape, bits, first } => {
                let node = self.hash(walk, &shape.masks(), bits);
                self.builder.alu(node, AluOp::Add, number(first));
                self.child(walk, stratum, node);
                node
            }
            Root::Tree(_) => self.builder.imm(i64::from(stratum.start)),
        };
        let list = self.builder.block();
        for _ in 0..stratum.depth {
            // A list's top bit makes it negative.
            self.builder.leave_if(node, JumpOp::SLt, 0, list);
            self.step(walk, stratum, node);
        }
        self.builder.jump(list);
        self.builder.enter(list);
        self.list(walk, stratum, node);
    }

    /// The hash of the masked addresses, as `stratum::hash` computes it.
    fn hash(&mut self, walk: Walk<'_>, masks: &[u64], bits: u32) -> Value {
        let mut sum: Option<Value> = None;
        for (number, (&mask, multiplier)) in masks.iter().zip(MULTIPLIERS).enumerate() {
            if mask == 0 {
                continue;
            }
            let word = self.packet_word(number, walk);
            if mask != u64::MAX {
                let mask = self.wide(mask);
                self.builder.alu(word, AluOp::And, mask);
            }
            let multiplier = self.wide(multiplier);
            self.builder.alu(word, AluOp::Mul, multiplier);
            match sum {
                Some(sum) => self.builder.alu(sum, AluOp::Add, word),
                None => sum = Some(word),
            }
        }
        let sum = sum.unwrap_or_else(|| self.builder.imm(0));
        let high = self.builder.copy(sum);
        self.builder.alu(high, AluOp::Rsh, 29);
        self.builder.alu(sum, AluOp::Xor, high);
        let multiplier = self.wide(MULTIPLIERS[1]);
        self.builder.alu(sum, AluOp::Mul, multiplier);
        self.builder.alu(sum, AluOp::Rsh, number(64 - bits));
        sum
    }

    fn wide(&mut self, value: u64) -> Value {
        self.builder.imm(i64::from_ne_bytes(value.to_ne_bytes()))
    }

    /// Loads the child of this number into `node`.
    fn child(&mut self, walk: Walk<'_>, stratum: &StratumMaps, node: Value) {
        let last = number(stratum.child_count.saturating_sub(1));
        self.builder
            .leave_if_wide(node, JumpOp::Gt, last, walk.next);
        self.builder.alu(node, AluOp::Lsh, 2);
        let pointer = self.table(stratum.children);
        self.builder.alu(pointer, AluOp::Add, node);
        self.builder.load_to(node, pointer, 0, Width::W);
    }

    /// From a node to its child.
    fn step(&mut self, walk: Walk<'_>, stratum: &StratumMaps, node: Value) {
        let value = self.looked_at(walk, stratum, node);
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
        self.child(walk, stratum, node);
    }

    /// The word that a node looks at, chosen without a branch: all that the stratum's nodes look at are mixed, and a factor
    /// of 0 or 1 takes each in.
    fn looked_at(&mut self, walk: Walk<'_>, stratum: &StratumMaps, node: Value) -> Value {
        let Some((&first, others)) = stratum.words.split_first() else {
            self.builder.bug("nodes that look at no word");
            return self.builder.imm(0);
        };
        let value = self.packet_word(first as usize, walk);
        for &other in others {
            let chosen = self.builder.copy(node);
            self.builder.alu(chosen, AluOp::Rsh, number(WORD_AT));
            self.builder.alu(chosen, AluOp::Xor, number(other));
            self.builder.alu(chosen, AluOp::Sub, 1);
            self.builder.alu(chosen, AluOp::Rsh, 63);
            let difference = self.packet_word(other as usize, walk);
            let base = self.packet_word(first as usize, walk);
            self.builder.alu(difference, AluOp::Xor, base);
            self.builder.alu(difference, AluOp::Mul, chosen);
            self.builder.alu(value, AluOp::Xor, difference);
        }
        value
    }

    /// A word of the packet, free to be changed.
    fn packet_word(&mut self, number: usize, walk: Walk<'_>) -> Value {
        match walk.addresses {
            Some(addresses) if number == 0 => self.builder.copy(addresses),
            _ => self
                .builder
                .load_slot(self.walk.words[number], 0, Width::DW),
        }
    }
}

/// The bits of a child that are an index.
fn index_mask() -> i32 {
    number((1 << INDEX_BITS) - 1)
}
