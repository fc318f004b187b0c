//! What a hook can do: one table of data.
//!
//! A row is a group of fields or an action, a column is a hook. Placement, its check and the messages read it. Not
//! here: how a hook reads a field or says a verdict, which is the code generator's.

use crate::field::{Field, FieldKind};
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
    /// It can, but a rule runs there only if it says `at` this hook, for this reason.
    IfAsked(&'static str),
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
    /// `reject`
    Reject,
    /// `redirect … to sock`, `redirect … by @map`
    Redirect,
    /// `redirect … to interface`
    Forward,
    /// `shortcut`
    Shortcut,
}

impl Verb {
    /// The word of the language.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Count => "count",
            Self::Redirect | Self::Forward => "redirect",
            Self::Shortcut => "shortcut",
        }
    }
}

impl From<Action> for Verb {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Drop => Self::Drop,
            Action::Reject => Self::Reject,
            Action::Count => Self::Count,
            Action::Redirect(_) => Self::Redirect,
            Action::Forward(_) => Self::Forward,
            Action::Shortcut(_) => Self::Shortcut,
        }
    }
}

use Ability::{IfAsked, No, Yes};

/// What a hook can tell of fields of a kind, by [`Hook`].
struct Reads {
    kinds: &'static [FieldKind],
    abilities: [Ability; 5],
}

const STREAM: Ability = No("what a process writes is a stream, not packets");
const NOT_GIVEN: Ability =
    No("a socket lookup is given addresses and ports, not the packet's header");

const READS: &[Reads] = &[
    Reads {
        kinds: &[FieldKind::Tuple, FieldKind::Member],
        abilities: [Yes, Yes, Yes, Yes, Yes],
    },
    Reads {
        kinds: &[FieldKind::Fragment],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("datagrams are put together before their socket is looked up"),
            STREAM,
        ],
    },
    Reads {
        kinds: &[FieldKind::Icmp],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("sockets are looked up for TCP and UDP only"),
            No("the sockets of a group speak TCP"),
        ],
    },
    Reads {
        kinds: &[FieldKind::TcpFlags],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup is given addresses and ports, not the TCP header"),
            STREAM,
        ],
    },
    Reads {
        kinds: &[FieldKind::Length],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup is given addresses and ports, not the packet's length"),
            STREAM,
        ],
    },
    Reads {
        kinds: &[FieldKind::Ttl, FieldKind::Dscp],
        abilities: [Yes, Yes, Yes, NOT_GIVEN, STREAM],
    },
    Reads {
        kinds: &[FieldKind::Vlan],
        abilities: [
            IfAsked("most interfaces take the tag off before xdp sees the frame"),
            Yes,
            Yes,
            NOT_GIVEN,
            STREAM,
        ],
    },
    Reads {
        kinds: &[FieldKind::Mark],
        abilities: [
            No("a frame has no mark before the stack has taken it over"),
            Yes,
            Yes,
            No("a socket lookup is given addresses and ports, not the packet mark"),
            STREAM,
        ],
    },
    Reads {
        kinds: &[FieldKind::Interface],
        abilities: [
            Yes,
            Yes,
            Yes,
            Yes,
            No("what a process writes has no interface yet"),
        ],
    },
    Reads {
        kinds: &[FieldKind::Winner],
        abilities: [
            Yes,
            Yes,
            Yes,
            Yes,
            No("rules for what processes write are never taken together"),
        ],
    },
    Reads {
        kinds: &[FieldKind::Absent, FieldKind::Entry],
        abilities: [
            Yes,
            Yes,
            No("a packet that leaves has its socket already"),
            Yes,
            No("data that is written has its socket already"),
        ],
    },
    Reads {
        kinds: &[FieldKind::Socket],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("the socket lookup, where redirects run, is what finds the socket"),
            No("the socket is the one that is written to"),
        ],
    },
    Reads {
        kinds: &[FieldKind::Rate],
        abilities: [
            Yes,
            Yes,
            Yes,
            No("a socket lookup runs again and again for one packet, so it cannot meter"),
            Yes,
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

/// Whether a driver sends frames that a program turns round or moves is known only where they run.
const DRIVER: Ability = IfAsked("not every driver can send a frame from xdp; tc always can");

const DOES: &[Does] = &[
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
        verb: Verb::Reject,
        abilities: [
            DRIVER,
            Yes,
            No("a packet that leaves has no peer that could be answered; write `drop`"),
            Yes,
            Yes,
        ],
    },
    Does {
        verb: Verb::Forward,
        abilities: [
            DRIVER,
            Yes,
            Yes,
            No("a socket lookup chooses a socket, not an interface"),
            PACKETS,
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

/// Whether a hook can set the packet mark, by [`Hook`].
const SETS_MARK: [Ability; 5] = [
    No("a frame has no mark before the stack has taken it over"),
    Yes,
    Yes,
    No("a socket lookup cannot change the packet"),
    STREAM,
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

    /// Whether it sees packets on an interface.
    #[must_use]
    pub fn is_packet(self) -> bool {
        matches!(self, Self::Xdp | Self::TcIn | Self::TcOut)
    }

    /// Whether it can tell the value of a field.
    #[must_use]
    pub fn reads(self, field: Field) -> Ability {
        self.reads_kind(field.kind())
    }

    /// Whether it can tell the values of fields of a kind.
    #[must_use]
    pub fn reads_kind(self, kind: FieldKind) -> Ability {
        READS
            .iter()
            .find(|row| row.kinds.contains(&kind))
            .map_or(No("no hook reads it"), |row| row.abilities[self as usize])
    }

    /// Whether an allow there can set the packet mark.
    #[must_use]
    pub fn sets_mark(self) -> Ability {
        SETS_MARK[self as usize]
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
    fn every_kind_of_field_has_one_row() {
        for kind in FieldKind::ALL {
            let rows = READS.iter().filter(|row| row.kinds.contains(&kind));
            assert_eq!(rows.count(), 1, "{kind:?}");
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
