//! What a live map has for the packet, asked of its table: for each kind of key in use, the most specific first, the packet cut
//! to it is looked for in the chain of its hash. Straight code: as many kinds and as many nodes of a chain are
//! tried as [`entry_table`](crate::entry_table) says, whose layout this is. What such a table cannot hold is in a trie (`entry_trie`).
//!
//! A word says what holds, and is read once; it decides which plan is read, and which value of each node. So a
//! program that runs while the map is changed answers as before the change or as after it.

use crate::artifact::MapId;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::entry_table::{
    BASE_AT, DEPTH, IN_TRIE, KINDS, PLAN_AT, SEED_AT, V4_AT, V4_KIND, V6_AT, V6_KIND, VALUES_AT,
    VIEW,
};
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::policy::{Family, LiveMapId};
use crate::protocol::IpProtocol;

use super::chain::Table;
use super::{Answers, Way};
use crate::lower::TO;

/// The maps of a live map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveMapMaps {
    /// The array that says what holds.
    pub state: MapId,
    /// The array of plans.
    pub plans: MapId,
    /// The array of the beginnings of chains.
    pub heads: MapId,
    /// Bits of the number of one of a side.
    pub head_bits: u32,
    /// The array of keys.
    pub nodes: MapId,
    /// The trie.
    pub trie: MapId,
    /// The array of port classes.
    pub classes: MapId,
}

/// In the slot of tuples, after the address (`chain`): where in a node its value stands, and the packet's port with all bits set above
/// it.
const VALUE: u8 = 16;
const PORT: u8 = 24;

/// A search of one family.
#[derive(Clone, Copy)]
struct Search {
    table: Table,
    family: Family,
    /// Where there is no entry, and where the answer stands in its slot.
    none: Block,
    done: Block,
}

impl Answers<'_> {
    /// What a live map has for the packet: 0, or one more than a socket's number.
    pub(super) fn find_entry(&self, builder: &mut Builder, map: LiveMapId, way: Way) {
        let (family, entry, done) = way.parts();
        let Some(maps) = self.given.source.maps.entries[map] else {
            return self.no_answer(builder, Field::Entry(map), way);
        };
        let none = self.answered(builder, 0, done);
        let in_trie = builder.block();
        builder.enter(entry);
        let word = self.state_word(builder, maps.state, Width::W, none);
        let mode = builder.copy(word);
        builder.alu(mode, AluOp::And, IN_TRIE.cast_signed());
        builder.leave_if(mode, JumpOp::Ne, 0, in_trie);
        self.keep_packet(builder, word, family, none);
        builder.alu(word, AluOp::Rsh, PLAN_AT.cast_signed());
        builder.store_slot(self.given.frame.key, 0, word, Width::W);
        let plan = self.given.found(builder, maps.plans, none);
        let search = Search {
            table: Table {
                plan,
                seed_at: SEED_AT,
                base_at: BASE_AT,
                heads: maps.heads,
                head_bits: maps.head_bits,
                nodes: maps.nodes,
                depth: DEPTH,
            },
            family,
            none,
            done,
        };
        for number in 0..KINDS as u32 {
            let next = builder.block();
            self.search_kind(builder, search, number, next);
            builder.enter(next);
        }
        builder.jump(none);
        builder.enter(in_trie);
        self.find_in_trie(builder, (maps, word), family, [none, done]);
    }

    /// Leaves what does not change from kind to kind in slots.
    fn keep_packet(&self, builder: &mut Builder, word: Value, family: Family, none: Block) {
        let tuple = self.given.frame.tuple;
        let known = builder.block();
        let protocol = self.given.read(builder, Field::Protocol, family);
        let [tcp, udp] = [IpProtocol::TCP, IpProtocol::UDP].map(|protocol| i32::from(protocol.0));
        builder.leave_if(protocol, JumpOp::Eq, tcp, known);
        builder.leave_if(protocol, JumpOp::Ne, udp, none);
        builder.jump(known);
        builder.enter(known);
        // Of the two numbers, the lowest bit tells one from the other.
        builder.alu(protocol, AluOp::And, 1);
        builder.alu(protocol, AluOp::Lsh, 1);
        let view = builder.copy(word);
        builder.alu(view, AluOp::And, VIEW.cast_signed());
        builder.alu(view, AluOp::Lsh, 2);
        builder.alu(view, AluOp::Or, protocol);
        builder.store_slot(tuple, VALUE, view, Width::W);
        let port = self.given.read(builder, Field::ToPort, family);
        builder.alu(port, AluOp::Or, !0xffff);
        builder.store_slot(tuple, PORT, port, Width::W);
        self.keep_address(builder, TO, family);
    }

    /// Looks for the packet as a key of one kind.
    fn search_kind(&self, builder: &mut Builder, search: Search, number: u32, next: Block) {
        let table = search.table;
        let found = match search.family {
            Family::V4 => {
                let at = V4_AT + V4_KIND * number;
                let key = self.cut_port(builder, search, at + 4);
                self.key_of_v4(builder, table, (TO[0], at as usize), key)
            }
            Family::V6 => {
                let at = V6_AT + V6_KIND * number;
                let meta = self.cut_port(builder, search, at + 16);
                self.key_of_v6(builder, table, at as usize, meta)
            }
        };
        let node = self.find_key(builder, table, found, [next, search.none]);
        self.answer_from(builder, node, next, search.done);
    }

    /// The piece of the packet's port and the number of a kind; where there is no such kind, nor is one after it.
    fn cut_port(&self, builder: &mut Builder, search: Search, at: u32) -> Value {
        let at = builder.fit(at, "the offset of a kind");
        let cut = builder.load(search.table.plan, at, Width::W);
        builder.leave_if(cut, JumpOp::Eq, 0, search.none);
        let port = builder.load_slot(self.given.frame.tuple, PORT, Width::W);
        builder.alu(cut, AluOp::And, port);
        cut
    }

    /// Answers with a node's value that holds, for the packet's protocol; without one, to `next`.
    fn answer_from(&self, builder: &mut Builder, node: Value, next: Block, done: Block) {
        let place = builder.load_slot(self.given.frame.tuple, VALUE, Width::W);
        // The verifier does not know what it was when it was stored.
        builder.alu(place, AluOp::And, 6);
        builder.alu(place, AluOp::Add, node);
        let answer = builder.load(place, i16::from(VALUES_AT), Width::H);
        builder.leave_if(answer, JumpOp::Eq, 0, next);
        builder.alu(answer, AluOp::Add, 1);
        builder.store_slot(self.given.frame.answer, 0, answer, Width::W);
        builder.jump(done);
    }
}
