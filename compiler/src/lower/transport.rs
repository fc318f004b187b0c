//! The prologue after the IP header: IPv6 extension headers, then TCP, UDP, SCTP or ICMP.
//!
//! Offsets from the IP header are compared with the packet's length; the verifier wants a comparison with the end of
//! the linear part as well. Both families come to the same code here; which one it is stands in a register as a constant,
//! so that the verifier keeps them apart.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::{ChainRule, Effect};
use crate::field::Field;
use crate::ir::{Block, Builder, End, HeaderRegion, Origin, Value};
use crate::protocol::IpProtocol;

use super::Lowering;
use super::frame;
use super::packet::Exits;

/// What comes to the transport header, in registers.
pub(super) struct Transport {
    /// The length of the packet.
    pub(super) length: Value,
    /// The number of ICMP in the packet's family, which says the family.
    pub(super) icmp: Value,
    /// The protocol is in the register `probe`, and its header at the cursor if it is one that is read.
    pub(super) known: Block,
    /// TCP.
    tcp: Block,
    /// UDP, ICMP or SCTP.
    other: Block,
    /// No transport header is read.
    pub(super) none: Block,
    /// To the decision.
    done: Block,
}

impl Transport {
    pub(super) fn new(builder: &mut Builder, head: Origin) -> Self {
        builder.set_origin(head);
        let [known, tcp, other, none, done] = [(); 5].map(|()| builder.block());
        Self {
            length: builder.value(),
            icmp: builder.value(),
            known,
            tcp,
            other,
            none,
            done,
        }
    }
}

