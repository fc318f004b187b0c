//! Assembles the few programs that the runtime makes itself: instructions of the compiler's assembler, with labels, and
//! with maps given as open descriptors.
//!
//! [`owner`] writes the code that asks whose a socket is, by what [`kernel_types`] finds out of the kernel's structures. Not
//! here: the programs themselves, which are where they are loaded.

pub(crate) mod arrivals;
pub(crate) mod kernel_types;
pub(crate) mod owner;
pub(crate) mod segments;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register};

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
    /// Whether a number did not fit.
    bug: bool,
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

    /// Jumps to a label if two registers are the same.
    pub(crate) fn jump_if_same(&mut self, one: Register, other: Register, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_reg(JumpOp::Eq, one, other, 0));
    }

    /// Jumps to a label if one register is above another, both without a sign.
    pub(crate) fn jump_if_above(&mut self, one: Register, other: Register, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_reg(JumpOp::Gt, one, other, 0));
    }

    /// Jumps to a label if one register is not below another, both without a sign.
    pub(crate) fn jump_if_reached(&mut self, one: Register, other: Register, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(asm::jump_reg(JumpOp::Ge, one, other, 0));
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

    /// A pointer to bytes of the stack.
    pub(crate) fn stack(&mut self, register: Register, offset: i16) {
        self.add([
            asm::mov64_reg(register, Register::R10),
            asm::alu64_imm(AluOp::Add, register, offset.into()),
        ]);
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

    /// A number as instructions hold it. One that does not fit is a bug, and such code has no bytes.
    pub(crate) fn number(&mut self, number: impl TryInto<i32>) -> i32 {
        number.try_into().unwrap_or_else(|_| {
            self.bug = true;
            0
        })
    }

    /// The bytes. A label that was never placed or is too far, and a number that did not fit, are bugs.
    pub(crate) fn bytes(mut self) -> io::Result<Vec<u8>> {
        let bug = || io::Error::other("the code of a program is a bug of sockc");
        for (at, label) in &self.jumps {
            let target = self.labels.get(label.0).copied().flatten();
            // Backwards, too: a loop that the verifier sees the end of.
            let place = |place: usize| i64::try_from(place).ok();
            let target = target.and_then(place).zip(place(at + 1));
            let offset = target.and_then(|(target, next)| i16::try_from(target - next).ok());
            let jump = self.insns.get_mut(*at).ok_or_else(bug)?;
            jump.offset = offset.ok_or_else(bug)?;
        }
        match self.bug {
            true => Err(bug()),
            false => Ok(self.insns.into_iter().flat_map(Insn::to_bytes).collect()),
        }
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
        let bytes = code.bytes().unwrap();
        assert_eq!(bytes.len(), 4 * 8);
        assert_eq!(bytes.get(2..4), Some([1, 0].as_slice()));
    }

    #[test]
    fn what_does_not_fit_has_no_bytes() {
        let mut nowhere = Code::default();
        let label = nowhere.label();
        nowhere.jump(label);
        assert!(nowhere.bytes().is_err());
        let mut far = Code::default();
        let label = far.label();
        far.jump(label);
        far.add((0..1 << 15).map(|_| asm::exit()));
        far.place(label);
        assert!(far.bytes().is_err());
        let mut large = Code::default();
        assert_eq!(large.number(7_u32), 7);
        large.number(1_u32 << 31);
        assert!(large.bytes().is_err());
    }
}
