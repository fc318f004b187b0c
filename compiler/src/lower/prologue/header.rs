//! The fields of the IP header, of the VLAN tag and of the frame that few rules look at. Each is left on the stack only where a tree of
//! the program tests it, and then on every path, since before Linux 6.3 the verifier refuses to read what some path has
//! not written.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::header_field::HeaderField;
use crate::ir::{Builder, Value};

use super::Prologue;
use crate::lower::context::skb;
use crate::lower::frame::UNTAGGED;

/// Offset of the time to live in an IPv4 header, of the hop limit in an IPv6 header.
const TTL_V4: i16 = 8;
const HOP_LIMIT: i16 = 7;

/// The identifier of a tag.
const IDENTIFIER: i32 = 0x0fff;

impl Prologue<'_> {
    /// Time to live and traffic class of the IPv4 header at the network pointer.
    pub(super) fn hops_and_class_v4(&self, builder: &mut Builder) {
        self.hops(builder, TTL_V4);
        if self.given.used.contains(Field::Dscp) {
            let class = builder.load(self.network, 1, Width::B);
            builder.alu(class, AluOp::Rsh, 2);
            self.keep(builder, HeaderField::Dscp, class);
        }
        if self.given.used.contains(Field::Ecn) {
            let class = builder.load(self.network, 1, Width::B);
            builder.alu(class, AluOp::And, 3);
            self.keep(builder, HeaderField::Ecn, class);
        }
    }

    /// Hop limit and traffic class of the IPv6 header at the network pointer. The class lies across two bytes, after the
    /// version's four bits.
    pub(super) fn hops_and_class_v6(&self, builder: &mut Builder) {
        self.hops(builder, HOP_LIMIT);
        if self.given.used.contains(Field::Dscp) {
            let class = builder.load(self.network, 0, Width::H);
            builder.from_network(class, 16);
            builder.alu(class, AluOp::Rsh, 6);
            builder.alu(class, AluOp::And, 0x3f);
            self.keep(builder, HeaderField::Dscp, class);
        }
        if self.given.used.contains(Field::Ecn) {
            let class = builder.load(self.network, 1, Width::B);
            builder.alu(class, AluOp::Rsh, 4);
            builder.alu(class, AluOp::And, 3);
            self.keep(builder, HeaderField::Ecn, class);
        }
    }

    fn hops(&self, builder: &mut Builder, offset: i16) {
        if self.given.used.contains(Field::Ttl) {
            let hops = builder.load(self.network, offset, Width::B);
            self.keep(builder, HeaderField::Ttl, hops);
        }
    }

    /// Leaves the value of a field of the IP header on the stack.
    fn keep(&self, builder: &mut Builder, field: HeaderField, value: Value) {
        match self.given.frame.ip[field] {
            Some(slot) => builder.store_slot(slot, 0, value, Width::B),
            None => builder.bug(format!("{field:?} has no slot")),
        }
    }

    /// The addresses of the Ethernet header at the network pointer: six octets for whom the frame is, then six of who sent it. Each half of
    /// three is taken out of a word of four, none of which goes beyond the header.
    pub(super) fn link_addresses(&self, builder: &mut Builder) {
        let [from, to] = self.given.frame.ether;
        for (slot, at, fields) in [
            (from, 6, [Field::EtherFrom0, Field::EtherFrom1]),
            (to, 0, [Field::EtherTo0, Field::EtherTo1]),
        ] {
            let [first, last] = fields;
            if self.given.used.contains(first) {
                let half = builder.load(self.network, at, Width::W);
                builder.from_network(half, 32);
                builder.alu(half, AluOp::Rsh, 8);
                builder.store_slot(slot, 0, half, Width::W);
            }
            if self.given.used.contains(last) {
                let half = builder.load(self.network, at + 2, Width::W);
                builder.from_network(half, 32);
                builder.alu(half, AluOp::And, 0xff_ffff);
                builder.store_slot(slot, 4, half, Width::W);
            }
        }
    }

    /// Before the frame is read: at TC, the tag that was taken off it. `vlan_present` is 0 or 1.
    pub(super) fn tag_taken_off(&self, builder: &mut Builder) {
        if !self.given.used.contains(Field::Vlan) {
            return;
        }
        if !self.reach.buffered {
            builder.set_slot(self.given.frame.vlan, 0, UNTAGGED, Width::H);
            return;
        }
        let context = self.given.context;
        let tag = builder.load(context, skb::VLAN_TCI, Width::W);
        builder.alu(tag, AluOp::And, IDENTIFIER);
        builder.alu(tag, AluOp::Add, 1);
        let present = builder.load(context, skb::VLAN_PRESENT, Width::W);
        builder.alu(tag, AluOp::Mul, present);
        builder.alu(tag, AluOp::Add, UNTAGGED);
        builder.store_slot(self.given.frame.vlan, 0, tag, Width::H);
    }

    /// The first tag in the frame, at the network pointer: the outer one unless one was taken off.
    pub(super) fn first_tag(&self, builder: &mut Builder) {
        if !self.given.used.contains(Field::Vlan) {
            return;
        }
        let ready = builder.head_block();
        if self.reach.buffered {
            let known = builder.load_slot(self.given.frame.vlan, 0, Width::H);
            builder.leave_if(known, JumpOp::Ne, UNTAGGED, ready);
        }
        let tag = builder.load(self.network, 0, Width::H);
        builder.from_network(tag, 16);
        builder.alu(tag, AluOp::And, IDENTIFIER);
        builder.alu(tag, AluOp::Add, 1 + UNTAGGED);
        builder.store_slot(self.given.frame.vlan, 0, tag, Width::H);
        builder.jump(ready);
        builder.enter(ready);
    }
}
