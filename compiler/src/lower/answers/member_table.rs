//! Whether an address is in the table of a live set: for each kind of key in use, the address cut to it is looked for in
//! the chain of its hash, and the first whose time is to come says yes. [`member_table`](crate::member_table) has the layout.
//! Not here: the trie, which is asked where the table has nothing (`live`).

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::member_table::{ALONE_AT, BASE_AT, DEPTH, KINDS, SEED_AT, TIME_AT, place};
use crate::policy::Family;

use super::Answers;
use super::chain::Table;

/// The maps of the table of a live set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberTableMaps {
    /// The array of plans.
    pub plans: MapId,
    /// The array of the beginnings of chains.
    pub heads: MapId,
    /// Bits of the number of one of a side.
    pub head_bits: u32,
    /// The array of keys.
    pub nodes: MapId,
}

/// In the slot of tuples, after the address (`chain`): the side that holds.
const SIDE: u8 = 16;

/// What does not fit where it is too far.
const PLACE: &str = "a place in a plan";

/// A search of one family.
#[derive(Clone, Copy)]
struct Search {
    table: Table,
    family: Family,
    words: [Field; 4],
    /// Where the address is no member, and where it is one.
    outside: Block,
    member: Block,
    /// Where the table has nothing more.
    rest: Block,
}

impl Answers<'_> {
    /// Looks into the table of the side that holds; where that does not say it all, goes on with the side for who asks the trie.
    pub(super) fn find_in_table(
        &self,
        builder: &mut Builder,
        (maps, side): (MemberTableMaps, Value),
        (family, words): (Family, [Field; 4]),
        [outside, member]: [Block; 2],
    ) -> Value {
        let tuple = self.given.frame.tuple;
        builder.store_slot(tuple, SIDE, side, Width::DW);
        builder.store_slot(self.given.frame.key, 0, side, Width::W);
        self.keep_address(builder, words, family);
        let search = Search {
            table: Table {
                plan: self.given.found(builder, maps.plans, outside),
                seed_at: builder.fit(SEED_AT, PLACE),
                base_at: builder.fit(BASE_AT, PLACE),
                heads: maps.heads,
                head_bits: maps.head_bits,
                nodes: maps.nodes,
                depth: DEPTH,
            },
            family,
            words,
            outside,
            member,
            rest: builder.block(),
        };
        for number in 0..KINDS {
            let next = builder.block();
            self.search_length(builder, search, number, next);
            builder.enter(next);
        }
        builder.jump(search.rest);
        builder.enter(search.rest);
        let alone = self.of_plan(builder, search, ALONE_AT);
        builder.leave_if(alone, JumpOp::Ne, 0, outside);
        builder.load_slot(tuple, SIDE, Width::DW)
    }

    /// Looks for the address as a key of one kind.
    fn search_length(&self, builder: &mut Builder, search: Search, number: usize, next: Block) {
        let (at, bytes) = place(search.family == Family::V6, number);
        let meta = self.of_plan(builder, search, at + bytes);
        builder.leave_if(meta, JumpOp::Eq, 0, search.rest);
        let table = search.table;
        let found = match search.family {
            Family::V4 => self.key_of_v4(builder, table, (search.words[0], at), meta),
            Family::V6 => self.key_of_v6(builder, table, at, meta),
        };
        let node = self.find_key(builder, table, found, [next, search.outside]);
        let at = builder.fit(TIME_AT, "the place of a time");
        let time = builder.load(node, at, Width::DW);
        builder.leave_if_wide(time, JumpOp::Eq, 0, next);
        builder.leave_if_wide(time, JumpOp::Eq, -1, search.member);
        let now = builder.call_value(Helper::KtimeGetNs, &[]);
        builder.leave_if_wide(time, JumpOp::Gt, now, search.member);
        builder.jump(next);
    }

    fn of_plan(&self, builder: &mut Builder, search: Search, at: usize) -> Value {
        let at = builder.fit(at, PLACE);
        builder.load(search.table.plan, at, Width::W)
    }
}
