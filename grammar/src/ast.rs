//! The syntax tree: what was written, every node with its span.
//!
//! It holds every construct of the language, also those that have no meaning yet. Numbers are as written (ports may
//! exceed 65535 here, prefixes may have host bits set): checking values is the resolver's work.

use std::net::IpAddr;

use crate::header_field::HeaderField;
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

/// One statement.
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
    Default(DefaultLine),
    /// `set …` and `live set …`
    Set(SetDecl),
    /// `socket …`
    Socket(SocketDecl),
    /// `map …` and `live map …`
    Map(MapDecl),
    /// `group …`
    Group(GroupDecl),
    /// `pairs NAME = registered …`
    Pairs(PairsDecl),
    /// `for zone|interface|netns … { … }`
    For(ForBlock),
    /// `expect …`
    Expect(Expect),
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

/// `default DIRECTION VERB [log …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultLine {
    /// Which list it ends.
    pub direction: Spanned<Direction>,
    /// What it does.
    pub verb: Spanned<Verb>,
    /// Whether it logs.
    pub log: Option<Spanned<Log>>,
}

worded! {
    /// The lists.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Direction {
        /// A packet that arrives.
        In = "in",
        /// A packet that leaves.
        Out = "out",
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
}

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
    /// `if C and C …`
    If(Vec<Spanned<Condition>>),
    /// `above RATE`
    Above(Rate),
    /// `up to RATE`
    UpTo(Rate),
    /// `mark N`
    Mark(Spanned<u64>),
    /// `log …`
    Log(Log),
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

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `no C`
    No(Box<Spanned<Condition>>),
    /// `any of { C, C }`
    AnyOf(Vec<Spanned<Condition>>),
    /// `socket exists|established|listening [in netns "…"]`; `no socket` is written as `no` of `exists`.
    Socket {
        /// Which state.
        state: SocketState,
        /// The other namespace, if written.
        netns: Option<Spanned<String>>,
    },
    /// `ttl < 2`, `tcp flags syn no ack`, `dscp ef`: a field of the header.
    Header(HeaderField, HeaderTest),
    /// `sock NAME absent`
    SockAbsent(Name),
}

worded! {
    /// A state of a socket condition.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum SocketState {
        /// Either of the others.
        Exists = "exists",
        /// A connected one.
        Established = "established",
        /// A listener, an unfinished handshake, an unconnected UDP socket.
        Listening = "listening",
    }
}

worded! {
    /// A TCP flag, each at its bit in the header's byte (RFC 9293, section 3.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum TcpFlag {
        /// Bit 0.
        Fin = "fin",
        /// Bit 1.
        Syn = "syn",
        /// Bit 2.
        Rst = "rst",
        /// Bit 3.
        Psh = "psh",
        /// Bit 4.
        Ack = "ack",
        /// Bit 5.
        Urg = "urg",
        /// Bit 6.
        Ece = "ece",
        /// Bit 7.
        Cwr = "cwr",
    }
}

worded! {
    /// How a number is compared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Comparison {
        /// Below the number.
        Less = "<",
        /// At most the number.
        LessOrEqual = "<=",
        /// The number.
        Equal = "=",
        /// At least the number.
        GreaterOrEqual = ">=",
        /// Above the number.
        Greater = ">",
    }
}

/// What is asked of a field of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTest {
    /// Nothing but its word: `fragment`.
    Present,
    /// `syn no ack`
    Flags {
        /// These are set.
        set: Vec<Spanned<TcpFlag>>,
        /// These are clear.
        clear: Vec<Spanned<TcpFlag>>,
    },
    /// `> 468`; after `with` always equal.
    Compared(Comparison, Spanned<u64>),
    /// `7` or `0x10/0xff`
    Masked {
        /// The value.
        value: Spanned<u64>,
        /// The mask, if written.
        mask: Option<Spanned<u64>>,
    },
    /// `ef` or `46`
    Code(Spanned<Code>),
}

