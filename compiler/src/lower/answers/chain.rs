//! What searches of the tables of live sets and live maps have in common: an address cut to a kind of key, its hash, and the chain
//! of that, followed to the node that has the key. Straight code: as many nodes are looked at as the table has in one chain.
//! [`entry_table`](crate::entry_table) says what stands in them, and hashes as this code does. Not here: which kinds are tried, and
//! what a node says.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::entry_table::{META_AT, MIX, NEXT_AT};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, Value};
use crate::policy::Family;

use super::Answers;

/// Where a key begins in a node; in the slot of prefixes, the first half of an address of IPv6 that is looked for.
const KEY: u8 = 0;

/// What does not fit where it is too far.
const MASK: &str = "the place of a mask";

/// A key that is looked for: all of it, or the rest and the second half of the address.
#[derive(Clone, Copy)]
pub(super) enum Sought {
    V4(Value),
    V6(Value, Value),
}

/// A table, as a search sees it.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// The plan of what holds.
    pub plan: Value,
    /// Where in a plan the seed of its hashes stands.
    pub seed_at: i16,
    /// Where the number of its first head stands.
    pub base_at: i16,
    /// The array of the beginnings of chains.
    pub heads: MapId,
    /// Bits of the number of one of a side.
    pub head_bits: u32,
    /// The array of keys.
    pub nodes: MapId,
    /// How many nodes a chain has at most.
    pub depth: usize,
}

/// In the slot of tuples, which no lookup uses meanwhile: the address where it is of IPv6.
const ADDRESS: u8 = 0;

impl Answers<'_> {
    /// Leaves an address of IPv6 in its slot, which every kind of key is cut from.
    pub(super) fn keep_address(&self, builder: &mut Builder, words: [Field; 4], family: Family) {
        if family == Family::V4 {
            return;
        }
        for (half, words) in (0u8..).zip([[words[0], words[1]], [words[2], words[3]]]) {
            let [low, high] = words.map(|word| self.given.read_raw(builder, word, family));
            builder.alu(high, AluOp::Lsh, 32);
            builder.alu(low, AluOp::Or, high);
            builder.store_slot(self.given.frame.tuple, ADDRESS + 8 * half, low, Width::DW);
        }
    }

    /// The key of an address of IPv4, and its hash. `key` has what else is in the key; the mask stands in the plan at `mask_at`.
    pub(super) fn key_of_v4(
        &self,
        builder: &mut Builder,
        table: Table,
        (word, mask_at): (Field, usize),
        key: Value,
    ) -> (Sought, Value) {
        let address = self.given.read_raw(builder, word, Family::V4);
        let mask_at = builder.fit(mask_at, MASK);
        let mask = builder.load(table.plan, mask_at, Width::W);
        builder.alu(address, AluOp::And, mask);
        builder.alu(key, AluOp::Lsh, 32);
        builder.alu(key, AluOp::Or, address);
        let hash = builder.copy(key);
        let seed = builder.load(table.plan, table.seed_at, Width::DW);
        builder.alu(hash, AluOp::Xor, seed);
        multiply(builder, hash, 0);
        fold(builder, hash);
        multiply(builder, hash, 1);
        (Sought::V4(key), hash)
    }

    /// The same of IPv6. The first half of the address is left in its slot: so many values live over no call.
    pub(super) fn key_of_v6(
        &self,
        builder: &mut Builder,
        table: Table,
        mask_at: usize,
        meta: Value,
    ) -> (Sought, Value) {
        let half = |builder: &mut Builder, number: u8| {
            let at = builder.fit(mask_at + 8 * usize::from(number), MASK);
            let half = builder.load_slot(self.given.frame.tuple, ADDRESS + 8 * number, Width::DW);
            let mask = builder.load(table.plan, at, Width::DW);
            builder.alu(half, AluOp::And, mask);
            half
        };
        let first = half(builder, 0);
        builder.store_slot(self.given.frame.prefix, KEY, first, Width::DW);
        let hash = builder.load(table.plan, table.seed_at, Width::DW);
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

    /// Goes on with the node that has a key; to `next` where there is none.
    pub(super) fn find_key(
        &self,
        builder: &mut Builder,
        table: Table,
        (key, hash): (Sought, Value),
        [next, none]: [Block; 2],
    ) -> Value {
        builder.alu(hash, AluOp::Rsh, 64 - table.head_bits.cast_signed());
        let base = builder.load(table.plan, table.base_at, Width::W);
        builder.alu(hash, AluOp::Add, base);
        builder.store_slot(self.given.frame.key, 0, hash, Width::W);
        let head = self.given.found(builder, table.heads, none);
        let id = builder.load(head, 0, Width::W);
        let (node, found) = (builder.value(), builder.block());
        for depth in 1..=table.depth {
            builder.leave_if(id, JumpOp::Eq, 0, next);
            builder.store_slot(self.given.frame.key, 0, id, Width::W);
            let args = [
                Arg::Map(table.nodes),
                Arg::SlotAddress(self.given.frame.key),
            ];
            builder.call_to(node, Helper::MapLookupElem, &args);
            builder.leave_if_wide(node, JumpOp::Eq, 0, none);
            self.leave_if_key(builder, node, key, found);
            match depth == table.depth {
                true => builder.jump(next),
                false => builder.load_to(id, node, i16::from(NEXT_AT), Width::W),
            }
        }
        builder.enter(found);
        node
    }

    /// Leaves to `found` if a node has the key that is looked for.
    fn leave_if_key(&self, builder: &mut Builder, node: Value, key: Sought, found: Block) {
        let first = builder.load(node, i16::from(KEY), Width::DW);
        let (meta, second) = match key {
            Sought::V4(key) => return builder.leave_if_wide(first, JumpOp::Eq, key, found),
            Sought::V6(meta, second) => (meta, second),
        };
        let other = builder.block();
        let wanted = builder.load_slot(self.given.frame.prefix, KEY, Width::DW);
        builder.leave_if_wide(first, JumpOp::Ne, wanted, other);
        let there = builder.load(node, i16::from(KEY) + 8, Width::DW);
        builder.leave_if_wide(there, JumpOp::Ne, second, other);
        let there = builder.load(node, i16::from(META_AT), Width::W);
        builder.leave_if(there, JumpOp::Eq, meta, found);
        builder.jump(other);
        builder.enter(other);
    }
}

fn multiply(builder: &mut Builder, hash: Value, round: usize) {
    let by = builder.imm(MIX[round % MIX.len()].cast_signed());
    builder.alu(hash, AluOp::Mul, by);
}

fn fold(builder: &mut Builder, hash: Value) {
    let high = builder.copy(hash);
    builder.alu(high, AluOp::Rsh, 32);
    builder.alu(hash, AluOp::Xor, high);
}
