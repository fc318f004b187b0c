//! The chain of a hash in a table of a live set or map, followed to the node that has a key. Straight code: as many nodes are
//! looked at as the table has in one chain. [`entry_table`](crate::entry_table) says what stands in them.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::entry_table::{META_AT, MIX, NEXT_AT};
use crate::ir::{Arg, Block, Builder, Value};

use super::Answers;

/// Where a key begins in a node; in the slot of prefixes, the first half of an address of IPv6 that is looked for.
pub(super) const KEY: u8 = 0;

/// A key that is looked for: all of it, or the rest and the second half of the address.
#[derive(Clone, Copy)]
pub(super) enum Sought {
    V4(Value),
    V6(Value, Value),
}

/// The chains of a table.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    /// The array of their beginnings.
    pub heads: MapId,
    /// The array of keys.
    pub nodes: MapId,
    /// How many nodes a chain has at most.
    pub depth: usize,
}

impl Answers<'_> {
    /// Goes on with the node that has a key in the chain whose number is in the slot `key`; to `next` where there is none.
    pub(super) fn follow(
        &self,
        builder: &mut Builder,
        chain: Chain,
        key: Sought,
        [next, none]: [Block; 2],
    ) -> Value {
        let head = self.given.found(builder, chain.heads, none);
        let id = builder.load(head, 0, Width::W);
        let (node, found) = (builder.value(), builder.block());
        for depth in 1..=chain.depth {
            builder.leave_if(id, JumpOp::Eq, 0, next);
            builder.store_slot(self.given.frame.key, 0, id, Width::W);
            let args = [
                Arg::Map(chain.nodes),
                Arg::SlotAddress(self.given.frame.key),
            ];
            builder.call_to(node, Helper::MapLookupElem, &args);
            builder.leave_if_wide(node, JumpOp::Eq, 0, none);
            self.leave_if_key(builder, node, key, found);
            match depth == chain.depth {
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

pub(super) fn multiply(builder: &mut Builder, hash: Value, round: usize) {
    let by = builder.imm(MIX[round % MIX.len()].cast_signed());
    builder.alu(hash, AluOp::Mul, by);
}

pub(super) fn fold(builder: &mut Builder, hash: Value) {
    let high = builder.copy(hash);
    builder.alu(high, AluOp::Rsh, 32);
    builder.alu(hash, AluOp::Xor, high);
}
