//! The parts an opcode byte is made of: registers, classes, widths, operations.
//!
//! Numbers are those of the kernel's `linux/bpf.h` and `linux/bpf_common.h`, as the BPF instruction set (RFC 9669)
//! fixes them. How they are put together is in `asm`, how they are taken apart in `decode`.

listed! {
    /// A register of the machine.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum Register {
        /// Result of helpers and of the program.
        R0,
        /// First argument; the context at the start.
        R1,
        /// Second argument.
        R2,
        /// Third argument.
        R3,
        /// Fourth argument.
        R4,
        /// Fifth argument.
        R5,
        /// Kept over calls.
        R6,
        /// Kept over calls.
        R7,
        /// Kept over calls.
        R8,
        /// Kept over calls.
        R9,
        /// The frame pointer, read-only: one past the 512 bytes of stack.
        R10,
    }
}

impl Register {
    /// The register with this number, if there is one.
    #[must_use]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number in an instruction.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The low three bits of an opcode.
pub(crate) mod class {
    /// 64-bit immediates.
    pub(crate) const LD: u8 = 0;
    /// Loads from memory.
    pub(crate) const LDX: u8 = 1;
    /// Stores of an immediate.
    pub(crate) const ST: u8 = 2;
    /// Stores of a register, and atomics.
    pub(crate) const STX: u8 = 3;
    /// 32-bit arithmetic; the upper half of the result is zero.
    pub(crate) const ALU: u8 = 4;
    /// Jumps that compare 64 bits; calls; exit.
    pub(crate) const JMP: u8 = 5;
    /// Jumps that compare 32 bits; `gotol`.
    pub(crate) const JMP32: u8 = 6;
    /// 64-bit arithmetic.
    pub(crate) const ALU64: u8 = 7;
}

/// The top three bits of the opcode of a load or store.
pub(crate) mod mode {
    /// A 64-bit immediate.
    pub(crate) const IMM: u8 = 0x00;
    /// Memory.
    pub(crate) const MEM: u8 = 0x60;
    /// Memory, sign-extended (cpu v4).
    pub(crate) const MEMSX: u8 = 0x80;
    /// Atomic.
    pub(crate) const ATOMIC: u8 = 0xc0;
}

/// Bit 3 of an arithmetic or jump opcode: the operand is a register.
pub(crate) const SOURCE_REGISTER: u8 = 0x08;

/// Opcode of the first half of a 64-bit immediate.
pub(crate) const LOAD_IMM64: u8 = class::LD | mode::IMM | 0x18;
/// Operation of arithmetic: negate.
pub(crate) const NEG: u8 = 0x80;
/// Operation of arithmetic: byte order.
pub(crate) const END: u8 = 0xd0;
/// Operation of jumps: always.
pub(crate) const JA: u8 = 0x00;
/// Operation of jumps: call.
pub(crate) const CALL: u8 = 0x80;
/// Operation of jumps: return from the program.
pub(crate) const EXIT: u8 = 0x90;

listed! {
    /// Width of a memory access.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Width {
        /// One byte.
        B,
        /// Two bytes.
        H,
        /// Four bytes.
        W,
        /// Eight bytes.
        DW,
    }
}

impl Width {
    /// Its two bits (3 and 4) in an opcode.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::W => 0x00,
            Self::H => 0x08,
            Self::B => 0x10,
            Self::DW => 0x18,
        }
    }

    /// The width that an opcode's bits 3 and 4 name.
    #[must_use]
    pub(crate) fn from_code(opcode: u8) -> Self {
        match opcode & 0x18 {
            0x00 => Self::W,
            0x08 => Self::H,
            0x10 => Self::B,
            _ => Self::DW,
        }
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::B => 1,
            Self::H => 2,
            Self::W => 4,
            Self::DW => 8,
        }
    }

    /// Bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::B => 8,
            Self::H => 16,
            Self::W => 32,
            Self::DW => 64,
        }
    }
}

