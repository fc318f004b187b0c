//! The answers to what the trees ask, each a region of its own at the end of the program.
//!
//! Takes the questions, once every tree is written; gives code that goes from where a question is asked to after its call site,
//! with the answer in its slot. It makes no blocks but its own and knows no verdict. How a question is answered, each kind of
//! field has a file for.

mod boundaries;
mod chain;
mod entry;
mod entry_trie;
mod filled;
mod live;
mod member;
mod member_table;
mod meter;
mod socket;
mod walk;

use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::ir::{Block, Builder};
use crate::policy::{Family, SocketId};

use super::bucket::Bucket;
use super::given::Given;
use super::question::{Phase, Questions, Region};
use super::search::{Arm, search};
use super::{FROM, TO};
use walk::WalkFrame;

pub(crate) use boundaries::SetTables;
pub(crate) use entry::LiveMapMaps;
pub(crate) use live::LiveSetMaps;
pub(crate) use member::SetMaps;
pub(crate) use member_table::MemberTableMaps;
pub(super) use meter::{bucket_fields, has_buckets};
pub(crate) use walk::ClassifierMaps;

/// What answers are made with.
pub(super) struct Answers<'a> {
    given: &'a Given<'a>,
    /// Where a walk through tables keeps what it knows of the packet.
    walk: WalkFrame,
    /// Where a bucket's key is put together, if the policy has buckets.
    bucket: Option<Bucket>,
}

/// From where a family asks, and where it goes on.
#[derive(Clone, Copy)]
struct Way {
    family: Family,
    entry: Block,
    done: Block,
}

impl Way {
    fn parts(self) -> (Family, Block, Block) {
        (self.family, self.entry, self.done)
    }
}

impl<'a> Answers<'a> {
    pub(super) fn new(builder: &mut Builder, given: &'a Given<'a>) -> Self {
        let buckets = has_buckets(&given.source);
        let room = given.frame.room.filter(|_| buckets);
        Self {
            given,
            walk: WalkFrame::new(builder, given),
            bucket: room.map(|room| Bucket::new(builder, room)),
        }
    }

    /// Writes the answers to everything that was asked.
    pub(super) fn write(&self, builder: &mut Builder, questions: Questions) {
        let mut open = questions;
        while let Some(((phase, family, field), region)) = open.0.pop_first() {
            builder.set_origin(builder.head());
            if let Field::Socket | Field::SocketIn(_) = field {
                let other = open.0.remove(&(phase, Family::V6, field));
                let other = other.map(|region| (Family::V6, region));
                let families = [(family, region)].into_iter().chain(other);
                self.answer_socket(builder, field, families.collect());
                continue;
            }
            let way = Way {
                family,
                entry: region.entry,
                done: builder.block(),
            };
            self.answer(builder, (phase, field), way, &mut open);
            builder.enter(way.done);
            self.dispatch(builder, &region.call_sites);
        }
    }

    /// One code finds the socket of either family.
    fn answer_socket(&self, builder: &mut Builder, field: Field, families: Vec<(Family, Region)>) {
        let ways = families.iter().map(|&(family, Region { entry, .. })| Way {
            family,
            entry,
            done: builder.block(),
        });
        let ways: Vec<Way> = ways.collect();
        let elsewhere = match (field, self.given.source.maps.namespaces) {
            (Field::SocketIn(netns), Some(map)) => Some((map, netns)),
            (Field::SocketIn(_), None) => {
                builder.bug("sockets of a namespace without its map");
                None
            }
            _ => None,
        };
        self.find_socket(builder, elsewhere, &ways);
        for (way, (_, region)) in ways.iter().zip(&families) {
            builder.enter(way.done);
            self.dispatch(builder, &region.call_sites);
        }
    }

    /// Writes the answer to one question from the entry on: every way leaves it in its slot and goes to `done`.
    /// What that asks in turn comes later.
    fn answer(
        &self,
        builder: &mut Builder,
        (phase, field): (Phase, Field),
        way: Way,
        questions: &mut Questions,
    ) {
        match (field, self.given.source.maps.interfaces) {
            (Field::Interface, Some(map)) => self.find_interface(builder, map, way),
            (Field::FirstMatch, ..) => self.find_first_match(builder, phase, way, questions),
            (Field::ToIn(set), ..) => self.find_member(builder, (set, TO), way),
            (Field::FromIn(set), ..) => self.find_member(builder, (set, FROM), way),
            (Field::Conforms(rule), ..) => self.ask_meter(builder, phase, rule, way),
            (Field::Absent(socket), ..) => self.find_absent(builder, socket, way),
            (Field::Entry(map), ..) => self.find_entry(builder, map, way),
            _ => self.no_answer(builder, field, way),
        }
    }

    /// Placement keeps a question out of chains of hooks that have no answer.
    fn no_answer(&self, builder: &mut Builder, field: Field, way: Way) {
        let hook = self.given.source.chain.hook;
        builder.bug(format!(
            "{field:?} is asked at {hook:?}, which has no answer"
        ));
        builder.enter(way.entry);
        builder.jump(way.done);
    }

    /// Looks into the slot for the packet's family and protocol; where there is none, the socket is absent.
    fn find_absent(&self, builder: &mut Builder, socket: SocketId, way: Way) {
        let ends = [0, 1].map(|answer| self.answered(builder, answer, way.done));
        builder.enter(way.entry);
        let slot = (socket, way.family);
        let [_, absent] = ends;
        self.given.slot_region(builder, slot, ends, absent);
    }

    /// A block that leaves a value of a field as the answer (see [`base`](super::question::base)).
    fn answered(&self, builder: &mut Builder, value: i32, done: Block) -> Block {
        let block = builder.block();
        builder.enter(block);
        builder.set_slot(self.given.frame.answer, 0, value + 1, Width::W);
        builder.jump(done);
        block
    }

    /// Back after whoever asked.
    fn dispatch(&self, builder: &mut Builder, call_sites: &[Block]) {
        let head = builder.head();
        let arms = (0..)
            .zip(call_sites)
            .map(|(number, &block)| (number, block, head));
        let arms: Vec<Arm> = arms.collect();
        let call_site = builder.load_slot(self.given.frame.call_site, 0, Width::W);
        search(builder, call_site, &arms, 0);
    }
}
