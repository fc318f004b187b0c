//! The prologue of packet hooks: from the frame to the fields on the stack, as `docs/meaning.md#malformed-packets` says.
//!
//! Frames that are not IP pass. Malformed ones get the default. At TC the headers may lie beyond the linear part of the
//! buffer: the parser then stands in the program twice, and the second one runs after `bpf_skb_pull_data`, since
//! control flow only goes forward.
//!
//! Ethernet types are compared as they stand in memory, in network order.

use crate::bpf::constant::{IP_TYPES, VLAN_HLEN, VLAN_TYPES};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Value};
use crate::policy::Family;
use crate::protocol::IpProtocol;

use super::Lowering;
use super::context::skb;
use super::frame;
use super::outcome::Outcome;
use super::transport::Transport;

/// `ETH_HLEN`
pub(super) const ETHERNET: i32 = 14;

/// More than the longest chain of headers: 14 + 8 + 40 + 6 extension headers of 2,048 bytes + 60.
const HEADERS: i32 = 16_384;

/// Of the two bytes with the place of a fragment in its IPv4 packet (RFC 791), as they stand in memory: whether more follow,
/// and where it begins.
const MORE: i32 = 0x0020;
const OFFSET: i32 = 0xff1f;

pub(super) const FROM: [Field; 4] = [Field::From0, Field::From1, Field::From2, Field::From3];
pub(super) const TO: [Field; 4] = [Field::To0, Field::To1, Field::To2, Field::To3];

/// Where a pass of the parser leaves to.
#[derive(Clone, Copy)]
pub(super) struct Exits {
    /// The frame is not IP.
    pub(super) not_ip: Block,
    /// What is there is wrong.
    pub(super) malformed: Block,
    /// The linear part ends before a header that the frame must have.
    pub(super) short: Block,
    /// The linear part ends before the frame says it is IP.
    pub(super) short_frame: Block,
    /// The fields of an IPv4 packet are on the stack.
    pub(super) v4: Block,
    /// The fields of an IPv6 packet are on the stack.
    pub(super) v6: Block,
}

