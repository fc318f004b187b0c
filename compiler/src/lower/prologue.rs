//! The prologue of packet hooks: from the frame to the fields on the stack, as `docs/meaning.md#malformed-packets` says.
//!
//! Takes a frame; leaves the fields that the program will read in their slots, and goes to the decision of the packet's family.
//! Not here: what is decided, of which it knows the [`Exits`] alone; and programs whose context tells everything
//! ([`super::hook`]).
//!
//! Frames that are not IP pass. Malformed ones get the default. At TC the headers may lie beyond the linear part of the
//! buffer: the parser then stands in the program twice, and the second one runs after `bpf_skb_pull_data`, since
//! control flow only goes forward.
//!
//! Ethernet types are compared as they stand in memory, in network order.

mod header;
mod transport;
mod uniform;

use crate::bpf::constant::{IP_TYPES, VLAN_HLEN, VLAN_TYPES};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, End, Value};
use crate::protocol::IpProtocol;

use super::context::skb;
use super::given::Given;
use super::hook::{Reach, Roots};
use super::{FROM, TO, frame};
use transport::Transport;

/// `ETH_HLEN`
pub(super) const ETHERNET: i32 = 14;

/// More than the longest chain of headers: 14 + 8 + 40 + 6 extension headers of 2,048 bytes + 60.
const HEADERS: i32 = 16_384;

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

impl Exits {
    /// Those of the last pass: what is short then is cut.
    pub(super) fn new(roots: Roots, malformed: Block) -> Self {
        let Roots { v4, v6, pass } = roots;
        Self {
            not_ip: pass,
            malformed,
            short: malformed,
            short_frame: pass,
            v4,
            v6,
        }
    }
}

/// The fields that are left for every program. The others only for those that use them.
pub(super) const ALWAYS: [Field; 3] = [Field::Protocol, Field::Fragment, Field::Length];

/// What goes through a packet.
pub(super) struct Prologue<'a> {
    given: &'a Given<'a>,
    reach: Reach,
    /// Where this pass leaves to.
    exits: Exits,
    /// The first byte of the IP header.
    network: Value,
    /// The end of the packet's linear part.
    end: Value,
    /// Offset of the header being looked at from the IP header.
    cursor: Value,
    /// The transport header.
    transport: Value,
    /// What the header says that decides how it goes on.
    probe: Value,
}

impl<'a> Prologue<'a> {
    pub(super) fn new(
        builder: &mut Builder,
        given: &'a Given<'a>,
        reach: Reach,
        exits: Exits,
    ) -> Self {
        Self {
            given,
            reach,
            exits,
            network: builder.value(),
            end: builder.value(),
            cursor: builder.value(),
            transport: builder.value(),
            probe: builder.value(),
        }
    }

    /// The same with other exits.
    fn leaving_to(&self, exits: Exits) -> Self {
        Self { exits, ..*self }
    }

    /// Reads a packet.
    pub(super) fn packet(&self, builder: &mut Builder) {
        if !self.reach.buffered {
            return self.parse(builder);
        }
        let pull = builder.head_block();
        let first = Exits {
            short: pull,
            short_frame: pull,
            ..self.exits
        };
        self.leaving_to(first).parse(builder);
        builder.enter(pull);
        self.pull(builder);
    }

    /// Makes the headers linear and parses again; what is still short then is cut.
    fn pull(&self, builder: &mut Builder) {
        let ready = builder.block();
        builder.set_slot(self.given.frame.weight, 0, HEADERS, Width::W);
        let length = builder.load(self.given.context, skb::LEN, Width::W);
        builder.leave_if(length, JumpOp::Gt, HEADERS, ready);
        let length = builder.load(self.given.context, skb::LEN, Width::W);
        builder.store_slot(self.given.frame.weight, 0, length, Width::W);
        builder.jump(ready);
        builder.enter(ready);
        let args = [
            Arg::Value(self.given.context),
            Arg::SlotValue(self.given.frame.weight, Width::W),
        ];
        // The kernel may lack the memory: what cannot be read is nothing that rules are kept for. A cut frame is no failure, since
        // no more is asked for than there is.
        let unread = builder.block();
        let failed = builder.call_value(Helper::SkbPullData, &args);
        builder.leave_if(failed, JumpOp::Ne, 0, unread);
        self.parse(builder);
        builder.enter(unread);
        builder.end(End::Return(self.given.source.chain.hook.spec().codes.drop));
    }

    fn parse(&self, builder: &mut Builder) {
        let [v4, v6] = self.frame_types(builder);
        let transport = Transport::new(builder);
        builder.enter(v4);
        self.parse_v4(builder, &transport);
        builder.enter(v6);
        self.parse_v6(builder, &transport);
        self.transport_header(builder, &transport);
    }

