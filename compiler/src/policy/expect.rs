//! What a policy says of itself: `expect` lines.

use super::{
    AddressSet, Direction, Feed, GroupId, LiveEntry, LiveMapId, Match, SetId, SocketId,
    SourceLocation,
};

/// An `expect` line: every packet of the region must get the verdict.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What must come out.
    pub verdict: ExpectedVerdict,
    /// The packets it is said of.
    pub region: Region,
    /// Where it was written.
    pub place: SourceLocation,
}

/// The verdict of an `expect` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedVerdict {
    /// Goes on, and no rule hands it to a socket or to an interface.
    Allow,
    /// Silently away.
    Drop,
    /// As if nobody listened.
    Reject,
    /// Handed to some socket or out of some interface.
    Redirect,
    /// Handed to this socket, or put into one of its queues.
    RedirectTo(SocketId),
    /// Past TCP/IP.
    Shortcut,
    /// Put into this queue of a socket.
    Feed(Feed),
}

/// A region of packets: what is not said is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Which list.
    pub direction: Direction,
    /// The packets; `on` holds their interfaces.
    pub matches: Match,
    /// Contents of live sets: these addresses and no others. Of other live sets nothing is known.
    pub members: Vec<(SetId, AddressSet)>,
    /// `self`, if the address at the machine's end is said to be one of its own.
    pub own: Option<SetId>,
    /// Contents of live maps: these entries and no others. Of other live maps nothing is known.
    pub contents: Vec<(LiveMapId, Vec<LiveEntry>)>,
    /// The interface that `on` names, if the policy is not on it.
    pub outside: Option<String>,
    /// `rate exceeded`: nothing conforms to a rate; `no rate exceeded`: it does to every rate. Where neither is said, each may.
    pub rate_exceeded: Option<bool>,
    /// `group G`: for `send`, the socket's group.
    pub group: Option<GroupId>,
    /// `malformed`: only malformed packets, which have a direction and an interface and nothing else.
    pub malformed: bool,
}
