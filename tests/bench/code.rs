//! Programs assembled by hand: instructions with jumps forward to one place where a program gives up.

use std::os::fd::{AsFd, AsRawFd};

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use Register::{R0, R1, R2, R6, R7, R8};

/// A program being written.
#[derive(Default)]
pub(crate) struct Code {
    insns: Vec<Insn>,
    /// The jumps to the place where the program gives up.
    leaving: Vec<usize>,
}

/// What a context says of where the packet is: offsets of its beginning and its end.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    pub(crate) data: i16,
    pub(crate) end: i16,
}

/// `struct xdp_md`
pub(crate) const XDP: Context = Context { data: 0, end: 4 };
/// `struct __sk_buff`
pub(crate) const SKB: Context = Context { data: 76, end: 80 };

impl Code {
    pub(crate) fn push(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    /// Keeps the context in R6, puts the packet's address into R7, and gives up where it is shorter than `length`.
    pub(crate) fn packet(&mut self, context: Context, length: i32) {
        self.push(asm::mov64_reg(R6, R1));
        self.push(asm::load(Width::W, R7, R1, context.data));
        self.push(asm::load(Width::W, R8, R1, context.end));
        self.push(asm::mov64_reg(R2, R7));
        self.push(asm::alu64_imm(AluOp::Add, R2, length));
        self.leaving.push(self.insns.len());
        self.push(asm::jump_reg(JumpOp::Gt, R2, R8, 0));
    }

    /// Gives up unless a register is this number.
    pub(crate) fn insist(&mut self, register: Register, number: i32) {
        self.leaving.push(self.insns.len());
        self.push(asm::jump_imm(JumpOp::Ne, register, number, 0));
    }

    /// Gives up if a register is this number.
    pub(crate) fn refuse(&mut self, register: Register, number: i32) {
        self.leaving.push(self.insns.len());
        self.push(asm::jump_imm(JumpOp::Eq, register, number, 0));
    }

    /// Puts a map into a register.
    pub(crate) fn map(&mut self, to: Register, map: &impl AsFd) {
        self.wide(asm::load_map(to), map);
    }

    /// Puts the address of a map's only value into a register.
    pub(crate) fn value(&mut self, to: Register, map: &impl AsFd) {
        self.wide(asm::load_map_value(to, 0), map);
    }

    fn wide(&mut self, load: [Insn; 2], map: &impl AsFd) {
        let [mut first, second] = load;
        first.imm = map.as_fd().as_raw_fd();
        self.insns.extend([first, second]);
    }

    /// Ends with this answer.
    pub(crate) fn give(&mut self, answer: i32) {
        self.push(asm::mov64_imm(R0, answer));
        self.push(asm::exit());
    }

    /// The bytes, with an ending for those that give up; without any, the kernel would refuse an ending nobody gets to.
    pub(crate) fn finish(mut self, given_up: i32) -> Vec<u8> {
        let there = self.insns.len();
        if !self.leaving.is_empty() {
            self.give(given_up);
        }
        for place in self.leaving {
            self.insns[place].offset = i16::try_from(there - place - 1).unwrap_or(i16::MAX);
        }
        self.insns.into_iter().flat_map(Insn::to_bytes).collect()
    }
}
