//! sk_skb: its context is that of a packet, with the addresses and ports of its socket, whose local side is the receiver.
//! The bytes are those of the stream, without headers (`tcp_read_skb`). The kernel runs it where packets come in, or
//! where a reader takes up what came while it had the socket, and only keeps it from moving to another CPU
//! (`bpf_prog_run_pin_on_cpu`).

use super::{BOTH, Code, FieldLoad, Head, Roots, address, at_door, context};
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::Builder;
use crate::log::offset;
use crate::lower::context::{AF_INET, AF_INET6, mapped, skb};
use crate::lower::frame::Frame;
use crate::lower::given::Given;
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    head: Head::Context(begin),
    families: BOTH,
    field,
    size: |_| context(skb::LEN, Width::W, 0),
    noted: &[(skb::LEN, offset::LENGTH)],
    preemptible: true,
    remembered: false,
};

fn field(frame: &Frame, field: Field, family: Family) -> Option<FieldLoad> {
    if let Some(own) = frame.own {
        return at_door(own, field);
    }
    let (from, to) = match family {
        Family::V4 => (skb::REMOTE_IP4, skb::LOCAL_IP4),
        Family::V6 => (skb::REMOTE_IP6, skb::LOCAL_IP6),
    };
    match field {
        Field::FromPort => context(skb::REMOTE_PORT, Width::W, 32),
        Field::ToPort => context(skb::LOCAL_PORT, Width::W, 0),
        _ => context(address(field, from, to)?, Width::W, 32),
    }
}

/// The end of a stream comes as data of no length, which is nobody's to decide (`tcp_read_skb` hands over the segment of a
/// FIN). As for `send`, the IPv4 connection of a dual-stack socket has IPv4-mapped addresses, and its IPv4 fields too.
fn begin(given: &Given<'_>, builder: &mut Builder, roots: Roots) {
    let length = builder.load(given.context, skb::LEN, Width::W);
    builder.leave_if(length, JumpOp::Eq, 0, roots.pass);
    let family = builder.load(given.context, skb::FAMILY, Width::W);
    builder.leave_if(family, JumpOp::Eq, AF_INET, roots.v4);
    builder.leave_if(family, JumpOp::Ne, AF_INET6, roots.pass);
    mapped(builder, given.context, skb::REMOTE_IP6, roots.v6);
    builder.jump(roots.v4);
}
