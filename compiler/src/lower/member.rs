//! The question whether an address is in a set: a search in tables for constant sets, a lookup for live ones.
//!
//! The search in a table has no branch: the sign of a difference, shifted to where it counts, moves the pointer or does
//! not. A search with branches would make a state for the verifier at each step. So would a mask of the sign (an arithmetic
//! shift, then an `and`): newer kernels take that for a branch and follow both ways (measured on 6.18.44).

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Block, Value};
use crate::location::Location;
use crate::policy::{Family, SetId};

use super::boundaries::{Index, Part, Search, SetTables, Words};
use super::live::LiveSetMaps;
use super::{Lowering, origin_of};

/// How code asks whether an address is in a set.
#[derive(Clone, Debug)]
pub(crate) enum SetMaps {
    /// Constant.
    Tables(SetTables),
    /// Live.
    Live(LiveSetMaps),
}

impl Lowering<'_> {
    /// Whether the address in these fields is in the set.
    pub(super) fn find_member(
        &mut self,
        set: SetId,
        words: [Field; 4],
        entry: Block,
        family: Family,
        done: Block,
    ) {
        let entry = self.search_of(set, entry);
        match &self.source.maps.sets[set] {
            Some(SetMaps::Tables(tables)) => {
                let search = match family {
                    Family::V4 => &tables.v4,
                    Family::V6 => &tables.v6,
                };
                self.find_in_tables(search, words, entry, family, done);
            }
            Some(SetMaps::Live(maps)) => {
                self.find_live_member(*maps, words, entry, family, done);
            }
            None => self.no_answer(Field::ToIn(set), entry, done),
        }
    }

    /// A block after `entry` from which on the code is said to come from the set, so that what is said of its code names it.
    fn search_of(&mut self, set: SetId, entry: Block) -> Block {
        let set = &self.source.policy.sets[set];
        // The statement's own text may be the whole list.
        let origin = Location {
            text: format!("set {}", set.name).into(),
            ..origin_of(&set.place)
        };
        let origin = self.builder.origin(origin);
        self.builder.set_origin(origin);
        self.builder.enter(entry);
        let search = self.builder.block();
        self.builder.jump(search);
        search
    }

    fn find_in_tables(
        &mut self,
        search: &Search,
        words: [Field; 4],
        entry: Block,
        family: Family,
        done: Block,
    ) {
        if search.parts.is_empty() {
            let all = self.answered(search.starts_inside.into(), done);
            self.builder.enter(entry);
            return self.builder.jump(all);
        }
        let words = &words[..search.words];
        self.builder.enter(entry);
        for part in &search.parts {
            let after = part.last.map(|last| self.beyond(last, words, family));
            let address = self.address_words(words, family);
            let answer = match part.index {
                Some(index) => self.search_piece(part, index, address[0], done),
                None => {
                    let (pointer, ahead) = self.first_place(part, 4 * words.len());
                    self.search_table(part, pointer, ahead, &address)
                }
            };
            if search.starts_inside {
                self.builder.alu(answer, AluOp::Xor, 1);
            }
            self.builder.alu(answer, AluOp::Add, 1);
            self.builder
                .store_slot(self.frame.answer, 0, answer, Width::W);
            self.builder.jump(done);
            if let Some(after) = after {
                self.builder.enter(after);
            }
        }
    }

    /// Leaves to a new block if the address is larger than `last`; goes on in a fresh one otherwise.
    fn beyond(&mut self, last: Words, words: &[Field], family: Family) -> Block {
        let [after, here] = [(); 2].map(|()| self.builder.block());
        let probe = self.registers.probe;
        for (&word, bound) in words.iter().zip(last) {
            let bound = i32::from_ne_bytes(bound.to_ne_bytes());
            self.read(probe, word, family);
            self.builder.leave_if(probe, JumpOp::Gt, bound, after);
            self.builder.leave_if(probe, JumpOp::Lt, bound, here);
        }
        self.builder.jump(here);
        self.builder.enter(here);
        after
    }

    /// Searches the piece of a table that an index leads to; gives what `search_table` gives.
    fn search_piece(&mut self, part: &Part, index: Index, address: Value, done: Block) -> Value {
        let entry = self.builder.map_value(index.place.map, index.place.offset);
        let which = self.builder.copy(address);
        self.builder
            .alu(which, AluOp::Rsh, index.shift.cast_signed());
        // Changes nothing, but to the verifiers of 5.10 to 6.12 a change of byte order leaves any 64 bits (6.18 knows 32).
        let kept: i32 = self.builder.fit(u32::MAX >> index.shift, "an index");
        self.builder.alu(which, AluOp::And, kept);
        self.builder.alu(which, AluOp::Lsh, 2);
        self.builder.alu(entry, AluOp::Add, which);
        // An address of one word leaves this register free.
        let before = self.registers.cursor;
        self.builder.load_to(before, entry, 0, Width::W);
        // No number is larger; the verifier does not know what stands in a table.
        let never = self.builder.block();
        let most: i32 = self.builder.fit(index.most, "the size of a table");
        self.builder.leave_if_wide(before, JumpOp::Gt, most, never);
        let (pointer, ahead) = self.first_place(part, 4);
        self.builder.alu(pointer, AluOp::Add, before);
        let answer = self.search_table(part, pointer, ahead, &[address]);
        self.builder.alu(before, AluOp::Rsh, 2);
        self.builder.alu(answer, AluOp::Add, before);
        self.builder.alu(answer, AluOp::And, 1);
        let after = self.builder.current();
        self.builder.enter(never);
        self.builder.set_slot(self.frame.answer, 0, 1, Width::W);
        self.builder.jump(done);
        self.builder.enter(after);
        answer
    }

    /// A pointer to the place that the first step of a search looks at, less what an instruction's offset reaches; and how
    /// far it is from the table's beginning.
    fn first_place(&mut self, part: &Part, place: usize) -> (Value, i32) {
        let place = self.builder.fit(place, "the size of a boundary");
        let first = looked_at(1 << (part.steps - 1), place);
        let ahead = if reaches(first, place) { 0 } else { first };
        let start = part.place.offset + self.builder.fit::<_, u32>(ahead, "a search's beginning");
        (self.builder.map_value(part.place.map, start), ahead)
    }

    /// Searches a table; gives 1 if the address lies an odd number of runs from where the search began, else 0.
    ///
    /// Before each step the pointer stands at the place that as many boundaries precede as are known to be smaller. Large
    /// tables are looked into further ahead of it than an instruction's offset reaches: the pointer then runs ahead itself.
    fn search_table(
        &mut self,
        part: &Part,
        pointer: Value,
        mut ahead: i32,
        address: &[Value],
    ) -> Value {
        let place: i32 = self
            .builder
            .fit(4 * address.len(), "the size of a boundary");
        let mut step = 1i32 << (part.steps - 1);
        loop {
            let looked_at = looked_at(step, place);
            if !reaches(looked_at - ahead, place) {
                self.builder.alu(pointer, AluOp::Add, looked_at - ahead);
                ahead = looked_at;
            }
            let offset = self.builder.fit(looked_at - ahead, "the step of a search");
            let smaller = self.compare(pointer, offset, address);
            if step == 1 {
                return smaller;
            }
            let bytes = (step * place).trailing_zeros().cast_signed();
            self.builder.alu(smaller, AluOp::Lsh, bytes);
            self.builder.alu(pointer, AluOp::Add, smaller);
            step /= 2;
        }
    }

    /// The address in registers, the first word first.
    fn address_words(&mut self, words: &[Field], family: Family) -> Vec<Value> {
        let registers = self.registers;
        let places = [
            registers.end,
            registers.cursor,
            registers.transport,
            registers.probe,
        ];
        for (&place, &word) in places.iter().zip(words) {
            self.read(place, word, family);
        }
        places[..words.len()].to_vec()
    }

    /// 1 if the boundary at the pointer is smaller than the address, else 0: from the last word to the first, each
    /// difference with the borrow of the one before.
    fn compare(&mut self, pointer: Value, offset: i16, address: &[Value]) -> Value {
        let mut borrow: Option<Value> = None;
        for (index, &word) in address.iter().enumerate().rev() {
            let at = offset + self.builder.fit::<_, i16>(4 * index, "the place of a word");
            let difference = self.builder.load(pointer, at, Width::W);
            self.builder.alu(difference, AluOp::Sub, word);
            if let Some(borrow) = borrow {
                self.builder.alu(difference, AluOp::Sub, borrow);
            }
            self.builder.alu(difference, AluOp::Rsh, 63);
            borrow = Some(difference);
        }
        borrow.unwrap_or_else(|| {
            self.builder.bug("an address without words");
            pointer
        })
    }
}

/// How far ahead of the boundaries that are known to be smaller a step of a search looks, in bytes.
fn looked_at(step: i32, place: i32) -> i32 {
    (step - 1) * place
}

/// Whether an instruction's offset reaches all of a place so far away.
fn reaches(distance: i32, place: i32) -> bool {
    i16::try_from(distance + place).is_ok()
}
