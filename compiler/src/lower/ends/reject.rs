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
use crate::chain::{Chain, ChainRule, Effect};
use crate::hook::Refusal;
use crate::ir::{Arg, Block, Builder, Slot, Value};
use crate::policy::{Action, DefaultVerdict, Family, Policy};
use crate::protocol::IpProtocol;

use super::{Ends, Outcome};
use crate::lower::bucket::Bucket;
use crate::lower::context::skb;
use crate::lower::frame;
use crate::lower::given::Given;
use crate::lower::hook::{Head, Reach};
use limit::{RESET, UNREACHABLE};

pub use limit::KINDS;
pub(crate) use limit::MAX_RECEIVERS;

/// `PACKET_HOST`
const PACKET_HOST: i32 = 0;
/// TCP flags.
const RST: u8 = 0x04;

/// Where an answer is put together.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    /// How the program gets at the packet.
    reach: Reach,
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
    /// Places for an answer in the frame's room, if the chain answers packets.
    pub(super) fn new(builder: &mut Builder, given: &Given<'_>) -> Option<Self> {
        let (Some(room), Some(transport)) = (given.frame.room, given.frame.transport) else {
            return None;
        };
        let Head::Frame(reach) = given.code().head else {
            return None;
        };
        let head = builder.part(room, 24, 64);
        Some(Self {
            reach,
            transport,
            ether: builder.part(room, 0, 24),
            head,
            receiver: limit::bucket(builder, head),
            segment: builder.part(room, 88, 24),
            quote: builder.part(room, 112, 88),
        })
    }
}

/// Whether a chain answers packets.
#[must_use]
pub(crate) fn answers(policy: &Policy, chain: &Chain) -> bool {
    let refuses = |entry: &ChainRule| match (entry.effect, policy.rules[entry.rule].action) {
        (Effect::Intercept, Action::Intercept(socket)) => !policy.sockets[socket].drop_if_absent,
        (effect, _) => effect == Effect::Reject,
    };
    let rejects =
        chain.default.verdict == DefaultVerdict::Reject || chain.entries.iter().any(refuses);
    rejects && chain.hook.spec().reject == Refusal::Answer
}

