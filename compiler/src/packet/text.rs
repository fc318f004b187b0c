//! Packets in the words of the command line (language section 8), both ways.
//!
//! Takes a packet and gives its shortest text; takes the syntax tree of such a text and gives the packet. What the text
//! leaves out has its plain value, and what has its plain value is left out.
//!
//! Choices where the language is silent:
//! - `icmp` and `icmp6` without a type are echo requests, a type without a code has code 0.
//! - A fragment without ports, and without an ICMP type, is a later one. The first fragment of a protocol that has
//!   neither is written like a later one: no rule can tell them apart.
//! - An address may be written as a prefix of its whole length.
//! - A write (`send`) belongs to the one declared group if none is named.

mod case;
pub mod codes;
mod endpoint;
mod read;
mod with;
mod write;

use crate::event::{Event, SocketAnswer};
use crate::policy::SocketId;

pub use read::read;
pub use write::{describe, describe_case};

/// What a text describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The packet or write.
    pub event: Event,
    /// The socket that the lookup finds.
    pub socket: SocketAnswer,
    /// The named sockets that are not there; all others are.
    pub absent: Vec<SocketId>,
}

#[cfg(test)]
mod tests;
