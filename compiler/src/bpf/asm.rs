//! One function for each kind of instruction the compiler emits.
//!
//! Takes registers, operations and immediates; gives an [`Insn`]. Nothing is checked here: jump offsets count
//! instructions from the one after the jump, memory offsets count bytes, and the frame pointer must not be written.

use super::constant::{PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use super::helper::Helper;
use super::insn::Insn;
use super::opcode::{
    AluOp, AtomicOp, CALL, END, EXIT, JA, JumpOp, LOAD_IMM64, Register, SOURCE_REGISTER, Width,
    class, mode,
};

/// `dst = imm`, sign-extended to 64 bits.
#[must_use]
pub fn mov64_imm(dst: Register, imm: i32) -> Insn {
    alu64_imm(AluOp::Mov, dst, imm)
}

/// `dst = src`, all 64 bits; copies pointers.
#[must_use]
pub fn mov64_reg(dst: Register, src: Register) -> Insn {
    alu64_reg(AluOp::Mov, dst, src)
}

/// `dst = imm` in the low half, zero in the upper half.
#[must_use]
pub fn mov32_imm(dst: Register, imm: i32) -> Insn {
    alu32_imm(AluOp::Mov, dst, imm)
}

/// `dst OP= imm` on 64 bits, the immediate sign-extended.
#[must_use]
pub fn alu64_imm(op: AluOp, dst: Register, imm: i32) -> Insn {
    with_imm(class::ALU64 | op.code(), dst, op.offset(), imm)
}

/// `dst OP= src` on 64 bits.
#[must_use]
pub fn alu64_reg(op: AluOp, dst: Register, src: Register) -> Insn {
    with_reg(class::ALU64 | op.code(), dst, src, op.offset())
}

/// `dst OP= imm` on the low halves; the upper half of `dst` becomes zero.
#[must_use]
pub(crate) fn alu32_imm(op: AluOp, dst: Register, imm: i32) -> Insn {
    with_imm(class::ALU | op.code(), dst, op.offset(), imm)
}

/// The low `bits` (16, 32 or 64) of `dst` from host to network order or back; bits above become zero.
#[must_use]
pub(crate) fn to_be(dst: Register, bits: i32) -> Insn {
    with_imm(class::ALU | END | SOURCE_REGISTER, dst, 0, bits)
}

/// `dst = *(base + offset)`, zero-extended.
#[must_use]
pub fn load(width: Width, dst: Register, base: Register, offset: i16) -> Insn {
    Insn {
        opcode: class::LDX | mode::MEM | width.code(),
        dst: dst.number(),
        src: base.number(),
        offset,
        imm: 0,
    }
}

/// `*(base + offset) = src`
#[must_use]
pub fn store_reg(width: Width, base: Register, offset: i16, src: Register) -> Insn {
    Insn {
        opcode: class::STX | mode::MEM | width.code(),
        dst: base.number(),
        src: src.number(),
        offset,
        imm: 0,
    }
}

/// `*(base + offset) = imm`, sign-extended where the width is 8 bytes.
#[must_use]
pub fn store_imm(width: Width, base: Register, offset: i16, imm: i32) -> Insn {
    Insn {
        opcode: class::ST | mode::MEM | width.code(),
        dst: base.number(),
        src: 0,
        offset,
        imm,
    }
}

/// `lock *(u64 *)(base + offset) += src`
#[must_use]
pub fn atomic_add64(base: Register, offset: i16, src: Register) -> Insn {
    atomic_add(Width::DW, base, offset, src)
}

/// `lock *(width *)(base + offset) += src`, for [`Width::W`] and [`Width::DW`].
#[must_use]
pub(crate) fn atomic_add(width: Width, base: Register, offset: i16, src: Register) -> Insn {
    atomic(width, AtomicOp::Add, 0, base, offset, src)
}

/// If `*(u64 *)(base + offset)` is R0 it becomes `src`; R0 gets the old value (Linux 5.12).
#[must_use]
pub fn compare_exchange64(base: Register, offset: i16, src: Register) -> Insn {
    atomic(Width::DW, AtomicOp::CompareExchange, 0, base, offset, src)
}

/// Jumps always.
#[must_use]
pub fn ja(offset: i16) -> Insn {
    Insn {
        opcode: class::JMP | JA,
        offset,
        ..Insn::default()
    }
}

/// Jumps always, by 32 bits (cpu v4).
#[must_use]
pub fn gotol(offset: i32) -> Insn {
    Insn {
        opcode: class::JMP32 | JA,
        imm: offset,
        ..Insn::default()
    }
}

/// Jumps if `dst OP imm` on 64 bits, the immediate sign-extended.
#[must_use]
pub fn jump_imm(op: JumpOp, dst: Register, imm: i32, offset: i16) -> Insn {
    with_imm(class::JMP | op.code(), dst, offset, imm)
}

/// Jumps if `dst OP src` on 64 bits.
#[must_use]
pub fn jump_reg(op: JumpOp, dst: Register, src: Register, offset: i16) -> Insn {
    with_reg(class::JMP | op.code(), dst, src, offset)
}

/// Jumps if `dst OP imm` on the low halves.
#[must_use]
pub fn jump32_imm(op: JumpOp, dst: Register, imm: i32, offset: i16) -> Insn {
    with_imm(class::JMP32 | op.code(), dst, offset, imm)
}

/// Jumps if `dst OP src` on the low halves.
#[must_use]
pub(crate) fn jump32_reg(op: JumpOp, dst: Register, src: Register, offset: i16) -> Insn {
    with_reg(class::JMP32 | op.code(), dst, src, offset)
}

/// Calls a kernel helper: arguments in R1 to R5, result in R0; R1 to R5 are void afterwards.
#[must_use]
pub fn call(helper: Helper) -> Insn {
    Insn {
        opcode: class::JMP | CALL,
        imm: helper.number().cast_signed(),
        ..Insn::default()
    }
}

/// Ends the program with R0.
#[must_use]
pub fn exit() -> Insn {
    Insn {
        opcode: class::JMP | EXIT,
        ..Insn::default()
    }
}

/// `dst = imm`, all 64 bits.
#[must_use]
pub fn load_imm64(dst: Register, imm: u64) -> [Insn; 2] {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = imm.to_le_bytes();
    two_halves(
        dst,
        0,
        i32::from_le_bytes([b0, b1, b2, b3]),
        i32::from_le_bytes([b4, b5, b6, b7]),
    )
}

/// `dst` = the map that the program's relocation at this instruction names.
#[must_use]
pub fn load_map(dst: Register) -> [Insn; 2] {
    two_halves(dst, PSEUDO_MAP_FD, 0, 0)
}

/// `dst` = the address `offset` bytes into the first value of the (array) map that the relocation here names.
#[must_use]
pub fn load_map_value(dst: Register, offset: i32) -> [Insn; 2] {
    two_halves(dst, PSEUDO_MAP_VALUE, 0, offset)
}

fn with_imm(opcode: u8, dst: Register, offset: i16, imm: i32) -> Insn {
    Insn {
        opcode,
        dst: dst.number(),
        src: 0,
        offset,
        imm,
    }
}

fn with_reg(opcode: u8, dst: Register, src: Register, offset: i16) -> Insn {
    Insn {
        opcode: opcode | SOURCE_REGISTER,
        dst: dst.number(),
        src: src.number(),
        offset,
        imm: 0,
    }
}

/// `more` is set in the immediate besides the operation's number.
fn atomic(
    width: Width,
    op: AtomicOp,
    more: i32,
    base: Register,
    offset: i16,
    src: Register,
) -> Insn {
    Insn {
        opcode: class::STX | mode::ATOMIC | width.code(),
        dst: base.number(),
        src: src.number(),
        offset,
        imm: op.number() | more,
    }
}

fn two_halves(dst: Register, src: u8, low: i32, high: i32) -> [Insn; 2] {
    let first = Insn {
        opcode: LOAD_IMM64,
        dst: dst.number(),
        src,
        offset: 0,
        imm: low,
    };
    let second = Insn {
        imm: high,
        ..Insn::default()
    };
    [first, second]
}
