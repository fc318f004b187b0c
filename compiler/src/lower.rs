//! From the decision structure of a chain to IR.
//!
//! Takes a chain with its flattened diagrams; gives a [`Function`] of the shape
//!
//! ```text
//! prologue (parse the packet, or tell the family) ─▶ decision tree ─▶ leaf of a rule ─▶ its counter
//!     ─▶ tree of the `count` rules, if there are any ─▶ outcome (return, assign a socket, …)
//! ```
//!
//! Each family has trees of its own, so that a hook may keep a field at one place for IPv4 and at another for IPv6.
//! Nothing here decides anything: which rule wins stands in the diagram.

mod absent;
mod account;
mod boundaries;
mod context;
mod filled;
mod frame;
mod header;
mod hook;
mod leaf;
mod live;
mod log;
mod member;
mod meter;
mod outcome;
mod packet;
mod question;
mod read;
mod reject;
mod socket;
mod stream;
mod transport;
mod tree;
mod uniform;
mod walk;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use crate::artifact::{MapId, Section};
use crate::bpf::opcode::Register;
use crate::chain::Chain;
use crate::diagram::flatten::{Flat, Target};
use crate::field::{Field, FieldSet};
use crate::ir::{Block, Builder, Function, Origin, Slot, Value};
use crate::location::Location;
use crate::policy::{
    Default, DefaultVerdict, Family, GroupId, LiveMapId, Policy, RuleId, SetId, SocketId,
    SourceLocation,
};
use crate::protocol::IpProtocol;

pub(crate) use boundaries::SetTables;
pub(crate) use live::{LiveMapMaps, LiveSetMaps};
pub(crate) use member::SetMaps;
pub use meter::BUCKET_KEY;
pub(crate) use meter::Meters;
pub use reject::KINDS;
pub(crate) use reject::{MAX_RECEIVERS, answers};
use stream::Door;
pub use stream::PEER_KEY;
pub(crate) use stream::{GroupMaps, sock_ops};
pub(crate) use walk::ClassifierMaps;

use frame::Frame;
use log::Gate;
use meter::Bucket;
use outcome::Outcome;
use question::Questions;
use reject::Reply;

/// The slots of the map `counters`.
#[derive(Clone, Debug)]
pub struct CounterSlots {
    /// One for each rule.
    pub rules: SecondaryMap<RuleId, u32>,
    /// One for the default of the chain's direction, if there is one.
    pub default: Option<u32>,
    /// One for the malformed packets of the chain's direction.
    pub malformed: Option<u32>,
    /// One for the answers that are beyond their limits, where the direction answers.
    pub withheld: Option<u32>,
}

/// The maps a program may use.
#[derive(Clone, Debug)]
pub(crate) struct Maps {
    /// What counts for rules, defaults and malformed packets, unless that is left out.
    pub counters: Option<MapId>,
    /// Named sockets.
    pub sockets: Option<MapId>,
    /// Interfaces that packets are sent out of.
    pub out_interfaces: Option<MapId>,
    /// Buckets of rates that are not for each address, and of the limits of logs.
    pub rates: Option<MapId>,
    /// Buckets for each address.
    pub buckets: Option<MapId>,
    /// Buckets of answers for each address that gets them.
    pub answers: Option<MapId>,
    /// The ring buffer of `log`.
    pub log: Option<MapId>,
    /// Which number each rate has in them.
    pub meters: Meters,
    /// For each group: where its sockets are.
    pub groups: SecondaryMap<GroupId, Option<GroupMaps>>,
    /// How the sets are asked that a tree asks for.
    pub sets: SecondaryMap<SetId, Option<SetMaps>>,
    /// The live maps.
    pub entries: SecondaryMap<LiveMapId, Option<LiveMapMaps>>,
    /// The ids of the named network namespaces.
    pub namespaces: Option<MapId>,
    /// The classes of the interfaces, where sk_lookup asks for them.
    pub interfaces: Option<MapId>,
    /// Whether this processor is in a lookup that a packet program asked for, where lookups count or log.
    pub asking: Option<MapId>,
}

/// Slots of the named sockets: (family, protocol, index in the map `sockets`).
pub(crate) type SocketSlots = SecondaryMap<SocketId, Vec<(Family, IpProtocol, u32)>>;

/// Everything about one chain that code is made from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The chain.
    pub chain: &'a Chain,
    /// The first deciding entry.
    pub decision: &'a Flat,
    /// The `count` entries that match, as an index into `lists`.
    pub counts: Option<&'a Flat>,
    /// Lists of entries.
    pub lists: &'a [Vec<u32>],
    /// The tables of the bulk rules that stand in the chain, if there are any.
    pub classifier: Option<&'a ClassifierMaps>,
    /// Where things are counted.
    pub counters: &'a CounterSlots,
    /// The maps.
    pub maps: &'a Maps,
    /// Slots of the named sockets.
    pub sockets: &'a SocketSlots,
    /// Whether there is compare-and-exchange.
    pub atomics: bool,
    /// Where code that belongs to no rule is said to come from.
    pub head: &'a Location,
}

/// Makes the function of a chain.
#[must_use]
pub(crate) fn lower(source: Source<'_>, name: &str) -> Function {
    let mut lowering = Lowering::new(source, name, source.chain.hook.spec().section);
    (hook::code(source.chain.hook).open)(&mut lowering);
    lowering.builder.finish()
}

