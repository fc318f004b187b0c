//! Rules: a verb, and the clauses after it.

use super::{Condition, Direction, Log, Name, Rate, Side, Verb};
use crate::source::{Span, Spanned};

/// `[label:] [audit] VERB [DIRECTION] [PROTOCOLS] CLAUSES`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `label:`
    pub label: Option<Name>,
    /// The word `audit`, if written.
    pub audit: Option<Span>,
    /// The verb.
    pub verb: Spanned<Verb>,
    /// The direction, if written.
    pub direction: Option<Spanned<Direction>>,
    /// The protocols; empty means every one.
    pub protocols: Vec<Spanned<Protocol>>,
    /// The clauses, in the order they were written.
    pub clauses: Vec<Spanned<Clause>>,
}

/// A protocol of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
    /// `icmp [TYPES]`: protocol 1 over IPv4.
    Icmp(Vec<Spanned<IcmpType>>),
    /// `icmp6 [TYPES]`: protocol 58 over IPv6.
    Icmp6(Vec<Spanned<IcmpType>>),
    /// `esp`
    Esp,
    /// `ah`
    Ah,
    /// `gre`
    Gre,
    /// `proto 89`
    Number(Spanned<u64>),
}

impl Protocol {
    /// The one that a word means which stands for a protocol and nothing else.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "esp" => Self::Esp,
            "ah" => Self::Ah,
            "gre" => Self::Gre,
            _ => return None,
        })
    }
}

/// An ICMP type, with a code if written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IcmpType {
    /// `echo-request`
    Name(String),
    /// `3`
    Number(u64),
    /// `3/4`
    WithCode(u64, u64),
}

/// One clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// `from …`
    From(Side),
    /// `to …`, or a redirect's destination without its `to`.
    To {
        /// Whether the word `to` was left out.
        bare: bool,
        /// The destination.
        side: Side,
    },
    /// `on zone NAME`
    OnZone(Name),
    /// `on interface PATTERN`
    OnInterface(Name),
    /// `to zone NAME`: where what passes through leaves.
    ToZone(Name),
    /// `to interface PATTERN` likewise; of a redirect it is a [`Target`].
    ToInterface(Name),
    /// `if C and C …`
    If(Vec<Spanned<Condition>>),
    /// `above RATE`
    Above(Box<Rate>),
    /// `up to RATE`
    UpTo(Box<Rate>),
    /// `mark N`
    Mark(Spanned<u64>),
    /// `log …`
    Log(Box<Log>),
    /// `at HOOK`
    At(Spanned<HookName>),
    /// `note "…"`
    Note(Spanned<String>),
    /// `to sock N`, `by @map`, …
    Target(Target),
}

worded! {
    /// A hook as `at` names it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum HookName {
        /// Packets that arrive, before the stack sees them.
        Xdp = "xdp",
        /// Packets that arrive or leave.
        Tc = "tc",
        /// The lookup of sockets.
        SkLookup = "sk_lookup",
        /// Calls of a process that name whom it wants to reach.
        Connect = "connect",
        /// Data a process writes.
        SkMsg = "sk_msg",
        /// Data that arrives on a socket.
        SkSkb = "sk_skb",
        /// Datagrams that arrive at a socket.
        CgroupSkb = "cgroup_skb",
    }
}

/// Where a steering rule sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `to sock NAME`
    Sock(Name),
    /// `to interface NAME`
    Interface(Name),
    /// `to input of sock NAME`
    InputOf(Name),
    /// `to output of sock NAME`
    OutputOf(Name),
    /// `by @MAP`
    ByMap(Name),
    /// `within group NAME`
    WithinGroup(Name),
    /// `pairs NAME`
    Pairs(Name),
}