listed! {
    /// An operation of arithmetic with two operands.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum AluOp:
        /// Every operation, with its top four bits, the offset that tells signed from unsigned, and its sign in a listing.
        (u8, i16, &'static str)
    {
        /// `+=`
        Add = (0x00, 0, "+="),
        /// `-=`
        Sub = (0x10, 0, "-="),
        /// `*=`
        Mul = (0x20, 0, "*="),
        /// Unsigned `/=`; by zero gives 0.
        Div = (0x30, 0, "/="),
        /// `|=`
        Or = (0x40, 0, "|="),
        /// `&=`
        And = (0x50, 0, "&="),
        /// `<<=`; the amount is taken modulo the width.
        Lsh = (0x60, 0, "<<="),
        /// `>>=` with zeros; the amount is taken modulo the width.
        Rsh = (0x70, 0, ">>="),
        /// Unsigned `%=`; by zero leaves the left side.
        Mod = (0x90, 0, "%="),
        /// `^=`
        Xor = (0xa0, 0, "^="),
        /// `=`
        Mov = (0xb0, 0, "="),
        /// `>>=` with the sign; the amount is taken modulo the width.
        Arsh = (0xc0, 0, "s>>="),
        /// Signed `/=` (cpu v4); by zero gives 0.
        SDiv = (0x30, 1, "s/="),
        /// Signed `%=` (cpu v4); by zero leaves the left side.
        SMod = (0x90, 1, "s%="),
    }
}

impl AluOp {
    /// Its top four bits in an opcode.
    #[must_use]
    pub fn code(self) -> u8 {
        Self::TABLE[self as usize].1
    }

    /// The instruction's offset: 1 for the signed operations.
    #[must_use]
    pub fn offset(self) -> i16 {
        Self::TABLE[self as usize].2
    }

    /// Its sign in a listing.
    #[must_use]
    pub fn sign(self) -> &'static str {
        Self::TABLE[self as usize].3
    }

    /// The operation of an opcode with this offset, if there is one.
    #[must_use]
    pub(crate) fn from_code(opcode: u8, offset: i16) -> Option<Self> {
        let same = |row: &&(Self, u8, i16, &str)| row.1 == opcode & 0xf0 && row.2 == offset;
        Self::TABLE.iter().find(same).map(|row| row.0)
    }
}

listed! {
    /// A comparison of a conditional jump.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum JumpOp:
        /// Every comparison, with its top four bits and its sign in a listing.
        (u8, &'static str)
    {
        /// `==`
        Eq = (0x10, "=="),
        /// Unsigned `>`
        Gt = (0x20, ">"),
        /// Unsigned `>=`
        Ge = (0x30, ">="),
        /// `&`: a common bit is set.
        Set = (0x40, "&"),
        /// `!=`
        Ne = (0x50, "!="),
        /// Signed `>`
        SGt = (0x60, "s>"),
        /// Signed `>=`
        SGe = (0x70, "s>="),
        /// Unsigned `<`
        Lt = (0xa0, "<"),
        /// Unsigned `<=`
        Le = (0xb0, "<="),
        /// Signed `<`
        SLt = (0xc0, "s<"),
        /// Signed `<=`
        SLe = (0xd0, "s<="),
    }
}

impl JumpOp {
    /// Its top four bits in an opcode.
    #[must_use]
    pub fn code(self) -> u8 {
        Self::TABLE[self as usize].1
    }

    /// Its sign in a listing.
    #[must_use]
    pub fn sign(self) -> &'static str {
        Self::TABLE[self as usize].2
    }

    /// The comparison of an opcode, if it is one.
    #[must_use]
    pub(crate) fn from_code(opcode: u8) -> Option<Self> {
        let same = |row: &&(Self, u8, &str)| row.1 == opcode & 0xf0;
        Self::TABLE.iter().find(same).map(|row| row.0)
    }
}

listed! {
    /// What an atomic instruction does to memory; its number is in the immediate.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum AtomicOp:
        /// Every operation with its number (fetch included where it must be there) and its name in a listing.
        (i32, &'static str)
    {
        /// Adds.
        Add = (0x00, "add"),
        /// Sets bits.
        Or = (0x40, "or"),
        /// Keeps bits.
        And = (0x50, "and"),
        /// Flips bits.
        Xor = (0xa0, "xor"),
        /// Exchanges; always fetches.
        Exchange = (0xe1, "xchg"),
        /// Exchanges if memory equals R0, which gets the old value; always fetches.
        CompareExchange = (0xf1, "cmpxchg"),
    }
}

impl AtomicOp {
    /// Bit of the immediate: the old value goes to the source register.
    pub(crate) const FETCH: i32 = 1;

    /// Its number in the immediate, without `FETCH` where that may be absent.
    #[must_use]
    pub fn number(self) -> i32 {
        Self::TABLE[self as usize].1
    }

    /// Its name in a listing.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].2
    }

    /// The operation of an immediate and whether it fetches.
    #[must_use]
    pub(crate) fn from_imm(imm: i32) -> Option<(Self, bool)> {
        let fetch = imm & Self::FETCH != 0;
        let same = |row: &&(Self, i32, &str)| row.1 == imm || row.1 == imm & !Self::FETCH;
        Self::TABLE.iter().find(same).map(|row| (row.0, fetch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for (op, ..) in AluOp::TABLE {
            assert_eq!(AluOp::from_code(op.code() | 0x0f, op.offset()), Some(op));
        }
        for (op, ..) in JumpOp::TABLE {
            assert_eq!(JumpOp::from_code(op.code() | 0x0e), Some(op));
        }
        for width in Width::ALL {
            assert_eq!(Width::from_code(width.code() | 0x61), width);
        }
        assert_eq!(AtomicOp::from_imm(1), Some((AtomicOp::Add, true)));
        assert_eq!(AtomicOp::from_imm(0xe0), None);
        assert_eq!(Register::from_number(11), None);
    }
}
