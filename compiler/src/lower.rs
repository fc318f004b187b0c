//! From the decision structure of a chain to IR.
//!
//! Takes a chain with its flattened diagrams; gives a [`Function`] of the shape
//!
//! ```text
//! prologue (parse the packet, or tell the family) ─▶ decision tree ─▶ leaf of a rule ─▶ its counter
//!     ─▶ tree of the `count` rules, if there are any ─▶ outcome (return, assign a socket, …)
//! ```
//!
//! Four parts write it, each with what it may touch: the `Prologue` knows where it leads to and nothing of what
//! is decided; a `Tree` tests and asks; the `Answers` to what is asked come when nothing can ask any more;
//! the `Ends` count, log and leave. What all of them read is `Given` and never changes; the `Builder` goes
//! from hand to hand.
//!
//! Each family has trees of its own, so that a hook may keep a field at one place for IPv4 and at another for IPv6.
//! Nothing here decides anything: which rule wins stands in the diagram.

mod answers;
mod bucket;
mod context;
mod counter;
mod door;
mod ends;
mod frame;
mod given;
mod hook;
mod layer;
mod leaving;
mod prologue;
mod question;
mod search;
mod segment;
mod splice;
mod tree;

use cranelift_entity::SecondaryMap;

use crate::artifact::MapId;
use crate::chain::Chain;
use crate::diagram::flatten::{Flat, Target};
use crate::dropped::head_of;
use crate::field::{FROM, Field, FieldSet, TO};
use crate::ir::{Block, Builder, Function};
use crate::location::Location;
use crate::policy::{
    Default, DefaultVerdict, Family, GroupId, LiveMapId, Policy, RuleId, SetId, SocketId,
    SourceLocation,
};
use crate::protocol::IpProtocol;

use answers::Answers;
pub(crate) use answers::{
    ClassifierMaps, LiveMapMaps, LiveSetMaps, MemberTableMaps, SetMaps, SetTables,
};
pub use bucket::BUCKET_KEY;
pub(crate) use bucket::Meters;
pub(crate) use door::{GroupMaps, ReaderMaps, WayMaps, sock_ops};
pub use door::{
    PEER_KEY, is_of_cookie, key_of_cookie, mark_outside, mirrored, unmark, unmark_outside,
};
pub(crate) use ends::WAY;
pub use ends::{BEGAN, BY_TCP, COUNTER, KINDS, LEFT, OVERHEAD};
use ends::{Ends, Outcome};
pub(crate) use ends::{MAX_RECEIVERS, answers, samples};
use frame::{Frame, Wants};
use given::Given;
use hook::{Head, Roots};
pub(crate) use layer::setsockopt;
pub(crate) use leaving::leaving;
use prologue::{Exits, Prologue};
use question::{Phase, Questions};
pub(crate) use splice::{SpliceMaps, splice};
use tree::Tree;

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
    /// One for the records of logs that are lost, where the direction logs.
    pub lost: Option<u32>,
}

/// The maps a program may use.
#[derive(Clone, Debug)]
pub(crate) struct Maps {
    /// What counts for rules, defaults and malformed packets, unless that is left out.
    pub counters: Option<MapId>,
    /// Named sockets.
    pub sockets: Option<MapId>,
    /// What became of what was given to them.
    pub steered: Option<MapId>,
    /// Named sockets whose queues take data.
    pub ends: Option<MapId>,
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
    /// What counts the records that find no room there, also where rules do not count.
    pub lost: Option<MapId>,
    /// The rings for what is dropped.
    pub drops: Option<MapId>,
    /// The word that says whether somebody asks for that.
    pub sampling: Option<MapId>,
    /// Which number each rate has in them.
    pub meters: Meters,
    /// For each group: where its sockets are.
    pub groups: SecondaryMap<GroupId, Option<GroupMaps>>,
    /// Those of the splices, in order.
    pub splices: Vec<SpliceMaps>,
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

/// Slots of the sockets whose queues take data: the index in the map `ends`.
pub(crate) type EndSlots = SecondaryMap<SocketId, Option<u32>>;

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
    /// Slots of those whose queues take data.
    pub ends: &'a EndSlots,
    /// Whether there is compare-and-exchange.
    pub atomics: bool,
    /// Where code that belongs to no rule is said to come from.
    pub head: &'a Location,
}

