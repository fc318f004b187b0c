//! sk_skb: its context is that of a packet, with the addresses and ports of its socket, whose local side is the receiver.
//! The bytes are those of the stream, without headers (`tcp_read_skb`). The kernel runs it where packets come in, or
//! where a reader takes up what came while it had the socket, and only keeps it from moving to another CPU
//! (`bpf_prog_run_pin_on_cpu`).

use super::{BOTH, Code, FieldLoad, Head, Roots, address, at_door, context};
use crate::bpf::constant::SK_DROP;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, End, Value};
use crate::log::offset;
use crate::lower::context::{AF_INET, AF_INET6, mapped, skb};
use crate::lower::door::cookie;
use crate::lower::frame::Frame;
use crate::lower::given::Given;
use crate::lower::segment::{Segment, cut_off};
use crate::policy::Family;

pub(super) static CODE: Code = Code {
    head: Head::Context(begin),
    families: BOTH,
    field,
    size: |_| context(skb::LEN, Width::W, 0),
    came_in: None,
    noted: &[(skb::LEN, offset::LENGTH)],
    preemptible: true,
    remembered: false,
    feeds: Some(Helper::SkRedirectMap),
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
    once(given, builder, length, roots.pass);
    let family = builder.load(given.context, skb::FAMILY, Width::W);
    builder.leave_if(family, JumpOp::Eq, AF_INET, roots.v4);
    builder.leave_if(family, JumpOp::Ne, AF_INET6, roots.pass);
    mapped(builder, given.context, skb::REMOTE_IP6, roots.v6);
    builder.jump(roots.v4);
}

/// Cuts off what came before, so that it is neither counted nor read again; what is left of nothing is the end of the stream or
/// nothing at all. What is dropped has come all the same.
///
/// A segment that is not the next follows what came while no program was asked. Of a socket whose numbers are not known all
/// is new. What the kernel cannot tell, or has no memory for, is dropped.
fn once(given: &Given<'_>, builder: &mut Builder, length: Value, end: Block) {
    let group = given.source.chain.group;
    let maps = group.and_then(|group| given.source.maps.groups[group].as_ref());
    let Some(readers) = maps.and_then(|maps| maps.readers) else {
        return builder.bug("a receive program without a map of readers");
    };
    let [part, cut, later, broken, whole] = [(); 5].map(|()| builder.head_block());
    let (context, old) = (given.context, builder.slot(4));
    let key = cookie(builder, context);
    let args = [Arg::Map(readers.next), Arg::SlotAddress(key)];
    let next = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(next, JumpOp::Eq, 0, whole);
    let segment = Segment::read(builder, context, length, broken);
    let before = segment.before(builder, next, 0);
    builder.leave_if(before, JumpOp::SLt, 0, later);
    builder.leave_if(before, JumpOp::Lt, length, part);
    builder.store_slot(old, 0, length, Width::W);
    builder.jump(cut);
    builder.enter(later);
    segment.came(builder, next, 0);
    builder.jump(whole);
    builder.enter(part);
    segment.came(builder, next, 0);
    builder.store_slot(old, 0, before, Width::W);
    builder.jump(cut);
    builder.enter(cut);
    let old = builder.load_slot(old, 0, Width::W);
    cut_off(builder, context, old, broken);
    let left = builder.load(context, skb::LEN, Width::W);
    builder.leave_if(left, JumpOp::Ne, 0, whole);
    let ends = segment.ends(builder);
    builder.leave_if(ends, JumpOp::Eq, 1, end);
    builder.jump(broken);
    builder.enter(broken);
    builder.end(End::Return(SK_DROP));
    builder.enter(whole);
}
