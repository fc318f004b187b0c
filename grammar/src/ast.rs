//! The syntax tree: what was written, every node with its span.
//!
//! It holds every construct of the language, also those that have no meaning yet. Numbers are as written (ports may
//! exceed 65535 here, prefixes may have host bits set): checking values is the resolver's work.

mod condition;
mod packet;
mod rate;
mod rule;

pub use condition::{Code, Comparison, Condition, HeaderTest, SocketState, TcpFlag};
pub use packet::{Expect, ExpectedVerdict, On, Packet, With};
pub use rate::{Log, Per, Period, Rate, RateUnit, TimeUnit};
pub use rule::{Clause, HookName, IcmpType, Protocol, Rule, Target};

use std::net::{IpAddr, Ipv6Addr};

use crate::source::{SourceId, Span, Spanned};

/// A name as written.
pub type Name = Spanned<String>;

/// One file: its statements in order.
#[derive(Clone, Debug)]
pub struct File {
    /// The text it came from.
    pub source: SourceId,
    /// The statements, in the order they were written.
    pub statements: Vec<Spanned<Statement>>,
}

impl File {
    /// Every statement that is no block, those inside blocks included, in the order they were written.
    pub fn all(&self) -> impl Iterator<Item = &Spanned<Statement>> {
        let mut rest: Vec<&Spanned<Statement>> = self.statements.iter().rev().collect();
        std::iter::from_fn(move || {
            loop {
                let next = rest.pop()?;
                match &next.value {
                    Statement::For(block) => rest.extend(block.statements.iter().rev()),
                    _ => return Some(next),
                }
            }
        })
    }
}

/// One statement. What is not a rule stands apart: there may be 100,000 rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `sockc 1`
    Version(Spanned<u64>),
    /// `policy edge`
    Policy(Name),
    /// `include "common.sk"` or `include <essentials>`
    Include(Include),
    /// `interfaces eth0, br-*`
    Interfaces(Vec<Name>),
    /// `zone wan = eth0`
    Zone(Zone),
    /// `default in drop`
    Default(Box<DefaultLine>),
    /// `set …` and `live set …`
    Set(Box<SetDecl>),
    /// `socket …`
    Socket(Box<SocketDecl>),
    /// `map …` and `live map …`
    Map(Box<MapDecl>),
    /// `group …`
    Group(Box<GroupDecl>),
    /// `pairs NAME = registered …`
    Pairs(PairsDecl),
    /// `for zone|interface|netns … { … }`
    For(ForBlock),
    /// `expect …`
    Expect(Box<Expect>),
    /// A rule.
    Rule(Box<Rule>),
}

/// What an `include` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Include {
    /// A file, relative to this one.
    Path(Spanned<String>),
    /// A text the compiler brings, such as `essentials`.
    Builtin(Name),
}

/// `zone NAME = PATTERNS`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: Name,
    /// Interface patterns.
    pub interfaces: Vec<Name>,
}

/// `default DIRECTION VERB [log …] [at HOOK]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultLine {
    /// Which list it ends.
    pub direction: Spanned<Direction>,
    /// What it does.
    pub verb: Spanned<Verb>,
    /// Whether it logs.
    pub log: Option<Spanned<Log>>,
    /// Where its list is to run.
    pub at: Option<Spanned<HookName>>,
}

worded! {
    /// The lists.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Direction {
        /// A packet that arrives.
        In = "in",
        /// A packet that leaves.
        Out = "out",
        /// A packet that came in by one interface and leaves by another.
        Forward = "forward",
        /// A call of a process that names whom it wants to reach.
        Connect = "connect",
        /// Data a process writes.
        Send = "send",
        /// Data that arrives on a socket.
        Receive = "receive",
    }
}

worded! {
    /// The verb of a rule.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Verb {
        /// Go on to the stack or the peer.
        Allow = "allow",
        /// Silently away.
        Drop = "drop",
        /// As if nobody listened.
        Reject = "reject",
        /// Count, and go on in the list.
        Count = "count",
        /// Hand to a socket, an interface, a socket's input or output.
        Redirect = "redirect",
        /// Both ends are local: socket to socket.
        Shortcut = "shortcut",
        /// A proxy's pair of sockets, joined.
        Splice = "splice",
    }
}

/// `[live] set NAME …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDecl {
    /// The word `live`, if written.
    pub live: Option<Span>,
    /// Its name.
    pub name: Name,
    /// `max N` before the `=` (live sets).
    pub max: Option<Spanned<u64>>,
    /// `expires DURATION`, in milliseconds.
    pub expires: Option<Spanned<u64>>,
    /// What is in it; `None` for a live set that starts empty.
    pub value: Option<SetValue>,
}

/// What a set is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// `ports { … }`
    Ports(Vec<Spanned<PortItem>>),
    /// Addresses: terms joined by `+` and `-`, from the left.
    Addresses {
        /// The first term.
        first: SetTerm,
        /// The others with their operators.
        rest: Vec<(Spanned<SetOperator>, SetTerm)>,
    },
}

/// `+` or `-`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    /// Union.
    Plus,
    /// Difference.
    Minus,
}

