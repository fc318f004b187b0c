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
use crate::ir::{Arg, Block, End};

use super::answer::ICMP;
use super::{At, Reply, Shape};
use crate::lower::Lowering;
use crate::lower::context::skb;

/// More than the offset of any transport header whose checksum an interface may be left to compute: 14 + 8 + 60.
const SURPLUS: i32 = 88;

impl Lowering<'_> {
    /// TC: makes the buffer end with the quoted part, then fills it up with zeros, and reads the quoted part.
    pub(super) fn quote_buffer(&mut self, reply: Reply, shape: &Shape, drop: Block) {
        self.change_tail(true, -i32::from(ICMP), drop);
        self.change_tail(false, longest(shape) + SURPLUS, drop);
        self.fetch(At::Network, reply.quote, shape.quote, drop);
    }

    /// XDP: reads the quoted part word by word.
    pub(super) fn quote_frame(&mut self, reply: Reply, shape: &Shape, drop: Block) {
        for byte in (0..shape.quote).step_by(8) {
            self.builder.set_slot(reply.quote, byte, 0, Width::DW);
        }
        self.point(At::Network);
        let done = self.head_block();
        for byte in (0..shape.quote).step_by(4) {
            let length = self.registers.cursor;
            self.builder
                .leave_if(length, JumpOp::Le, i32::from(byte + ICMP), done);
            self.need(i32::from(byte) + 4, drop);
            let network = self.registers.network;
            let word = self.builder.load(network, i16::from(byte), Width::W);
            self.builder.store_slot(reply.quote, byte, word, Width::W);
        }
        self.builder.jump(done);
        self.builder.enter(done);
    }

    /// TC: a reset of `length` bytes.
    pub(super) fn send_reset(&mut self, reply: Reply, shape: &Shape, length: u8, drop: Block) {
        self.change_tail(false, i32::from(length) + SURPLUS, drop);
        self.forget_checksum();
        self.change_tail(true, i32::from(shape.header), drop);
        self.store(At::Network, reply.head, length, drop);
        self.send_buffer(reply, drop);
    }

    /// TC: an ICMP message.
    pub(super) fn send_unreachable(&mut self, reply: Reply, shape: &Shape, drop: Block) {
        self.forget_checksum();
        self.store(At::Network, reply.head, shape.header + ICMP, drop);
        let after = self.registers.end;
        self.builder
            .load_slot_to(after, self.frame.offset, 0, Width::W);
        let offset = i32::from(shape.header + ICMP);
        self.builder.alu(after, AluOp::Add, offset);
        let args = [
            Arg::Value(self.registers.context),
            Arg::Value(after),
            Arg::SlotAddress(reply.quote),
            Arg::Imm(i32::from(shape.quote)),
            Arg::Imm(0),
        ];
        self.call_or(Helper::SkbStoreBytes, &args, drop);
        self.change_tail(true, i32::from(shape.header), drop);
        self.send_buffer(reply, drop);
    }

    /// The end of the buffer: `more` bytes after the beginning of the IP header, and those of r9 if asked for.
    fn change_tail(&mut self, payload: bool, more: i32, drop: Block) {
        let length = self.registers.end;
        self.builder
            .load_slot_to(length, self.frame.offset, 0, Width::W);
        self.builder.alu(length, AluOp::Add, more);
        if payload {
            let payload = self.registers.cursor;
            self.builder.alu(length, AluOp::Add, payload);
        }
        let args = [
            Arg::Value(self.registers.context),
            Arg::Value(length),
            Arg::Imm(0),
        ];
        self.call_or(Helper::SkbChangeTail, &args, drop);
    }

    /// Takes the surplus out after the Ethernet header. It fails after a tag in the buffer, where none of our interfaces
    /// leaves checksums to compute; the surplus is then cut off at the end.
    fn forget_checksum(&mut self) {
        let args = [
            Arg::Value(self.registers.context),
            Arg::Imm(-SURPLUS),
            Arg::Imm(BPF_ADJ_ROOM_MAC),
            Arg::Imm(0),
        ];
        self.builder.call(Helper::SkbAdjustRoom, &args);
    }

    fn store(&mut self, at: At, from: crate::ir::Slot, bytes: u8, drop: Block) {
        let offset = match at {
            At::Network => Arg::SlotValue(self.frame.offset, Width::W),
            At::Frame | At::Transport => Arg::Imm(0),
        };
        let args = [
            Arg::Value(self.registers.context),
            offset,
            Arg::SlotAddress(from),
            Arg::Imm(i32::from(bytes)),
            Arg::Imm(0),
        ];
        self.call_or(Helper::SkbStoreBytes, &args, drop);
    }

    fn send_buffer(&mut self, reply: Reply, drop: Block) {
        self.swap_link(reply);
        self.store(At::Frame, reply.ether, 12, drop);
        let interface = self.registers.end;
        self.builder
            .load_to(interface, self.registers.context, skb::IFINDEX, Width::W);
        let args = [Arg::Value(interface), Arg::Imm(0)];
        let code = self.builder.call_value(Helper::Redirect, &args);
        self.builder.end(End::ReturnValue(code));
    }

    /// Exchanges the hardware addresses.
    fn swap_link(&mut self, reply: Reply) {
        for byte in [0, 2, 4] {
            let to = self.builder.load_slot(reply.ether, byte, Width::H);
            let from = self.builder.load_slot(reply.ether, byte + 6, Width::H);
            self.builder.store_slot(reply.ether, byte, from, Width::H);
            self.builder.store_slot(reply.ether, byte + 6, to, Width::H);
        }
    }

    /// XDP: the answer in place of the packet, `length` bytes of it new and `grown` bytes longer in front.
    pub(super) fn send_frame(
        &mut self,
        reply: Reply,
        shape: &Shape,
        length: u8,
        grown: u8,
        drop: Block,
    ) {
        if grown > 0 {
            self.adjust(Helper::XdpAdjustHead, Arg::Imm(-i32::from(grown)), drop);
        }
        let change = self.registers.end;
        self.builder.assign(change, self.registers.cursor);
        let header = i32::from(shape.header) - i32::from(grown);
        self.builder.alu(change, AluOp::Add, header);
        let packet = self.builder.load_slot(self.frame.length, 0, Width::W);
        self.builder.alu(change, AluOp::Sub, packet);
        self.adjust(Helper::XdpAdjustTail, Arg::Value(change), drop);
        self.swap_link(reply);
        // After the tags these 24 bytes hold what was the beginning of the IP header, which the answer's overwrites.
        self.put(At::Frame, reply.ether, 24, drop);
        self.put(At::Network, reply.head, length, drop);
        self.builder.end(End::Return(XDP_TX));
    }

    fn adjust(&mut self, helper: Helper, amount: Arg, drop: Block) {
        let args = [Arg::Value(self.registers.context), amount];
        self.call_or(helper, &args, drop);
    }

    fn put(&mut self, at: At, from: crate::ir::Slot, bytes: u8, drop: Block) {
        self.point(at);
        self.need(i32::from(bytes), drop);
        for byte in (0..bytes).step_by(4) {
            let word = self.builder.load_slot(from, byte, Width::W);
            let network = self.registers.network;
            self.builder.store(network, i16::from(byte), word, Width::W);
        }
    }
}

/// The maximum number of bytes of an ICMP message with its IP header.
fn longest(shape: &Shape) -> i32 {
    i32::from(shape.header) + i32::from(ICMP) + i32::from(shape.quote)
}
