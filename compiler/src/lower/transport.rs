//! The prologue after the IP header: IPv6 extension headers, then TCP, UDP, SCTP or ICMP.
//!
//! Offsets from the IP header are compared with the packet's length; the verifier wants a comparison with the end of
//! the linear part as well.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{End, HeaderRegion};
use crate::policy::Family;
use crate::protocol::IpProtocol;

use super::Lowering;
use super::frame;
use super::packet::Exits;

impl Lowering<'_> {
    /// Walks the extension headers; the cursor ends at the transport header, the protocol in its slot. What lies beyond the
    /// packet is walked too, and is found out then: the cursor only grows.
    pub(super) fn walk(&mut self, exits: Exits) {
        let [transport, later] = [(); 2].map(|()| self.head_block());
        self.builder.end(End::Headers(HeaderRegion {
            network: self.registers.network,
            end: self.registers.end,
            cursor: self.registers.cursor,
            protocol: self.frame.protocol,
            part: self.frame.fragment,
            transport,
            later,
            malformed: exits.malformed,
            short: exits.short,
        }));
        self.builder.enter(later);
        self.fragment_header(exits);
        self.builder.enter(transport);
        self.cursor_within_packet(0, exits);
        self.part_of_flag();
        self.transport_by_protocol(Family::V6, exits);
    }

    /// With the flag of a first fragment, `WHOLE` becomes `FIRST`.
    fn part_of_flag(&mut self) {
        let part = self.builder.load_slot(self.frame.fragment, 0, Width::B);
        let flag = self.builder.copy(part);
        self.builder.alu(flag, AluOp::Rsh, 1);
        self.builder.alu(part, AluOp::Sub, flag);
        self.builder
            .store_slot(self.frame.fragment, 0, part, Width::B);
    }

    /// The header of a later fragment: what comes next is its protocol.
    fn fragment_header(&mut self, exits: Exits) {
        self.cursor_within_packet(8, exits);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::LATER, Width::B);
        self.builder.jump(exits.v6);
    }

    /// Points the transport register at the cursor.
    fn header(&mut self) {
        let transport = self.registers.transport;
        self.builder.assign(transport, self.registers.network);
        self.builder
            .alu(transport, AluOp::Add, self.registers.cursor);
    }

    /// So many bytes of the header must lie in the linear part.
    fn linear(&mut self, bytes: i32, exits: Exits) {
        let after = self.builder.copy(self.registers.transport);
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

    /// Reads the transport header of the protocol in its slot, then goes to the decision. The shortest headers have eight
    /// bytes.
    pub(super) fn transport_by_protocol(&mut self, family: Family, exits: Exits) {
        let (icmp, decision) = match family {
            Family::V4 => (IpProtocol::ICMP, exits.v4),
            Family::V6 => (IpProtocol::ICMP6, exits.v6),
        };
        let probe = self.registers.probe;
        let [known, tcp, sctp] = [(); 3].map(|()| self.head_block());
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        for protocol in [IpProtocol::TCP, IpProtocol::UDP, icmp, IpProtocol::SCTP] {
            self.builder
                .leave_if(probe, JumpOp::Eq, i32::from(protocol), known);
        }
        self.builder.jump(decision);

        self.builder.enter(known);
        self.cursor_within_packet(8, exits);
        self.header();
        self.linear(8, exits);
        self.keep_cursor();
        self.first_bytes();
        // Loaded again: which of the four it is would make four states for the verifier.
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::TCP), tcp);
        self.builder
            .leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::SCTP), sctp);
        self.builder.jump(decision);

        self.builder.enter(tcp);
        self.tcp(exits);
        self.builder.jump(decision);
        self.builder.enter(sctp);
        self.cursor_within_packet(12, exits);
        self.linear(12, exits);
        self.builder.jump(decision);
    }

    /// The data offset says how long the header is, which is at least 20 bytes.
    fn tcp(&mut self, exits: Exits) {
        self.linear(20, exits);
        let size = self.registers.probe;
        self.builder
            .load_to(size, self.registers.transport, 12, Width::B);
        self.builder.alu(size, AluOp::And, 0xf0);
        self.builder.alu(size, AluOp::Rsh, 2);
        self.builder.leave_if(size, JumpOp::Lt, 20, exits.malformed);
        self.builder.alu(size, AluOp::Add, self.registers.cursor);
        let length = self.builder.load_slot(self.frame.length, 0, Width::W);
        self.builder
            .leave_if_wide(size, JumpOp::Gt, length, exits.malformed);
        if self.used.contains(Field::TcpFlags) {
            let flags = self.builder.load(self.registers.transport, 13, Width::B);
            self.builder
                .store_slot(self.frame.flags, 0, flags, Width::B);
        }
    }

    /// Ports, or type and code of ICMP: nobody reads one of the other's packets.
    fn first_bytes(&mut self) {
        if self.used.any(&[Field::FromPort, Field::ToPort]) {
            let ports = self.builder.load(self.registers.transport, 0, Width::W);
            self.builder
                .store_slot(self.frame.ports, 0, ports, Width::W);
        }
        if self.used.contains(Field::Icmp) {
            let kind = self.builder.load(self.registers.transport, 0, Width::H);
            self.builder.store_slot(self.frame.icmp, 0, kind, Width::H);
        }
    }
}
