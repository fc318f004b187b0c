//! The fields of the IP header and of the VLAN tag that few rules look at. Each is left on the stack only where a tree of
//! the program tests it, and then on every path, since before Linux 6.3 the verifier refuses to read what some path has
//! not written.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::header_field::HeaderField;
use crate::ir::Value;

use super::Lowering;
use super::context::skb;

/// Offset of the time to live in an IPv4 header, of the hop limit in an IPv6 header.
const TTL_V4: i16 = 8;
const HOP_LIMIT: i16 = 7;

/// The identifier of a tag.
const IDENTIFIER: i32 = 0x0fff;

/// What the slot `vlan` holds without a tag: one more than [`Field::Vlan`], as for `part`.
pub(super) const UNTAGGED: i32 = 1;

impl Lowering<'_> {
    /// Time to live and traffic class of the IPv4 header at the network pointer.
    pub(super) fn hops_and_class_v4(&mut self) {
        self.hops(TTL_V4);
        if self.used.contains(Field::Dscp) {
            let class = self.builder.load(self.registers.network, 1, Width::B);
            self.builder.alu(class, AluOp::Rsh, 2);
            self.keep(HeaderField::Dscp, class);
        }
        if self.used.contains(Field::Ecn) {
            let class = self.builder.load(self.registers.network, 1, Width::B);
            self.builder.alu(class, AluOp::And, 3);
            self.keep(HeaderField::Ecn, class);
        }
    }

    /// Hop limit and traffic class of the IPv6 header at the network pointer. The class lies across two bytes, after the
    /// version's four bits.
    pub(super) fn hops_and_class_v6(&mut self) {
        self.hops(HOP_LIMIT);
        if self.used.contains(Field::Dscp) {
            let class = self.builder.load(self.registers.network, 0, Width::H);
            self.builder.from_network(class, 16);
            self.builder.alu(class, AluOp::Rsh, 6);
            self.builder.alu(class, AluOp::And, 0x3f);
            self.keep(HeaderField::Dscp, class);
        }
        if self.used.contains(Field::Ecn) {
            let class = self.builder.load(self.registers.network, 1, Width::B);
            self.builder.alu(class, AluOp::Rsh, 4);
            self.builder.alu(class, AluOp::And, 3);
            self.keep(HeaderField::Ecn, class);
        }
    }

    fn hops(&mut self, offset: i16) {
        if self.used.contains(Field::Ttl) {
            let hops = self.builder.load(self.registers.network, offset, Width::B);
            self.keep(HeaderField::Ttl, hops);
        }
    }

    /// Leaves the value of a field of the IP header on the stack.
    fn keep(&mut self, field: HeaderField, value: Value) {
        match self.frame.ip[field] {
            Some(slot) => self.builder.store_slot(slot, 0, value, Width::B),
            None => self.builder.bug(format!("{field:?} has no slot")),
        }
    }

    /// Before the frame is read: at TC, the tag that was taken off it. `vlan_present` is 0 or 1.
    pub(super) fn tag_taken_off(&mut self) {
        if !self.used.contains(Field::Vlan) {
            return;
        }
        if !self.is_buffered() {
            self.builder
                .set_slot(self.frame.vlan, 0, UNTAGGED, Width::H);
            return;
        }
        let context = self.registers.context;
        let tag = self.builder.load(context, skb::VLAN_TCI, Width::W);
        self.builder.alu(tag, AluOp::And, IDENTIFIER);
        self.builder.alu(tag, AluOp::Add, 1);
        let present = self.builder.load(context, skb::VLAN_PRESENT, Width::W);
        self.builder.alu(tag, AluOp::Mul, present);
        self.builder.alu(tag, AluOp::Add, UNTAGGED);
        self.builder.store_slot(self.frame.vlan, 0, tag, Width::H);
    }

    /// The first tag in the frame, at the network pointer: the outer one unless one was taken off.
    pub(super) fn first_tag(&mut self) {
        if !self.used.contains(Field::Vlan) {
            return;
        }
        let ready = self.head_block();
        if self.is_buffered() {
            let known = self.builder.load_slot(self.frame.vlan, 0, Width::H);
            self.builder.leave_if(known, JumpOp::Ne, UNTAGGED, ready);
        }
        let tag = self.builder.load(self.registers.network, 0, Width::H);
        self.builder.from_network(tag, 16);
        self.builder.alu(tag, AluOp::And, IDENTIFIER);
        self.builder.alu(tag, AluOp::Add, 1 + UNTAGGED);
        self.builder.store_slot(self.frame.vlan, 0, tag, Width::H);
        self.builder.jump(ready);
        self.builder.enter(ready);
    }
}
