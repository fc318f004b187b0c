//! sk_lookup: its context has addresses and ports; the remote side is the sender.

use super::{BOTH, Code, FieldLoad, Head, Roots, address, context};
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::Builder;
use crate::lower::context::{AF_INET, AF_INET6, lookup};
use crate::lower::frame::{self, Frame};
use crate::lower::given::Given;
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    head: Head::Context(begin),
    families: BOTH,
    field,
    size: |_| None,
    came_in: Some(lookup::INGRESS_IFINDEX),
    noted: &[],
    preemptible: false,
    remembered: false,
    feeds: None,
};

fn field(_: &Frame, field: Field, family: Family) -> Option<FieldLoad> {
    let (from, to) = match family {
        Family::V4 => (lookup::REMOTE_IP4, lookup::LOCAL_IP4),
        Family::V6 => (lookup::REMOTE_IP6, lookup::LOCAL_IP6),
    };
    match field {
        Field::Protocol => context(lookup::PROTOCOL, Width::W, 0),
        Field::FromPort => context(lookup::REMOTE_PORT, Width::H, 16),
        Field::ToPort => context(lookup::LOCAL_PORT, Width::W, 0),
        _ => context(address(field, from, to)?, Width::W, 32),
    }
}

fn begin(given: &Given<'_>, builder: &mut Builder, roots: Roots) {
    keep_asked(given, builder);
    let family = builder.load(given.context, lookup::FAMILY, Width::W);
    builder.leave_if(family, JumpOp::Eq, AF_INET, roots.v4);
    builder.leave_if(family, JumpOp::Eq, AF_INET6, roots.v6);
    builder.jump(roots.pass);
}

/// Keeps who the lookup is for.
fn keep_asked(given: &Given<'_>, builder: &mut Builder) {
    let Some(map) = given.source.maps.asking else {
        return;
    };
    let (frame, after) = (&given.frame, builder.head_block());
    builder.set_slot(frame.asked, 0, frame::PACKET, Width::W);
    builder.set_slot(frame.key, 0, 0, Width::W);
    let place = given.found(builder, map, after);
    let asking = builder.load(place, 0, Width::W);
    builder.alu(asking, AluOp::Add, frame::PACKET);
    builder.store_slot(frame.asked, 0, asking, Width::W);
    builder.jump(after);
    builder.enter(after);
}
