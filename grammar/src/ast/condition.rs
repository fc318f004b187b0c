//! Conditions, and what they ask of a field of the header.

use super::Name;
use crate::header_field::HeaderField;
use crate::source::Spanned;

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
    /// `02:42:ac:11:00:02`, its 48 bits in the order in which they are written.
    Hardware(Spanned<u64>),
}

/// A value of a field, by its name or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// `ef`
    Name(String),
    /// `46`
    Number(u64),
}
