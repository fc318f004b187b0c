//! Questions to what changes while the program runs: is the address in a live set? That is a table (`member_table`), and a trie
//! of the longest prefix for what the table cannot hold, whose layout stands at [`SetPlan`](crate::artifact::SetPlan). Both have two
//! sides, so that a runtime can fill one while programs ask the other; a word says which, and a lookup reads it once. Not here: live
//! maps (`entry`).

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, Value};
use crate::policy::Family;

use super::member_table::MemberTableMaps;
use super::{Answers, Way};

/// The bits of a key before the address: the family.
const SET_BITS: i32 = 8;

/// The maps of a live set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveSetMaps {
    /// The trie.
    pub trie: MapId,
    /// The array that says which side holds.
    pub state: MapId,
    /// The table, which is asked before the trie.
    pub table: Option<MemberTableMaps>,
}

impl LiveSetMaps {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<MapId> {
        let table = self.table.into_iter();
        let table = table.flat_map(|table| [table.plans, table.heads, table.nodes]);
        [self.trie, self.state].into_iter().chain(table).collect()
    }
}

/// A word of an address, in the family whose it is.
type Word = (Field, Family);

/// The family byte of a key, and the bits of an address.
pub(super) fn family_key(family: Family) -> (i32, i32) {
    match family {
        Family::V4 => (4, 32),
        Family::V6 => (6, 128),
    }
}

impl Answers<'_> {
    /// Whether the address is a member: its longest prefix is there and its time is to come.
    pub(super) fn find_live_member(
        &self,
        builder: &mut Builder,
        maps: LiveSetMaps,
        words: [Field; 4],
        way: Way,
    ) {
        let (family, entry, done) = way.parts();
        let outside = self.answered(builder, 0, done);
        let member = self.answered(builder, 1, done);
        builder.enter(entry);
        let side = self.state_word(builder, maps.state, Width::DW, outside);
        let side = match maps.table {
            Some(table) => {
                let ends = [outside, member];
                self.find_in_table(builder, (table, side), (family, words), ends)
            }
            None => side,
        };
        self.set_key(builder, side, words, family);
        let deadline = self.look_up_prefix(builder, maps.trie);
        builder.leave_if_wide(deadline, JumpOp::Eq, 0, outside);
        builder.load_to(deadline, deadline, 0, Width::DW);
        // Most elements never expire, and the clock costs as much as a lookup.
        builder.leave_if_wide(deadline, JumpOp::Eq, -1, member);
        let now = builder.call_value(Helper::KtimeGetNs, &[]);
        builder.leave_if_wide(deadline, JumpOp::Gt, now, member);
        builder.jump(outside);
    }

    /// The word that an array of one element begins with, which is never without it.
    pub(super) fn state_word(
        &self,
        builder: &mut Builder,
        state: MapId,
        width: Width,
        none: Block,
    ) -> Value {
        builder.set_slot(self.given.frame.key, 0, 0, Width::W);
        let found = self.given.found(builder, state, none);
        builder.load(found, 0, width)
    }

    /// Writes the key of an address: prefix length, a byte of family and side, address. The address begins off the boundaries that
    /// stores to the stack need, so it is put together in 64-bit pieces. What stands after an IPv4 address does not matter.
    fn set_key(&self, builder: &mut Builder, side: Value, words: [Field; 4], family: Family) {
        let key = self.given.frame.prefix;
        let (number, bits) = family_key(family);
        let head = builder.imm(i64::from(number) << 32 | i64::from(SET_BITS + bits));
        builder.alu(side, AluOp::Lsh, 32);
        builder.alu(head, AluOp::Or, side);
        self.add_left(builder, head, (words[0], family), 40);
        builder.store_slot(key, 0, head, Width::DW);
        let first = self.shifted(builder, (words[0], family), AluOp::Rsh, 24);
        if family == Family::V4 {
            builder.store_slot(key, 8, first, Width::DW);
            builder.store_slot(key, 16, first, Width::DW);
            return;
        }
        self.add_left(builder, first, (words[1], family), 8);
        self.add_left(builder, first, (words[2], family), 40);
        builder.store_slot(key, 8, first, Width::DW);
        let last = self.shifted(builder, (words[2], family), AluOp::Rsh, 24);
        self.add_left(builder, last, (words[3], family), 8);
        builder.store_slot(key, 16, last, Width::DW);
    }

    /// A word of an address as it stands in memory, shifted.
    fn shifted(&self, builder: &mut Builder, word: Word, op: AluOp, by: i32) -> Value {
        let (field, family) = word;
        let word = self.given.read_raw(builder, field, family);
        builder.alu(word, op, by);
        word
    }

    fn add_left(&self, builder: &mut Builder, value: Value, word: Word, by: i32) {
        let word = self.shifted(builder, word, AluOp::Lsh, by);
        builder.alu(value, AluOp::Or, word);
    }

    /// The value of the longest prefix of the key in the slot `prefix`, or 0.
    pub(super) fn look_up_prefix(&self, builder: &mut Builder, trie: MapId) -> Value {
        let args = [Arg::Map(trie), Arg::SlotAddress(self.given.frame.prefix)];
        builder.call_value(Helper::MapLookupElem, &args)
    }
}
