//! cgroup_skb at ingress: its context is that of a packet which stands at its IP header, and has the socket that gets it.
//!
//! Whether that is one of UDP says the socket. Of its packets the headers lie in the linear part: UDP has read its own there
//! (`__udp4_lib_rcv`), which stands after all others. A packet whose UDP header is not found all the same, or that is a
//! fragment, is dropped: nobody could say what rules say of it. So is one of IPv6 with an IPv4-mapped address, which a socket
//! of both families gives its reader as that of IPv4, which no rule has been asked about.
//!
//! The kernel runs it where packets come in, with soft interrupts off.

use super::{BOTH, Code, FieldLoad, Head, Roots, address, context, stack};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::field::Field;
use crate::ir::{Arg, Block, Builder, End, HeaderRegion, Value};
use crate::log::offset;
use crate::lower::context::{mapped, skb, sock};
use crate::lower::frame::{self, Frame};
use crate::lower::given::Given;
use crate::policy::Family;
use crate::protocol::IpProtocol;

pub(super) static CODE: Code = Code {
    head: Head::Context(begin),
    families: BOTH,
    field,
    size: |_| context(skb::LEN, Width::W, 0),
    came_in: None,
    noted: &[(skb::LEN, offset::LENGTH)],
    preemptible: false,
    remembered: false,
    feeds: None,
};

/// Where an IPv4 header has the two addresses, and where one of IPv6.
const ADDRESSES: [i16; 2] = [12, 8];

fn field(frame: &Frame, field: Field, _: Family) -> Option<FieldLoad> {
    match field {
        Field::FromPort => stack(frame.ports, 0, Width::H, 16),
        Field::ToPort => stack(frame.ports, 2, Width::H, 16),
        Field::From0 | Field::From1 | Field::From2 | Field::From3 => {
            stack(frame.from, address(field, 0, 0)?, Width::W, 32)
        }
        _ => stack(frame.to, address(field, 0, 0)?, Width::W, 32),
    }
}

/// What goes through a packet, in registers.
struct Walk<'a> {
    given: &'a Given<'a>,
    /// The IP header.
    network: Value,
    /// The end of the packet's linear part.
    end: Value,
    /// How far from the IP header the next one is.
    cursor: Value,
    /// To where no rule is asked.
    unknown: Block,
}

fn begin(given: &Given<'_>, builder: &mut Builder, roots: Roots) {
    of_udp(given, builder, roots.pass);
    let walk = Walk {
        given,
        network: builder.value(),
        end: builder.value(),
        cursor: builder.value(),
        unknown: builder.head_block(),
    };
    for (value, bound) in [(walk.network, skb::DATA), (walk.end, skb::DATA_END)] {
        builder.load_to(value, given.context, bound, Width::W);
    }
    let six = builder.head_block();
    walk.need(builder, walk.network, 20);
    let version = builder.load(walk.network, 0, Width::B);
    builder.alu(version, AluOp::Rsh, 4);
    builder.leave_if(version, JumpOp::Eq, 6, six);
    builder.leave_if(version, JumpOp::Ne, 4, walk.unknown);
    walk.v4(builder);
    walk.ports(builder, roots.v4);
    builder.enter(six);
    walk.v6(builder);
    walk.ports(builder, roots.v6);
    builder.enter(walk.unknown);
    builder.end(End::Return(given.source.chain.hook.spec().codes.drop));
}

/// Packets of other sockets are let go.
fn of_udp(given: &Given<'_>, builder: &mut Builder, pass: Block) {
    let socket = builder.load(given.context, skb::SK, Width::DW);
    builder.leave_if_wide(socket, JumpOp::Eq, 0, pass);
    let whole = builder.call_value(Helper::SkFullsock, &[Arg::Value(socket)]);
    builder.leave_if_wide(whole, JumpOp::Eq, 0, pass);
    let protocol = builder.load(whole, sock::PROTOCOL, Width::W);
    builder.leave_if(protocol, JumpOp::Ne, i32::from(IpProtocol::UDP), pass);
}