impl Lowering<'_> {
    /// The whole function of a packet hook.
    pub(super) fn parse_packet(&mut self) {
        if self.is_uniform() {
            return self.uniform();
        }
        let entry = self.builder.current();
        let not_ip = self.outcome(Outcome::Pass, Family::V4);
        let malformed = self.malformed();
        let v4 = self.decide(Family::V4);
        let v6 = self.decide(Family::V6);
        for family in [Family::V4, Family::V6] {
            self.finish(family);
        }
        self.answer_all();
        let last = Exits {
            not_ip,
            malformed,
            short: malformed,
            short_frame: not_ip,
            v4,
            v6,
        };
        self.builder.set_origin(self.head);
        self.builder.enter(entry);
        if !self.is_buffered() {
            return self.parse(last);
        }
        let pull = self.head_block();
        self.parse(Exits {
            short: pull,
            short_frame: pull,
            ..last
        });
        self.builder.enter(pull);
        self.pull(last);
    }

    /// Makes the headers linear and parses again; what is still short then is cut.
    fn pull(&mut self, exits: Exits) {
        let ready = self.builder.block();
        self.builder
            .set_slot(self.frame.weight, 0, HEADERS, Width::W);
        let length = self
            .builder
            .load(self.registers.context, skb::LEN, Width::W);
        self.builder.leave_if(length, JumpOp::Gt, HEADERS, ready);
        let length = self
            .builder
            .load(self.registers.context, skb::LEN, Width::W);
        self.builder
            .store_slot(self.frame.weight, 0, length, Width::W);
        self.builder.jump(ready);
        self.builder.enter(ready);
        let args = [
            Arg::Value(self.registers.context),
            Arg::SlotValue(self.frame.weight, Width::W),
        ];
        self.builder.call(Helper::SkbPullData, &args);
        self.parse(exits);
    }

    fn parse(&mut self, exits: Exits) {
        let [v4, v6] = self.frame_types(exits);
        let transport = Transport::new(&mut self.builder, self.head);
        self.builder.enter(v4);
        self.parse_v4(&transport, exits);
        self.builder.enter(v6);
        self.parse_v6(&transport, exits);
        self.transport(&transport, exits);
    }

    /// Reads the frame up to the IP header; gives a block for each family.
    pub(super) fn frame_types(&mut self, exits: Exits) -> [Block; 2] {
        let registers = self.registers;
        if let Some(reach) = self.reach() {
            let values = [registers.network, registers.end];
            for (value, bound) in values.into_iter().zip(reach.bounds) {
                self.builder
                    .load_to(value, registers.context, bound, Width::W);
            }
        }
        let v4 = self.head_block();
        let v6 = self.head_block();
        self.tag_taken_off();
        self.need(ETHERNET, exits.short_frame);
        self.ethernet_type(0, exits, v4, v6);
        [v4, v6]
    }

    /// Leaves to `short` unless `bytes` bytes lie at the network pointer.
    pub(super) fn need(&mut self, bytes: i32, short: Block) {
        let after = self.builder.copy(self.registers.network);
        self.builder.alu(after, AluOp::Add, bytes);
        self.builder
            .leave_if_wide(after, JumpOp::Gt, self.registers.end, short);
    }

    /// Reads the type after the Ethernet header (`tags` = 0) or a tag, and goes on. The network pointer stands at the
    /// header that holds the type in its last two bytes.
    fn ethernet_type(&mut self, tags: i32, exits: Exits, v4: Block, v6: Block) {
        let size = if tags == 0 { ETHERNET } else { VLAN_HLEN };
        let kind = self.registers.probe;
        let offset = self.builder.fit(size - 2, "the place of a type");
        self.builder
            .load_to(kind, self.registers.network, offset, Width::H);
        if tags == 1 {
            self.first_tag();
        }
        self.builder.alu(self.registers.network, AluOp::Add, size);
        if self.is_buffered() || self.reply.is_some() {
            self.builder
                .set_slot(self.frame.offset, 0, ETHERNET + tags * VLAN_HLEN, Width::W);
        }
        for (family, block) in IP_TYPES.into_iter().zip([v4, v6]) {
            self.builder.leave_if(kind, JumpOp::Eq, family, block);
        }
        let tagged = self.head_block();
        for vlan in VLAN_TYPES {
            self.builder.leave_if(kind, JumpOp::Eq, vlan, tagged);
        }
        self.builder.jump(exits.not_ip);
        self.builder.enter(tagged);
        self.tag(tags, exits, v4, v6);
    }

    /// One more tag. The network interface may have taken one off already: then TC's frame holds one fewer.
    fn tag(&mut self, tags: i32, exits: Exits, v4: Block, v6: Block) {
        if tags == 2 {
            self.builder.jump(exits.malformed);
            return;
        }
        if tags == 1 && self.is_buffered() {
            let present = self
                .builder
                .load(self.registers.context, skb::VLAN_PRESENT, Width::W);
            self.builder
                .leave_if(present, JumpOp::Ne, 0, exits.malformed);
        }
        self.need(VLAN_HLEN, exits.short_frame);
        self.ethernet_type(tags + 1, exits, v4, v6);
    }

    fn parse_v4(&mut self, transport: &Transport, exits: Exits) {
        let network = self.registers.network;
        self.need(20, exits.short);
        self.version_v4(exits);
        let length = transport.length;
        self.builder.load_to(length, network, 2, Width::H);
        self.builder.from_network(length, 16);
        self.packet_length(length, 0, exits);
        self.builder
            .leave_if(length, JumpOp::Lt, self.registers.cursor, exits.malformed);
        self.addresses_v4();
        self.hops_and_class_v4();
        self.builder.set(transport.icmp, IpProtocol::ICMP.0.into());
        self.fragment_v4(transport);
        self.builder
            .load_to(self.registers.probe, network, 9, Width::B);
        self.builder.jump(transport.known);
    }

    /// The version is 4, and the cursor stands after a header of 20 to 60 bytes.
    fn version_v4(&mut self, exits: Exits) {
        let cursor = self.registers.cursor;
        self.builder
            .load_to(cursor, self.registers.network, 0, Width::B);
        for (op, first) in [(JumpOp::Lt, 0x45), (JumpOp::Gt, 0x4f)] {
            self.builder.leave_if(cursor, op, first, exits.malformed);
        }
        self.builder.alu(cursor, AluOp::Lsh, 2);
        self.builder.alu(cursor, AluOp::And, 0x3c);
    }

    fn addresses_v4(&mut self) {
        let network = self.registers.network;
        let protocol = self.builder.load(network, 9, Width::B);
        self.builder
            .store_slot(self.frame.protocol, 0, protocol, Width::B);
        for (offset, slot, field) in [
            (12, self.frame.from, Field::From0),
            (16, self.frame.to, Field::To0),
        ] {
            if !self.used.contains(field) {
                continue;
            }
            let address = self.builder.load(network, offset, Width::W);
            self.builder.store_slot(slot, 0, address, Width::W);
        }
    }

    /// Only what is a fragment is asked which one. A later one has no transport header.
    fn fragment_v4(&mut self, transport: &Transport) {
        let probe = self.registers.probe;
        let [fragment, later, ready] = [(); 3].map(|()| self.head_block());
        self.builder
            .load_to(probe, self.registers.network, 6, Width::H);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::WHOLE, Width::B);
        self.builder
            .leave_if(probe, JumpOp::Set, MORE | OFFSET, fragment);
        self.builder.jump(ready);
        self.builder.enter(fragment);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::FIRST, Width::B);
        self.builder.leave_if(probe, JumpOp::Set, OFFSET, later);
        self.builder.jump(ready);
        self.builder.enter(later);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::LATER, Width::B);
        self.builder.jump(transport.none);
        self.builder.enter(ready);
    }

    /// The length that the IP header says is that of the packet, unless it is longer than its frame.
    pub(super) fn packet_length(&mut self, length: Value, empty: i32, exits: Exits) {
        self.joined_length(length, empty);
        self.frame_holds_packet(length, exits);
        self.builder
            .store_slot(self.frame.length, 0, length, Width::W);
    }

    /// BIG TCP: a joined buffer of more than 65,535 bytes says the length of an empty packet (Linux 5.19); its length is
    /// the buffer's.
    fn joined_length(&mut self, length: Value, empty: i32) {
        if !self.is_buffered() {
            return;
        }
        let [joined, ready] = [(); 2].map(|()| self.head_block());
        self.builder.leave_if(length, JumpOp::Eq, empty, joined);
        self.builder.jump(ready);
        self.builder.enter(joined);
        let buffer = self.registers.probe;
        self.builder
            .load_to(buffer, self.registers.context, skb::LEN, Width::W);
        let offset = self.builder.load_slot(self.frame.offset, 0, Width::W);
        self.builder.alu(buffer, AluOp::Sub, offset);
        self.builder.leave_if(buffer, JumpOp::Le, 0xffff, ready);
        self.builder.assign(length, buffer);
        self.builder.jump(ready);
        self.builder.enter(ready);
    }

    /// A packet longer than its frame is malformed. XDP compares pointers (subtracting them would need CAP_PERFMON),
    /// TC the length of the whole buffer, whatever part of it is linear.
    fn frame_holds_packet(&mut self, length: Value, exits: Exits) {
        if !self.is_buffered() {
            // The verifier wants a bound on what is added to a packet pointer; an IP packet has at most 65,575 bytes,
            // so the mask never changes it.
            self.builder.alu(length, AluOp::And, 0x1_ffff);
            let after = self.builder.copy(self.registers.network);
            self.builder.alu(after, AluOp::Add, length);
            self.builder
                .leave_if_wide(after, JumpOp::Gt, self.registers.end, exits.malformed);
        } else {
            let after = self.builder.load_slot(self.frame.offset, 0, Width::W);
            self.builder.alu(after, AluOp::Add, length);
            let frame = self
                .builder
                .load(self.registers.context, skb::LEN, Width::W);
            self.builder
                .leave_if_wide(after, JumpOp::Gt, frame, exits.malformed);
        }
    }

    fn parse_v6(&mut self, transport: &Transport, exits: Exits) {
        let network = self.registers.network;
        self.need(40, exits.short);
        let version = self.builder.load(network, 0, Width::B);
        self.builder.alu(version, AluOp::And, 0xf0);
        self.builder
            .leave_if(version, JumpOp::Ne, 0x60, exits.malformed);
        let length = transport.length;
        self.builder.load_to(length, network, 4, Width::H);
        self.builder.from_network(length, 16);
        self.builder.alu(length, AluOp::Add, 40);
        self.packet_length(length, 40, exits);
        self.addresses_v6();
        self.hops_and_class_v6();
        let next = self.registers.probe;
        self.builder.load_to(next, network, 6, Width::B);
        self.builder
            .store_slot(self.frame.protocol, 0, next, Width::B);
        self.builder
            .set_slot(self.frame.fragment, 0, frame::WHOLE, Width::B);
        self.builder.set(self.registers.cursor, 40);
        self.extensions(transport, exits);
    }

    fn addresses_v6(&mut self) {
        for (offset, slot, fields) in [(8, self.frame.from, FROM), (24, self.frame.to, TO)] {
            if !self.used.any(&fields) {
                continue;
            }
            for half in [0, 8u8] {
                let address =
                    self.builder
                        .load(self.registers.network, offset + i16::from(half), Width::DW);
                self.builder.store_slot(slot, half, address, Width::DW);
            }
        }
    }
}
