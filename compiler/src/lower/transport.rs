//! The prologue after the IP header: IPv6 extension headers, then TCP, UDP, SCTP or ICMP.
//!
//! Offsets from the IP header are compared with the packet's length; the verifier wants a comparison with the end of
//! the linear part as well.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::Block;
use crate::policy::Family;
use crate::protocol::IpProtocol;

use super::Lowering;
use super::frame;
use super::packet::Exits;

/// The IPv6 fragment header.
const FRAGMENT: i32 = 44;
/// The extension headers that are walked: hop-by-hop options, routing, fragment, destination options.
const EXTENSIONS: [i32; 4] = [0, 43, FRAGMENT, 60];

/// As many extension headers are walked; one more is malformed.
const MAX_EXTENSIONS: usize = 6;

/// The cursor never gets further: 40 + 6 extension headers of 2,048 bytes.
const FURTHEST: i32 = 0x3fff;

impl Lowering<'_> {
    /// Walks the extension headers; the cursor ends at the transport header, the protocol in its slot.
    pub(super) fn walk(&mut self, exits: Exits) {
        let transport = self.head_block();
        for _ in 0..MAX_EXTENSIONS {
            self.extension(transport, exits);
        }
        let probe = self.registers.probe;
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        for kind in EXTENSIONS {
            self.builder
                .leave_if(probe, JumpOp::Eq, kind, exits.malformed);
        }
        self.builder.jump(transport);
        self.builder.enter(transport);
        self.transport_by_protocol(Family::V6, exits);
    }

    /// One step: an extension header is stepped over, anything else is the transport header.
    fn extension(&mut self, transport: Block, exits: Exits) {
        let [extension, fragment, step] = [(); 3].map(|()| self.head_block());
        let probe = self.registers.probe;
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        for kind in EXTENSIONS {
            self.builder.leave_if(probe, JumpOp::Eq, kind, extension);
        }
        self.builder.jump(transport);

        self.builder.enter(extension);
        self.header(8, exits);
        let next = self.builder.load(self.registers.transport, 0, Width::B);
        self.builder
            .store_slot(self.frame.protocol, 0, next, Width::B);
        let length = self.builder.load(self.registers.transport, 1, Width::B);
        self.builder.alu(length, AluOp::Add, 1);
        self.builder
            .store_slot(self.frame.extension, 0, length, Width::H);
        self.builder.leave_if(probe, JumpOp::Eq, FRAGMENT, fragment);
        self.builder.jump(step);
        self.builder.enter(fragment);
        self.fragment_header(step, exits);

        // The length is read back from the stack, so that both ways have the same range for the verifier.
        self.builder.enter(step);
        let length = self.builder.load_slot(self.frame.extension, 0, Width::H);
        self.builder.alu(length, AluOp::Lsh, 3);
        self.builder.alu(self.registers.cursor, AluOp::Add, length);
        self.cursor_within_packet(0, exits);
    }

    /// A fragment header is 8 bytes long; the byte that is a length elsewhere is reserved.
    fn fragment_header(&mut self, step: Block, exits: Exits) {
        let probe = self.registers.probe;
        let later = self.head_block();
        let first = self.head_block();
        self.builder
            .load_to(probe, self.registers.transport, 2, Width::H);
        self.builder.from_network(probe, 16);
        self.builder.set_slot(self.frame.extension, 0, 1, Width::H);
        self.builder.leave_if(probe, JumpOp::Set, 0xfff8, later);
        self.builder.leave_if(probe, JumpOp::Set, 1, first);
        self.builder.jump(step);
        self.builder.enter(first);
        self.builder
            .set_slot(self.frame.part, 0, frame::FIRST, Width::B);
        self.builder.jump(step);
        self.builder.enter(later);
        self.builder
            .set_slot(self.frame.part, 0, frame::LATER, Width::B);
        self.builder.jump(exits.v6);
    }

    /// Points the transport register at the cursor; `bytes` bytes must be there.
    fn header(&mut self, bytes: i32, exits: Exits) {
        self.cursor_within_packet(bytes, exits);
        let transport = self.registers.transport;
        self.builder.assign(transport, self.registers.network);
        self.builder
            .alu(self.registers.cursor, AluOp::And, FURTHEST);
        self.builder
            .alu(transport, AluOp::Add, self.registers.cursor);
        let after = self.builder.copy(transport);
        self.builder.alu(after, AluOp::Add, bytes);
        self.builder
            .leave_if_wide(after, JumpOp::Gt, self.registers.end, exits.short);
    }

    fn cursor_within_packet(&mut self, bytes: i32, exits: Exits) {
        let after = self.builder.copy(self.registers.cursor);
        if bytes != 0 {
            self.builder.alu(after, AluOp::Add, bytes);
        }
        let length = self.builder.load_slot(self.frame.length, 0, Width::W);
        self.builder
            .leave_if_wide(after, JumpOp::Gt, length, exits.malformed);
    }

    /// Reads the transport header of the protocol in its slot, then goes to the decision.
    pub(super) fn transport_by_protocol(&mut self, family: Family, exits: Exits) {
        let (icmp_protocol, decision) = match family {
            Family::V4 => (IpProtocol::ICMP, exits.v4),
            Family::V6 => (IpProtocol::ICMP6, exits.v6),
        };
        let probe = self.registers.probe;
        let [tcp, udp, sctp, icmp] = [(); 4].map(|()| self.head_block());
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        for (protocol, block) in [
            (IpProtocol::TCP, tcp),
            (IpProtocol::UDP, udp),
            (icmp_protocol, icmp),
            (IpProtocol::SCTP, sctp),
        ] {
            self.builder
                .leave_if(probe, JumpOp::Eq, i32::from(protocol), block);
        }
        self.builder.jump(decision);
        self.builder.enter(tcp);
        self.tcp(exits);
        self.builder.jump(decision);
        for (block, size) in [(udp, 8), (sctp, 12)] {
            self.builder.enter(block);
            self.header(size, exits);
            self.ports();
            self.builder.jump(decision);
        }
        self.builder.enter(icmp);
        self.header(8, exits);
        self.keep_cursor();
        if self.used.contains(Field::Icmp) {
            let kind = self.builder.load(self.registers.transport, 0, Width::H);
            self.builder.store_slot(self.frame.icmp, 0, kind, Width::H);
        }
        self.builder.jump(decision);
    }

    fn tcp(&mut self, exits: Exits) {
        self.header(20, exits);
        self.keep_cursor();
        let size = self.builder.load(self.registers.transport, 12, Width::B);
        self.builder.alu(size, AluOp::And, 0xf0);
        self.builder.alu(size, AluOp::Rsh, 2);
        // Kept across the branch in the register that the search uses later.
        self.builder.assign(self.registers.probe, size);
        self.builder
            .leave_if(self.registers.probe, JumpOp::Lt, 20, exits.malformed);
        self.builder
            .alu(self.registers.probe, AluOp::Add, self.registers.cursor);
        let length = self.builder.load_slot(self.frame.length, 0, Width::W);
        self.builder
            .leave_if_wide(self.registers.probe, JumpOp::Gt, length, exits.malformed);
        self.ports();
        if self.used.contains(Field::TcpFlags) {
            let flags = self.builder.load(self.registers.transport, 13, Width::B);
            self.builder
                .store_slot(self.frame.flags, 0, flags, Width::B);
        }
    }

    fn ports(&mut self) {
        if !self.used.any(&[Field::FromPort, Field::ToPort]) {
            return;
        }
        let ports = self.builder.load(self.registers.transport, 0, Width::W);
        self.builder
            .store_slot(self.frame.ports, 0, ports, Width::W);
    }
}