    /// Reads the frame up to the IP header; gives a block for each family.
    pub(super) fn frame_types(&self, builder: &mut Builder) -> [Block; 2] {
        for (value, bound) in [self.network, self.end].into_iter().zip(self.reach.bounds) {
            builder.load_to(value, self.given.context, bound, Width::W);
        }
        let v4 = builder.head_block();
        let v6 = builder.head_block();
        self.tag_taken_off(builder);
        self.need(builder, ETHERNET, self.exits.short_frame);
        self.link_addresses(builder);
        self.ethernet_type(builder, 0, v4, v6);
        [v4, v6]
    }

    /// Leaves to `short` unless `bytes` bytes lie at the network pointer.
    pub(super) fn need(&self, builder: &mut Builder, bytes: i32, short: Block) {
        let after = builder.copy(self.network);
        builder.alu(after, AluOp::Add, bytes);
        builder.leave_if_wide(after, JumpOp::Gt, self.end, short);
    }

    /// Reads the type after the Ethernet header (`tags` = 0) or a tag, and goes on. The network pointer stands at the
    /// header that holds the type in its last two bytes.
    fn ethernet_type(&self, builder: &mut Builder, tags: i32, v4: Block, v6: Block) {
        let size = if tags == 0 { ETHERNET } else { VLAN_HLEN };
        let kind = self.probe;
        let offset = builder.fit(size - 2, "the place of a type");
        builder.load_to(kind, self.network, offset, Width::H);
        if tags == 1 {
            self.first_tag(builder);
        }
        builder.alu(self.network, AluOp::Add, size);
        if self.reach.buffered || self.given.frame.transport.is_some() {
            builder.set_slot(
                self.given.frame.offset,
                0,
                ETHERNET + tags * VLAN_HLEN,
                Width::W,
            );
        }
        for (family, block) in IP_TYPES.into_iter().zip([v4, v6]) {
            builder.leave_if(kind, JumpOp::Eq, family, block);
        }
        let tagged = builder.head_block();
        for vlan in VLAN_TYPES {
            builder.leave_if(kind, JumpOp::Eq, vlan, tagged);
        }
        builder.jump(self.exits.not_ip);
        builder.enter(tagged);
        self.tag(builder, tags, v4, v6);
    }

    /// One more tag. The network interface may have taken one off already: then TC's frame holds one fewer.
    fn tag(&self, builder: &mut Builder, tags: i32, v4: Block, v6: Block) {
        if tags == 2 {
            builder.jump(self.exits.malformed);
            return;
        }
        if tags == 1 && self.reach.buffered {
            let present = builder.load(self.given.context, skb::VLAN_PRESENT, Width::W);
            builder.leave_if(present, JumpOp::Ne, 0, self.exits.malformed);
        }
        self.need(builder, VLAN_HLEN, self.exits.short_frame);
        self.ethernet_type(builder, tags + 1, v4, v6);
    }

    fn parse_v4(&self, builder: &mut Builder, transport: &Transport) {
        let network = self.network;
        self.need(builder, 20, self.exits.short);
        self.version_v4(builder);
        let length = transport.length;
        builder.load_to(length, network, 2, Width::H);
        builder.from_network(length, 16);
        self.packet_length(builder, length, 0);
        builder.leave_if(length, JumpOp::Lt, self.cursor, self.exits.malformed);
        self.addresses_v4(builder);
        self.hops_and_class_v4(builder);
        builder.set(transport.icmp, IpProtocol::ICMP.0.into());
        self.fragment_v4(builder, transport);
        builder.load_to(self.probe, network, 9, Width::B);
        builder.jump(transport.known);
    }

    /// The version is 4, and the cursor stands after a header of 20 to 60 bytes.
    fn version_v4(&self, builder: &mut Builder) {
        let cursor = self.cursor;
        builder.load_to(cursor, self.network, 0, Width::B);
        for (op, first) in [(JumpOp::Lt, 0x45), (JumpOp::Gt, 0x4f)] {
            builder.leave_if(cursor, op, first, self.exits.malformed);
        }
        builder.alu(cursor, AluOp::Lsh, 2);
        builder.alu(cursor, AluOp::And, 0x3c);
    }

    fn addresses_v4(&self, builder: &mut Builder) {
        let network = self.network;
        let protocol = builder.load(network, 9, Width::B);
        builder.store_slot(self.given.frame.protocol, 0, protocol, Width::B);
        for (offset, slot, field) in [
            (12, self.given.frame.from, Field::From0),
            (16, self.given.frame.to, Field::To0),
        ] {
            if !self.given.used.contains(field) {
                continue;
            }
            let address = builder.load(network, offset, Width::W);
            builder.store_slot(slot, 0, address, Width::W);
        }
    }

