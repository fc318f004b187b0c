//! Packets as they are written: in `expect` lines and on command lines.

use super::{
    Address, Direction, HeaderTest, MapEntry, Name, Protocol, Side, SocketState, Target, Verb,
};
use crate::header_field::HeaderField;
use crate::source::Spanned;

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
    /// `redirect to sock NAME`, `redirect to input of sock NAME` or `redirect to output of sock NAME`
    RedirectTo(Target),
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
    /// `to zone NAME` or `to interface NAME`: where a packet that passes through leaves.
    pub leaves: Option<Spanned<On>>,
    /// `with …`
    pub with: Vec<Spanned<With>>,
}

/// An interface that a packet arrives or leaves by.
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
    /// `self`: the address at the machine's end is its own.
    Own,
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
