//! Assembles the few programs that the runtime makes itself: instructions of the compiler's assembler, with labels, and
//! with maps given as open descriptors.
//!
//! [`owner`] writes the code that asks whose a socket is, by what [`kernel_types`] finds out of the kernel's structures. Not
//! here: the programs themselves, which are where they are loaded.

pub(crate) mod kernel_types;
pub(crate) mod owner;

use std::os::fd::{AsRawFd, BorrowedFd};

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::{JumpOp, Register};

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// Code under construction.
#[derive(Debug, Default)]
pub(crate) struct Code {
    insns: Vec<Insn>,
    /// The instruction of each label, once placed.
    labels: Vec<Option<usize>>,
    /// Jumps whose offset is not known yet: instruction and label.
    jumps: Vec<(usize, Label)>,
}

impl Code {
    /// A label that is placed later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub(crate) fn place(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.insns.len());
        }
    }

    /// Adds instructions.
    pub(crate) fn add(&mut self, insns: impl IntoIterator<Item = Insn>) {
        self.insns.extend(insns);
    }

    /// Jumps to a label if `register OP imm` on 64 bits.
    pub(crate) fn jump_if(&mut self, op: JumpOp, register: Register, imm: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_imm(op, register, imm, 0));
    }

    /// Jumps to a label if `register OP imm` on the low half.
    pub(crate) fn jump32_if(&mut self, op: JumpOp, register: Register, imm: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump32_imm(op, register, imm, 0));
    }

    /// Jumps to a label if two registers differ.
    pub(crate) fn jump_if_other(&mut self, one: Register, other: Register, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_reg(JumpOp::Ne, one, other, 0));
    }

    /// Jumps to a label if one register is above another, both without a sign.
    pub(crate) fn jump_if_above(&mut self, one: Register, other: Register, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_reg(JumpOp::Gt, one, other, 0));
    }

    /// Jumps to a label.
    pub(crate) fn jump(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::ja(0));
    }

    /// Ends the program with a value.
    pub(crate) fn give(&mut self, value: i32) {
        self.add([asm::mov64_imm(Register::R0, value), asm::exit()]);
    }

    /// Calls a helper of the kernel that the compiler does not know, by its number.
    pub(crate) fn call_number(&mut self, number: i32) {
        let mut call = asm::call(Helper::MapLookupElem);
        call.imm = number;
        self.add([call]);
    }

    /// Loads an open map.
    pub(crate) fn map(&mut self, register: Register, map: BorrowedFd<'_>) {
        self.wide(asm::load_map(register), map);
    }

    /// Loads the address of the first value of an open array map.
    pub(crate) fn map_value(&mut self, register: Register, map: BorrowedFd<'_>) {
        self.wide(asm::load_map_value(register, 0), map);
    }

    fn wide(&mut self, [mut first, second]: [Insn; 2], map: BorrowedFd<'_>) {
        first.imm = map.as_raw_fd();
        self.add([first, second]);
    }

    /// The bytes. A label that was never placed, or is too far, leaves a jump to itself, which the kernel refuses.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        for (at, label) in &self.jumps {
            let target = self.labels.get(label.0).copied().flatten();
            let offset = target
                .and_then(|target| target.checked_sub(at + 1))
                .and_then(|distance| i16::try_from(distance).ok());
            if let Some(jump) = self.insns.get_mut(*at) {
                jump.offset = offset.unwrap_or(-1);
            }
        }
        self.insns.into_iter().flat_map(Insn::to_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_forward_to_their_labels() {
        let mut code = Code::default();
        let end = code.label();
        code.jump_if(JumpOp::Eq, Register::R1, 0, end);
        code.add([asm::exit()]);
        code.place(end);
        code.give(1);
        let bytes = code.bytes();
        assert_eq!(bytes.len(), 4 * 8);
        assert_eq!(bytes.get(2..4), Some([1, 0].as_slice()));
    }
}
