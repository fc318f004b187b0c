//! XDP and TC: the prologue has left the packet's fields on the stack; the mark stands in the context of TC.

use super::{BOTH, Code, FieldLoad, Head, Reach, address, context, stack};
use crate::bpf::opcode::Width;
use crate::field::Field;
use crate::header_field;
use crate::log::offset;
use crate::lower::context::{skb, xdp};
use crate::lower::frame::Frame;
use crate::policy::Family;

pub(super) static XDP: Code = on_frames();

const fn on_frames() -> Code {
    Code {
        head: Head::Frame(Reach {
            bounds: [xdp::DATA, xdp::DATA_END],
            buffered: false,
            interface: xdp::INGRESS_IFINDEX,
        }),
        families: BOTH,
        field: on_stack,
        size: length,
        came_in: None,
        noted: &[(xdp::INGRESS_IFINDEX, offset::INTERFACE)],
        preemptible: false,
        remembered: false,
        feeds: None,
    }
}

pub(super) static TC: Code = with_marks();

const fn with_marks() -> Code {
    Code {
        head: Head::Frame(Reach {
            bounds: [skb::DATA, skb::DATA_END],
            buffered: true,
            interface: skb::IFINDEX,
        }),
        field: with_mark,
        noted: &[(skb::IFINDEX, offset::INTERFACE), (skb::MARK, offset::MARK)],
        ..on_frames()
    }
}

/// The program is there for all that leaves: what came in by no interface, or by this one, is none of its list.
pub(super) static PASSING: Code = Code {
    came_in: Some(skb::INGRESS_IFINDEX),
    noted: &[
        (skb::IFINDEX, offset::INTERFACE),
        (skb::INGRESS_IFINDEX, offset::CAME_IN),
        (skb::MARK, offset::MARK),
    ],
    ..with_marks()
};

/// The mark is read before any rule sets it.
fn with_mark(frame: &Frame, field: Field, family: Family) -> Option<FieldLoad> {
    let byte = match field {
        Field::Mark0 => 3,
        Field::Mark1 => 2,
        Field::Mark2 => 1,
        Field::Mark3 => 0,
        _ => return on_stack(frame, field, family),
    };
    context(skb::MARK + byte, Width::B, 0)
}

fn length(frame: &Frame) -> Option<FieldLoad> {
    stack(frame.length, 0, Width::W, 0)
}

fn on_stack(frame: &Frame, field: Field, _: Family) -> Option<FieldLoad> {
    match field {
        Field::Protocol => stack(frame.protocol, 0, Width::B, 0),
        Field::Fragment => stack(frame.fragment, 0, Width::B, 0),
        Field::FromPort => stack(frame.ports, 0, Width::H, 16),
        Field::ToPort => stack(frame.ports, 2, Width::H, 16),
        Field::Icmp => stack(frame.ports, 0, Width::H, 16),
        Field::TcpFlags => stack(frame.flags, 0, Width::B, 0),
        Field::Length => length(frame),
        Field::Vlan => stack(frame.vlan, 0, Width::H, 0),
        Field::EtherFrom0 => stack(frame.ether[0], 0, Width::W, 0),
        Field::EtherFrom1 => stack(frame.ether[0], 4, Width::W, 0),
        Field::EtherTo0 => stack(frame.ether[1], 0, Width::W, 0),
        Field::EtherTo1 => stack(frame.ether[1], 4, Width::W, 0),
        Field::From0 | Field::From1 | Field::From2 | Field::From3 => {
            stack(frame.from, address(field, 0, 0)?, Width::W, 32)
        }
        _ => match header_field::of(field).and_then(|row| frame.ip[row.field]) {
            Some(slot) => stack(slot, 0, Width::B, 0),
            None => stack(frame.to, address(field, 0, 0)?, Width::W, 32),
        },
    }
}