/// What differs between the families. Offsets are from the IP header.
struct IpVersion {
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

fn version(family: Family) -> &'static IpVersion {
    match family {
        // The longest header with its options, and 8 bytes.
        Family::V4 => &IpVersion {
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
        Family::V6 => &IpVersion {
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

/// XDP: a part of the frame, as pointers.
#[derive(Clone, Copy)]
struct View {
    start: Value,
    end: Value,
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

/// How the packets of a family are answered. It writes nothing but that: whoever is not answered goes where they are dropped.
struct Rejection<'a> {
    given: &'a Given<'a>,
    reply: Reply,
    family: Family,
    ip: &'static IpVersion,
    drop: Block,
}

impl Ends<'_> {
    /// The block that answers the packets of a family.
    pub(super) fn reject(&mut self, builder: &mut Builder, block: Block, family: Family) {
        let drop = self.outcome(builder, Outcome::Drop, family);
        let Some(reply) = self.reply else {
            builder.enter(block);
            return builder.jump(drop);
        };
        let withheld = [(); 2].map(|()| self.withheld(builder, drop));
        let rejection = Rejection {
            given: self.given,
            reply,
            family,
            ip: version(family),
            drop,
        };
        rejection.write(builder, block, withheld);
    }

    /// Counts an answer that is not given.
    fn withheld(&mut self, builder: &mut Builder, drop: Block) -> Block {
        let account = self.account(builder, drop);
        let block = builder.head_block();
        builder.enter(block);
        if account != drop {
            let slot = self.given.source.counters.withheld;
            let slot = builder.known(slot, || "answers without a counter".to_owned());
            let slot: i32 = builder.fit(slot, "the slot of a counter");
            builder.set_slot(self.given.frame.counter, 0, slot, Width::W);
        }
        builder.jump(account);
        block
    }
}

impl Rejection<'_> {
    /// Answers from this block on.
    fn write(&self, builder: &mut Builder, block: Block, [resets, unreachables]: [Block; 2]) {
        let [segment, other] = [(); 2].map(|()| builder.head_block());
        builder.enter(segment);
        self.reset(builder, resets);
        builder.enter(other);
        self.unreachable(builder, unreachables);
        builder.enter(block);
        self.is_no_icmp_but_echo(builder);
        self.is_answered(builder);
        let protocol = builder.load_slot(self.given.frame.protocol, 0, Width::B);
        builder.leave_if(protocol, JumpOp::Eq, i32::from(IpProtocol::TCP), segment);
        builder.jump(other);
    }

    /// Leaves to `drop` for ICMP, which might be an error itself (RFC 1122, 3.2.2; RFC 4443, 2.4), unless it is a request
    /// for an echo.
    fn is_no_icmp_but_echo(&self, builder: &mut Builder) {
        let [icmp, go_on] = [(); 2].map(|()| builder.head_block());
        let part = builder.load_slot(self.given.frame.fragment, 0, Width::B);
        builder.leave_if(part, JumpOp::Eq, frame::LATER, self.drop);
        let protocol = builder.load_slot(self.given.frame.protocol, 0, Width::B);
        let number = i32::from(self.ip.icmp);
        builder.leave_if(protocol, JumpOp::Eq, number, icmp);
        builder.jump(go_on);
        builder.enter(icmp);
        self.fetch(builder, At::Transport, self.reply.segment, 4);
        let kind = builder.load_slot(self.reply.segment, 0, Width::B);
        let echo = i32::from(self.ip.echo);
        builder.leave_if(kind, JumpOp::Ne, echo, self.drop);
        builder.jump(go_on);
        builder.enter(go_on);
    }

    /// Leaves to `drop` unless the packet may be answered. Its addresses are at `quote` then.
    fn is_answered(&self, builder: &mut Builder) {
        if self.reply.reach.buffered {
            let kind = builder.load(self.given.context, skb::PACKET_TYPE, Width::W);
            builder.leave_if(kind, JumpOp::Ne, PACKET_HOST, self.drop);
        }
        self.fetch(builder, At::Frame, self.reply.ether, 24);
        self.link_single(builder);
        self.fetch(builder, At::Network, self.reply.quote, self.ip.header);
        self.addresses_single(builder);
    }

    /// Copies bytes of the packet to the stack, whole words; leaves to `drop` if they are not there.
    fn fetch(&self, builder: &mut Builder, at: At, to: Slot, bytes: u8) {
        if !self.reply.reach.buffered {
            let view = self.point(builder, at);
            self.in_view(builder, view, i32::from(bytes));
            for byte in (0..bytes).step_by(4) {
                let word = builder.load(view.start, i16::from(byte), Width::W);
                builder.store_slot(to, byte, word, Width::W);
            }
            return;
        }
        let offset = match at {
            At::Frame => Arg::Imm(0),
            At::Network => Arg::SlotValue(self.given.frame.offset, Width::W),
            At::Transport => Arg::Value(self.transport_offset(builder)),
        };
        let args = [
            Arg::Value(self.given.context),
            offset,
            Arg::SlotAddress(to),
            Arg::Imm(i32::from(bytes)),
        ];
        self.call_or(builder, Helper::SkbLoadBytes, &args);
    }

    fn transport_offset(&self, builder: &mut Builder) -> Value {
        let offset = builder.load_slot(self.given.frame.offset, 0, Width::W);
        let cursor = builder.load_slot(self.reply.transport, 0, Width::W);
        builder.alu(offset, AluOp::Add, cursor);
        offset
    }

    /// Where all of the frame is there: the frame from there on. Offsets are masked for the verifier, which has forgotten how
    /// far they can be.
    fn point(&self, builder: &mut Builder, at: At) -> View {
        let context = self.given.context;
        let [data, end] = self.reply.reach.bounds;
        let end = builder.load(context, end, Width::W);
        let start = builder.load(context, data, Width::W);
        let view = View { start, end };
        let offset = match at {
            At::Frame => return view,
            At::Network => builder.load_slot(self.given.frame.offset, 0, Width::W),
            At::Transport => self.transport_offset(builder),
        };
        builder.alu(offset, AluOp::And, FURTHEST);
        builder.alu(start, AluOp::Add, offset);
        view
    }

    /// Leaves to `drop` unless so many bytes are there.
    fn in_view(&self, builder: &mut Builder, view: View, bytes: i32) {
        let after = builder.copy(view.start);
        builder.alu(after, AluOp::Add, bytes);
        builder.leave_if_wide(after, JumpOp::Gt, view.end, self.drop);
    }

    /// Calls a helper and leaves to `drop` if it says that it failed.
    fn call_or(&self, builder: &mut Builder, helper: Helper, args: &[Arg]) {
        let result = builder.call_value(helper, args);
        builder.leave_if(result, JumpOp::Ne, 0, self.drop);
    }
}

/// Beyond every transport header that the parser gets to: 14 + 8 + 40 + 6 extension headers of 2,048 bytes.
const FURTHEST: i32 = 0x3fff;
