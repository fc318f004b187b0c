//! Packets in the words of the command line (`docs/packets.md`), both ways.
//!
//! Takes a packet and what is around it, and gives its shortest text; takes the syntax tree of such a text and gives
//! what it describes. What the text leaves out has its plain value, and what has its plain value is left out.
//!
//! Choices where the language is silent:
//! - `icmp` and `icmp6` without a type are echo requests, a type without a code has code 0.
//! - A fragment without ports, and without an ICMP type, is a later one. The first fragment of a protocol that has
//!   neither is written like a later one: no rule can tell them apart.
//! - An address may be written as a prefix of its whole length.
//! - A write (`send`) belongs to the one declared group if none is named.
//! - `self` as an address is the first one of its family that `with self { … }` says, else one that is chosen; then `self` holds
//!   that one.
//! - `@banned { … }` says everything that is in the live set, in place of what it starts with.
//! - `@tenants { … }` says everything that a live map holds; `no rate exceeded` says what is plain.
//! - A socket state with `in netns` after it says what is found there; without, in the interface's own namespace. Both
//!   may be said of one packet.

mod case;
pub(crate) mod codes;
pub(crate) mod contents;
mod endpoint;
pub(crate) mod interface;
mod members;
mod own;
mod read;
mod with;
mod world;
mod write;

use crate::event::{Event, Header, SocketAnswer, World};
use crate::policy::{
    AddressSet, Direction, LiveEntry, LiveMapId, NetnsId, Policy, SetId, SetKind, SocketId,
};

pub use interface::{class_of, example};
pub use read::read;
pub use world::DescribedWorld;
pub(crate) use write::{describe, describe_on, endpoint, field_words};
pub use write::{describe_case, describe_in};

/// What a text describes: an event, and what the machine around the policy says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The packet or write.
    pub event: Event,
    /// The socket that the lookup finds.
    pub socket: SocketAnswer,
    /// The sockets that the lookups in other namespaces find, by namespace, each once; none where nothing is said.
    pub elsewhere: Vec<(NetnsId, SocketAnswer)>,
    /// The named sockets that are not there, each once; all others are.
    pub absent: Vec<SocketId>,
    /// What is in live sets, by set, each once; the others hold what they start with.
    pub members: Vec<(SetId, AddressSet)>,
    /// What is in live sets of the policy around a block that no rule of it asks, by name, each once.
    pub around: Vec<(String, AddressSet)>,
    /// What live maps hold, by map, each once; the others hold what they start with.
    pub contents: Vec<(LiveMapId, Vec<LiveEntry>)>,
    /// Whether no rate has tokens left; else every one has.
    pub rate_exceeded: bool,
}

impl Described {
    /// An event in plain surroundings but for the socket that is found.
    #[must_use]
    pub fn plain(event: Event, socket: SocketAnswer) -> Self {
        Self {
            event,
            socket,
            elsewhere: Vec::new(),
            absent: Vec::new(),
            members: Vec::new(),
            around: Vec::new(),
            contents: Vec::new(),
            rate_exceeded: false,
        }
    }

    /// An event about a packet with this header, and all that a world says of it, as far as there are words for it. Of
    /// rates nothing: a text knows one state of all of them.
    #[must_use]
    pub(crate) fn of_world(
        policy: &Policy,
        event: Event,
        header: &Header,
        socket: SocketAnswer,
        world: &dyn World,
    ) -> Self {
        let mut said = Self::plain(event, socket);
        let (family, protocol) = (header.family(), header.protocol);
        let absent = |socket: &SocketId| !world.present(*socket, family, protocol);
        said.absent = policy.sockets.keys().filter(absent).collect();
        let sets = policy.sets.iter();
        let live = sets.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }));
        said.members = live
            .map(|(set, _)| {
                let ends = [header.to, header.from].into_iter();
                (
                    set,
                    AddressSet::of(ends.filter(|&end| world.member(set, end))),
                )
            })
            .collect();
        if header.has_socket() {
            let spaces = policy.namespaces.keys();
            said.elsewhere = spaces
                .map(|netns| (netns, world.socket(Direction::In, Some(netns), header)))
                .filter(|&(_, answer)| answer != SocketAnswer::None)
                .collect();
            let maps = policy.live_maps.keys();
            said.contents = maps
                .map(|map| (map, contents::of_packet(header, world.entry(map, header))))
                .collect();
        }
        said
    }
}

#[cfg(test)]
mod tests;
