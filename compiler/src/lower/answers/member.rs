//! The question whether an address is in a set: a search in tables for constant sets, a lookup for live ones.
//!
//! The search in a table has no branch: the sign of a difference, shifted to where it counts, moves the pointer or does
//! not. A search with branches would make a state for the verifier at each step. So would a mask of the sign (an arithmetic
//! shift, then an `and`): newer kernels take that for a branch and follow both ways (measured on 6.18.44).

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::location::Location;
use crate::policy::{Family, SetId};

use super::boundaries::{Index, Part, Search, SetTables, Words};
use super::live::LiveSetMaps;
use super::{Answers, Way};
use crate::lower::origin_of;

/// How code asks whether an address is in a set.
#[derive(Clone, Debug)]
pub(crate) enum SetMaps {
    /// Constant.
    Tables(SetTables),
    /// Live.
    Live(LiveSetMaps),
}

impl Answers<'_> {
    /// Whether the address in these fields is in the set.
    pub(super) fn find_member(
        &self,
        builder: &mut Builder,
        (set, words): (SetId, [Field; 4]),
        way: Way,
    ) {
        let entry = self.search_of(builder, set, way.entry);
        let way = Way { entry, ..way };
        match &self.given.source.maps.sets[set] {
            Some(SetMaps::Tables(tables)) => {
                let search = match way.family {
                    Family::V4 => &tables.v4,
                    Family::V6 => &tables.v6,
                };
                self.find_in_tables(builder, search, words, way);
            }
            Some(SetMaps::Live(maps)) => {
                self.find_live_member(builder, *maps, words, way);
            }
            None => self.no_answer(builder, Field::ToIn(set), way),
        }
    }

    /// A block after `entry` from which on the code is said to come from the set, so that what is said of its code names it.
    fn search_of(&self, builder: &mut Builder, set: SetId, entry: Block) -> Block {
        let set = &self.given.source.policy.sets[set];
        // The statement's own text may be the whole list.
        let origin = Location {
            text: format!("set {}", set.name).into(),
            ..origin_of(&set.place)
        };
        let origin = builder.origin(origin);
        builder.set_origin(origin);
        builder.enter(entry);
        let search = builder.block();
        builder.jump(search);
        search
    }

    fn find_in_tables(&self, builder: &mut Builder, search: &Search, words: [Field; 4], way: Way) {
        let (family, entry, done) = way.parts();
        if search.parts.is_empty() {
            let all = self.answered(builder, search.starts_inside.into(), done);
            builder.enter(entry);
            return builder.jump(all);
        }
        let words = &words[..search.words];
        builder.enter(entry);
        for part in &search.parts {
            let after = part
                .last
                .map(|last| self.beyond(builder, last, words, family));
            let address: Vec<Value> = words
                .iter()
                .map(|&word| self.given.read(builder, word, family))
                .collect();
            let answer = match part.index {
                Some(index) => self.search_piece(builder, part, index, address[0], done),
                None => {
                    let from = part.first_place(builder, 4 * words.len());
                    part.search(builder, from, &address)
                }
            };
            if search.starts_inside {
                builder.alu(answer, AluOp::Xor, 1);
            }
            builder.alu(answer, AluOp::Add, 1);
            builder.store_slot(self.given.frame.answer, 0, answer, Width::W);
            builder.jump(done);
            if let Some(after) = after {
                builder.enter(after);
            }
        }
    }

    /// Leaves to a new block if the address is larger than `last`; goes on in a fresh one otherwise.
    fn beyond(&self, builder: &mut Builder, last: Words, words: &[Field], family: Family) -> Block {
        let [after, here] = [(); 2].map(|()| builder.block());
        for (&word, bound) in words.iter().zip(last) {
            let bound = i32::from_ne_bytes(bound.to_ne_bytes());
            let word = self.given.read(builder, word, family);
            builder.leave_if(word, JumpOp::Gt, bound, after);
            builder.leave_if(word, JumpOp::Lt, bound, here);
        }
        builder.jump(here);
        builder.enter(here);
        after
    }

    /// Searches the piece of a table that an index leads to; gives what [`Part::search`] gives.
    fn search_piece(
        &self,
        builder: &mut Builder,
        part: &Part,
        index: Index,
        address: Value,
        done: Block,
    ) -> Value {
        let entry = builder.map_value(index.place.map, index.place.offset);
        let which = builder.copy(address);
        builder.alu(which, AluOp::Rsh, index.shift.cast_signed());
        // Changes nothing, but to the verifiers of 5.10 to 6.12 a change of byte order leaves any 64 bits (6.18 knows 32).
        let kept: i32 = builder.fit(u32::MAX >> index.shift, "an index");
        builder.alu(which, AluOp::And, kept);
        builder.alu(which, AluOp::Lsh, 2);
        builder.alu(entry, AluOp::Add, which);
        let before = builder.load(entry, 0, Width::W);
        // No number is larger; the verifier does not know what stands in a table.
        let never = builder.block();
        let most: i32 = builder.fit(index.most, "the size of a table");
        builder.leave_if_wide(before, JumpOp::Gt, most, never);
        let (pointer, ahead) = part.first_place(builder, 4);
        builder.alu(pointer, AluOp::Add, before);
        let answer = part.search(builder, (pointer, ahead), &[address]);
        builder.alu(before, AluOp::Rsh, 2);
        builder.alu(answer, AluOp::Add, before);
        builder.alu(answer, AluOp::And, 1);
        let after = builder.current();
        builder.enter(never);
        builder.set_slot(self.given.frame.answer, 0, 1, Width::W);
        builder.jump(done);
        builder.enter(after);
        answer
    }
}

