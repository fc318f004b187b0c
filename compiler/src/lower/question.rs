//! Questions: fields that cost a search or a helper call to tell, asked only where a tree tests them.
//!
//! The answer to a question is one region of code for each phase, family and field. Every node of a tree that tests the
//! field leaves its number in a slot and goes there; the region leaves the answer in another slot and goes back after
//! the node. Fields are tested in order and regions are entered only from nodes, so control flow only goes forward.
//!
//! Takes what trees ask; gives it to [`Answers`](super::answers::Answers), which takes all of it at once: nothing can be
//! asked after that. Not here: how a question is answered.
//!
//! In the literature: a field that is asked this way is an opaque predicate of the diagram, and a node that asks a call site.

use std::collections::BTreeMap;

use crate::bpf::opcode::Width;
use crate::field::{Field, FieldKind};
use crate::ir::{Block, Builder, Slot};
use crate::policy::Family;

use super::{FROM, TO};

/// Which part of the program asks. Control flow only goes forward, so each part has answers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The decision tree.
    Decision,
    /// The tree of the `count` rules.
    Counts,
    /// A question of bulk rules, by its number, while the decision asks for their first match.
    DecisionBulk(u8),
    /// The same for the `count` rules.
    CountsBulk(u8),
}

impl Phase {
    /// The part that asks a question of bulk rules.
    pub(super) fn of_question(self, number: u8) -> Self {
        match self {
            Self::Decision | Self::DecisionBulk(_) => Self::DecisionBulk(number),
            Self::Counts | Self::CountsBulk(_) => Self::CountsBulk(number),
        }
    }
}

/// What is asked: in this phase, of a packet of this family, the value of this field.
pub(super) type Question = (Phase, Family, Field);

/// Where the answer to a question begins, and the blocks that go on with it, by the number of the call site.
pub(super) struct Region {
    pub(super) entry: Block,
    pub(super) call_sites: Vec<Block>,
}

/// The questions that were asked.
#[derive(Default)]
pub(super) struct Questions(pub(super) BTreeMap<Question, Region>);

impl Questions {
    /// Ends the current block with a question, whose call site is noted in a slot; gives the block to go on in, with the answer.
    pub(super) fn ask(
        &mut self,
        builder: &mut Builder,
        call_site: Slot,
        question: Question,
    ) -> Block {
        let after = builder.block();
        let region = self.0.entry(question).or_insert_with(|| Region {
            entry: builder.head_block(),
            call_sites: Vec::new(),
        });
        let number = builder.fit(region.call_sites.len(), "the number of a call site");
        region.call_sites.push(after);
        builder.set_slot(call_site, 0, number, Width::W);
        builder.jump(region.entry);
        after
    }
}

/// Whether a field is a question. The others stand on the stack or in the context.
pub(super) fn is_question(field: Field) -> bool {
    match field.kind() {
        FieldKind::Tuple
        | FieldKind::Fragment
        | FieldKind::Icmp
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Vlan
        | FieldKind::Ether
        | FieldKind::Mark => false,
        FieldKind::Interface
        | FieldKind::FirstMatch
        | FieldKind::Member
        | FieldKind::Absent
        | FieldKind::Entry
        | FieldKind::Socket
        | FieldKind::Rate => true,
    }
}

/// What the answer slot holds for the field's value 0. The answers of a socket lookup stand as they are; all others one
/// higher, since a constant 0 on the stack would be a value to the verifier and make a state of its own at each join.
pub(super) fn base(field: Field) -> u32 {
    match field {
        Field::Socket | Field::SocketIn(_) => 0,
        _ => 1,
    }
}

/// How much of the answer slot holds the answer.
pub(super) fn width(field: Field) -> Width {
    match field {
        Field::Socket | Field::SocketIn(_) => Width::B,
        _ => Width::W,
    }
}

/// The fields that the answer to a question looks at. One that is missing here is a bug where it is read.
pub(super) fn needs(field: Field) -> &'static [Field] {
    match field {
        Field::ToIn(_) => &TO,
        Field::FromIn(_) => &FROM,
        Field::Absent(_) => &[Field::Protocol],
        Field::Entry(_) => &ENTRY,
        Field::Socket | Field::SocketIn(_) => &LOOKED_UP,
        Field::FirstMatch => &MATCHED,
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
const MATCHED: [Field; 12] = [
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
