//! connect: the context has the address that the call names. It holds what the process wrote, in network order.
//!
//! What is decided is whom the process reaches by that, as [`crate::values::addresses::reached`] says it. The kernel makes a
//! loopback address of an unspecified one after these programs have run, or the address that the socket is bound to; so that it
//! is the one that was decided about, they write it into the call themselves.
//!
//! The kernel runs these programs in the calling process, which a preemptible kernel may take off its CPU.

use std::net::Ipv4Addr;

use super::{BOTH, Code, FieldLoad, Head, address, context};
use crate::bpf::opcode::{JumpOp, Width};
use crate::field::Field;
use crate::ir::{Block, Builder, Value};
use crate::lower::context::mapped;
use crate::lower::given::Given;
use crate::policy::Family;

/// `struct bpf_sock_addr`
mod addr {
    pub(super) const USER_IP4: i16 = 4;
    pub(super) const USER_IP6: i16 = 8;
    pub(super) const USER_PORT: i16 = 24;
    pub(super) const PROTOCOL: i16 = 36;
}

/// 127.0.0.1
const LOOPBACK4: [u8; 4] = Ipv4Addr::LOCALHOST.octets();
/// The last word of ::1.
const LOOPBACK6: [u8; 4] = [0, 0, 0, 1];

/// The calls of IPv4: programs there may read no IPv6 address.
pub(super) static V4: Code = Code {
    head: Head::Context(|given, builder, roots| {
        known(given, builder, roots.pass);
        decide(
            builder,
            given.context,
            (addr::USER_IP4, LOOPBACK4),
            roots.v4,
        );
    }),
    families: &[Family::V4],
    field: |_, field, _| found(field, addr::USER_IP4),
    size: |_| None,
    came_in: None,
    noted: &[],
    preemptible: true,
    remembered: false,
    feeds: None,
};

/// The calls of IPv6. An address that stands for one of IPv4 counts as that, which is its last four bytes.
pub(super) static V6: Code = Code {
    head: Head::Context(|given, builder, roots| {
        known(given, builder, roots.pass);
        let (context, last) = (given.context, addr::USER_IP6 + 12);
        let other = builder.head_block();
        mapped(builder, context, addr::USER_IP6, other);
        decide(builder, context, (last, LOOPBACK4), roots.v4);
        builder.enter(other);
        for word in [0, 4, 8] {
            let value = builder.load(context, addr::USER_IP6 + word, Width::W);
            builder.leave_if(value, JumpOp::Ne, 0, roots.v6);
        }
        decide(builder, context, (last, LOOPBACK6), roots.v6);
    }),
    families: BOTH,
    field: |_, field, family| match family {
        Family::V4 => found(field, addr::USER_IP6 + 12),
        Family::V6 => found(field, addr::USER_IP6),
    },
    ..V4
};

/// Nothing is known of the sender.
fn found(field: Field, to: i16) -> Option<FieldLoad> {
    match field {
        Field::Protocol => context(addr::PROTOCOL, Width::W, 0),
        Field::ToPort => context(addr::USER_PORT, Width::W, 16),
        Field::To0 | Field::To1 | Field::To2 | Field::To3 => {
            context(address(field, 0, to)?, Width::W, 32)
        }
        _ => None,
    }
}

/// Sockets of other protocols (ping, UDP-Lite, MPTCP) are let go.
fn known(given: &Given<'_>, builder: &mut Builder, pass: Block) {
    let known = builder.head_block();
    let protocol = builder.load(given.context, addr::PROTOCOL, Width::W);
    for number in given.source.chain.hook.spec().sees.protocols {
        builder.leave_if(protocol, JumpOp::Eq, i32::from(number.0), known);
    }
    builder.jump(pass);
    builder.enter(known);
}

/// Goes to the tree of an address whose last word is at `offset`; one that is 0 there is unspecified, and becomes loopback.
fn decide(builder: &mut Builder, context: Value, (offset, loopback): (i16, [u8; 4]), tree: Block) {
    let value = builder.load(context, offset, Width::W);
    builder.leave_if(value, JumpOp::Ne, 0, tree);
    let loopback = builder.imm(i64::from(i32::from_le_bytes(loopback)));
    builder.store(context, offset, loopback, Width::W);
    builder.jump(tree);
}