    /// Only what is a fragment is asked which one. A later one has no transport header.
    fn fragment_v4(&self, builder: &mut Builder, transport: &Transport) {
        let probe = self.probe;
        let [fragment, later, ready] = [(); 3].map(|()| builder.head_block());
        builder.load_to(probe, self.network, 6, Width::H);
        builder.set_slot(self.given.frame.fragment, 0, frame::WHOLE, Width::B);
        builder.leave_if(probe, JumpOp::Set, frame::PART_OF_V4, fragment);
        builder.jump(ready);
        builder.enter(fragment);
        builder.set_slot(self.given.frame.fragment, 0, frame::FIRST, Width::B);
        builder.leave_if(probe, JumpOp::Set, frame::OFFSET_OF_V4, later);
        builder.jump(ready);
        builder.enter(later);
        builder.set_slot(self.given.frame.fragment, 0, frame::LATER, Width::B);
        builder.jump(transport.none);
        builder.enter(ready);
    }

    /// The length that the IP header says is that of the packet, unless it is longer than its frame.
    pub(super) fn packet_length(&self, builder: &mut Builder, length: Value, empty: i32) {
        self.joined_length(builder, length, empty);
        self.frame_holds_packet(builder, length);
        builder.store_slot(self.given.frame.length, 0, length, Width::W);
    }

    /// BIG TCP: a joined buffer of more than 65,535 bytes says the length of an empty packet (Linux 5.19); its length is
    /// the buffer's.
    fn joined_length(&self, builder: &mut Builder, length: Value, empty: i32) {
        if !self.reach.buffered {
            return;
        }
        let [joined, ready] = [(); 2].map(|()| builder.head_block());
        builder.leave_if(length, JumpOp::Eq, empty, joined);
        builder.jump(ready);
        builder.enter(joined);
        let buffer = self.probe;
        builder.load_to(buffer, self.given.context, skb::LEN, Width::W);
        let offset = builder.load_slot(self.given.frame.offset, 0, Width::W);
        builder.alu(buffer, AluOp::Sub, offset);
        builder.leave_if(buffer, JumpOp::Le, 0xffff, ready);
        builder.assign(length, buffer);
        builder.jump(ready);
        builder.enter(ready);
    }

    /// A packet longer than its frame is malformed. XDP compares pointers (subtracting them would need CAP_PERFMON),
    /// TC the length of the whole buffer, whatever part of it is linear.
    fn frame_holds_packet(&self, builder: &mut Builder, length: Value) {
        if !self.reach.buffered {
            // The verifier wants a bound on what is added to a packet pointer; an IP packet has at most 65,575 bytes,
            // so the mask never changes it.
            builder.alu(length, AluOp::And, 0x1_ffff);
            let after = builder.copy(self.network);
            builder.alu(after, AluOp::Add, length);
            builder.leave_if_wide(after, JumpOp::Gt, self.end, self.exits.malformed);
        } else {
            let after = builder.load_slot(self.given.frame.offset, 0, Width::W);
            builder.alu(after, AluOp::Add, length);
            let frame = builder.load(self.given.context, skb::LEN, Width::W);
            builder.leave_if_wide(after, JumpOp::Gt, frame, self.exits.malformed);
        }
    }

    fn parse_v6(&self, builder: &mut Builder, transport: &Transport) {
        let network = self.network;
        self.need(builder, 40, self.exits.short);
        let version = builder.load(network, 0, Width::B);
        builder.alu(version, AluOp::And, 0xf0);
        builder.leave_if(version, JumpOp::Ne, 0x60, self.exits.malformed);
        let length = transport.length;
        builder.load_to(length, network, 4, Width::H);
        builder.from_network(length, 16);
        builder.alu(length, AluOp::Add, 40);
        self.packet_length(builder, length, 40);
        self.addresses_v6(builder);
        self.hops_and_class_v6(builder);
        let next = self.probe;
        builder.load_to(next, network, 6, Width::B);
        builder.store_slot(self.given.frame.protocol, 0, next, Width::B);
        builder.set_slot(self.given.frame.fragment, 0, frame::WHOLE, Width::B);
        builder.set(self.cursor, 40);
        self.extensions(builder, transport);
    }

    fn addresses_v6(&self, builder: &mut Builder) {
        for (offset, slot, fields) in [
            (8, self.given.frame.from, FROM),
            (24, self.given.frame.to, TO),
        ] {
            if !self.given.used.any(&fields) {
                continue;
            }
            for half in [0, 8u8] {
                let address = builder.load(self.network, offset + i16::from(half), Width::DW);
                builder.store_slot(slot, half, address, Width::DW);
            }
        }
    }
}
