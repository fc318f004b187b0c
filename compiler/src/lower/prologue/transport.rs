//! The prologue after the IP header: IPv6 extension headers, then TCP, UDP, SCTP or ICMP.
//!
//! Offsets from the IP header are compared with the packet's length; the verifier wants a comparison with the end of
//! the linear part as well. Both families come to the same code here; which one it is stands in a register as a constant,
//! so that the verifier keeps them apart.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::{ChainRule, Effect};
use crate::field::Field;
use crate::ir::{Block, Builder, End, HeaderRegion, Value};
use crate::protocol::IpProtocol;

use super::Prologue;
use crate::lower::frame;

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
    pub(super) fn new(builder: &mut Builder) -> Self {
        let [known, tcp, other, none, done] = [(); 5].map(|()| builder.head_block());
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

impl Prologue<'_> {
    /// What has no extension header, as nearly all of IPv6, goes straight to its transport header. Others are walked: the
    /// cursor ends at the transport header, the protocol in its slot. What lies beyond the packet is walked too, and is
    /// found out then: the cursor only grows.
    pub(super) fn extensions(&self, builder: &mut Builder, transport: &Transport) {
        let probe = self.probe;
        let [walked, later] = [(); 2].map(|()| builder.head_block());
        builder.set(transport.icmp, IpProtocol::ICMP6.0.into());
        builder.leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::TCP), transport.tcp);
        for protocol in [IpProtocol::UDP, IpProtocol::ICMP6] {
            builder.leave_if(probe, JumpOp::Eq, i32::from(protocol), transport.other);
        }
        builder.end(End::Headers(HeaderRegion {
            network: self.network,
            end: self.end,
            cursor: self.cursor,
            protocol: self.given.frame.protocol,
            part: self.given.frame.fragment,
            transport: walked,
            later,
            malformed: self.exits.malformed,
            short: self.exits.short,
        }));
        builder.enter(later);
        self.fragment_header(builder, transport);
        builder.enter(walked);
        self.after_extensions(builder, transport, 0);
        self.part_of_flag(builder);
        builder.load_slot_to(probe, self.given.frame.protocol, 0, Width::B);
        builder.jump(transport.known);
    }

    /// The walk has left nothing in registers but the cursor, so many bytes after which must lie in the packet.
    fn after_extensions(&self, builder: &mut Builder, transport: &Transport, bytes: i32) {
        builder.set(transport.icmp, IpProtocol::ICMP6.0.into());
        builder.load_slot_to(transport.length, self.given.frame.length, 0, Width::W);
        self.cursor_within_packet(builder, transport, bytes);
    }

    /// With the flag of a first fragment, `WHOLE` becomes `FIRST`.
    fn part_of_flag(&self, builder: &mut Builder) {
        let part = builder.load_slot(self.given.frame.fragment, 0, Width::B);
        let flag = builder.copy(part);
        builder.alu(flag, AluOp::Rsh, 1);
        builder.alu(part, AluOp::Sub, flag);
        builder.store_slot(self.given.frame.fragment, 0, part, Width::B);
    }

    /// The header of a later fragment: what comes next is its protocol.
    fn fragment_header(&self, builder: &mut Builder, transport: &Transport) {
        self.after_extensions(builder, transport, 8);
        builder.set_slot(self.given.frame.fragment, 0, frame::LATER, Width::B);
        builder.jump(transport.none);
    }

    /// Points the transport register at the cursor.
    fn header(&self, builder: &mut Builder) {
        let header = self.transport;
        builder.assign(header, self.network);
        builder.alu(header, AluOp::Add, self.cursor);
    }

    /// So many bytes of the header must lie in the linear part.
    fn linear(&self, builder: &mut Builder, bytes: i32) {
        let after = builder.copy(self.transport);
        builder.alu(after, AluOp::Add, bytes);
        builder.leave_if_wide(after, JumpOp::Gt, self.end, self.exits.short);
    }

    fn cursor_within_packet(&self, builder: &mut Builder, transport: &Transport, bytes: i32) {
        let after = builder.copy(self.cursor);
        if bytes != 0 {
            builder.alu(after, AluOp::Add, bytes);
        }
        builder.leave_if_wide(after, JumpOp::Gt, transport.length, self.exits.malformed);
    }

    /// Reads the transport header, then goes to the decision.
    pub(super) fn transport_header(&self, builder: &mut Builder, transport: &Transport) {
        let Transport { icmp, done, .. } = *transport;
        let probe = self.probe;
        builder.enter(transport.known);
        builder.leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::TCP), transport.tcp);
        for protocol in [IpProtocol::UDP, IpProtocol::SCTP] {
            builder.leave_if(probe, JumpOp::Eq, i32::from(protocol), transport.other);
        }
        builder.leave_if(probe, JumpOp::Eq, icmp, transport.other);
        builder.jump(transport.none);
        builder.enter(transport.tcp);
        self.tcp(builder, transport);
        builder.enter(transport.other);
        self.other(builder, transport);
        builder.enter(transport.none);
        self.fill_transport(builder, transport.length);
        builder.jump(done);
        builder.enter(done);
        builder.leave_if(icmp, JumpOp::Eq, i32::from(IpProtocol::ICMP), self.exits.v4);
        builder.jump(self.exits.v6);
    }

    /// The data offset says how long the header is, which is at least 20 bytes.
    fn tcp(&self, builder: &mut Builder, transport: &Transport) {
        self.header(builder);
        self.linear(builder, 20);
        let size = self.probe;
        builder.load_to(size, self.transport, 12, Width::B);
        builder.alu(size, AluOp::And, 0xf0);
        builder.alu(size, AluOp::Rsh, 2);
        builder.leave_if(size, JumpOp::Lt, 20, self.exits.malformed);
        builder.alu(size, AluOp::Add, self.cursor);
        builder.leave_if_wide(size, JumpOp::Gt, transport.length, self.exits.malformed);
        self.first_bytes(builder);
        if self.given.used.contains(Field::TcpFlags) {
            let flags = builder.load(self.transport, 13, Width::B);
            builder.store_slot(self.given.frame.flags, 0, flags, Width::B);
        }
        builder.jump(transport.done);
    }

    /// The headers of UDP and ICMP have at least eight bytes, that of SCTP twelve.
    fn other(&self, builder: &mut Builder, transport: &Transport) {
        let sctp = builder.head_block();
        self.cursor_within_packet(builder, transport, 8);
        self.header(builder);
        self.linear(builder, 8);
        self.first_bytes(builder);
        self.fill_flags(builder, transport.length);
        // Loaded again: which of the three it is would make three states for the verifier.
        let probe = self.probe;
        builder.load_slot_to(probe, self.given.frame.protocol, 0, Width::B);
        builder.leave_if(probe, JumpOp::Eq, i32::from(IpProtocol::SCTP), sctp);
        builder.jump(transport.done);
        builder.enter(sctp);
        self.cursor_within_packet(builder, transport, 12);
        self.linear(builder, 12);
        builder.jump(transport.done);
    }

    /// Remembers where the transport header stands, if the chain answers packets.
    fn keep_cursor(&self, builder: &mut Builder, cursor: Value) {
        if let Some(slot) = self.given.frame.transport {
            builder.store_slot(slot, 0, cursor, Width::W);
        }
    }

    /// Ports, or type and code of ICMP; and where they stand, if the chain answers packets.
    fn first_bytes(&self, builder: &mut Builder) {
        self.keep_cursor(builder, self.cursor);
        if self.reads_first_bytes() {
            let bytes = builder.load(self.transport, 0, Width::W);
            builder.store_slot(self.given.frame.ports, 0, bytes, Width::W);
        }
        self.fill_absent(builder, self.cursor);
    }

    fn reads_first_bytes(&self) -> bool {
        self.given
            .used
            .any(&[Field::FromPort, Field::ToPort, Field::Icmp])
    }

    /// Writes what only some transport headers bring. A packet without them never gets to a test of them, but the
    /// verifier does not follow why, and before Linux 6.3 it refuses to read stack that some path has not written. Any
    /// value does; that of a register that the verifier knows nothing of makes no state of its own, as a zero would.
    fn fill_transport(&self, builder: &mut Builder, any: Value) {
        self.keep_cursor(builder, any);
        if self.reads_first_bytes() {
            builder.store_slot(self.given.frame.ports, 0, any, Width::W);
        }
        self.fill_flags(builder, any);
        self.fill_absent(builder, any);
    }

    fn fill_flags(&self, builder: &mut Builder, any: Value) {
        if self.given.used.contains(Field::TcpFlags) {
            builder.store_slot(self.given.frame.flags, 0, any, Width::B);
        }
    }

    /// As far as the verifier can tell, every way leads to the place where an intercept reads the state of the socket that was
    /// found, and with `count` rules to those where a watch for an absent socket, and a gate
    /// in front of the drop of what finds no socket or interface, reads its counter.
    fn fill_absent(&self, builder: &mut Builder, any: Value) {
        let watches = |entry: &ChainRule| {
            use Effect::{Forward, Intercept, RedirectPass};
            matches!(entry.effect, RedirectPass | Forward | Intercept)
        };
        let entries = &self.given.source.chain.entries;
        if self.given.source.counts.is_some() && entries.iter().any(watches) {
            builder.store_slot(self.given.frame.absent, 0, any, Width::W);
        }
        let intercepts = |entry: &ChainRule| entry.effect == Effect::Intercept;
        if entries.iter().any(intercepts) {
            builder.store_slot(self.given.frame.state, 0, any, Width::B);
        }
    }
}
