//! The code that is each hook's own: how its programs begin, and where they find what rules and counters ask for.
//!
//! One [`Code`] a hook, in a file for each kind of context. What a hook can do at all is not here but in [`crate::hook`].

mod connect;
mod datagram;
mod lookup;
mod packet;
mod receive;
mod send;

use crate::bpf::helper::Helper;
use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::hook::Hook;
use crate::ir::{Block, Builder, Slot};
use crate::policy::Family;

use super::frame::Frame;
use super::given::Given;

/// What is a hook's own in the code of its programs.
pub(super) struct Code {
    /// How its programs begin.
    pub(super) head: Head,
    /// The families that they decide for.
    pub(super) families: &'static [Family],
    /// Where a field stands that the hook can read.
    pub(super) field: fn(&Frame, Field, Family) -> Option<FieldLoad>,
    /// Where the number of bytes stands that are counted, if there is one.
    pub(super) size: fn(&Frame) -> Option<FieldLoad>,
    /// Where the context says the interface that it came in by, where programs ask for the class of that.
    pub(super) came_in: Option<i16>,
    /// What a record of `log` takes from the context: from where, and where to.
    pub(super) noted: &'static [(i16, u8)],
    /// Whether the kernel may take the program off its CPU while it counts.
    pub(super) preemptible: bool,
    /// Whether the kernel remembers an answer that lets go, and asks no more until all of what was let go is on its way.
    pub(super) remembered: bool,
    /// The helper that gives data to the socket in a slot, where data is.
    pub(super) feeds: Option<Helper>,
}

/// How a program gets at what it decides about.
#[derive(Clone, Copy)]
pub(super) enum Head {
    /// It reads the frame ([`super::prologue`]).
    Frame(Reach),
    /// The context has it. Writes from where it leads to the decision of each family, or lets go what nothing is said of.
    Context(fn(&Given<'_>, &mut Builder, Roots)),
}

/// Where a program goes whose context has everything.
#[derive(Clone, Copy)]
pub(super) struct Roots {
    /// The decision for IPv4.
    pub(super) v4: Block,
    /// That for IPv6; `pass` where the hook has none.
    pub(super) v6: Block,
    /// What no rule is about goes on.
    pub(super) pass: Block,
}

/// How a program gets at the bytes of a packet.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// Where the context says where the bytes begin that can be read directly, and where they end.
    pub(super) bounds: [i16; 2],
    /// Whether the frame is the kernel's already, in a buffer: only a part of it may be read directly, and helpers read the
    /// rest; the context says its length, and the tag that was taken off it. Otherwise all of the frame is there, and what
    /// it is only the frame says.
    pub(super) buffered: bool,
    /// Where the context says the interface that it came in by.
    pub(super) interface: i16,
}

/// The code of a hook.
pub(super) fn code(hook: Hook) -> &'static Code {
    match hook {
        Hook::Xdp => &packet::XDP,
        Hook::TcIn | Hook::TcOut => &packet::TC,
        Hook::TcForward => &packet::PASSING,
        Hook::SkLookup => &lookup::CODE,
        Hook::SkMsg => &send::CODE,
        Hook::SkSkb => &receive::CODE,
        Hook::CgroupSkb => &datagram::CODE,
        Hook::Connect4 | Hook::Sendmsg4 => &connect::V4,
        Hook::Connect6 | Hook::Sendmsg6 => &connect::V6,
    }
}

/// Where something stands, and how it is turned into a number in host order.
pub(super) struct FieldLoad {
    pub(super) base: Base,
    pub(super) offset: i16,
    pub(super) width: Width,
    /// Bits to swap from network order; 0 where it is in host order.
    pub(super) swap: i32,
}

/// What an offset counts from.
pub(super) enum Base {
    /// A slot of the stack.
    Stack(Slot),
    /// The context, always by the saved r1: the verifier refuses loads through a context pointer that was moved.
    Context,
}

/// Both families.
const BOTH: &[Family] = &[Family::V4, Family::V6];

/// A place in the context.
fn context(offset: i16, width: Width, swap: i32) -> Option<FieldLoad> {
    Some(FieldLoad {
        base: Base::Context,
        offset,
        width,
        swap,
    })
}

/// A place on the stack.
fn stack(slot: Slot, offset: i16, width: Width, swap: i32) -> Option<FieldLoad> {
    Some(FieldLoad {
        base: Base::Stack(slot),
        offset,
        width,
        swap,
    })
}

/// The sock_ops program of a group reads what it has put into the connection's own key, as if its own side were the sender.
/// The ports there are in host order.
fn at_door(own: Slot, field: Field) -> Option<FieldLoad> {
    match field {
        Field::FromPort => stack(own, 32, Width::W, 0),
        Field::ToPort => stack(own, 36, Width::W, 0),
        _ => stack(own, address(field, 0, 16)?, Width::W, 32),
    }
}

/// A word of the sender's or the receiver's address, given where the two begin.
fn address(field: Field, from: i16, to: i16) -> Option<i16> {
    Some(match field {
        Field::From0 => from,
        Field::From1 => from + 4,
        Field::From2 => from + 8,
        Field::From3 => from + 12,
        Field::To0 => to,
        Field::To1 => to + 4,
        Field::To2 => to + 8,
        Field::To3 => to + 12,
        _ => return None,
    })
}