/// Whether every packet of a chain gets the default of its direction, whatever it holds: nothing of it is read then, and
/// malformed packets count as the default. A default that logs, or answers, has to know the packet.
#[must_use]
pub(crate) fn is_uniform(
    policy: &Policy,
    chain: &Chain,
    decision: &Flat,
    counts: Option<&Flat>,
) -> bool {
    let default = policy.default_of(chain.hook.direction());
    let silent = |line: &Default| line.log.is_none() && line.verdict != DefaultVerdict::Reject;
    let leaf = match decision.root {
        Target::Leaf(leaf) => leaf as usize == chain.entries.len(),
        Target::Node(_) => false,
    };
    chain.hook.is_packet() && leaf && counts.is_none() && default.is_some_and(silent)
}

/// The place of a statement as an origin of code.
#[must_use]
pub(crate) fn origin_of(place: &SourceLocation) -> Location {
    place.location.clone()
}

/// The fields that the program will read: those of its trees, and what their questions need.
fn used_fields(source: &Source<'_>) -> FieldSet {
    let flats = [Some(source.decision), source.counts];
    let tested = flats.into_iter().flatten().flat_map(Flat::fields);
    let mut used: FieldSet = tested.collect();
    let needed: FieldSet = used.iter().flat_map(question::needs).copied().collect();
    used.extend(needed.iter());
    for field in used.clone().iter() {
        if let Field::Conforms(rule) = field
            && let Some(rate) = &source.policy.rules[rule].rate
        {
            used.extend(meter::bucket_fields(rate).iter().copied());
        }
    }
    if log::logs(source) {
        used.extend(log::fields());
    }
    used
}

/// A function in the making.
struct Lowering<'a> {
    source: Source<'a>,
    builder: Builder,
    registers: Pinned,
    frame: Frame,
    /// Where a walk through tables keeps what it knows of the packet.
    walk: walk::WalkFrame,
    /// Where an answer is put together, if the chain rejects packets.
    reply: Option<Reply>,
    /// Where a bucket's key is put together, if the policy has buckets.
    bucket: Option<Bucket>,
    /// Where a record is put together, if the chain logs.
    record: Option<Slot>,
    /// What the sock_ops program of a group does with a connection, if this is one.
    door: Option<Door>,
    head: Origin,
    used: FieldSet,
    questions: Questions,
    origins: BTreeMap<u32, Origin>,
    leaves: BTreeMap<(Family, u32), Block>,
    outcomes: BTreeMap<(Family, Outcome), Block>,
    /// What the verdict slot may hold, in the order it was asked for.
    numbered: Vec<Outcome>,
    accounts: BTreeMap<Block, Block>,
    count_roots: BTreeMap<Family, Block>,
    finishes: BTreeMap<Family, Block>,
    gates: BTreeMap<Gate, Block>,
    records: BTreeMap<(Option<Family>, Block), Block>,
}

/// The values that keep their registers: r6 to r9 survive helper calls.
#[derive(Clone, Copy)]
struct Pinned {
    /// r6: the context.
    context: Value,
    /// r7: the first byte of the IP header; elsewhere a pointer that has to survive a call.
    network: Value,
    /// r8: the end of the packet's linear part; elsewhere a pointer that has to survive a call.
    end: Value,
    /// r9: offset of the header being looked at from the IP header; elsewhere a socket reference.
    cursor: Value,
    /// r5: the transport header.
    transport: Value,
    /// r2: the field being searched.
    probe: Value,
}

impl<'a> Lowering<'a> {
    fn new(source: Source<'a>, name: &str, section: Section) -> Self {
        let mut builder = Builder::new(name, section, source.head.clone());
        let registers = Pinned {
            context: builder.argument(),
            network: builder.pinned(Register::R7),
            end: builder.pinned(Register::R8),
            cursor: builder.pinned(Register::R9),
            transport: builder.pinned(Register::R5),
            probe: builder.pinned(Register::R2),
        };
        let mut frame = Frame::new(&mut builder);
        let walk = walk::WalkFrame::new(&mut builder, frame.tuple, frame.prefix);
        // The sock_ops program of a group neither answers nor meters nor logs.
        let decides = section != Section::SockOps;
        let (answers, meters, logs) = (
            decides && reject::answers(source.chain),
            decides && meter::has_buckets(source.policy),
            decides && log::logs(&source),
        );
        // Records, buckets and answers are never put together at the same time.
        let room = (answers || meters || logs).then(|| builder.slot(reject::ROOM));
        let reply = room
            .filter(|_| answers)
            .map(|room| Reply::new(&mut builder, room));
        let bucket = room
            .filter(|_| meters)
            .map(|room| Bucket::new(&mut builder, room));
        let record = room.filter(|_| logs);
        frame.first_match = source.classifier.is_some().then(|| builder.opaque_slot(4));
        let head = builder.first_origin();
        Self {
            source,
            builder,
            registers,
            frame,
            walk,
            reply,
            bucket,
            record,
            door: None,
            head,
            used: used_fields(&source),
            questions: Questions::default(),
            origins: BTreeMap::new(),
            leaves: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            numbered: Vec::new(),
            accounts: BTreeMap::new(),
            count_roots: BTreeMap::new(),
            finishes: BTreeMap::new(),
            gates: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// A block whose code belongs to no rule.
    fn head_block(&mut self) -> Block {
        self.builder.set_origin(self.head);
        self.builder.block()
    }
}

#[cfg(test)]
mod tests;
