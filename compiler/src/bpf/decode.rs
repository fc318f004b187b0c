//! The one decoder: an instruction to what it means. The disassembler and the interpreter both read its result.
//!
//! Takes an [`Insn`] and, for 64-bit immediates, the one after it; gives an [`Op`], or `None` for what the kernel would
//! refuse as an unknown opcode or reserved field. Whether a jump stays inside the program is not looked at.

use super::constant::{PSEUDO_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use super::insn::Insn;
use super::opcode::{
    AluOp, AtomicOp, CALL, END, EXIT, JA, JumpOp, LOAD_IMM64, NEG, Register, SOURCE_REGISTER,
    Width, class, mode,
};

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Arithmetic with two operands.
    Alu {
        /// 64 bits, else 32.
        wide: bool,
        /// The operation.
        op: AluOp,
        /// Left side and result.
        dst: Register,
        /// Right side.
        src: Operand,
    },
    /// `dst = -dst`
    Negate {
        /// 64 bits, else 32.
        wide: bool,
        /// The register.
        dst: Register,
    },
    /// `dst = (sN)src`: the low bits, sign-extended (cpu v4).
    MoveSigned {
        /// 64 bits, else 32.
        wide: bool,
        /// 8, 16 or 32.
        bits: u32,
        /// Result.
        dst: Register,
        /// What is extended.
        src: Register,
    },
    /// Byte order of the low bits.
    ByteOrder {
        /// Which change.
        kind: ByteOrder,
        /// 16, 32 or 64.
        bits: u32,
        /// The register.
        dst: Register,
    },
    /// A load from memory.
    Load {
        /// How many bytes.
        width: Width,
        /// Sign-extended (cpu v4), else zero-extended.
        signed: bool,
        /// Where to.
        dst: Register,
        /// The pointer.
        base: Register,
        /// Bytes after it.
        offset: i16,
    },
    /// A store to memory.
    Store {
        /// How many bytes.
        width: Width,
        /// The pointer.
        base: Register,
        /// Bytes after it.
        offset: i16,
        /// What is stored.
        src: Operand,
    },
    /// An atomic change of memory.
    Atomic {
        /// [`Width::W`] or [`Width::DW`].
        width: Width,
        /// The operation.
        op: AtomicOp,
        /// Whether the old value comes back.
        fetch: bool,
        /// The pointer.
        base: Register,
        /// Bytes after it.
        offset: i16,
        /// The operand.
        src: Register,
    },
    /// `dst = value`, two slots.
    Immediate {
        /// Where to.
        dst: Register,
        /// The value.
        value: u64,
    },
    /// `dst = map`, two slots.
    Map {
        /// Where to.
        dst: Register,
        /// The map's file descriptor, once loaded.
        fd: i32,
    },
    /// `dst = address in a map's first value`, two slots.
    MapValue {
        /// Where to.
        dst: Register,
        /// The map's file descriptor, once loaded.
        fd: i32,
        /// Bytes into the value.
        offset: u32,
    },
    /// A jump that is always taken.
    Goto {
        /// Instructions after the next one.
        offset: i32,
        /// Written as `gotol` (cpu v4).
        long: bool,
    },
    /// A conditional jump.
    Branch {
        /// 64 bits, else 32.
        wide: bool,
        /// The comparison.
        op: JumpOp,
        /// Left side.
        dst: Register,
        /// Right side.
        src: Operand,
        /// Instructions after the next one.
        offset: i16,
    },
    /// A call of a kernel helper.
    Call {
        /// Its number.
        helper: u32,
    },
    /// A call of a function of the same program.
    CallLocal {
        /// Instructions after the next one.
        offset: i32,
    },
    /// The end of the program.
    Exit,
}

impl Op {
    /// How many 8-byte slots it takes.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self {
            Self::Immediate { .. } | Self::Map { .. } | Self::MapValue { .. } => 2,
            _ => 1,
        }
    }
}

/// The right side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A register.
    Register(Register),
    /// An immediate, sign-extended where 64 bits are wanted.
    Imm(i32),
}

/// A change of byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Host to little-endian: cuts, on the machines we run on.
    ToLittle,
    /// Host to big-endian: swaps, on the machines we run on.
    ToBig,
    /// Swaps whatever the host (cpu v4).
    Swap,
}

/// What the instruction does; `next` is the one after it.
#[must_use]
pub fn decode(insn: Insn, next: Option<Insn>) -> Option<Op> {
    match insn.opcode & 7 {
        class::LD => load_wide(insn, next?),
        class::LDX => load(insn),
        class::ST => store_imm(insn),
        class::STX => store_reg(insn),
        class::ALU | class::ALU64 => arithmetic(insn),
        _ => jump(insn),
    }
}

fn load_wide(insn: Insn, next: Insn) -> Option<Op> {
    let second_is_plain = next.opcode == 0 && next.dst == 0 && next.src == 0 && next.offset == 0;
    if insn.opcode != LOAD_IMM64 || insn.offset != 0 || !second_is_plain {
        return None;
    }
    let dst = Register::from_number(insn.dst)?;
    let (low, high) = (insn.imm.cast_unsigned(), next.imm.cast_unsigned());
    match insn.src {
        0 => Some(Op::Immediate {
            dst,
            value: u64::from(high) << 32 | u64::from(low),
        }),
        PSEUDO_MAP_FD if high == 0 => Some(Op::Map { dst, fd: insn.imm }),
        PSEUDO_MAP_VALUE => Some(Op::MapValue {
            dst,
            fd: insn.imm,
            offset: high,
        }),
        _ => None,
    }
}