impl Walk<'_> {
    /// So many bytes from a header on are there.
    fn need(&self, builder: &mut Builder, header: Value, bytes: i32) {
        let after = builder.copy(header);
        builder.alu(after, AluOp::Add, bytes);
        builder.leave_if_wide(after, JumpOp::Gt, self.end, self.unknown);
    }

    /// The header, with options or without, and that it is a whole packet of UDP.
    fn v4(&self, builder: &mut Builder) {
        let [from, to] = [ADDRESSES[0], ADDRESSES[0] + 4];
        for (at, slot) in [(from, self.given.frame.from), (to, self.given.frame.to)] {
            let word = builder.load(self.network, at, Width::W);
            builder.store_slot(slot, 0, word, Width::W);
        }
        let part = builder.load(self.network, 6, Width::H);
        builder.leave_if(part, JumpOp::Set, frame::PART_OF_V4, self.unknown);
        let protocol = builder.load(self.network, 9, Width::B);
        builder.leave_if(
            protocol,
            JumpOp::Ne,
            i32::from(IpProtocol::UDP),
            self.unknown,
        );
        builder.load_to(self.cursor, self.network, 0, Width::B);
        builder.alu(self.cursor, AluOp::And, 0xf);
        builder.leave_if(self.cursor, JumpOp::Lt, 5, self.unknown);
        builder.alu(self.cursor, AluOp::Lsh, 2);
    }

    /// The header, and those after it as far as that of UDP.
    fn v6(&self, builder: &mut Builder) {
        self.need(builder, self.network, 40);
        for (side, slot) in [
            (ADDRESSES[1], self.given.frame.from),
            (ADDRESSES[1] + 16, self.given.frame.to),
        ] {
            let plain = builder.head_block();
            mapped(builder, self.network, side, plain);
            builder.jump(self.unknown);
            builder.enter(plain);
            for half in [0, 8u8] {
                let word = builder.load(self.network, side + i16::from(half), Width::DW);
                builder.store_slot(slot, half, word, Width::DW);
            }
        }
        let next = builder.load(self.network, 6, Width::B);
        builder.store_slot(self.given.frame.protocol, 0, next, Width::B);
        builder.set(self.cursor, 40);
        let found = builder.head_block();
        builder.leave_if(next, JumpOp::Eq, i32::from(IpProtocol::UDP), found);
        self.extensions(builder);
        builder.jump(found);
        builder.enter(found);
    }

    /// Goes on at the header of UDP. A fragment header that says it is the whole packet may stay where packets come in.
    fn extensions(&self, builder: &mut Builder) {
        let walked = builder.head_block();
        let Frame {
            protocol, fragment, ..
        } = self.given.frame;
        builder.set_slot(fragment, 0, frame::WHOLE, Width::B);
        builder.end(End::Headers(HeaderRegion {
            network: self.network,
            end: self.end,
            cursor: self.cursor,
            protocol,
            part: fragment,
            transport: walked,
            later: self.unknown,
            malformed: self.unknown,
            short: self.unknown,
        }));
        builder.enter(walked);
        let part = builder.load_slot(fragment, 0, Width::B);
        builder.leave_if(part, JumpOp::Ne, frame::WHOLE, self.unknown);
        let protocol = builder.load_slot(protocol, 0, Width::B);
        builder.leave_if(
            protocol,
            JumpOp::Ne,
            i32::from(IpProtocol::UDP),
            self.unknown,
        );
    }

    /// The header of UDP is at the cursor.
    fn ports(&self, builder: &mut Builder, decision: Block) {
        let header = builder.copy(self.network);
        builder.alu(header, AluOp::Add, self.cursor);
        self.need(builder, header, 8);
        let ports = builder.load(header, 0, Width::W);
        builder.store_slot(self.given.frame.ports, 0, ports, Width::W);
        builder.jump(decision);
    }
}
