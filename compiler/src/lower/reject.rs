//! Rejects at packet hooks: the packet is answered as if nobody listened, and the answer leaves where it came in.
//!
//! A TCP segment gets a reset (RFC 9293, 3.10.7.1), everything else an ICMP port unreachable that quotes whole words of it. Nothing
//! is answered to later fragments, resets, ICMP but echo requests, frames from many, for many or for another machine, and packets from
//! or to an address that is no single machine's there (`single`): those are dropped. An answer has no IPv4 options and no IPv6 extension headers.
//!
//! Answers are limited (`limit`). There is one such piece of code for each family, at the end of the program. It gathers what it needs from the packet on
//! the stack, writes the answer there (`answer`), and puts it into the packet (`deliver`).

mod answer;
mod deliver;
mod limit;
mod single;

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::{Chain, Effect};
use crate::hook::Refusal;
use crate::ir::{Arg, Block, Builder, Slot, Value};
use crate::policy::{DefaultVerdict, Family};
use crate::protocol::IpProtocol;

use super::Lowering;
use super::context::skb;
use super::frame;
use super::meter::Bucket;
use super::outcome::Outcome;
use limit::{RESET, UNREACHABLE};

pub use limit::KINDS;
pub(crate) use limit::MAX_RECEIVERS;

/// Bytes of stack that an answer takes; other uses share them.
pub(super) const ROOM: u32 = 200;

/// `PACKET_HOST`
const PACKET_HOST: i32 = 0;
/// TCP flags.
const RST: u8 = 0x04;

/// Where an answer is put together.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    /// Offset of the transport header from the IP header. Four bytes.
    transport: Slot,
    /// The packet's first 24 bytes, which hold the Ethernet header and up to two tags; then those of the answer.
    ether: Slot,
    /// The answer's IP header and TCP or ICMP header: 60 bytes.
    head: Slot,
    /// The bucket of the address that it goes to, in the same place before it is written.
    receiver: Bucket,
    /// The packet's TCP header without options: 20 bytes.
    segment: Slot,
    /// The packet's beginning from the IP header on: up to 88 bytes, zeros after its end.
    quote: Slot,
}

impl Reply {
    /// Places for an answer in [`ROOM`] bytes of stack.
    pub(super) fn new(builder: &mut Builder, room: Slot) -> Self {
        let head = builder.part(room, 24, 64);
        Self {
            transport: builder.opaque_slot(4),
            ether: builder.part(room, 0, 24),
            head,
            receiver: limit::bucket(builder, head),
            segment: builder.part(room, 88, 24),
            quote: builder.part(room, 112, 88),
        }
    }
}

/// Whether a chain answers packets.
#[must_use]
pub(crate) fn answers(chain: &Chain) -> bool {
    let rejects = chain.default.verdict == DefaultVerdict::Reject
        || chain
            .entries
            .iter()
            .any(|entry| entry.effect == Effect::Reject);
    rejects && chain.hook.spec().reject == Refusal::Answer
}

/// What differs between the families. Offsets are from the IP header.
struct Shape {
    /// Length of the IP header without options.
    header: u8,
    /// Where the sender's address stands.
    from: u8,
    /// Where the receiver's address stands.
    to: u8,
    /// Bytes of an address.
    address: u8,
    /// The maximum number of bytes that are quoted: whole words.
    quote: u8,
    /// The protocol number of ICMP.
    icmp: IpProtocol,
    /// The type of a request for an echo.
    echo: u8,
    /// Type and code of "port unreachable".
    unreachable: [u8; 2],
}

fn shape(family: Family) -> &'static Shape {
    match family {
        // The longest header with its options, and 8 bytes.
        Family::V4 => &Shape {
            header: 20,
            from: 12,
            to: 16,
            address: 4,
            quote: 68,
            icmp: IpProtocol::ICMP,
            echo: 8,
            unreachable: [3, 3],
        },
        // The header, 40 bytes of extension headers, and 8 bytes.
        Family::V6 => &Shape {
            header: 40,
            from: 8,
            to: 24,
            address: 16,
            quote: 88,
            icmp: IpProtocol::ICMP6,
            echo: 128,
            unreachable: [1, 4],
        },
    }
}

/// Which bytes of the packet.
#[derive(Clone, Copy)]
enum At {
    /// From the Ethernet header on.
    Frame,
    /// From the IP header on.
    Network,
    /// From the transport header on.
    Transport,
}

