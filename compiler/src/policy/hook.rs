//! The names of hooks and verbs, as rules say them. What a hook can do is not here but in [`crate::hook`].

use super::{Action, DefaultVerdict};

listed! {
    /// A place in the kernel where one of our programs runs, in the order in which a packet or a write meets them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Hook {
        /// XDP, packets that arrive.
        Xdp,
        /// TC ingress, packets that arrive.
        TcIn,
        /// TC egress, packets that came in by another interface: ahead of those of [`Self::TcOut`], in the same program.
        TcForward,
        /// TC egress, packets that leave.
        TcOut,
        /// The socket lookup of new TCP connections and of datagrams for unconnected UDP sockets.
        SkLookup,
        /// Data written to a TCP socket that is in a SOCKMAP.
        SkMsg,
        /// connect(2) to an IPv4 address.
        Connect4,
        /// connect(2) to an IPv6 address, which may stand for an IPv4 one.
        Connect6,
        /// A datagram to an IPv4 address, with the address in the call.
        Sendmsg4,
        /// The same to an IPv6 address.
        Sendmsg6,
        /// Data that arrives on a TCP socket that is in a SOCKMAP.
        SkSkb,
        /// Datagrams that arrive at a UDP socket.
        CgroupSkb,
    }
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
    /// `redirect … to sock … at tc`, `redirect … by @map at tc`
    Intercept,
    /// `redirect … to interface`
    Forward,
    /// `shortcut`
    Shortcut,
    /// `redirect … to input of sock`, `redirect … to output of sock`
    Feed,
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
            Self::Redirect | Self::Intercept | Self::Forward | Self::Feed => "redirect",
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
            Action::Intercept(_) => Self::Intercept,
            Action::Forward(_) => Self::Forward,
            Action::Shortcut(_) => Self::Shortcut,
            Action::Feed(_) => Self::Feed,
        }
    }
}

impl From<DefaultVerdict> for Verb {
    fn from(verdict: DefaultVerdict) -> Self {
        match verdict {
            DefaultVerdict::Allow => Self::Allow,
            DefaultVerdict::Drop => Self::Drop,
            DefaultVerdict::Reject => Self::Reject,
        }
    }
}
