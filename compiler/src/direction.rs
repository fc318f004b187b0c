//! What each list of rules is about: a row a direction, of which the rest of the compiler reads.
//!
//! A row says how the direction is written, what its list decides, and for one that is about what processes do, what
//! that is and what is known of it. Which hooks run it, and so which protocols and conditions its rules may name, is
//! said in the rooms of [`crate::hook`].

use sockc_grammar::ast;

listed! {
    /// The lists that have a meaning, in the order in which they are listed and counted.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Direction {
        /// A packet that arrives.
        In,
        /// A packet that leaves.
        Out,
        /// A packet that came in by one interface and leaves by another.
        Forward,
        /// Data a process writes to a connected TCP socket of a group.
        Send,
        /// A process of a group connects (TCP, UDP), or sends a datagram with its receiver in the call.
        Connect,
        /// Data that arrives on a connected TCP socket of a group, or a datagram at one of UDP.
        Receive,
    }
}

/// Everything about a direction but its hooks.
#[derive(Debug)]
pub struct DirectionSpec {
    /// How it is written.
    pub written: ast::Direction,
    /// What its list decides.
    pub list: &'static str,
    /// The same, where what changes in it is drawn.
    pub title: &'static str,
    /// What messages call a rule of it.
    pub rule: &'static str,
    /// What to write in place of a condition that its hooks cannot read.
    pub choose: &'static str,
    /// What is seen of what goes on.
    pub done: &'static str,
    /// What is seen of what is refused.
    pub refused: &'static str,
    /// What the processes of groups do with their sockets, where it is about that; the others are about packets on
    /// interfaces.
    pub deed: Option<Deed>,
}

/// What a process does with a socket of its group.
#[derive(Debug, PartialEq, Eq)]
pub struct Deed {
    /// Whose it is.
    pub direction: Direction,
    /// What a group does that does it: `sends`.
    pub does: &'static str,
    /// What one is called.
    pub one: &'static str,
    /// The protocols that its sockets speak.
    pub about: &'static str,
    /// Whether the sender's address is known when it is done; else rules choose by its group alone.
    pub has_sender: bool,
    /// Whether the process has said whom it reaches, so that an unspecified address stands for this machine's loopback.
    pub names_receiver: bool,
    /// Whether the group's socket is the receiver, and rules name the group with `to`; else it is the sender, named with `from`.
    pub to_group: bool,
    /// Why a rule decides nothing where no group is declared.
    pub idle: &'static str,
}

/// What is said where an end of what passes through is said to be an address of this machine.
pub(crate) const NO_OWN_END: &str =
    "what passes through is from others, and for others: neither end is an address of this machine";
/// What may be written instead.
pub(crate) const NO_OWN_END_HELP: &str =
    "leave it out; which addresses the machine has is said by `self { 192.0.2.1 }`";

/// An end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketEnd {
    /// Its sender.
    From,
    /// Its receiver.
    To,
}

impl Direction {
    /// What it is.
    #[must_use]
    pub const fn spec(self) -> &'static DirectionSpec {
        match self {
            Self::In => &IN,
            Self::Out => &OUT,
            Self::Forward => &FORWARD,
            Self::Send => &SEND,
            Self::Connect => &CONNECT,
            Self::Receive => &RECEIVE,
        }
    }

    /// The direction that is written so.
    #[must_use]
    pub const fn of(written: ast::Direction) -> Self {
        match written {
            ast::Direction::In => Self::In,
            ast::Direction::Out => Self::Out,
            ast::Direction::Forward => Self::Forward,
            ast::Direction::Send => Self::Send,
            ast::Direction::Connect => Self::Connect,
            ast::Direction::Receive => Self::Receive,
        }
    }

    /// Those that are about packets on interfaces.
    pub fn of_packets() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|one| !one.of_processes())
    }

    /// Whether what it is about has two interfaces: that by which it came in, which `on` names, and that by which it leaves,
    /// which `to` names. What else is about packets has the one that `on` names.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Forward)
    }

    /// Which end of what it is about may be an address of this machine, where one is said to be: the receiver, of what leaves the
    /// sender, of what is received the peer, which is all that is named there. None of what passes through.
    #[must_use]
    pub(crate) fn own_end(self) -> Option<PacketEnd> {
        match self {
            Self::In | Self::Send | Self::Connect => Some(PacketEnd::To),
            Self::Out | Self::Receive => Some(PacketEnd::From),
            Self::Forward => None,
        }
    }

    /// What processes do, if it is about that.
    #[must_use]
    pub const fn deed(self) -> Option<&'static Deed> {
        self.spec().deed.as_ref()
    }

    /// Whether it is about what the processes of groups do with their sockets; the others are about packets on interfaces.
    #[must_use]
    pub const fn of_processes(self) -> bool {
        self.deed().is_some()
    }

    /// All that processes do.
    pub fn deeds() -> impl Iterator<Item = &'static Deed> {
        Self::ALL.into_iter().filter_map(Self::deed)
    }

    /// The directions that are about that.
    pub fn all_of_processes() -> impl Iterator<Item = Self> {
        Self::deeds().map(|deed| deed.direction)
    }

    /// The words for those, as a message names them; `last` stands before the last one.
    #[must_use]
    pub(crate) fn words_of_processes(last: &str) -> String {
        let words = Self::all_of_processes().map(|direction| format!("`{}`", direction.word()));
        let words: Vec<String> = words.collect();
        match words.split_last() {
            Some((end, first)) if !first.is_empty() => format!("{} {last} {end}", first.join(", ")),
            _ => words.concat(),
        }
    }

    /// Whether the sender's address is known of what it is about.
    #[must_use]
    pub fn has_sender(self) -> bool {
        self.deed().is_none_or(|deed| deed.has_sender)
    }

    /// The word for it in policies, in JSON and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.spec().written.word()
    }
}

