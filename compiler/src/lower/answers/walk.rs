//! The walk through a classifier's tables: straight code without calls, the same whatever the number of rules.
//!
//! ```text
//! words of the packet ─▶ for each stratum: hash or root ─▶ node, node, … ─▶ list, record by record ─▶ best so far
//!     ─▶ what the better ones ask, if they do ─▶ group and counter of the best
//! ```
//!
//! Strata do not wait for each other, so a processor loads from several at once. A list is left at the first record that
//! matches, at its end, and before a record that cannot be better than what was found. Indices come from frozen tables,
//! but the verifier does not know that: each is compared with the table's end once, on a way that is never taken.
//! The layout is that of [`crate::classifier::tables`].

mod asked;
mod bucket;
mod class;
mod maps;
mod rated;
mod rates;
mod record;

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{INDEX_BITS, RANK_AT, SHIFT_AT, SIZE_AT, WORD_AT, address_words};
use crate::classifier::{GUARD, MULTIPLIERS, Root};
use crate::field::Field;
use crate::ir::{Block, Builder, Slot, Value};
use crate::policy::Family;
use crate::tables::TableRef;

use super::{Answers, Way};
use crate::lower::given::Given;
use crate::lower::question::{Phase, Questions};
use crate::lower::{FROM, TO};

use asked::AskedSlots;
pub(crate) use maps::ClassifierMaps;
use maps::{ClassCode, StratumMaps};

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
    /// What is kept of questions, where rules ask any.
    asked: Option<AskedSlots>,
}

/// A walk through one stratum, which reaches its own slots alone.
struct Walk<'m> {
    slots: &'m WalkFrame,
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
    pub(super) fn new(builder: &mut Builder, given: &Given<'_>) -> Self {
        let (tuple, prefix) = (given.frame.tuple, given.frame.prefix);
        let words = (0..5).map(|word| builder.part(tuple, 8 * word, 8));
        let words = words.collect();
        let [ports, guarded, class] = [0, 8, 16].map(|byte| builder.part(prefix, byte, 8));
        Self {
            words,
            ports,
            guarded,
            class,
            asked: AskedSlots::new(builder, given),
        }
    }
}

/// 32 bits as an operand of a 32-bit comparison or a 64-bit operation that only looks at its low bits.
fn number(value: u32) -> i32 {
    i32::from_ne_bytes(value.to_ne_bytes())
}

