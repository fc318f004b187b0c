//! Questions to what changes while the program runs: is the address in a live set, what does a live map have for the
//! packet? Both are tries of the longest prefix; their layouts stand at [`SetPlan`](crate::artifact::SetPlan) and
//! [`LiveMapPlan`](crate::artifact::LiveMapPlan). Each has two sides, so that a runtime can fill one while programs ask the
//! other; a word says which, and a lookup reads it once.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Value};
use crate::policy::{Family, LiveMapId};

use super::Lowering;
use super::packet::TO;

/// The bits of a key before the address: the family of a set; port class, protocol and family of a map.
const SET_BITS: i32 = 8;
const MAP_BITS: i32 = 64;

/// Where the word stands that says which side holds: in the state of a set, and after the ports of both sides of a map.
const SET_SIDE: i32 = 0;
const MAP_SIDE: i32 = 2 << 16;

/// The maps of a live set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveSetMaps {
    /// The trie.
    pub trie: MapId,
    /// The array that says which side of the trie holds.
    pub state: MapId,
}

/// The maps of a live map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveMapMaps {
    /// The trie.
    pub trie: MapId,
    /// The array of port classes, which also says which side of both holds.
    pub classes: MapId,
}

/// The family byte of a key, and the bits of an address.
fn family_key(family: Family) -> (i32, i32) {
    match family {
        Family::V4 => (4, 32),
        Family::V6 => (6, 128),
    }
}