/// A value of a field, by its name or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// `ef`
    Name(String),
    /// `46`
    Number(u64),
}

/// `N UNIT/PERIOD [per …] [burst N]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: Spanned<u64>,
    /// Of what.
    pub unit: RateUnit,
    /// In what time, in seconds: 1, 60 or 3600.
    pub period: u64,
    /// `per source…` or `per destination…`
    pub per: Option<Spanned<Per>>,
    /// `burst N`
    pub burst: Option<Spanned<u64>>,
}

worded! {
    /// What a rate counts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum RateUnit {
        /// Every packet takes one (a joined buffer at TC one for each segment).
        Packets = "packets",
        /// Every packet takes the length of its IP packet.
        Bytes = "bytes",
        /// A TCP SYN without ACK takes one, and a UDP packet (not a later fragment) without a connected socket. Others
        /// take none and always fit.
        Connections = "connections",
    }
}

worded! {
    /// How long a rate counts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Period {
        /// The shortest.
        Second = "second",
        /// 60 of them.
        Minute = "minute",
        /// 3600 of them.
        Hour = "hour",
    }
}

impl Period {
    /// How many seconds it has.
    pub(crate) const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// `per source[/24[/56]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Per {
    /// True for `destination`.
    pub destination: bool,
    /// The IPv4 prefix length, if written.
    pub v4: Option<Spanned<u64>>,
    /// The IPv6 prefix length, if written.
    pub v6: Option<Spanned<u64>>,
}

/// `log ["text"] [sample 1/N] [max N/PERIOD]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The text.
    pub text: Option<Spanned<String>>,
    /// `sample A/B`
    pub sample: Option<Spanned<(u64, u64)>>,
    /// `max N/PERIOD`: count and period in seconds.
    pub max: Option<Spanned<(u64, u64)>>,
}

/// `expect VERDICT PACKET`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The verdict that must come out.
    pub verdict: Spanned<ExpectedVerdict>,
    /// The packets it is said of.
    pub packet: Packet,
}

/// The verdict of an `expect` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedVerdict {
    /// `allow`, `drop`, `reject`, …
    Plain(Verb),
    /// `redirect to sock NAME`
    RedirectToSock(Name),
}

/// A packet, or a region of packets, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The direction, if written.
    pub direction: Option<Spanned<Direction>>,
    /// The protocols; on the command line exactly one.
    pub protocols: Vec<Spanned<Protocol>>,
    /// `from …`
    pub from: Option<Spanned<Side>>,
    /// `to …`
    pub to: Option<Spanned<Side>>,
    /// `on zone NAME` or `on interface NAME`
    pub on: Option<Spanned<On>>,
    /// `with …`
    pub with: Vec<Spanned<With>>,
}

/// Where a packet arrives or leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// `on zone NAME`
    Zone(Name),
    /// `on interface NAME`
    Interface(Name),
}

/// One item after `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// `socket listening`; `no socket` is `None`.
    Socket(Option<SocketState>),
    /// `ttl 3`, `tcp flags syn no ack`, `dscp ef`: the value of a field of the header.
    Header(HeaderField, HeaderTest),
    /// `@banned { 1.2.3.4 }`
    Members {
        /// The live set.
        set: Name,
        /// What is in it.
        elements: Vec<Spanned<Address>>,
    },
    /// `@tenants { 10.7.3.1:443 -> sock web }`
    Contents {
        /// The live map.
        map: Name,
        /// What it holds; where that is nothing, it is written as [`Members`](Self::Members).
        entries: Vec<Spanned<MapEntry>>,
    },
    /// `rate exceeded`, or `no rate exceeded`.
    RateExceeded(bool),
    /// `malformed`
    Malformed,
    /// `sock NAME absent`
    SockAbsent(Name),
    /// `group NAME`
    Group(Name),
    /// `in netns "blue"`
    Netns(Spanned<String>),
}
