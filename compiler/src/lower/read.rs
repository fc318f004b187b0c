//! How each hook reads each field: one table a hook, in packet terms.
//!
//! Packet hooks read what the prologue left on the stack; sk_lookup and sk_msg read their context, always at constant
//! offsets from the saved r1 (the verifier refuses loads through a context pointer that was moved).

use crate::bpf::opcode::{AluOp, Width};
use crate::field::Field;
use crate::header_field;
use crate::hook::Hook;
use crate::ir::{Slot, Value};
use crate::policy::Family;

use super::context::{lookup, msg, skb};
use super::{Lowering, frame, header};

/// Where a field stands, and how it is turned into a number in host order.
struct Place {
    base: Base,
    offset: i16,
    width: Width,
    /// Bits to swap from network order; 0 where it is in host order.
    swap: i32,
}

enum Base {
    Stack(Slot),
    Context,
}

impl Lowering<'_> {
    /// Loads a field into `dst`, in host order. A field that the hook cannot read never gets here: placement has kept
    /// it out of the chain.
    pub(super) fn read(&mut self, dst: Value, field: Field, family: Family) {
        let swap = self.load_field(dst, field, family);
        if swap != 0 {
            self.builder.from_network(dst, swap);
        }
        let above = match field {
            Field::Fragment => frame::WHOLE,
            Field::Vlan => header::UNTAGGED,
            _ => return,
        };
        self.builder.alu(dst, AluOp::Sub, above);
    }

    /// Loads a word of an address into `dst` as it stands in memory, in network order.
    pub(super) fn read_raw(&mut self, dst: Value, field: Field, family: Family) {
        self.load_field(dst, field, family);
    }

    /// Loads what stands for a field; gives the bits that are to be swapped from network order.
    fn load_field(&mut self, dst: Value, field: Field, family: Family) -> i32 {
        let place = match self.source.chain.hook {
            Hook::Xdp | Hook::TcIn | Hook::TcOut => self.in_packet(field),
            Hook::SkLookup => in_lookup(field, family),
            Hook::SkMsg => match &self.door {
                Some(door) => at_door(door.own, field),
                None => in_message(field, family),
            },
        };
        let Some(place) = place else {
            let hook = self.source.chain.hook;
            self.builder.bug(format!(
                "{field:?} is read at {hook:?}, which cannot read it"
            ));
            self.builder.set(dst, 0);
            return 0;
        };
        match place.base {
            Base::Stack(slot) => {
                let byte = self.builder.fit(place.offset, "the offset of a field");
                self.builder.load_slot_to(dst, slot, byte, place.width);
            }
            Base::Context => {
                self.builder
                    .load_to(dst, self.registers.context, place.offset, place.width)
            }
        }
        place.swap
    }

    /// On the stack, but for the mark, which the context of TC holds: it is read before any rule sets it.
    fn in_packet(&self, field: Field) -> Option<Place> {
        let byte = match field {
            Field::Mark0 => 3,
            Field::Mark1 => 2,
            Field::Mark2 => 1,
            Field::Mark3 => 0,
            _ => return self.on_stack(field),
        };
        let marked = self.source.chain.hook != Hook::Xdp;
        marked
            .then(|| context(skb::MARK + byte, Width::B, 0))
            .flatten()
    }

    fn on_stack(&self, field: Field) -> Option<Place> {
        let frame = &self.frame;
        let (slot, offset, width, swap) = match field {
            Field::Protocol => (frame.protocol, 0, Width::B, 0),
            Field::Fragment => (frame.part, 0, Width::B, 0),
            Field::FromPort => (frame.ports, 0, Width::H, 16),
            Field::ToPort => (frame.ports, 2, Width::H, 16),
            Field::Icmp => (frame.icmp, 0, Width::H, 16),
            Field::TcpFlags => (frame.flags, 0, Width::B, 0),
            Field::Length => (frame.length, 0, Width::W, 0),
            Field::Vlan => (frame.vlan, 0, Width::H, 0),
            Field::From0 | Field::From1 | Field::From2 | Field::From3 => {
                (frame.from, 4 * word(field), Width::W, 32)
            }
            Field::To0 | Field::To1 | Field::To2 | Field::To3 => {
                (frame.to, 4 * word(field), Width::W, 32)
            }
            _ => {
                let row = header_field::of(field)?;
                (frame.ip[row.field]?, 0, Width::B, 0)
            }
        };
        Some(Place {
            base: Base::Stack(slot),
            offset,
            width,
            swap,
        })
    }
}

/// Which 32 bits of an address a field is.
fn word(field: Field) -> i16 {
    match field {
        Field::From1 | Field::To1 => 1,
        Field::From2 | Field::To2 => 2,
        Field::From3 | Field::To3 => 3,
        _ => 0,
    }
}

fn context(offset: i16, width: Width, swap: i32) -> Option<Place> {
    Some(Place {
        base: Base::Context,
        offset,
        width,
        swap,
    })
}

/// The remote side is the sender of a lookup.
fn in_lookup(field: Field, family: Family) -> Option<Place> {
    let (from, to) = match family {
        Family::V4 => (lookup::REMOTE_IP4, lookup::LOCAL_IP4),
        Family::V6 => (lookup::REMOTE_IP6, lookup::LOCAL_IP6),
    };
    match field {
        Field::Protocol => context(lookup::PROTOCOL, Width::W, 0),
        Field::FromPort => context(lookup::REMOTE_PORT, Width::H, 16),
        Field::ToPort => context(lookup::LOCAL_PORT, Width::W, 0),
        Field::From0 | Field::From1 | Field::From2 | Field::From3 => {
            context(from + 4 * word(field), Width::W, 32)
        }
        Field::To0 | Field::To1 | Field::To2 | Field::To3 => {
            context(to + 4 * word(field), Width::W, 32)
        }
        _ => None,
    }
}

/// The sock_ops program of a group reads what it has put into the connection's own key, whose ports are in host order.
fn at_door(own: Slot, field: Field) -> Option<Place> {
    let (offset, swap) = match field {
        Field::From0 | Field::From1 | Field::From2 | Field::From3 => (4 * word(field), 32),
        Field::To0 | Field::To1 | Field::To2 | Field::To3 => (16 + 4 * word(field), 32),
        Field::FromPort => (32, 0),
        Field::ToPort => (36, 0),
        _ => return None,
    };
    Some(Place {
        base: Base::Stack(own),
        offset,
        width: Width::W,
        swap,
    })
}

/// The local side is the sender of a message.
fn in_message(field: Field, family: Family) -> Option<Place> {
    let (from, to) = match family {
        Family::V4 => (msg::LOCAL_IP4, msg::REMOTE_IP4),
        Family::V6 => (msg::LOCAL_IP6, msg::REMOTE_IP6),
    };
    match field {
        Field::FromPort => context(msg::LOCAL_PORT, Width::W, 0),
        Field::ToPort => context(msg::REMOTE_PORT, Width::W, 32),
        Field::From0 | Field::From1 | Field::From2 | Field::From3 => {
            context(from + 4 * word(field), Width::W, 32)
        }
        Field::To0 | Field::To1 | Field::To2 | Field::To3 => {
            context(to + 4 * word(field), Width::W, 32)
        }
        _ => None,
    }
}
