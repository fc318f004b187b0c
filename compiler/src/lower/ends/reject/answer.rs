//! The answer on the stack: a reset or a port unreachable, with its checksums.
//!
//! A TCP or ICMPv6 checksum covers the addresses, the length and the protocol too: the fixed part of the IP header stands as
//! this pseudo header while the sum is taken, and is written after that.
//!
//! `payload` is how many bytes follow the answer's IP header.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, Slot, Value};
use crate::policy::Family;
use crate::protocol::IpProtocol;

use super::{At, RESET, RST, Rejection, UNREACHABLE};

/// Length of a TCP header without options.
const TCP: u8 = 20;
/// Length of the ICMP header.
pub(super) const ICMP: u8 = 8;
/// TCP flags.
const ACK: u8 = 0x10;
const FIN: i32 = 0x01;
const SYN: i32 = 0x02;
/// Time to live, and hop limit, of an answer.
const TTL: u8 = 64;

impl Rejection<'_> {
    /// Answers a TCP segment with a reset, unless it is one.
    pub(super) fn reset(&self, builder: &mut Builder, withheld: Block) {
        self.fetch(builder, At::Transport, self.reply.segment, TCP);
        let flags = builder.load_slot(self.reply.segment, 13, Width::B);
        builder.leave_if(flags, JumpOp::Set, i32::from(RST), self.drop);
        self.within(builder, &RESET, withheld);
        self.numbers(builder);
        let base = self.ip.header;
        for (from, to) in [(2, 0), (0, 2)] {
            let port = builder.load_slot(self.reply.segment, from, Width::H);
            builder.store_slot(self.reply.head, base + to, port, Width::H);
        }
        self.word(builder, self.reply.head, base + 16, [0; 4]);
        let payload = builder.imm(i64::from(TCP));
        self.pseudo_header(builder, IpProtocol::TCP, payload);
        let sum = self.sum(builder, self.reply.head, base + TCP, Arg::Imm(0));
        self.checksum(builder, sum, self.reply.head, base + 16);
        self.ip_header(builder, IpProtocol::TCP, payload);
        match self.reply.reach.buffered {
            false => self.send_frame(builder, payload, [base + TCP, 0]),
            true => self.send_reset(builder, payload, base + TCP),
        }
    }

    /// Sequence number, acknowledgment, data offset and flags: a segment that acknowledges says where the reset belongs;
    /// to another one, all of it is acknowledged.
    fn numbers(&self, builder: &mut Builder) {
        let base = self.ip.header;
        let [acknowledges, ready] = [(); 2].map(|()| builder.head_block());
        let flags = builder.load_slot(self.reply.segment, 13, Width::B);
        builder.leave_if(flags, JumpOp::Set, i32::from(ACK), acknowledges);
        self.word(builder, self.reply.head, base + 4, [0; 4]);
        let number = builder.load_slot(self.reply.segment, 4, Width::W);
        builder.from_network(number, 32);
        let length = builder.load_slot(self.given.frame.length, 0, Width::W);
        builder.alu(number, AluOp::Add, length);
        let before = builder.load_slot(self.reply.transport, 0, Width::W);
        builder.alu(number, AluOp::Sub, before);
        let header = builder.load_slot(self.reply.segment, 12, Width::B);
        builder.alu(header, AluOp::Rsh, 4);
        builder.alu(header, AluOp::Lsh, 2);
        builder.alu(number, AluOp::Sub, header);
        for (flag, shift) in [(FIN, 0), (SYN, 1)] {
            let flags = builder.load_slot(self.reply.segment, 13, Width::B);
            builder.alu(flags, AluOp::And, flag);
            builder.alu(flags, AluOp::Rsh, shift);
            builder.alu(number, AluOp::Add, flags);
        }
        builder.from_network(number, 32);
        builder.store_slot(self.reply.head, base + 8, number, Width::W);
        self.word(builder, self.reply.head, base + 12, [0x50, RST | ACK, 0, 0]);
        builder.jump(ready);
        builder.enter(acknowledges);
        let number = builder.load_slot(self.reply.segment, 8, Width::W);
        builder.store_slot(self.reply.head, base + 4, number, Width::W);
        self.word(builder, self.reply.head, base + 8, [0; 4]);
        self.word(builder, self.reply.head, base + 12, [0x50, RST, 0, 0]);
        builder.jump(ready);
        builder.enter(ready);
    }

    /// Answers any other packet with a port unreachable.
    pub(super) fn unreachable(&self, builder: &mut Builder, withheld: Block) {
        self.within(builder, &UNREACHABLE, withheld);
        let payload = self.quoted_length(builder);
        match self.reply.reach.buffered {
            false => self.quote_frame(builder, payload),
            true => self.quote_buffer(builder, payload),
        }
        let base = self.ip.header;
        let [kind, code] = self.ip.unreachable;
        self.word(builder, self.reply.head, base, [kind, code, 0, 0]);
        self.word(builder, self.reply.head, base + 4, [0; 4]);
        match self.family {
            Family::V4 => (0..base)
                .step_by(4)
                .for_each(|byte| self.word(builder, self.reply.head, byte, [0; 4])),
            Family::V6 => {
                self.addresses(builder);
                self.pseudo_header(builder, self.ip.icmp, payload);
            }
        }
        let head = self.sum(builder, self.reply.head, base + ICMP, Arg::Imm(0));
        let sum = self.sum(builder, self.reply.quote, self.ip.quote, Arg::Value(head));
        self.checksum(builder, sum, self.reply.head, base + 2);
        if self.family == Family::V4 {
            self.addresses(builder);
        }
        self.ip_header(builder, self.ip.icmp, payload);
        match self.reply.reach.buffered {
            false => self.send_frame(builder, payload, [base + ICMP; 2]),
            true => self.send_unreachable(builder, payload),
        }
    }

    /// The length of the ICMP header and of what is quoted: whole words, as many as there are and fit.
    fn quoted_length(&self, builder: &mut Builder) -> Value {
        let most = i32::from(self.ip.quote);
        let length = builder.load_slot(self.given.frame.length, 0, Width::W);
        let fits = builder.head_block();
        builder.leave_if(length, JumpOp::Le, most, fits);
        builder.set(length, i64::from(most));
        builder.jump(fits);
        builder.enter(fits);
        builder.alu(length, AluOp::And, !3);
        builder.alu(length, AluOp::Add, i32::from(ICMP));
        length
    }

    /// The answer goes from the receiver to the sender.
    fn addresses(&self, builder: &mut Builder) {
        for (from, to) in [(self.ip.to, self.ip.from), (self.ip.from, self.ip.to)] {
            for byte in (0..self.ip.address).step_by(4) {
                let word = builder.load_slot(self.reply.quote, from + byte, Width::W);
                builder.store_slot(self.reply.head, to + byte, word, Width::W);
            }
        }
    }

    /// The pseudo header in place of the IP header, addresses included.
    fn pseudo_header(&self, builder: &mut Builder, protocol: IpProtocol, payload: Value) {
        self.addresses(builder);
        self.word(builder, self.reply.head, 0, [0; 4]);
        let length = match self.family {
            Family::V4 => {
                self.word(builder, self.reply.head, 4, [0; 4]);
                self.word(builder, self.reply.head, 8, [0, protocol.0, 0, 0]);
                10
            }
            Family::V6 => {
                self.word(builder, self.reply.head, 4, [0, 0, 0, protocol.0]);
                4
            }
        };
        self.length_field(builder, payload, length, 0);
    }

    /// The IP header in front of the addresses; for IPv4 with its checksum.
    fn ip_header(&self, builder: &mut Builder, protocol: IpProtocol, payload: Value) {
        match self.family {
            Family::V4 => {
                // The bit is "don't fragment".
                self.word(builder, self.reply.head, 0, [0x45, 0, 0, 0]);
                self.word(builder, self.reply.head, 4, [0, 0, 0x40, 0]);
                self.word(builder, self.reply.head, 8, [TTL, protocol.0, 0, 0]);
                self.length_field(builder, payload, 2, 20);
                let sum = self.sum(builder, self.reply.head, 20, Arg::Imm(0));
                self.checksum(builder, sum, self.reply.head, 10);
            }
            Family::V6 => {
                self.word(builder, self.reply.head, 0, [0x60, 0, 0, 0]);
                self.word(builder, self.reply.head, 4, [0, 0, protocol.0, TTL]);
                self.length_field(builder, payload, 4, 0);
            }
        }
    }

    /// How many bytes follow the IP header, and `more`.
    fn length_field(&self, builder: &mut Builder, payload: Value, byte: u8, more: i32) {
        let length = builder.copy(payload);
        builder.alu(length, AluOp::Add, more);
        builder.from_network(length, 16);
        builder.store_slot(self.reply.head, byte, length, Width::H);
    }

    /// The sum of 16-bit words and of a seed, folded to 16 bits.
    fn sum(&self, builder: &mut Builder, slot: Slot, bytes: u8, seed: Arg) -> Value {
        let args = [
            Arg::Imm(0),
            Arg::Imm(0),
            Arg::SlotAddress(slot),
            Arg::Imm(i32::from(bytes)),
            seed,
        ];
        let sum = builder.call_value(Helper::CsumDiff, &args);
        builder.alu(sum, AluOp::Lsh, 32);
        builder.alu(sum, AluOp::Rsh, 32);
        for _ in 0..2 {
            let carry = builder.copy(sum);
            builder.alu(carry, AluOp::Rsh, 16);
            builder.alu(sum, AluOp::And, 0xffff);
            builder.alu(sum, AluOp::Add, carry);
        }
        sum
    }

    /// Stores the checksum of a sum.
    fn checksum(&self, builder: &mut Builder, sum: Value, slot: Slot, byte: u8) {
        builder.alu(sum, AluOp::Xor, 0xffff);
        builder.store_slot(slot, byte, sum, Width::H);
    }

    pub(super) fn word(&self, builder: &mut Builder, slot: Slot, byte: u8, bytes: [u8; 4]) {
        builder.set_slot(slot, byte, i32::from_le_bytes(bytes), Width::W);
    }
}
