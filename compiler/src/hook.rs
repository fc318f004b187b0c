//! What a hook can do: one table of data.
//!
//! A row is a group of fields or an action, a column is a hook. Placement, its check and the messages read it. Not
//! here: how a hook reads a field or says a verdict, which is the code generator's.

use crate::field::Field;
use crate::policy::{Action, Direction};

/// A place in the kernel where a program of ours runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// XDP, packets that arrive.
    Xdp,
    /// TC ingress, packets that arrive.
    TcIn,
    /// TC egress, packets that leave.
    TcOut,
    /// The socket lookup of new TCP connections and of datagrams for unconnected UDP sockets.
    SkLookup,
    /// Data written to a TCP socket that is in a SOCKMAP.
    SkMsg,
}

/// Whether a hook can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It can.
    Yes,
    /// It cannot, for this reason.
    No(&'static str),
}

/// A verb, whatever it acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `allow`
    Allow,
    /// `drop`
    Drop,
    /// `count`
    Count,
    /// `redirect … to sock`
    Redirect,
    /// `shortcut`
    Shortcut,
}

impl From<Action> for Verb {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Drop => Self::Drop,
            Action::Count => Self::Count,
            Action::Redirect(_) => Self::Redirect,
            Action::Shortcut(_) => Self::Shortcut,
        }
    }
}

use Ability::{No, Yes};

/// What a hook can tell of some fields, by [`Hook`].
struct Reads {
    fields: &'static [Field],
    abilities: [Ability; 5],
}

const STREAM: Ability = No("what a process writes is a stream, not packets");

const READS: [Reads; 6] = [
    Reads {
        fields: &[
            Field::Family,
            Field::Protocol,
            Field::ToPort,
            Field::To0,
            Field::To1,
            Field::To2,
            Field::To3,
            Field::From0,
            Field::From1,
            Field::From2,
            Field::From3,
            Field::FromPort,
        ],
        abilities: [Yes, Yes, Yes, Yes, Yes],
    },
    Reads {
        fields: &[Field::Fragment],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("datagrams are put together before their socket is looked up"),
            STREAM,
        ],
    },
    Reads {
        fields: &[Field::Icmp],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("sockets are looked up for TCP and UDP only"),
            No("the sockets of a group speak TCP"),
        ],
    },
    Reads {
        fields: &[Field::TcpFlags],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup is given addresses and ports, not the TCP header"),
            STREAM,
        ],
    },
    Reads {
        fields: &[Field::Length],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup is given addresses and ports, not the packet's length"),
            STREAM,
        ],
    },
    Reads {
        fields: &[Field::Socket],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("the socket lookup, where redirects run, is what finds the socket"),
            No("the socket is the one that is written to"),
        ],
    },
];

/// Whether a hook can say a verb, by [`Hook`].
struct Does {
    verb: Verb,
    abilities: [Ability; 5],
}

const LATER: Ability = No("which socket gets a packet is decided later, by the socket lookup");
const PACKETS: Ability = No("it sees packets, not what a process writes");

const DOES: [Does; 5] = [
    Does {
        verb: Verb::Allow,
        abilities: [Yes; 5],
    },
    Does {
        verb: Verb::Drop,
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup cannot drop in silence"),
            Yes,
        ],
    },
    Does {
        verb: Verb::Count,
        abilities: [Yes; 5],
    },
    Does {
        verb: Verb::Redirect,
        abilities: [
            LATER,
            LATER,
            No("a packet that leaves has its socket already"),
            Yes,
            No("data that is written has its socket already"),
        ],
    },
    Does {
        verb: Verb::Shortcut,
        abilities: [PACKETS, PACKETS, PACKETS, PACKETS, Yes],
    },
];

impl Hook {
    /// Every hook, in the order a packet or a write meets them.
    pub const ALL: [Self; 5] = [
        Self::Xdp,
        Self::TcIn,
        Self::TcOut,
        Self::SkLookup,
        Self::SkMsg,
    ];

    /// The word that `at` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::TcIn | Self::TcOut => "tc",
            Self::SkLookup => "sk_lookup",
            Self::SkMsg => "sk_msg",
        }
    }

    /// Whose list it runs.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            Self::Xdp | Self::TcIn | Self::SkLookup => Direction::In,
            Self::TcOut => Direction::Out,
            Self::SkMsg => Direction::Send,
        }
    }

    /// Whether it can tell the value of a field.
    #[must_use]
    pub fn reads(self, field: Field) -> Ability {
        READS
            .iter()
            .find(|row| row.fields.contains(&field))
            .map_or(No("no hook reads it"), |row| row.abilities[self as usize])
    }

    /// Whether it can say a verb.
    #[must_use]
    pub fn does(self, verb: Verb) -> Ability {
        DOES.iter()
            .find(|row| row.verb == verb)
            .map_or(No("no hook does it"), |row| row.abilities[self as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_row() {
        for field in Field::ALL {
            let rows = READS.iter().filter(|row| row.fields.contains(&field));
            assert_eq!(rows.count(), 1, "{field:?}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_the_hooks() {
        assert!(
            Hook::ALL
                .iter()
                .enumerate()
                .all(|(at, hook)| *hook as usize == at)
        );
        assert!(matches!(Hook::SkLookup.does(Verb::Drop), No(_)));
        assert_eq!(Hook::SkLookup.does(Verb::Redirect), Yes);
        assert_eq!(Hook::SkMsg.does(Verb::Shortcut), Yes);
        assert!(matches!(Hook::SkMsg.reads(Field::Length), No(_)));
        assert_eq!(Hook::TcOut.reads(Field::Socket), Yes);
    }
}