impl Lowering<'_> {
    /// Whether the address is a member: its longest prefix is there and its time is to come.
    pub(super) fn find_live_member(
        &mut self,
        maps: LiveSetMaps,
        words: [Field; 4],
        entry: Block,
        family: Family,
        done: Block,
    ) {
        let outside = self.answered(0, done);
        let member = self.answered(1, done);
        let deadline = self.registers.end;
        self.builder.enter(entry);
        let side = self.side(maps.state, SET_SIDE, Width::DW, outside);
        self.set_key(side, words, family);
        self.look_up_prefix(maps.trie, deadline);
        self.builder.leave_if_wide(deadline, JumpOp::Eq, 0, outside);
        self.builder.load_to(deadline, deadline, 0, Width::DW);
        // Most elements never expire, and the clock costs as much as a lookup.
        self.builder.leave_if_wide(deadline, JumpOp::Eq, -1, member);
        let now = self.builder.call_value(Helper::KtimeGetNs, &[]);
        self.builder
            .leave_if_wide(deadline, JumpOp::Gt, now, member);
        self.builder.jump(outside);
    }

    /// Which side holds: 0 or 1, an element of an array that is never without it.
    fn side(&mut self, map: MapId, index: i32, width: Width, none: Block) -> Value {
        self.builder.set_slot(self.frame.key, 0, index, Width::W);
        let found = self.found(map, none);
        self.builder.load(found, 0, width)
    }

    /// Writes the key of an address: prefix length, a byte of family and side, address. The address begins off the boundaries that
    /// stores to the stack need, so it is put together in 64-bit pieces. What stands after an IPv4 address does not matter.
    fn set_key(&mut self, side: Value, words: [Field; 4], family: Family) {
        let key = self.frame.prefix;
        let (number, bits) = family_key(family);
        let head = self
            .builder
            .imm(i64::from(number) << 32 | i64::from(SET_BITS + bits));
        self.builder.alu(side, AluOp::Lsh, 32);
        self.builder.alu(head, AluOp::Or, side);
        self.shifted_into(head, words[0], family, AluOp::Lsh, 40);
        self.builder.store_slot(key, 0, head, Width::DW);
        let first = self.shifted(words[0], family, AluOp::Rsh, 24);
        if family == Family::V4 {
            self.builder.store_slot(key, 8, first, Width::DW);
            self.builder.store_slot(key, 16, first, Width::DW);
            return;
        }
        self.shifted_into(first, words[1], family, AluOp::Lsh, 8);
        self.shifted_into(first, words[2], family, AluOp::Lsh, 40);
        self.builder.store_slot(key, 8, first, Width::DW);
        let last = self.shifted(words[2], family, AluOp::Rsh, 24);
        self.shifted_into(last, words[3], family, AluOp::Lsh, 8);
        self.builder.store_slot(key, 16, last, Width::DW);
    }

    /// A word of an address as it stands in memory, shifted.
    fn shifted(&mut self, field: Field, family: Family, op: AluOp, by: i32) -> Value {
        let word = self.builder.value();
        self.read_raw(word, field, family);
        self.builder.alu(word, op, by);
        word
    }

    fn shifted_into(&mut self, value: Value, field: Field, family: Family, op: AluOp, by: i32) {
        let word = self.shifted(field, family, op, by);
        self.builder.alu(value, AluOp::Or, word);
    }

    /// What a live map has for the packet: 0, or one more than a socket's number. The key is first looked up with the class
    /// of the receiver's port, then with the one that stands for every port; the longer prefix wins.
    pub(super) fn find_entry(&mut self, map: LiveMapId, entry: Block, family: Family, done: Block) {
        let Some(maps) = self.source.maps.entries[map] else {
            return self.no_answer(Field::Entry(map), entry, done);
        };
        // Values are loaded whole: the socket in the lower half, the prefix's length in the upper one. 0 is no entry.
        let (chosen, other) = (self.registers.end, self.registers.cursor);
        let none = self.answered(0, done);
        let [every_port, no_class, second, end] = [(); 4].map(|()| self.builder.block());
        self.builder.enter(entry);
        let side = self.side(maps.classes, MAP_SIDE, Width::W, none);
        self.builder.alu(side, AluOp::Lsh, 16);
        self.map_key(side, TO, family);
        self.read(self.registers.probe, Field::ToPort, family);
        self.builder.alu(self.registers.probe, AluOp::Or, side);
        self.builder
            .store_slot(self.frame.key, 0, self.registers.probe, Width::W);
        let found = self.found(maps.classes, none);
        let class = self.builder.load(found, 0, Width::W);
        self.builder
            .store_slot(self.frame.prefix, 4, class, Width::W);
        self.builder.leave_if(class, JumpOp::Eq, 0, no_class);
        self.look_up_prefix(maps.trie, chosen);
        self.builder
            .leave_if_wide(chosen, JumpOp::Eq, 0, every_port);
        self.builder.load_to(chosen, chosen, 0, Width::DW);
        self.builder.jump(every_port);

        self.builder.enter(no_class);
        self.builder.set(chosen, 0);
        self.builder.jump(every_port);

        self.builder.enter(every_port);
        self.builder.set_slot(self.frame.prefix, 4, -1, Width::W);
        self.look_up_prefix(maps.trie, other);
        self.builder.leave_if_wide(other, JumpOp::Eq, 0, end);
        self.builder.load_to(other, other, 0, Width::DW);
        self.builder.leave_if_wide(chosen, JumpOp::Eq, 0, second);
        let [length, longest] = [other, chosen].map(|value| self.builder.copy(value));
        self.builder.alu(length, AluOp::Rsh, 32);
        self.builder.alu(longest, AluOp::Rsh, 32);
        self.builder.leave_if(length, JumpOp::Gt, longest, second);
        self.builder.jump(end);

        self.builder.enter(second);
        self.builder.assign(chosen, other);
        self.builder.jump(end);

        self.builder.enter(end);
        let answer = self.builder.copy(chosen);
        self.builder.alu(answer, AluOp::Add, 1);
        self.builder
            .store_slot(self.frame.answer, 0, answer, Width::W);
        self.builder.jump(done);
    }

    /// Writes the key of a packet but for its port class; the side stands 16 bits up. What stands after an IPv4 address does
    /// not matter.
    fn map_key(&mut self, side: Value, words: [Field; 4], family: Family) {
        let key = self.frame.prefix;
        let (number, bits) = family_key(family);
        self.builder.set_slot(key, 0, MAP_BITS + bits, Width::W);
        let protocol = self.builder.value();
        self.read(protocol, Field::Protocol, family);
        self.builder.alu(protocol, AluOp::Or, number << 8);
        self.builder.alu(protocol, AluOp::Or, side);
        self.builder.store_slot(key, 8, protocol, Width::W);
        for (byte, word) in [12u8, 16, 20, 24].into_iter().zip(words) {
            let field = if family == Family::V4 { words[0] } else { word };
            let part = self.builder.value();
            self.read_raw(part, field, family);
            self.builder.store_slot(key, byte, part, Width::W);
        }
    }

    /// The value of the longest prefix of the key in the slot `prefix`, or 0.
    fn look_up_prefix(&mut self, trie: MapId, dst: Value) {
        let args = [Arg::Map(trie), Arg::SlotAddress(self.frame.prefix)];
        let found = self.builder.call_value(Helper::MapLookupElem, &args);
        self.builder.assign(dst, found);
    }
}
