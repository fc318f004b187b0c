//! The answer on the stack: a reset or a port unreachable, with its checksums.
//!
//! A TCP or ICMPv6 checksum covers the addresses, the length and the protocol too: the fixed part of the IP header stands as
//! this pseudo header while the sum is taken, and is written after that.
//!
//! The pinned register r9 holds how many bytes follow the answer's IP header.

use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Slot};
use crate::policy::Family;
use crate::protocol::IpProtocol;

use super::{At, RESET, RST, Reply, Shape, UNREACHABLE, shape};
use crate::lower::Lowering;

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

impl Lowering<'_> {
    /// Answers a TCP segment with a reset, unless it is one.
    pub(super) fn reset(&mut self, block: Block, reply: Reply, family: Family, drop: Block) {
        let shape = shape(family);
        self.builder.enter(block);
        self.fetch(At::Transport, reply.segment, TCP, drop);
        let flags = self.builder.load_slot(reply.segment, 13, Width::B);
        self.builder
            .leave_if(flags, JumpOp::Set, i32::from(RST), drop);
        self.within(&RESET, reply, family, drop);
        self.numbers(reply, shape);
        let base = shape.header;
        for (from, to) in [(2, 0), (0, 2)] {
            let port = self.builder.load_slot(reply.segment, from, Width::H);
            self.builder
                .store_slot(reply.head, base + to, port, Width::H);
        }
        self.word(reply.head, base + 16, [0; 4]);
        let payload = self.registers.cursor;
        self.builder.set(payload, i64::from(TCP));
        self.pseudo_header(reply, family, IpProtocol::TCP);
        self.sum(reply.head, base + TCP, Arg::Imm(0));
        self.checksum(reply.head, base + 16);
        self.ip_header(reply, family, IpProtocol::TCP);
        match self.is_buffered() {
            false => self.send_frame(reply, shape, base + TCP, 0, drop),
            true => self.send_reset(reply, shape, base + TCP, drop),
        }
    }

    /// Sequence number, acknowledgment, data offset and flags: a segment that acknowledges says where the reset belongs;
    /// to another one, all of it is acknowledged.
    fn numbers(&mut self, reply: Reply, shape: &Shape) {
        let base = shape.header;
        let [acknowledges, ready] = [(); 2].map(|()| self.head_block());
        let flags = self.builder.load_slot(reply.segment, 13, Width::B);
        self.builder
            .leave_if(flags, JumpOp::Set, i32::from(ACK), acknowledges);
        self.word(reply.head, base + 4, [0; 4]);
        let number = self.registers.probe;
        self.builder
            .load_slot_to(number, reply.segment, 4, Width::W);
        self.builder.from_network(number, 32);
        let length = self.builder.load_slot(self.frame.length, 0, Width::W);
        self.builder.alu(number, AluOp::Add, length);
        let before = self.builder.load_slot(reply.transport, 0, Width::W);
        self.builder.alu(number, AluOp::Sub, before);
        let header = self.builder.load_slot(reply.segment, 12, Width::B);
        self.builder.alu(header, AluOp::Rsh, 4);
        self.builder.alu(header, AluOp::Lsh, 2);
        self.builder.alu(number, AluOp::Sub, header);
        for (flag, shift) in [(FIN, 0), (SYN, 1)] {
            let flags = self.builder.load_slot(reply.segment, 13, Width::B);
            self.builder.alu(flags, AluOp::And, flag);
            self.builder.alu(flags, AluOp::Rsh, shift);
            self.builder.alu(number, AluOp::Add, flags);
        }
        self.builder.from_network(number, 32);
        self.builder
            .store_slot(reply.head, base + 8, number, Width::W);
        self.word(reply.head, base + 12, [0x50, RST | ACK, 0, 0]);
        self.builder.jump(ready);
        self.builder.enter(acknowledges);
        let number = self.builder.load_slot(reply.segment, 8, Width::W);
        self.builder
            .store_slot(reply.head, base + 4, number, Width::W);
        self.word(reply.head, base + 8, [0; 4]);
        self.word(reply.head, base + 12, [0x50, RST, 0, 0]);
        self.builder.jump(ready);
        self.builder.enter(ready);
    }

    /// Answers any other packet with a port unreachable.
    pub(super) fn unreachable(&mut self, block: Block, reply: Reply, family: Family, drop: Block) {
        let shape = shape(family);
        self.builder.enter(block);
        self.within(&UNREACHABLE, reply, family, drop);
        self.quoted_length(shape);
        match self.is_buffered() {
            false => self.quote_frame(reply, shape, drop),
            true => self.quote_buffer(reply, shape, drop),
        }
        let base = shape.header;
        let [kind, code] = shape.unreachable;
        self.word(reply.head, base, [kind, code, 0, 0]);
        self.word(reply.head, base + 4, [0; 4]);
        match family {
            Family::V4 => (0..base)
                .step_by(4)
                .for_each(|byte| self.word(reply.head, byte, [0; 4])),
            Family::V6 => {
                self.addresses(reply, shape);
                self.pseudo_header(reply, family, shape.icmp);
            }
        }
        self.sum(reply.head, base + ICMP, Arg::Imm(0));
        let seed = Arg::Value(self.registers.end);
        self.sum(reply.quote, shape.quote, seed);
        self.checksum(reply.head, base + 2);
        if family == Family::V4 {
            self.addresses(reply, shape);
        }
        self.ip_header(reply, family, shape.icmp);
        match self.is_buffered() {
            false => self.send_frame(reply, shape, base + ICMP, base + ICMP, drop),
            true => self.send_unreachable(reply, shape, drop),
        }
    }

    /// Leaves in r9 the length of the ICMP header and of what is quoted: whole words, as many as there are and fit.
    fn quoted_length(&mut self, shape: &Shape) {
        let ready = self.head_block();
        let length = self.registers.cursor;
        let most = i32::from(shape.quote);
        self.builder
            .load_slot_to(length, self.frame.length, 0, Width::W);
        let fits = self.head_block();
        self.builder.leave_if(length, JumpOp::Le, most, fits);
        self.builder.set(length, i64::from(most));
        self.builder.jump(fits);
        self.builder.enter(fits);
        self.builder.alu(length, AluOp::And, !3);
        self.builder.alu(length, AluOp::Add, i32::from(ICMP));
        self.builder.jump(ready);
        self.builder.enter(ready);
    }

    /// The answer goes from the receiver to the sender.
    fn addresses(&mut self, reply: Reply, shape: &Shape) {
        for (from, to) in [(shape.to, shape.from), (shape.from, shape.to)] {
            for byte in (0..shape.address).step_by(4) {
                let word = self.builder.load_slot(reply.quote, from + byte, Width::W);
                self.builder
                    .store_slot(reply.head, to + byte, word, Width::W);
            }
        }
    }

    /// The pseudo header in place of the IP header, addresses included.
    fn pseudo_header(&mut self, reply: Reply, family: Family, protocol: IpProtocol) {
        self.addresses(reply, shape(family));
        self.word(reply.head, 0, [0; 4]);
        let length = match family {
            Family::V4 => {
                self.word(reply.head, 4, [0; 4]);
                self.word(reply.head, 8, [0, protocol.0, 0, 0]);
                10
            }
            Family::V6 => {
                self.word(reply.head, 4, [0, 0, 0, protocol.0]);
                4
            }
        };
        self.length_field(reply, length, 0);
    }

    /// The IP header in front of the addresses; for IPv4 with its checksum.
    fn ip_header(&mut self, reply: Reply, family: Family, protocol: IpProtocol) {
        match family {
            Family::V4 => {
                // The bit is "don't fragment".
                self.word(reply.head, 0, [0x45, 0, 0, 0]);
                self.word(reply.head, 4, [0, 0, 0x40, 0]);
                self.word(reply.head, 8, [TTL, protocol.0, 0, 0]);
                self.length_field(reply, 2, 20);
                self.sum(reply.head, 20, Arg::Imm(0));
                self.checksum(reply.head, 10);
            }
            Family::V6 => {
                self.word(reply.head, 0, [0x60, 0, 0, 0]);
                self.word(reply.head, 4, [0, 0, protocol.0, TTL]);
                self.length_field(reply, 4, 0);
            }
        }
    }

    /// How many bytes follow the IP header, and `more`.
    fn length_field(&mut self, reply: Reply, byte: u8, more: i32) {
        let length = self.builder.copy(self.registers.cursor);
        self.builder.alu(length, AluOp::Add, more);
        self.builder.from_network(length, 16);
        self.builder.store_slot(reply.head, byte, length, Width::H);
    }

    /// Leaves in r8 the sum of 16-bit words and of a seed, folded to 16 bits.
    fn sum(&mut self, slot: Slot, bytes: u8, seed: Arg) {
        let args = [
            Arg::Imm(0),
            Arg::Imm(0),
            Arg::SlotAddress(slot),
            Arg::Imm(i32::from(bytes)),
            seed,
        ];
        let sum = self.registers.end;
        let words = self.builder.call_value(Helper::CsumDiff, &args);
        self.builder.assign(sum, words);
        self.builder.alu(sum, AluOp::Lsh, 32);
        self.builder.alu(sum, AluOp::Rsh, 32);
        for _ in 0..2 {
            let carry = self.builder.copy(sum);
            self.builder.alu(carry, AluOp::Rsh, 16);
            self.builder.alu(sum, AluOp::And, 0xffff);
            self.builder.alu(sum, AluOp::Add, carry);
        }
    }

    /// Stores the checksum of the sum in r8.
    fn checksum(&mut self, slot: Slot, byte: u8) {
        let sum = self.registers.end;
        self.builder.alu(sum, AluOp::Xor, 0xffff);
        self.builder.store_slot(slot, byte, sum, Width::H);
    }

    pub(super) fn word(&mut self, slot: Slot, byte: u8, bytes: [u8; 4]) {
        self.builder
            .set_slot(slot, byte, i32::from_le_bytes(bytes), Width::W);
    }
}
