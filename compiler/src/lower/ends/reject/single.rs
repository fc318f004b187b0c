//! Whether both ends of a packet are one machine each, so that an answer goes to somebody, and to nobody else.
//!
//! Takes the packet's beginning at `quote` and its Ethernet header at `ether`; leaves for where it is dropped. What no bits
//! tell is not here: which address a subnet has for broadcast, and which are this machine's own.

use crate::bpf::opcode::{JumpOp, Width};
use crate::ir::Builder;
use crate::policy::Family;

use super::Rejection;

/// The lowest first byte of an IPv4 address that is no single machine's.
const V4_MANY: i32 = 224;
/// The first byte of an IPv4 address of this host itself.
const V4_LOOPBACK: i32 = 127;
/// The first byte of an IPv6 address of many.
const V6_MANY: i32 = 0xff;
/// The third word of an IPv6 address that stands for an IPv4 one (`::ffff:0:0/96`), as memory holds it.
const V6_MAPPED: i32 = i32::from_le_bytes([0, 0, 0xff, 0xff]);
/// The last word of `::1`, as memory holds it.
const V6_LOOPBACK: i32 = i32::from_le_bytes([0, 0, 0, 1]);
/// The bit of a hardware address's first byte that says it is for many.
const LINK_MANY: i32 = 1;
/// The number of `lo` in each network namespace (`LOOPBACK_IFINDEX`, which `loopback_net_init` insists on).
const LOOPBACK: i32 = 1;

impl Rejection<'_> {
    /// Neither hardware address is one of many. An answer to a sender like that would be a frame for the whole link.
    pub(super) fn link_single(&self, builder: &mut Builder) {
        for address in [0, 6] {
            let link = builder.load_slot(self.reply.ether, address, Width::B);
            builder.leave_if(link, JumpOp::Set, LINK_MANY, self.drop);
        }
    }

    /// Both addresses are of one machine. Only `lo` brings packets of this host's own: they are from or to a loopback
    /// address, or from where they go to (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
    pub(super) fn addresses_single(&self, builder: &mut Builder) {
        for address in [self.ip.from, self.ip.to] {
            match self.family {
                Family::V4 => self.single_v4(builder, address),
                Family::V6 => self.single_v6(builder, address),
            }
        }
        let differ = builder.head_block();
        let (step, width) = match self.family {
            Family::V4 => (4, Width::W),
            Family::V6 => (8, Width::DW),
        };
        // Neighbours share the beginning of their addresses, so the end comes first.
        for byte in (0..self.ip.address).step_by(step).rev() {
            let [from, to] = [self.ip.from, self.ip.to]
                .map(|address| builder.load_slot(self.reply.quote, address + byte, width));
            builder.leave_if_wide(from, JumpOp::Ne, to, differ);
        }
        self.only_on_loopback(builder);
        builder.jump(differ);
        builder.enter(differ);
    }

    /// Neither 0.0.0.0/8 nor 224.0.0.0/3, and 127.0.0.0/8 on `lo` only.
    fn single_v4(&self, builder: &mut Builder, address: u8) {
        let single = builder.head_block();
        let first = builder.load_slot(self.reply.quote, address, Width::B);
        builder.leave_if(first, JumpOp::Ge, V4_MANY, self.drop);
        builder.leave_if(first, JumpOp::Eq, 0, self.drop);
        builder.leave_if(first, JumpOp::Ne, V4_LOOPBACK, single);
        self.only_on_loopback(builder);
        builder.jump(single);
        builder.enter(single);
    }

    /// None of `ff00::/8`, `::` and `::ffff:0:0/96`, and `::1` on `lo` only.
    fn single_v6(&self, builder: &mut Builder, address: u8) {
        let single = builder.head_block();
        let first = builder.load_slot(self.reply.quote, address, Width::B);
        builder.leave_if(first, JumpOp::Eq, V6_MANY, self.drop);
        let prefix = builder.load_slot(self.reply.quote, address, Width::DW);
        builder.leave_if_wide(prefix, JumpOp::Ne, 0, single);
        let word = builder.load_slot(self.reply.quote, address + 8, Width::W);
        builder.leave_if(word, JumpOp::Eq, V6_MAPPED, self.drop);
        builder.leave_if(word, JumpOp::Ne, 0, single);
        let word = builder.load_slot(self.reply.quote, address + 12, Width::W);
        builder.leave_if(word, JumpOp::Eq, 0, self.drop);
        builder.leave_if(word, JumpOp::Ne, V6_LOOPBACK, single);
        self.only_on_loopback(builder);
        builder.jump(single);
        builder.enter(single);
    }

    /// Leaves to `drop` unless the packet came in by `lo`.
    fn only_on_loopback(&self, builder: &mut Builder) {
        let interface = self.reply.reach.interface;
        let interface = builder.load(self.given.context, interface, Width::W);
        builder.leave_if(interface, JumpOp::Ne, LOOPBACK, self.drop);
    }
}
