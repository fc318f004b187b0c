//! sk_msg: its context has the connection, whose local side is the sender. The kernel runs it in the writing process
//! (`sk_psock_msg_verdict`), which a preemptible kernel may take off its CPU.

use super::{BOTH, Code, FieldLoad, Head, Roots, address, at_door, context};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::Builder;
use crate::log::offset;
use crate::lower::context::{AF_INET, AF_INET6, mapped, msg};
use crate::lower::frame::Frame;
use crate::lower::given::Given;
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    head: Head::Context(begin),
    families: BOTH,
    field,
    size: |_| context(msg::SIZE, Width::W, 0),
    came_in: None,
    noted: &[(msg::SIZE, offset::LENGTH)],
    preemptible: true,
    remembered: true,
    feeds: Some(Helper::MsgRedirectMap),
};

fn field(frame: &Frame, field: Field, family: Family) -> Option<FieldLoad> {
    if let Some(own) = frame.own {
        return at_door(own, field);
    }
    let (from, to) = match family {
        Family::V4 => (msg::LOCAL_IP4, msg::REMOTE_IP4),
        Family::V6 => (msg::LOCAL_IP6, msg::REMOTE_IP6),
    };
    match field {
        Field::FromPort => context(msg::LOCAL_PORT, Width::W, 0),
        Field::ToPort => context(msg::REMOTE_PORT, Width::W, 32),
        _ => context(address(field, from, to)?, Width::W, 32),
    }
}

/// A dual-stack socket's IPv4 connection has IPv4-mapped addresses and counts as IPv4; the kernel fills the IPv4 fields for
/// it too.
fn begin(given: &Given<'_>, builder: &mut Builder, roots: Roots) {
    let family = builder.load(given.context, msg::FAMILY, Width::W);
    builder.leave_if(family, JumpOp::Eq, AF_INET, roots.v4);
    builder.leave_if(family, JumpOp::Ne, AF_INET6, roots.pass);
    mapped(builder, given.context, msg::REMOTE_IP6, roots.v6);
    builder.jump(roots.v4);
}