impl Lowering<'_> {
    /// What has no extension header, as nearly all of IPv6, goes straight to its transport header. Others are walked: the
    /// cursor ends at the transport header, the protocol in its slot. What lies beyond the packet is walked too, and is
    /// found out then: the cursor only grows.
    pub(super) fn extensions(&mut self, transport: &Transport, exits: Exits) {
        let probe = self.registers.probe;
        let [walked, later] = [(); 2].map(|()| self.head_block());
        self.builder.set(transport.icmp, IpProtocol::ICMP6.0.into());
        self.builder
            .leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::TCP), transport.tcp);
        for protocol in [IpProtocol::UDP, IpProtocol::ICMP6] {
            self.builder
                .leave_if(probe, JumpOp::Eq, i32::from(protocol), transport.other);
        }
        self.builder.end(End::Headers(HeaderRegion {
            network: self.registers.network,
            end: self.registers.end,
            cursor: self.registers.cursor,
            protocol: self.frame.protocol,
            part: self.frame.fragment,
            transport: walked,
            later,
            malformed: exits.malformed,
            short: exits.short,
        }));
        self.builder.enter(later);
        self.fragment_header(transport, exits);
        self.builder.enter(walked);
        self.after_extensions(transport, 0, exits);
        self.part_of_flag();
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        self.builder.jump(transport.known);
    }

    /// The walk has left nothing in registers but the cursor, so many bytes after which must lie in the packet.
    fn after_extensions(&mut self, transport: &Transport, bytes: i32, exits: Exits) {
        self.builder.set(transport.icmp, IpProtocol::ICMP6.0.into());
        self.builder
            .load_slot_to(transport.length, self.frame.length, 0, Width::W);
        self.cursor_within_packet(transport, bytes, exits);
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
    fn fragment_header(&mut self, transport: &Transport, exits: Exits) {
        self.after_extensions(transport, 8, exits);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::LATER, Width::B);
        self.builder.jump(transport.none);
    }

    /// Points the transport register at the cursor.
    fn header(&mut self) {
        let header = self.registers.transport;
        self.builder.assign(header, self.registers.network);
        self.builder.alu(header, AluOp::Add, self.registers.cursor);
    }

    /// So many bytes of the header must lie in the linear part.
    fn linear(&mut self, bytes: i32, exits: Exits) {
        let after = self.builder.copy(self.registers.transport);
        self.builder.alu(after, AluOp::Add, bytes);
        self.builder
            .leave_if_wide(after, JumpOp::Gt, self.registers.end, exits.short);
    }

    fn cursor_within_packet(&mut self, transport: &Transport, bytes: i32, exits: Exits) {
        let after = self.builder.copy(self.registers.cursor);
        if bytes != 0 {
            self.builder.alu(after, AluOp::Add, bytes);
        }
        self.builder
            .leave_if_wide(after, JumpOp::Gt, transport.length, exits.malformed);
    }

    /// Reads the transport header, then goes to the decision.
    pub(super) fn transport(&mut self, transport: &Transport, exits: Exits) {
        let Transport { icmp, done, .. } = *transport;
        let probe = self.registers.probe;
        self.builder.enter(transport.known);
        self.builder
            .leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::TCP), transport.tcp);
        for protocol in [IpProtocol::UDP, IpProtocol::SCTP] {
            self.builder
                .leave_if(probe, JumpOp::Eq, i32::from(protocol), transport.other);
        }
        self.builder
            .leave_if(probe, JumpOp::Eq, icmp, transport.other);
        self.builder.jump(transport.none);
        self.builder.enter(transport.tcp);
        self.tcp(transport, exits);
        self.builder.enter(transport.other);
        self.other(transport, exits);
        self.builder.enter(transport.none);
        self.fill_transport(transport.length);
        self.builder.jump(done);
        self.builder.enter(done);
        self.builder
            .leave_if(icmp, JumpOp::Eq, i32::from(IpProtocol::ICMP), exits.v4);
        self.builder.jump(exits.v6);
    }

    /// The data offset says how long the header is, which is at least 20 bytes.
    fn tcp(&mut self, transport: &Transport, exits: Exits) {
        self.header();
        self.linear(20, exits);
        let size = self.registers.probe;
        self.builder
            .load_to(size, self.registers.transport, 12, Width::B);
        self.builder.alu(size, AluOp::And, 0xf0);
        self.builder.alu(size, AluOp::Rsh, 2);
        self.builder.leave_if(size, JumpOp::Lt, 20, exits.malformed);
        self.builder.alu(size, AluOp::Add, self.registers.cursor);
        self.builder
            .leave_if_wide(size, JumpOp::Gt, transport.length, exits.malformed);
        self.first_bytes();
        if self.used.contains(Field::TcpFlags) {
            let flags = self.builder.load(self.registers.transport, 13, Width::B);
            self.builder
                .store_slot(self.frame.flags, 0, flags, Width::B);
        }
        self.builder.jump(transport.done);
    }

    /// The headers of UDP and ICMP have at least eight bytes, that of SCTP twelve.
    fn other(&mut self, transport: &Transport, exits: Exits) {
        let sctp = self.head_block();
        self.cursor_within_packet(transport, 8, exits);
        self.header();
        self.linear(8, exits);
        self.first_bytes();
        self.fill_flags(transport.length);
        // Loaded again: which of the three it is would make three states for the verifier.
        let probe = self.registers.probe;
        self.builder
            .load_slot_to(probe, self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::SCTP), sctp);
        self.builder.jump(transport.done);
        self.builder.enter(sctp);
        self.cursor_within_packet(transport, 12, exits);
        self.linear(12, exits);
        self.builder.jump(transport.done);
    }

    /// Ports, or type and code of ICMP; and where they stand, if the chain answers packets.
    fn first_bytes(&mut self) {
        self.keep_cursor(self.registers.cursor);
        if self.reads_first_bytes() {
            let bytes = self.builder.load(self.registers.transport, 0, Width::W);
            self.builder
                .store_slot(self.frame.ports, 0, bytes, Width::W);
        }
        self.fill_absent(self.registers.cursor);
    }

    fn reads_first_bytes(&self) -> bool {
        self.used
            .any(&[Field::FromPort, Field::ToPort, Field::Icmp])
    }

    /// Writes what only some transport headers bring. A packet without them never gets to a test of them, but the
    /// verifier does not follow why, and before Linux 6.3 it refuses to read stack that some path has not written. Any
    /// value does; that of a register that the verifier knows nothing of makes no state of its own, as a zero would.
    fn fill_transport(&mut self, any: Value) {
        self.keep_cursor(any);
        if self.reads_first_bytes() {
            self.builder.store_slot(self.frame.ports, 0, any, Width::W);
        }
        self.fill_flags(any);
        self.fill_absent(any);
    }

    fn fill_flags(&mut self, any: Value) {
        if self.used.contains(Field::TcpFlags) {
            self.builder.store_slot(self.frame.flags, 0, any, Width::B);
        }
    }

    /// With `count` rules, every way leads to the place where a watch for an absent socket reads its counter, as far as
    /// the verifier can tell.
    fn fill_absent(&mut self, any: Value) {
        let watches = |entry: &ChainRule| entry.effect == Effect::RedirectPass;
        let entries = &self.source.chain.entries;
        if self.source.counts.is_some() && entries.iter().any(watches) {
            self.builder.store_slot(self.frame.absent, 0, any, Width::W);
        }
    }
}