impl Part {
    /// A pointer to the place that the first step of a search looks at, less what an instruction's offset reaches; and how
    /// far it is from the table's beginning.
    fn first_place(&self, builder: &mut Builder, place: usize) -> (Value, i32) {
        let place = builder.fit(place, "the size of a boundary");
        let first = looked_at(1 << (self.steps - 1), place);
        let ahead = if reaches(first, place) { 0 } else { first };
        let start = self.place.offset + builder.fit::<_, u32>(ahead, "a search's beginning");
        (builder.map_value(self.place.map, start), ahead)
    }

    /// Searches a table; gives 1 if the address lies an odd number of runs from where the search began, else 0.
    ///
    /// Before each step the pointer stands at the place that as many boundaries precede as are known to be smaller. Large
    /// tables are looked into further ahead of it than an instruction's offset reaches: the pointer then runs ahead itself.
    fn search(&self, builder: &mut Builder, from: (Value, i32), address: &[Value]) -> Value {
        let (pointer, mut ahead) = from;
        let place: i32 = builder.fit(4 * address.len(), "the size of a boundary");
        let mut step = 1i32 << (self.steps - 1);
        loop {
            let looked_at = looked_at(step, place);
            if !reaches(looked_at - ahead, place) {
                builder.alu(pointer, AluOp::Add, looked_at - ahead);
                ahead = looked_at;
            }
            let offset = builder.fit(looked_at - ahead, "the step of a search");
            let smaller = compare(builder, pointer, offset, address);
            if step == 1 {
                return smaller;
            }
            let bytes = (step * place).trailing_zeros().cast_signed();
            builder.alu(smaller, AluOp::Lsh, bytes);
            builder.alu(pointer, AluOp::Add, smaller);
            step /= 2;
        }
    }
}

/// 1 if the boundary at the pointer is smaller than the address, else 0: from the last word to the first, each
/// difference with the borrow of the one before.
fn compare(builder: &mut Builder, pointer: Value, offset: i16, address: &[Value]) -> Value {
    let mut borrow: Option<Value> = None;
    for (index, &word) in address.iter().enumerate().rev() {
        let at = offset + builder.fit::<_, i16>(4 * index, "the place of a word");
        let difference = builder.load(pointer, at, Width::W);
        builder.alu(difference, AluOp::Sub, word);
        if let Some(borrow) = borrow {
            builder.alu(difference, AluOp::Sub, borrow);
        }
        builder.alu(difference, AluOp::Rsh, 63);
        borrow = Some(difference);
    }
    borrow.unwrap_or_else(|| {
        builder.bug("an address without words");
        pointer
    })
}

/// How far ahead of the boundaries that are known to be smaller a step of a search looks, in bytes.
fn looked_at(step: i32, place: i32) -> i32 {
    (step - 1) * place
}

/// Whether an instruction's offset reaches all of a place so far away.
fn reaches(distance: i32, place: i32) -> bool {
    i16::try_from(distance + place).is_ok()
}