impl Answers<'_> {
    /// Leaves the group of the first match as the answer, and its counter in the slot `first_match`.
    pub(super) fn find_first_match(
        &self,
        builder: &mut Builder,
        phase: Phase,
        way: Way,
        questions: &mut Questions,
    ) {
        let (family, entry, done) = way.parts();
        let (Some(maps), Some(slot)) = (self.given.source.classifier, self.given.frame.first_match)
        else {
            return self.no_answer(builder, Field::FirstMatch, way);
        };
        let tables = maps.of(family);
        builder.enter(entry);
        self.forget_asked(builder);
        let addresses = self.packet_words(builder, maps, family);
        let best = builder.imm(-1);
        for (number, stratum) in tables.strata.iter().enumerate() {
            let next = builder.block();
            let walk = Walk {
                slots: &self.walk,
                maps,
                family,
                addresses,
                best,
                next,
            };
            if number > 0 {
                walk.unless_better(builder, stratum);
            }
            walk.stratum(builder, stratum);
            builder.enter(next);
        }
        let winner = self.winner(builder, (maps, best), (phase, family), questions);
        self.answer_first_match(builder, maps, winner, slot, done);
    }

    /// Leaves the words of the packet in their slots; gives both addresses of IPv4, which are one.
    fn packet_words(
        &self,
        builder: &mut Builder,
        maps: &ClassifierMaps,
        family: Family,
    ) -> Option<Value> {
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
            let low = self.word_of_side(builder, second, family);
            let high = self.word_of_side(builder, first, family);
            builder.alu(high, AluOp::Lsh, 32);
            builder.alu(high, AluOp::Or, low);
            let slot = self.walk.words[number];
            builder.store_slot(slot, 0, high, Width::DW);
        }
        self.class_and_ports(builder, maps, family);
        match family {
            Family::V4 => Some(builder.load_slot(self.walk.words[0], 0, Width::DW)),
            Family::V6 => None,
        }
    }

    fn class_and_ports(&self, builder: &mut Builder, maps: &ClassifierMaps, family: Family) {
        let class = match &maps.classes {
            ClassCode::Table(classes) => self.class_in_table(builder, *classes, family),
            ClassCode::Tree(diagram) => self.class_by_tree(builder, diagram, family),
        };
        builder.store_slot(self.walk.class, 0, class, Width::DW);
        self.ports_of_class(builder, class, family);
    }

    fn class_in_table(&self, builder: &mut Builder, classes: TableRef, family: Family) -> Value {
        let protocol = self.protocol(builder, family);
        if self.given.source.chain.hook.is_packet() {
            // A later fragment is 2, which becomes 256; the others are 0 and 1.
            let later = self.given.read(builder, Field::Fragment, family);
            builder.alu(later, AluOp::Rsh, 1);
            builder.alu(later, AluOp::Lsh, 8);
            builder.alu(protocol, AluOp::Add, later);
        }
        builder.alu(protocol, AluOp::And, 0x1ff);
        let entry = table(builder, classes);
        builder.alu(entry, AluOp::Add, protocol);
        builder.load(entry, 0, Width::B)
    }

    /// The number of the protocol; where all that comes there has one, that.
    fn protocol(&self, builder: &mut Builder, family: Family) -> Value {
        match self.given.source.chain.hook.spec().sees.protocols {
            [only] => builder.imm(i64::from(only.0)),
            _ => self.given.read(builder, Field::Protocol, family),
        }
    }

    /// A word of an address, or a port. Where nothing is known of the sender no rule asks for it, so that any value does.
    fn word_of_side(&self, builder: &mut Builder, field: Field, family: Family) -> Value {
        let hook = self.given.source.chain.hook;
        match !hook.direction().has_sender() && field.is_of_sender() {
            true => builder.imm(0),
            false => self.given.read(builder, field, family),
        }
    }

    /// Packets without ports have what the parser left there; no service that looks at ports has their class.
    fn ports_of_class(&self, builder: &mut Builder, class: Value, family: Family) {
        let from = self.word_of_side(builder, Field::FromPort, family);
        let to = self.given.read(builder, Field::ToPort, family);
        let last = self.walk.words[address_words(family)];
        builder.alu(class, AluOp::Lsh, 16);
        builder.alu(class, AluOp::Or, from);
        builder.alu(class, AluOp::Lsh, 16);
        builder.alu(class, AluOp::Or, to);
        builder.store_slot(last, 0, class, Width::DW);
        builder.alu(from, AluOp::Lsh, 32);
        builder.alu(from, AluOp::Or, to);
        builder.store_slot(self.walk.ports, 0, from, Width::DW);
        let guard = builder.imm(i64::from_ne_bytes(GUARD.to_ne_bytes()));
        builder.alu(from, AluOp::Or, guard);
        builder.store_slot(self.walk.guarded, 0, from, Width::DW);
    }
}

