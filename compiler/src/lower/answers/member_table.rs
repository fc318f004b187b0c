//! Whether an address is in the table of a live set: for each kind of key in use, the address cut to it is looked for in
//! the chain of its hash, and the first whose time is to come says yes. [`member_table`](crate::member_table) has the layout.
//! Not here: the trie, which is asked where the table has nothing (`live`).

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::member_table::{ALONE_AT, BASE_AT, DEPTH, KINDS, SEED_AT, TIME_AT, place};
use crate::policy::Family;

use super::Answers;
use super::chain::{Chain, KEY, Sought, fold, multiply};

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

/// In the slot of tuples, which no lookup uses meanwhile: the address where it is of IPv6, and the side that holds.
const ADDRESS: u8 = 0;
const SIDE: u8 = 16;

/// A search of one family.
#[derive(Clone, Copy)]
struct Search {
    maps: MemberTableMaps,
    family: Family,
    words: [Field; 4],
    plan: Value,
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
        if family == Family::V6 {
            for (half, words) in (0u8..).zip([[words[0], words[1]], [words[2], words[3]]]) {
                let [low, high] = words.map(|word| self.given.read_raw(builder, word, family));
                builder.alu(high, AluOp::Lsh, 32);
                builder.alu(low, AluOp::Or, high);
                builder.store_slot(tuple, ADDRESS + 8 * half, low, Width::DW);
            }
        }
        let search = Search {
            maps,
            family,
            words,
            plan: self.given.found(builder, maps.plans, outside),
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
        let alone = self.of_plan(builder, search, ALONE_AT, Width::W);
        builder.leave_if(alone, JumpOp::Ne, 0, outside);
        builder.load_slot(tuple, SIDE, Width::DW)
    }

    /// Looks for the address as a key of one kind.
    fn search_length(&self, builder: &mut Builder, search: Search, number: usize, next: Block) {
        let (at, bytes) = place(search.family == Family::V6, number);
        let meta = self.of_plan(builder, search, at + bytes, Width::W);
        builder.leave_if(meta, JumpOp::Eq, 0, search.rest);
        let (key, hash) = match search.family {
            Family::V4 => self.member_of_v4(builder, search, at, meta),
            Family::V6 => self.member_of_v6(builder, search, at, meta),
        };
        let shift = 64 - search.maps.head_bits.cast_signed();
        builder.alu(hash, AluOp::Rsh, shift);
        let base = self.of_plan(builder, search, BASE_AT, Width::W);
        builder.alu(hash, AluOp::Add, base);
        builder.store_slot(self.given.frame.key, 0, hash, Width::W);
        let chain = Chain {
            heads: search.maps.heads,
            nodes: search.maps.nodes,
            depth: DEPTH,
        };
        let node = self.follow(builder, chain, key, [next, search.outside]);
        let at = builder.fit(TIME_AT, "the place of a time");
        let time = builder.load(node, at, Width::DW);
        builder.leave_if_wide(time, JumpOp::Eq, 0, next);
        builder.leave_if_wide(time, JumpOp::Eq, -1, search.member);
        let now = builder.call_value(Helper::KtimeGetNs, &[]);
        builder.leave_if_wide(time, JumpOp::Gt, now, search.member);
        builder.jump(next);
    }

    fn of_plan(&self, builder: &mut Builder, search: Search, at: usize, width: Width) -> Value {
        let at = builder.fit(at, "a place in a plan");
        builder.load(search.plan, at, width)
    }

    /// The key of an address of IPv4 and its hash.
    fn member_of_v4(
        &self,
        builder: &mut Builder,
        search: Search,
        at: usize,
        key: Value,
    ) -> (Sought, Value) {
        let address = self.given.read_raw(builder, search.words[0], Family::V4);
        let mask = self.of_plan(builder, search, at, Width::W);
        builder.alu(address, AluOp::And, mask);
        builder.alu(key, AluOp::Lsh, 32);
        builder.alu(key, AluOp::Or, address);
        let hash = builder.copy(key);
        let seed = self.of_plan(builder, search, SEED_AT, Width::DW);
        builder.alu(hash, AluOp::Xor, seed);
        multiply(builder, hash, 0);
        fold(builder, hash);
        multiply(builder, hash, 1);
        (Sought::V4(key), hash)
    }

    /// The same of IPv6. The first half of the address is left in its slot.
    fn member_of_v6(
        &self,
        builder: &mut Builder,
        search: Search,
        at: usize,
        meta: Value,
    ) -> (Sought, Value) {
        let half = |builder: &mut Builder, number: u8| {
            let slot = self.given.frame.tuple;
            let half = builder.load_slot(slot, ADDRESS + 8 * number, Width::DW);
            let mask = self.of_plan(builder, search, at + 8 * usize::from(number), Width::DW);
            builder.alu(half, AluOp::And, mask);
            half
        };
        let first = half(builder, 0);
        builder.store_slot(self.given.frame.prefix, KEY, first, Width::DW);
        let hash = self.of_plan(builder, search, SEED_AT, Width::DW);
        builder.alu(hash, AluOp::Xor, first);
        multiply(builder, hash, 0);
        fold(builder, hash);
        let second = half(builder, 1);
        builder.alu(hash, AluOp::Xor, second);
        multiply(builder, hash, 1);
        fold(builder, hash);
        builder.alu(hash, AluOp::Xor, meta);
        multiply(builder, hash, 0);
        (Sought::V6(meta, second), hash)
    }
}