impl Lowering<'_> {
    /// Remembers where the transport header stands, if the chain answers packets.
    pub(super) fn keep_cursor(&mut self, cursor: Value) {
        if let Some(reply) = self.reply {
            self.builder
                .store_slot(reply.transport, 0, cursor, Width::W);
        }
    }

    /// The block that answers the packets of a family.
    pub(super) fn reject(&mut self, block: Block, family: Family) {
        let drop = self.outcome(Outcome::Drop, family);
        let Some(reply) = self.reply else {
            self.builder.enter(block);
            self.builder.jump(drop);
            return;
        };
        let [segment, other] = [(); 2].map(|()| self.head_block());
        self.reset(segment, reply, family, drop);
        self.unreachable(other, reply, family, drop);
        self.builder.enter(block);
        self.is_no_icmp_but_echo(reply, family, drop);
        self.is_answered(reply, family, drop);
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        self.builder
            .leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::TCP), segment);
        self.builder.jump(other);
    }

    /// Leaves to `drop` for ICMP, which might be an error itself (RFC 1122, 3.2.2; RFC 4443, 2.4), unless it is a request
    /// for an echo.
    fn is_no_icmp_but_echo(&mut self, reply: Reply, family: Family, drop: Block) {
        let shape = shape(family);
        let [icmp, go_on] = [(); 2].map(|()| self.head_block());
        let part = self.builder.load_slot(self.frame.fragment, 0, Width::B);
        self.builder.leave_if(part, JumpOp::Eq, frame::LATER, drop);
        let protocol = self.builder.load_slot(self.frame.protocol, 0, Width::B);
        let number = i32::from(shape.icmp);
        self.builder.leave_if(protocol, JumpOp::Eq, number, icmp);
        self.builder.jump(go_on);
        self.builder.enter(icmp);
        self.fetch(At::Transport, reply.segment, 4, drop);
        let kind = self.builder.load_slot(reply.segment, 0, Width::B);
        let echo = i32::from(shape.echo);
        self.builder.leave_if(kind, JumpOp::Ne, echo, drop);
        self.builder.jump(go_on);
        self.builder.enter(go_on);
    }

    /// Leaves to `drop` unless the packet may be answered. Its addresses are at `quote` then.
    fn is_answered(&mut self, reply: Reply, family: Family, drop: Block) {
        let shape = shape(family);
        if self.is_buffered() {
            let kind = self
                .builder
                .load(self.registers.context, skb::PACKET_TYPE, Width::W);
            self.builder.leave_if(kind, JumpOp::Ne, PACKET_HOST, drop);
        }
        self.fetch(At::Frame, reply.ether, 24, drop);
        self.link_single(reply, drop);
        self.fetch(At::Network, reply.quote, shape.header, drop);
        self.addresses_single(reply, shape, family, drop);
    }

    /// Copies bytes of the packet to the stack, whole words; leaves to `drop` if they are not there.
    fn fetch(&mut self, at: At, to: Slot, bytes: u8, drop: Block) {
        if !self.is_buffered() {
            self.point(at);
            self.need(i32::from(bytes), drop);
            for byte in (0..bytes).step_by(4) {
                let network = self.registers.network;
                let word = self.builder.load(network, i16::from(byte), Width::W);
                self.builder.store_slot(to, byte, word, Width::W);
            }
            return;
        }
        let offset = match at {
            At::Frame => Arg::Imm(0),
            At::Network => Arg::SlotValue(self.frame.offset, Width::W),
            At::Transport => {
                let offset = self.registers.end;
                self.transport_offset(offset);
                Arg::Value(offset)
            }
        };
        let args = [
            Arg::Value(self.registers.context),
            offset,
            Arg::SlotAddress(to),
            Arg::Imm(i32::from(bytes)),
        ];
        self.call_or(Helper::SkbLoadBytes, &args, drop);
    }

    fn transport_offset(&mut self, to: Value) {
        let Some(reply) = self.reply else { return };
        self.builder
            .load_slot_to(to, self.frame.offset, 0, Width::W);
        let cursor = self.builder.load_slot(reply.transport, 0, Width::W);
        self.builder.alu(to, AluOp::Add, cursor);
    }

    /// Where all of the frame is there: points the network register there, and the end register at the end of the frame. Offsets are masked for the
    /// verifier, which has forgotten how far they can be.
    fn point(&mut self, at: At) {
        let (registers, context) = (self.registers, self.registers.context);
        if let Some(reach) = self.reach() {
            let [data, end] = reach.bounds;
            self.builder.load_to(registers.end, context, end, Width::W);
            self.builder
                .load_to(registers.network, context, data, Width::W);
        }
        let offset = match at {
            At::Frame => return,
            At::Network => self.builder.load_slot(self.frame.offset, 0, Width::W),
            At::Transport => {
                let offset = self.builder.value();
                self.transport_offset(offset);
                offset
            }
        };
        self.builder.alu(offset, AluOp::And, FURTHEST);
        self.builder.alu(registers.network, AluOp::Add, offset);
    }

    /// Calls a helper and leaves to `otherwise` if it says that it failed.
    fn call_or(&mut self, helper: Helper, args: &[Arg], otherwise: Block) {
        let result = self.builder.call_value(helper, args);
        self.builder.leave_if(result, JumpOp::Ne, 0, otherwise);
    }
}

/// Beyond every transport header that the parser gets to: 14 + 8 + 40 + 6 extension headers of 2,048 bytes.
const FURTHEST: i32 = 0x3fff;
