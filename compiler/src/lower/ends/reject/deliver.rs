//! The answer into the packet, and back out of the interface it came in by.
//!
//! XDP opens room in front of the packet and cuts its end, so that what is quoted stays where it is; the answer may keep
//! what padding the frame had after its IP packet. TC resizes the buffer and writes all of it.
//!
//! At TC the checksum of a packet from this machine may still be left to the interface (`CHECKSUM_PARTIAL`), which would
//! compute it into the answer. The kernel forgets that when a packet loses the bytes where the sum begins, so the buffer is
//! made longer first and then loses as much after its Ethernet header.

use crate::bpf::constant::{BPF_ADJ_ROOM_MAC, XDP_TX};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Builder, End, Slot, Value};

use super::answer::ICMP;
use super::{At, IpVersion, Rejection};
use crate::lower::context::skb;

/// More than the offset of any transport header whose checksum an interface may be left to compute: 14 + 8 + 60.
const SURPLUS: i32 = 88;

impl Rejection<'_> {
    /// TC: makes the buffer end with the quoted part, then fills it up with zeros, and reads the quoted part.
    pub(super) fn quote_buffer(&self, builder: &mut Builder, payload: Value) {
        self.change_tail(builder, Some(payload), -i32::from(ICMP));
        self.change_tail(builder, None, longest(self.ip) + SURPLUS);
        self.fetch(builder, At::Network, self.reply.quote, self.ip.quote);
    }

    /// XDP: reads the quoted part word by word.
    pub(super) fn quote_frame(&self, builder: &mut Builder, payload: Value) {
        for byte in (0..self.ip.quote).step_by(8) {
            builder.set_slot(self.reply.quote, byte, 0, Width::DW);
        }
        let view = self.point(builder, At::Network);
        let done = builder.head_block();
        for byte in (0..self.ip.quote).step_by(4) {
            builder.leave_if(payload, JumpOp::Le, i32::from(byte + ICMP), done);
            self.in_view(builder, view, i32::from(byte) + 4);
            let word = builder.load(view.start, i16::from(byte), Width::W);
            builder.store_slot(self.reply.quote, byte, word, Width::W);
        }
        builder.jump(done);
        builder.enter(done);
    }

    /// TC: a reset of `length` bytes.
    pub(super) fn send_reset(&self, builder: &mut Builder, payload: Value, length: u8) {
        self.change_tail(builder, None, i32::from(length) + SURPLUS);
        self.forget_checksum(builder);
        self.change_tail(builder, Some(payload), i32::from(self.ip.header));
        self.store(builder, At::Network, self.reply.head, length);
        self.send_buffer(builder);
    }

    /// TC: an ICMP message.
    pub(super) fn send_unreachable(&self, builder: &mut Builder, payload: Value) {
        self.forget_checksum(builder);
        self.store(builder, At::Network, self.reply.head, self.ip.header + ICMP);
        let after = builder.load_slot(self.given.frame.offset, 0, Width::W);
        let offset = i32::from(self.ip.header + ICMP);
        builder.alu(after, AluOp::Add, offset);
        let args = [
            Arg::Value(self.given.context),
            Arg::Value(after),
            Arg::SlotAddress(self.reply.quote),
            Arg::Imm(i32::from(self.ip.quote)),
            Arg::Imm(0),
        ];
        self.call_or(builder, Helper::SkbStoreBytes, &args);
        self.change_tail(builder, Some(payload), i32::from(self.ip.header));
        self.send_buffer(builder);
    }

    /// The end of the buffer: `more` bytes after the beginning of the IP header, and those of the payload if asked for.
    fn change_tail(&self, builder: &mut Builder, payload: Option<Value>, more: i32) {
        let length = builder.load_slot(self.given.frame.offset, 0, Width::W);
        builder.alu(length, AluOp::Add, more);
        if let Some(payload) = payload {
            builder.alu(length, AluOp::Add, payload);
        }
        let args = [
            Arg::Value(self.given.context),
            Arg::Value(length),
            Arg::Imm(0),
        ];
        self.call_or(builder, Helper::SkbChangeTail, &args);
    }

    /// Takes the surplus out after the Ethernet header. It fails after a tag in the buffer, where none of our interfaces
    /// leaves checksums to compute; the surplus is then cut off at the end.
    fn forget_checksum(&self, builder: &mut Builder) {
        let args = [
            Arg::Value(self.given.context),
            Arg::Imm(-SURPLUS),
            Arg::Imm(BPF_ADJ_ROOM_MAC),
            Arg::Imm(0),
        ];
        builder.call(Helper::SkbAdjustRoom, &args);
    }

    fn store(&self, builder: &mut Builder, at: At, from: Slot, bytes: u8) {
        let offset = match at {
            At::Network => Arg::SlotValue(self.given.frame.offset, Width::W),
            At::Frame | At::Transport => Arg::Imm(0),
        };
        let args = [
            Arg::Value(self.given.context),
            offset,
            Arg::SlotAddress(from),
            Arg::Imm(i32::from(bytes)),
            Arg::Imm(0),
        ];
        self.call_or(builder, Helper::SkbStoreBytes, &args);
    }

    fn send_buffer(&self, builder: &mut Builder) {
        if self.given.source.chain.hook.direction().passes() {
            return self.send_back(builder);
        }
        self.swap_link(builder);
        self.store(builder, At::Frame, self.reply.ether, 12);
        let interface = builder.load(self.given.context, skb::IFINDEX, Width::W);
        let args = [Arg::Value(interface), Arg::Imm(0)];
        let code = builder.call_value(Helper::Redirect, &args);
        builder.end(End::ReturnValue(code));
    }

    /// What passes through has the hardware addresses of where it leaves by now: the answer goes out of where it came in, to
    /// whom the kernel would send it.
    fn send_back(&self, builder: &mut Builder) {
        let Some(came_in) = self.given.code().came_in else {
            return builder.bug("an answer to a packet that came in nowhere");
        };
        let interface = builder.load(self.given.context, came_in, Width::W);
        let args = [Arg::Value(interface), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
        let code = builder.call_value(Helper::RedirectNeigh, &args);
        builder.end(End::ReturnValue(code));
    }

    /// Exchanges the hardware addresses.
    fn swap_link(&self, builder: &mut Builder) {
        for byte in [0, 2, 4] {
            let to = builder.load_slot(self.reply.ether, byte, Width::H);
            let from = builder.load_slot(self.reply.ether, byte + 6, Width::H);
            builder.store_slot(self.reply.ether, byte, from, Width::H);
            builder.store_slot(self.reply.ether, byte + 6, to, Width::H);
        }
    }

    /// XDP: the answer in place of the packet, `length` bytes of it new and `grown` bytes longer in front.
    pub(super) fn send_frame(
        &self,
        builder: &mut Builder,
        payload: Value,
        [length, grown]: [u8; 2],
    ) {
        if grown > 0 {
            self.adjust(builder, Helper::XdpAdjustHead, Arg::Imm(-i32::from(grown)));
        }
        let change = builder.copy(payload);
        let header = i32::from(self.ip.header) - i32::from(grown);
        builder.alu(change, AluOp::Add, header);
        let packet = builder.load_slot(self.given.frame.length, 0, Width::W);
        builder.alu(change, AluOp::Sub, packet);
        self.adjust(builder, Helper::XdpAdjustTail, Arg::Value(change));
        self.swap_link(builder);
        // After the tags these 24 bytes hold what was the beginning of the IP header, which the answer's overwrites.
        self.put(builder, At::Frame, self.reply.ether, 24);
        self.put(builder, At::Network, self.reply.head, length);
        builder.end(End::Return(XDP_TX));
    }

    fn adjust(&self, builder: &mut Builder, helper: Helper, amount: Arg) {
        let args = [Arg::Value(self.given.context), amount];
        self.call_or(builder, helper, &args);
    }

    fn put(&self, builder: &mut Builder, at: At, from: Slot, bytes: u8) {
        let view = self.point(builder, at);
        self.in_view(builder, view, i32::from(bytes));
        for byte in (0..bytes).step_by(4) {
            let word = builder.load_slot(from, byte, Width::W);
            builder.store(view.start, i16::from(byte), word, Width::W);
        }
    }
}

/// The maximum number of bytes of an ICMP message with its IP header.
fn longest(ip: &IpVersion) -> i32 {
    i32::from(ip.header) + i32::from(ICMP) + i32::from(ip.quote)
}