static IN: DirectionSpec = DirectionSpec {
    written: ast::Direction::In,
    list: "what arrives",
    title: "packets that arrive",
    rule: "a rule on packets that arrive",
    choose: "choose by address, protocol and port",
    done: "passed",
    refused: "dropped",
    deed: None,
};

static OUT: DirectionSpec = DirectionSpec {
    written: ast::Direction::Out,
    list: "what leaves",
    title: "packets that leave",
    rule: "a rule on packets that leave",
    choose: "leave the condition out, or decide when packets arrive",
    done: "passed",
    refused: "dropped",
    deed: None,
};

static FORWARD: DirectionSpec = DirectionSpec {
    written: ast::Direction::Forward,
    list: "what passes through",
    title: "packets that pass through",
    rule: "a rule on packets that pass through",
    choose: "choose by address, port, interface and header: `if tcp flags ack` is true of all of a TCP connection but its first packet",
    done: "passed",
    refused: "dropped",
    deed: None,
};

static SEND: DirectionSpec = DirectionSpec {
    written: ast::Direction::Send,
    list: "what groups send",
    title: "what processes send",
    rule: "a rule on sends",
    choose: "choose by group, address and port",
    done: "delivered",
    refused: "write refused (EACCES)",
    deed: Some(Deed {
        direction: Direction::Send,
        does: "sends",
        one: "write",
        about: "TCP",
        has_sender: true,
        names_receiver: true,
        to_group: false,
        idle: "no group is declared, so there are no sockets whose sends it could decide",
    }),
};

static CONNECT: DirectionSpec = DirectionSpec {
    written: ast::Direction::Connect,
    list: "whom groups call",
    title: "whom processes call",
    rule: "a rule on connects",
    choose: "choose by group, protocol, and the receiver's address and port",
    done: "went on",
    refused: "call refused (EPERM)",
    deed: Some(Deed {
        direction: Direction::Connect,
        does: "calls",
        one: "call",
        about: "TCP and UDP",
        // The kernel chooses its address later.
        has_sender: false,
        names_receiver: true,
        to_group: false,
        idle: "no group is declared, so there are no sockets whose connects it could decide",
    }),
};

static RECEIVE: DirectionSpec = DirectionSpec {
    written: ast::Direction::Receive,
    list: "what groups receive",
    title: "what processes receive",
    rule: "a rule on receives",
    choose: "choose by group, address and port",
    done: "delivered",
    refused: "data dropped",
    deed: Some(Deed {
        direction: Direction::Receive,
        does: "receives",
        one: "receive",
        about: "TCP and UDP",
        has_sender: true,
        names_receiver: false,
        to_group: true,
        idle: "no group is declared, so there are no sockets whose data it could decide",
    }),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_stand_in_the_order_of_their_numbers_and_are_found_by_their_words() {
        for (at, direction) in Direction::ALL.into_iter().enumerate() {
            assert_eq!(direction as usize, at);
            assert_eq!(Direction::of(direction.spec().written), direction);
            assert!(
                direction
                    .deed()
                    .is_none_or(|deed| deed.direction == direction)
            );
        }
    }
}