/// Makes the function of a chain; `ahead` is one that stands ahead of it in the same program: what that lets go goes on here.
#[must_use]
pub(crate) fn lower(ahead: Option<Source<'_>>, source: Source<'_>, name: &str) -> Function {
    let section = source.chain.hook.spec().section;
    let mut builder = Builder::new(name, section, source.head.clone());
    let context = builder.argument();
    let wanted = ahead.as_ref().map(wants).unwrap_or_default();
    let frame = Frame::new(&mut builder, wanted.and(wants(&source)));
    if let Some(ahead) = ahead {
        let next = builder.block();
        let given = Given {
            used: used_fields(&ahead),
            source: ahead,
            context,
            frame: frame.clone(),
            next: Some(next),
        };
        list(&mut builder, &given);
        builder.set_origin(builder.head());
        builder.enter(next);
    }
    let given = Given {
        used: used_fields(&source),
        source,
        context,
        frame,
        next: None,
    };
    list(&mut builder, &given);
    builder.finish()
}

/// Writes a list from the block on that is open.
fn list(builder: &mut Builder, given: &Given<'_>) {
    let mut ends = Ends::new(builder, given);
    let entry = builder.current();
    let pass = ends.outcome(builder, Outcome::Pass, Family::V4);
    match given.code().head {
        Head::Frame(reach) => {
            let exits = if given.is_uniform() {
                let default = ends.uniform(builder);
                let (v4, v6) = (default, default);
                Exits::new(Roots { v4, v6, pass }, default)
            } else {
                let malformed = ends.malformed(builder);
                let roots = decide(builder, given, ends, pass);
                Exits::new(roots, malformed)
            };
            builder.enter(entry);
            given.unless_passing(builder, pass);
            let prologue = Prologue::new(builder, given, reach, exits);
            match given.is_uniform() {
                true => prologue.uniform(builder),
                false => prologue.packet(builder),
            }
        }
        Head::Context(begin) => {
            let roots = decide(builder, given, ends, pass);
            builder.enter(entry);
            begin(given, builder, roots);
        }
    }
}

/// Which slots a chain has that not all have.
fn wants(source: &Source<'_>) -> Wants {
    let answers = ends::answers(source.policy, source.chain);
    Wants {
        room: answers || answers::has_buckets(source) || ends::logs(source),
        answers,
        first_match: source.classifier.is_some(),
        head: match ends::samples(source.policy, source.chain) {
            true => head_of(source.chain.hook),
            false => 0,
        },
    }
}

/// The fields that the program will read: those of its trees, and what their questions need.
fn used_fields(source: &Source<'_>) -> FieldSet {
    let flats = [Some(source.decision), source.counts];
    let tested = flats.into_iter().flatten().flat_map(Flat::fields);
    let mut used: FieldSet = tested.collect();
    used.extend(
        source
            .classifier
            .into_iter()
            .flat_map(ClassifierMaps::fields),
    );
    let needed: FieldSet = used.iter().flat_map(question::needs).copied().collect();
    used.extend(needed.iter());
    for field in used.clone().iter() {
        if let Field::Conforms(rule) = field
            && let Some(rate) = &source.policy.rules[rule].rate
        {
            used.extend(answers::bucket_fields(rate).iter().copied());
        }
    }
    if ends::logs(source) {
        used.extend(ends::log_fields());
    }
    used.extend(given::spread_fields(source).iter());
    used
}

/// Writes the decision of each family, with everything after it.
fn decide(builder: &mut Builder, given: &Given<'_>, mut ends: Ends<'_>, pass: Block) -> Roots {
    let mut questions = Questions::default();
    let [v4, v6] = [Family::V4, Family::V6].map(|family| {
        if !given.code().families.contains(&family) {
            return pass;
        }
        if let Some(counts) = given.source.counts {
            let what = (counts, Phase::Counts, family);
            let root = Tree::write(builder, given, (&mut ends, &mut questions), what);
            ends.count_first(family, root);
        }
        let what = (given.source.decision, Phase::Decision, family);
        Tree::write(builder, given, (&mut ends, &mut questions), what)
    });
    ends.finish(builder);
    Answers::new(builder, given).write(builder, questions);
    builder.set_origin(builder.head());
    Roots { v4, v6, pass }
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

#[cfg(test)]
mod tests;