impl Walk<'_> {
    /// Leaves the stratum out if what was found stands before everything in it.
    fn unless_better(&self, builder: &mut Builder, stratum: &StratumMaps) {
        let first = wide(builder, u64::from(stratum.first_rank) << RANK_AT);
        builder.leave_if_wide(self.best, JumpOp::Lt, first, self.next);
    }

    fn stratum(&self, builder: &mut Builder, stratum: &StratumMaps) {
        let node = match stratum.root {
            Root::Hash {
                shape,
                count,
                first,
            } => {
                let node = self.hash(builder, &shape.masks(), count);
                match stratum.buckets {
                    Some(buckets) if self.bucket(builder, buckets, node) => {}
                    Some(_) => return,
                    None => {
                        builder.alu(node, AluOp::Add, number(first));
                        self.child(builder, stratum, node);
                    }
                }
                node
            }
            Root::Tree(_) => builder.imm(i64::from(stratum.start)),
        };
        let list = builder.block();
        for _ in 0..stratum.depth {
            // A list's top bit makes it negative.
            builder.leave_if(node, JumpOp::SLt, 0, list);
            self.step(builder, stratum, node);
        }
        builder.jump(list);
        builder.enter(list);
        self.list(builder, stratum, node);
    }

    /// The hash of the masked addresses, as `stratum::hash` computes it.
    fn hash(&self, builder: &mut Builder, masks: &[u64], count: u32) -> Value {
        let mut sum: Option<Value> = None;
        for (number, (&mask, multiplier)) in masks.iter().zip(MULTIPLIERS).enumerate() {
            if mask == 0 {
                continue;
            }
            let word = self.packet_word(builder, number);
            if mask != u64::MAX {
                let mask = wide(builder, mask);
                builder.alu(word, AluOp::And, mask);
            }
            let multiplier = wide(builder, multiplier);
            builder.alu(word, AluOp::Mul, multiplier);
            match sum {
                Some(sum) => builder.alu(sum, AluOp::Add, word),
                None => sum = Some(word),
            }
        }
        let sum = sum.unwrap_or_else(|| builder.imm(0));
        let high = builder.copy(sum);
        builder.alu(high, AluOp::Rsh, 29);
        builder.alu(sum, AluOp::Xor, high);
        let multiplier = wide(builder, MULTIPLIERS[1]);
        builder.alu(sum, AluOp::Mul, multiplier);
        match count.is_power_of_two() {
            true => builder.alu(sum, AluOp::Rsh, number(64 - count.trailing_zeros())),
            false => {
                builder.alu(sum, AluOp::Rsh, 32);
                builder.alu(sum, AluOp::Mul, number(count));
                builder.alu(sum, AluOp::Rsh, 32);
            }
        }
        sum
    }

    /// Loads the child of this number into `node`.
    fn child(&self, builder: &mut Builder, stratum: &StratumMaps, node: Value) {
        let last = number(stratum.child_count.saturating_sub(1));
        builder.leave_if_wide(node, JumpOp::Gt, last, self.next);
        builder.alu(node, AluOp::Lsh, 2);
        let pointer = table(builder, stratum.children);
        builder.alu(pointer, AluOp::Add, node);
        builder.load_to(node, pointer, 0, Width::W);
    }

    /// From a node to its child.
    fn step(&self, builder: &mut Builder, stratum: &StratumMaps, node: Value) {
        let value = self.looked_at(builder, stratum, node);
        let shift = builder.copy(node);
        builder.alu(shift, AluOp::Rsh, number(SHIFT_AT));
        builder.alu(shift, AluOp::And, 63);
        builder.alu(value, AluOp::Rsh, shift);
        // One byte for each size: 1, 2, 4 and 8 bits.
        let mask = wide(builder, 0xff0f_0301);
        let size = builder.copy(node);
        builder.alu(size, AluOp::Rsh, number(SIZE_AT - 3));
        builder.alu(size, AluOp::And, 24);
        builder.alu(mask, AluOp::Rsh, size);
        builder.alu(mask, AluOp::And, 255);
        builder.alu(value, AluOp::And, mask);
        builder.alu(node, AluOp::And, index_mask());
        builder.alu(node, AluOp::Add, value);
        self.child(builder, stratum, node);
    }

    /// The word that a node looks at, chosen without a branch: all that the stratum's nodes look at are mixed, and a factor
    /// of 0 or 1 takes each in.
    fn looked_at(&self, builder: &mut Builder, stratum: &StratumMaps, node: Value) -> Value {
        let Some((&first, others)) = stratum.words.split_first() else {
            builder.bug("nodes that look at no word");
            return builder.imm(0);
        };
        let value = self.packet_word(builder, first as usize);
        for &other in others {
            let chosen = builder.copy(node);
            builder.alu(chosen, AluOp::Rsh, number(WORD_AT));
            builder.alu(chosen, AluOp::Xor, number(other));
            builder.alu(chosen, AluOp::Sub, 1);
            builder.alu(chosen, AluOp::Rsh, 63);
            let difference = self.packet_word(builder, other as usize);
            let base = self.packet_word(builder, first as usize);
            builder.alu(difference, AluOp::Xor, base);
            builder.alu(difference, AluOp::Mul, chosen);
            builder.alu(value, AluOp::Xor, difference);
        }
        value
    }

    /// A word of the packet, free to be changed.
    fn packet_word(&self, builder: &mut Builder, number: usize) -> Value {
        match self.addresses {
            Some(addresses) if number == 0 => builder.copy(addresses),
            _ => builder.load_slot(self.slots.words[number], 0, Width::DW),
        }
    }
}

fn table(builder: &mut Builder, place: TableRef) -> Value {
    builder.map_value(place.map, place.offset)
}

fn wide(builder: &mut Builder, value: u64) -> Value {
    builder.imm(i64::from_ne_bytes(value.to_ne_bytes()))
}

/// The bits of a child that are an index.
fn index_mask() -> i32 {
    number((1 << INDEX_BITS) - 1)
}