fn load(insn: Insn) -> Option<Op> {
    let width = Width::from_code(insn.opcode);
    let signed = match insn.opcode & 0xe0 {
        mode::MEM => false,
        mode::MEMSX if width != Width::DW => true,
        _ => return None,
    };
    if insn.imm != 0 {
        return None;
    }
    Some(Op::Load {
        width,
        signed,
        dst: Register::from_number(insn.dst)?,
        base: Register::from_number(insn.src)?,
        offset: insn.offset,
    })
}

fn store_imm(insn: Insn) -> Option<Op> {
    if insn.opcode & 0xe0 != mode::MEM || insn.src != 0 {
        return None;
    }
    Some(Op::Store {
        width: Width::from_code(insn.opcode),
        base: Register::from_number(insn.dst)?,
        offset: insn.offset,
        src: Operand::Imm(insn.imm),
    })
}

fn store_reg(insn: Insn) -> Option<Op> {
    let width = Width::from_code(insn.opcode);
    let base = Register::from_number(insn.dst)?;
    let src = Register::from_number(insn.src)?;
    match insn.opcode & 0xe0 {
        mode::MEM if insn.imm == 0 => Some(Op::Store {
            width,
            base,
            offset: insn.offset,
            src: Operand::Register(src),
        }),
        mode::ATOMIC if matches!(width, Width::W | Width::DW) => {
            let (op, fetch) = AtomicOp::from_imm(insn.imm)?;
            Some(Op::Atomic {
                width,
                op,
                fetch,
                base,
                offset: insn.offset,
                src,
            })
        }
        _ => None,
    }
}

fn arithmetic(insn: Insn) -> Option<Op> {
    let wide = insn.opcode & 7 == class::ALU64;
    let dst = Register::from_number(insn.dst)?;
    match insn.opcode & 0xf0 {
        NEG if insn.opcode & SOURCE_REGISTER == 0 && plain(insn) && insn.imm == 0 => {
            Some(Op::Negate { wide, dst })
        }
        NEG => None,
        END => byte_order(insn, wide, dst),
        0xb0 if insn.offset != 0 => move_signed(insn, wide, dst),
        _ => Some(Op::Alu {
            wide,
            op: AluOp::from_code(insn.opcode, insn.offset)?,
            dst,
            src: operand(insn)?,
        }),
    }
}

fn byte_order(insn: Insn, wide: bool, dst: Register) -> Option<Op> {
    let kind = match (wide, insn.opcode & SOURCE_REGISTER != 0) {
        (false, false) => ByteOrder::ToLittle,
        (false, true) => ByteOrder::ToBig,
        (true, false) => ByteOrder::Swap,
        (true, true) => return None,
    };
    let bits = u32::try_from(insn.imm).ok()?;
    let known = matches!(bits, 16 | 32 | 64) && plain(insn);
    known.then_some(Op::ByteOrder { kind, bits, dst })
}

fn move_signed(insn: Insn, wide: bool, dst: Register) -> Option<Op> {
    let bits = u32::try_from(insn.offset).ok()?;
    let known = matches!(bits, 8 | 16) || (bits == 32 && wide);
    match operand(insn)? {
        Operand::Register(src) if known => Some(Op::MoveSigned {
            wide,
            bits,
            dst,
            src,
        }),
        _ => None,
    }
}

fn jump(insn: Insn) -> Option<Op> {
    let wide = insn.opcode & 7 == class::JMP;
    let by_register = insn.opcode & SOURCE_REGISTER != 0;
    match insn.opcode & 0xf0 {
        JA | CALL | EXIT if by_register || insn.dst != 0 => None,
        JA => goto(insn, wide),
        CALL if wide && insn.offset == 0 => call(insn),
        EXIT if wide && insn.imm == 0 && plain(insn) => Some(Op::Exit),
        _ => Some(Op::Branch {
            wide,
            op: JumpOp::from_code(insn.opcode)?,
            dst: Register::from_number(insn.dst)?,
            src: operand(insn)?,
            offset: insn.offset,
        }),
    }
}

fn goto(insn: Insn, short: bool) -> Option<Op> {
    match (short, insn.src, insn.offset, insn.imm) {
        (true, 0, offset, 0) => Some(Op::Goto {
            offset: i32::from(offset),
            long: false,
        }),
        (false, 0, 0, offset) => Some(Op::Goto { offset, long: true }),
        _ => None,
    }
}

fn call(insn: Insn) -> Option<Op> {
    match insn.src {
        0 => Some(Op::Call {
            helper: insn.imm.cast_unsigned(),
        }),
        PSEUDO_CALL => Some(Op::CallLocal { offset: insn.imm }),
        _ => None,
    }
}

/// The right side; the part of the instruction that is not used must be zero.
fn operand(insn: Insn) -> Option<Operand> {
    if insn.opcode & SOURCE_REGISTER == 0 {
        return (insn.src == 0).then_some(Operand::Imm(insn.imm));
    }
    let src = Register::from_number(insn.src)?;
    (insn.imm == 0).then_some(Operand::Register(src))
}

fn plain(insn: Insn) -> bool {
    insn.src == 0 && insn.offset == 0
}
