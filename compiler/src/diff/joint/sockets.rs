//! Which sockets of two policies are one, and in what: what a live map calls them, whether they are there, who gets a flow.
//!
//! Takes the sockets of both, each declaration once. Not here: what rules do with them.

use std::collections::HashMap;

use cranelift_entity::PrimaryMap;

use crate::policy::{Family, Feed, Listen, Socket, SocketId, SocketOrigin};
use crate::protocol::IpProtocol;

/// A family, and a protocol that has sockets: what one slot is for.
type Kind = (Family, IpProtocol);

/// The kinds of flows, in the order of the places of [`Sockets::by_kind`].
const KINDS: [Kind; 4] = [
    (Family::V4, IpProtocol::TCP),
    (Family::V4, IpProtocol::UDP),
    (Family::V6, IpProtocol::TCP),
    (Family::V6, IpProtocol::UDP),
];

/// For each declaration of both policies the first that is the same in something.
pub(in crate::diff) struct Sockets {
    /// In its name, by which live maps call it.
    pub(in crate::diff) named: PrimaryMap<SocketId, SocketId>,
    /// In name, families and protocols: whether it is there is one question.
    pub(in crate::diff) presence: PrimaryMap<SocketId, SocketId>,
    /// In all that says who gets the data that is put into its queues.
    whole: PrimaryMap<SocketId, SocketId>,
    /// In who gets the flows of a kind: another address of another family is no other receiver.
    by_kind: PrimaryMap<SocketId, [SocketId; KINDS.len()]>,
}

impl Sockets {
    pub(super) fn new(sockets: &PrimaryMap<SocketId, Socket>) -> Self {
        let mut names: HashMap<&str, SocketId> = HashMap::new();
        let named = sockets
            .iter()
            .map(|(id, socket)| *names.entry(&socket.name).or_insert(id));
        let named: PrimaryMap<SocketId, SocketId> = named.collect();
        // A policy declares a name once, so only one other may be the same.
        let first = |own: SocketId, same: &dyn Fn(&Socket, &Socket) -> bool| {
            let first = named[own];
            match same(&sockets[first], &sockets[own]) {
                true => first,
                false => own,
            }
        };
        let firsts = |same| sockets.keys().map(|own| first(own, same)).collect();
        let by_kind = |own| KINDS.map(|kind| first(own, &|one, other| alike_for(kind, one, other)));
        Self {
            presence: firsts(&holds_alike),
            whole: firsts(&same_receiver),
            by_kind: sockets.keys().map(by_kind).collect(),
            named,
        }
    }

    /// Who gets the flows of a family and protocol that are given to this one; those of protocols without sockets are given
    /// to none.
    pub(in crate::diff) fn receiver(&self, socket: SocketId, kind: Kind) -> SocketId {
        let place = KINDS.iter().position(|one| *one == kind);
        place.map_or(self.whole[socket], |place| self.by_kind[socket][place])
    }

    /// The same queue of whoever gets what is put into it.
    pub(in crate::diff) fn feed(&self, feed: Feed) -> Feed {
        Feed {
            socket: self.whole[feed.socket],
            ..feed
        }
    }

    /// Pairs of declarations of one name that are different questions, as one holds what the other does not.
    pub(in crate::diff) fn unlike(&self) -> impl Iterator<Item = (SocketId, SocketId)> {
        let second = |(id, first): (SocketId, &SocketId)| {
            let named = self.named[id];
            (id == *first && id != named).then_some((named, id))
        };
        self.presence.iter().filter_map(second)
    }
}

pub(super) fn same_receiver(one: &Socket, other: &Socket) -> bool {
    shared_alike(one, other) && one.origin == other.origin
}

/// All but where they come from.
fn shared_alike(one: &Socket, other: &Socket) -> bool {
    one.name == other.name
        && one.owner == other.owner
        && one.members == other.members
        && one.spread == other.spread
        && one.pinned == other.pinned
}

/// Whether both come from the same place for one kind. Addresses of other kinds have slots of their own.
fn alike_for(kind: Kind, one: &Socket, other: &Socket) -> bool {
    shared_alike(one, other) && origins_alike(kind, one, other)
}

fn origins_alike(kind: Kind, one: &Socket, other: &Socket) -> bool {
    match (&one.origin, &other.origin) {
        (SocketOrigin::Listen(one), SocketOrigin::Listen(other)) => {
            of(kind, one).eq(of(kind, other))
        }
        (
            SocketOrigin::Process { pid_file, listen },
            SocketOrigin::Process {
                pid_file: other_file,
                listen: other,
            },
        ) => pid_file == other_file && of(kind, listen).eq(of(kind, other)),
        (one, other) => one == other,
    }
}

fn of((family, protocol): Kind, listen: &[Listen]) -> impl Iterator<Item = &Listen> {
    let of_kind =
        move |one: &&Listen| one.protocol == protocol && Family::of(one.address) == family;
    listen.iter().filter(of_kind)
}

fn holds_alike(one: &Socket, other: &Socket) -> bool {
    KINDS
        .into_iter()
        .all(|(family, number)| one.may_hold(family, number) == other.may_hold(family, number))
}

/// How many families and protocols it may hold a socket for.
pub(in crate::diff) fn kinds(socket: &Socket) -> usize {
    let held = KINDS.into_iter();
    held.filter(|(family, number)| socket.may_hold(*family, *number))
        .count()
}

/// Whether both are the same sockets of every kind, in whatever order that is declared.
pub(in crate::diff) fn come_alike(one: &Socket, other: &Socket) -> bool {
    KINDS.into_iter().all(|kind| alike_for(kind, one, other))
}

/// Whether there is a kind that both may hold, from different places: that is taken to be one question all the same.
pub(in crate::diff) fn taken_alike(one: &Socket, other: &Socket) -> bool {
    KINDS.into_iter().any(|kind @ (family, number)| {
        let both = one.may_hold(family, number) && other.may_hold(family, number);
        both && !origins_alike(kind, one, other)
    })
}