/// One term of set arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetTerm {
    /// `{ … }`
    Elements(Vec<Spanned<Address>>),
    /// `@name`
    Named(Name),
    /// `file "…" [max N]`
    File {
        /// The path as written.
        path: Spanned<String>,
        /// The limit, if written.
        max: Option<Spanned<u64>>,
    },
}

/// An address as a rule or set writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `any`
    Any,
    /// An address, or a prefix if a length was written.
    Prefix {
        /// The address as written, host bits included.
        address: IpAddr,
        /// The length as written.
        length: Option<u64>,
    },
    /// `low-high`
    Range(IpAddr, IpAddr),
    /// `@name`
    Set(Name),
    /// `self`: the addresses of this machine, whatever they are while the policy is in force.
    Own,
}

/// The word for the addresses of this machine, which is also the name of the set that holds them.
pub const OWN: &str = "self";

/// One item of a port list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortItem {
    /// `53`
    One(u64),
    /// `8000-8099`
    Range(u64, u64),
    /// `domain`
    Service(String),
    /// `@ports`
    Set(String),
}

/// The ports of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// `*`
    Any,
    /// One item, or several in braces.
    List(Vec<Spanned<PortItem>>),
}

/// `ADDRESS`, `ADDRESS:PORTS` or `port PORTS`; at least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address part.
    pub address: Option<Spanned<Address>>,
    /// The ports part.
    pub ports: Option<Spanned<Ports>>,
}

impl Endpoint {
    /// How an address is written with ports: one of IPv6 stands in brackets then.
    #[must_use]
    pub fn written(address: &str, ports: &str) -> String {
        let host = address.split(['/', '-']).next().unwrap_or("");
        match host.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{address}]:{ports}"),
            Err(_) => format!("{address}:{ports}"),
        }
    }
}

/// What follows `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// `[not] ENDPOINT, ENDPOINT …`
    Endpoints {
        /// The word `not`, if written.
        not: Option<Span>,
        /// The list.
        endpoints: Vec<Spanned<Endpoint>>,
    },
    /// `group NAME`
    Group(Name),
}

/// `socket NAME = … [owner …] [if absent drop|reject]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketDecl {
    /// Its name.
    pub name: Name,
    /// Where it comes from.
    pub origin: SocketOrigin,
    /// `owner …`.
    pub owner: Option<Spanned<SocketOwner>>,
    /// `members N`; the span is that of all of it.
    pub members: Option<Spanned<u64>>,
    /// `spread by source`.
    pub spread_by_source: Option<Span>,
    /// `pinned`.
    pub pinned: Option<Span>,
    /// `if absent VERB`.
    pub absent: Option<Spanned<Verb>>,
}

/// Where a socket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOrigin {
    /// `tcp listen 127.0.0.1:1234, …`
    Listen(Vec<Spanned<Listen>>),
    /// `registered`
    Registered(Span),
    /// `systemd "unit" [name "fd"]`
    Systemd {
        /// The unit.
        unit: Spanned<String>,
        /// The file descriptor's name.
        name: Option<Spanned<String>>,
    },
    /// `process "pidfile" tcp listen …`
    Process {
        /// The file that holds the process id.
        pid_file: Spanned<String>,
        /// The addresses it listens on.
        listen: Vec<Spanned<Listen>>,
    },
}

/// Whose a socket has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOwner {
    /// `owner uid 33`
    Uid(Spanned<u64>),
    /// `owner uid www-data`, or the name as a string.
    User(Spanned<String>),
    /// `owner cgroup "/system.slice/haproxy.service"`
    Cgroup(Spanned<String>),
}

/// `tcp|udp listen ADDRESS:PORT`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `tcp` or `udp`, as written.
    pub protocol: Name,
    /// The address.
    pub address: Spanned<IpAddr>,
    /// The port as written.
    pub port: Spanned<u64>,
}

/// `[live] map NAME …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDecl {
    /// The word `live`, if written.
    pub live: Option<Span>,
    /// Its name.
    pub name: Name,
    /// `max N`.
    pub max: Option<Spanned<u64>>,
    /// The entries.
    pub entries: Vec<Spanned<MapEntry>>,
}

/// `[PROTOCOL] ENDPOINT -> sock NAME`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// The protocol, if named.
    pub protocol: Option<Spanned<Protocol>>,
    /// Prefix and ports.
    pub endpoint: Spanned<Endpoint>,
    /// The socket.
    pub socket: Name,
}

/// `group NAME = cgroup "/path"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDecl {
    /// Its name.
    pub name: Name,
    /// The cgroup's path from the root of the cgroup-v2 hierarchy.
    pub cgroup: Spanned<String>,
}

/// `pairs NAME = registered max N`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairsDecl {
    /// Its name.
    pub name: Name,
    /// `max N`.
    pub max: Option<Spanned<u64>>,
}

/// `for … { … }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForBlock {
    /// What it is for.
    pub scope: Scope,
    /// What stands in it.
    pub statements: Vec<Spanned<Statement>>,
}

/// What a `for` block is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `zone NAME`
    Zone(Name),
    /// `interface PATTERN`
    Interface(Name),
    /// `netns "NAME"`
    Netns(Spanned<String>),
}
