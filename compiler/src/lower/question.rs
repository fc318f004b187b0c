//! Questions: fields that cost a search or a helper call to tell, asked only where a tree tests them.
//!
//! The answer to a question is one region of code for each phase, family and field. Every node of a tree that tests the
//! field leaves its number in a slot and goes there; the region leaves the answer in another slot and goes back after
//! the node. Fields are tested in order and regions are entered only from nodes, so control flow only goes forward.
//!
//! Not here: how a question is answered, which each kind of field has a file for.
//!
//! In the literature: a field that is asked this way is an opaque predicate of the diagram, and a node that asks a call site.

use std::collections::BTreeMap;

use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::ir::{Block, Value};
use crate::policy::Family;

use super::Lowering;
use super::packet::{FROM, TO};
use super::socket::Way;
use super::tree::Arm;

/// Which part of the program asks. Control flow only goes forward, so each part has answers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The decision tree.
    Decision,
    /// The tree of the `count` rules.
    Counts,
}

/// What is asked: in this phase, of a packet of this family, the value of this field.
type Question = (Phase, Family, Field);

/// Where the answer to a question begins, and the blocks that go on with it, by the number of the asker.
struct Asked {
    entry: Block,
    askers: Vec<Block>,
}

/// The questions that were asked and have no answer yet.
#[derive(Default)]
pub(super) struct Questions {
    open: BTreeMap<Question, Asked>,
}

/// Whether a field is a question. The others stand on the stack or in the context.
pub(super) fn is_question(field: Field) -> bool {
    field >= Field::Interface
}

/// What the answer slot holds for the field's value 0. The answers of a socket lookup stand as they are; all others one
/// higher, since a constant 0 on the stack would be a value to the verifier and make a state of its own at each join.
pub(super) fn base(field: Field) -> u32 {
    match field {
        Field::Socket | Field::SocketIn(_) => 0,
        _ => 1,
    }
}

/// The fields that the answer to a question looks at.
pub(super) fn needs(field: Field) -> &'static [Field] {
    match field {
        Field::ToIn(_) => &TO,
        Field::FromIn(_) => &FROM,
        Field::Absent(_) => &[Field::Protocol],
        Field::Entry(_) => &ENTRY,
        Field::Socket | Field::SocketIn(_) => &LOOKED_UP,
        Field::FirstMatch => &PLAIN,
        _ => &[],
    }
}

/// The fields of a live map's key.
const ENTRY: [Field; 6] = [
    Field::Protocol,
    Field::To0,
    Field::To1,
    Field::To2,
    Field::To3,
    Field::ToPort,
];

/// What bulk rules speak of.
const PLAIN: [Field; 12] = [
    Field::Protocol,
    Field::Fragment,
    Field::To0,
    Field::To1,
    Field::To2,
    Field::To3,
    Field::From0,
    Field::From1,
    Field::From2,
    Field::From3,
    Field::FromPort,
    Field::ToPort,
];

/// The fields of a socket lookup's tuple.
const LOOKED_UP: [Field; 6] = [
    Field::Protocol,
    Field::Fragment,
    Field::From0,
    Field::To0,
    Field::FromPort,
    Field::ToPort,
];

impl Lowering<'_> {
    /// Ends the current block with a question; the block to go on in, with the answer in its slot.
    pub(super) fn ask(&mut self, phase: Phase, family: Family, field: Field) -> Block {
        let after = self.builder.block();
        let question = (phase, family, field);
        if !self.questions.open.contains_key(&question) {
            let asked = Asked {
                entry: self.head_block(),
                askers: Vec::new(),
            };
            self.questions.open.insert(question, asked);
        }
        let Some(asked) = self.questions.open.get_mut(&question) else {
            return after;
        };
        let number = asked.askers.len();
        asked.askers.push(after);
        let entry = asked.entry;
        let number = self.builder.fit(number, "the number of an asker");
        self.builder.set_slot(self.frame.asker, 0, number, Width::W);
        self.builder.jump(entry);
        after
    }

    /// Loads the answer to the question that was asked last; [`base`] stands for the value 0.
    pub(super) fn read_answer(&mut self, dst: Value, field: Field) {
        let width = match field {
            Field::Socket | Field::SocketIn(_) => Width::B,
            _ => Width::W,
        };
        self.builder.load_slot_to(dst, self.frame.answer, 0, width);
    }

    /// Writes the answers to everything that was asked. Called once, when every tree is written.
    pub(super) fn answer_all(&mut self) {
        let mut open = std::mem::take(&mut self.questions.open);
        while let Some(((phase, family, field), asked)) = open.pop_first() {
            self.builder.set_origin(self.head);
            if let Field::Socket | Field::SocketIn(_) = field {
                let other = open.remove(&(phase, Family::V6, field));
                let other = other.map(|asked| (Family::V6, asked));
                self.answer_socket(field, [(family, asked)].into_iter().chain(other).collect());
                continue;
            }
            let done = self.builder.block();
            self.answer(field, asked.entry, (phase, family), done);
            self.builder.enter(done);
            self.dispatch(&asked.askers);
        }
    }

    /// One code finds the socket of either family.
    fn answer_socket(&mut self, field: Field, families: Vec<(Family, Asked)>) {
        let ways: Vec<Way> = families
            .iter()
            .map(|(family, asked)| Way {
                family: *family,
                entry: asked.entry,
                done: self.builder.block(),
            })
            .collect();
        let elsewhere = match (field, self.source.maps.namespaces) {
            (Field::SocketIn(netns), Some(map)) => Some((map, netns)),
            (Field::SocketIn(_), None) => {
                self.builder.bug("sockets of a namespace without its map");
                None
            }
            _ => None,
        };
        self.find_socket(elsewhere, &ways);
        for (way, (_, asked)) in ways.iter().zip(&families) {
            self.builder.enter(way.done);
            self.dispatch(&asked.askers);
        }
    }

    /// Writes the answer to one question from the block `entry` on: every way leaves it in its slot and goes to `done`.
    fn answer(&mut self, field: Field, entry: Block, by: (Phase, Family), done: Block) {
        let (phase, family) = by;
        let maps = self.source.maps;
        match (field, maps.interfaces) {
            (Field::Interface, Some(map)) => self.find_interface(map, entry, done),
            (Field::FirstMatch, ..) => self.find_first_match(entry, family, done),
            (Field::ToIn(set), ..) => self.find_member(set, TO, entry, family, done),
            (Field::FromIn(set), ..) => self.find_member(set, FROM, entry, family, done),
            (Field::Conforms(rule), ..) => self.ask_meter(phase, rule, entry, family, done),
            (Field::Absent(socket), ..) => self.find_absent(socket, entry, family, done),
            (Field::Entry(map), ..) => self.find_entry(map, entry, family, done),
            _ => self.no_answer(field, entry, done),
        }
    }

    /// Placement keeps a question out of chains of hooks that have no answer.
    pub(super) fn no_answer(&mut self, field: Field, entry: Block, done: Block) {
        let hook = self.source.chain.hook;
        self.builder.bug(format!(
            "{field:?} is asked at {hook:?}, which has no answer"
        ));
        self.builder.enter(entry);
        self.builder.jump(done);
    }

    /// Back after whoever asked.
    fn dispatch(&mut self, askers: &[Block]) {
        let arms: Vec<Arm> = (0u32..)
            .zip(askers)
            .map(|(number, &block)| (number, block, self.head))
            .collect();
        self.builder
            .load_slot_to(self.registers.probe, self.frame.asker, 0, Width::W);
        self.search(&arms, 0);
    }
}
