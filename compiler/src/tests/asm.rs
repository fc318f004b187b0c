//! Instructions that the interpreter and the listing know and none of our programs has.

use crate::bpf::asm::{alu64_reg, atomic_add64};
use crate::bpf::insn::Insn;
use crate::bpf::opcode::{AluOp, AtomicOp, NEG, Register, class};

/// `dst OP= src` on the low halves; the upper half of `dst` becomes zero.
pub(crate) fn alu32_reg(op: AluOp, dst: Register, src: Register) -> Insn {
    let wide = alu64_reg(op, dst, src);
    Insn {
        opcode: wide.opcode & !class::ALU64 | class::ALU,
        ..wide
    }
}

/// `dst = src` in the low half, zero in the upper half.
pub(crate) fn mov32_reg(dst: Register, src: Register) -> Insn {
    alu32_reg(AluOp::Mov, dst, src)
}

/// `dst = -dst` on 64 bits.
pub(crate) fn neg64(dst: Register) -> Insn {
    Insn {
        opcode: class::ALU64 | NEG,
        dst: dst.number(),
        src: 0,
        offset: 0,
        imm: 0,
    }
}

/// `src = fetch_add(*(u64 *)(base + offset), src)`: `src` gets the old value (Linux 5.12).
pub(crate) fn fetch_add64(base: Register, offset: i16, src: Register) -> Insn {
    Insn {
        imm: AtomicOp::Add.number() | AtomicOp::FETCH,
        ..atomic_add64(base, offset, src)
    }
}

/// `src = exchange(*(u64 *)(base + offset), src)`: `src` gets the old value (Linux 5.12).
pub(crate) fn exchange64(base: Register, offset: i16, src: Register) -> Insn {
    Insn {
        imm: AtomicOp::Exchange.number(),
        ..atomic_add64(base, offset, src)
    }
}
