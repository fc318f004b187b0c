//! Questions to what changes while the program runs: is the address in a live set, what does a live map have for the
//! packet? Both are tries of the longest prefix; their layouts stand at [`SetPlan`](crate::artifact::SetPlan) and
//! [`LiveMapPlan`](crate::artifact::LiveMapPlan). Each has two sides, so that a runtime can fill one while programs ask the
//! other; a word says which, and a lookup reads it once.

use crate::artifact::MapId;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, Value};
use crate::policy::{Family, LiveMapId};

use super::{Answers, Way};
use crate::lower::TO;

/// The bits of a key before the address: the family of a set; port class, protocol and family of a map.
const SET_BITS: i32 = 8;
const MAP_BITS: i32 = 64;

/// Where the word stands that says which side holds, and how wide it is: in the state of a set, and after the ports of both
/// sides of a map.
type Side = (i32, Width);
const SET_SIDE: Side = (0, Width::DW);
const MAP_SIDE: Side = (2 << 16, Width::W);

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

/// A word of an address, in the family whose it is.
type Word = (Field, Family);

/// The family byte of a key, and the bits of an address.
fn family_key(family: Family) -> (i32, i32) {
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
        let side = self.side(builder, maps.state, SET_SIDE, outside);
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

    /// Which side holds: 0 or 1, an element of an array that is never without it.
    fn side(&self, builder: &mut Builder, map: MapId, side: Side, none: Block) -> Value {
        let (index, width) = side;
        builder.set_slot(self.given.frame.key, 0, index, Width::W);
        let found = self.given.found(builder, map, none);
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

    /// What a live map has for the packet: 0, or one more than a socket's number. The key is first looked up with the class
    /// of the receiver's port, then with the one that stands for every port; the longer prefix wins.
    pub(super) fn find_entry(&self, builder: &mut Builder, map: LiveMapId, way: Way) {
        let (family, entry, done) = way.parts();
        let Some(maps) = self.given.source.maps.entries[map] else {
            return self.no_answer(builder, Field::Entry(map), way);
        };
        // Values are loaded whole: the socket in the lower half, the prefix's length in the upper one. 0 is no entry.
        let chosen = builder.value();
        let none = self.answered(builder, 0, done);
        let [every_port, no_entry, second, end] = [(); 4].map(|()| builder.block());
        builder.enter(entry);
        let side = self.side(builder, maps.classes, MAP_SIDE, none);
        builder.alu(side, AluOp::Lsh, 16);
        self.map_key(builder, side, TO, family);
        let port = self.given.read(builder, Field::ToPort, family);
        builder.alu(port, AluOp::Or, side);
        builder.store_slot(self.given.frame.key, 0, port, Width::W);
        let found = self.given.found(builder, maps.classes, none);
        let class = builder.load(found, 0, Width::W);
        builder.store_slot(self.given.frame.prefix, 4, class, Width::W);
        builder.leave_if(class, JumpOp::Eq, 0, no_entry);
        let found = self.look_up_prefix(builder, maps.trie);
        builder.leave_if_wide(found, JumpOp::Eq, 0, no_entry);
        builder.load_to(chosen, found, 0, Width::DW);
        builder.jump(every_port);

        builder.enter(no_entry);
        builder.set(chosen, 0);
        builder.jump(every_port);

        builder.enter(every_port);
        builder.set_slot(self.given.frame.prefix, 4, -1, Width::W);
        let other = self.look_up_prefix(builder, maps.trie);
        builder.leave_if_wide(other, JumpOp::Eq, 0, end);
        builder.load_to(other, other, 0, Width::DW);
        builder.leave_if_wide(chosen, JumpOp::Eq, 0, second);
        let [length, longest] = [other, chosen].map(|value| builder.copy(value));
        builder.alu(length, AluOp::Rsh, 32);
        builder.alu(longest, AluOp::Rsh, 32);
        builder.leave_if(length, JumpOp::Gt, longest, second);
        builder.jump(end);

        builder.enter(second);
        builder.assign(chosen, other);
        builder.jump(end);

        builder.enter(end);
        let answer = builder.copy(chosen);
        builder.alu(answer, AluOp::Add, 1);
        builder.store_slot(self.given.frame.answer, 0, answer, Width::W);
        builder.jump(done);
    }

    /// Writes the key of a packet but for its port class; the side stands 16 bits up. What stands after an IPv4 address does
    /// not matter.
    fn map_key(&self, builder: &mut Builder, side: Value, words: [Field; 4], family: Family) {
        let key = self.given.frame.prefix;
        let (number, bits) = family_key(family);
        builder.set_slot(key, 0, MAP_BITS + bits, Width::W);
        let protocol = self.given.read(builder, Field::Protocol, family);
        builder.alu(protocol, AluOp::Or, number << 8);
        builder.alu(protocol, AluOp::Or, side);
        builder.store_slot(key, 8, protocol, Width::W);
        for (byte, word) in [12u8, 16, 20, 24].into_iter().zip(words) {
            let field = if family == Family::V4 { words[0] } else { word };
            let part = self.given.read_raw(builder, field, family);
            builder.store_slot(key, byte, part, Width::W);
        }
    }

    /// The value of the longest prefix of the key in the slot `prefix`, or 0.
    fn look_up_prefix(&self, builder: &mut Builder, trie: MapId) -> Value {
        let args = [Arg::Map(trie), Arg::SlotAddress(self.given.frame.prefix)];
        builder.call_value(Helper::MapLookupElem, &args)
    }
}
