//! Instructions as text, in the notation of llvm-objdump and bpftool.
//!
//! Takes instructions; gives mnemonics. Immediates are hexadecimal, offsets of memory and jumps decimal. Not here: the
//! listing of a whole program.

use super::decode::{ByteOrder, Op, Operand, decode};
use super::helper::Helper;
use super::insn::Insn;
use super::opcode::{AtomicOp, Register, Width};

/// The instruction's mnemonic, jumps relative; `next` is the instruction after it.
#[must_use]
pub fn disassemble(insn: Insn, next: Option<Insn>) -> String {
    match decode(insn, next) {
        Some(op) => mnemonic(op, &Names::default()),
        None => unknown(insn),
    }
}

pub(crate) fn hex(insn: Insn) -> String {
    let bytes: Vec<String> = insn
        .to_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.join(" ")
}

pub(crate) fn unknown(insn: Insn) -> String {
    format!(".insn {}", hex(insn))
}

/// What a mnemonic may be told in place of bare numbers.
#[derive(Default)]
pub(crate) struct Names<'a> {
    /// The instruction's index: jump targets become absolute.
    pub(crate) at: Option<usize>,
    /// The name of the map it refers to.
    pub(crate) map: Option<&'a str>,
}

impl Names<'_> {
    fn target(&self, offset: i32) -> String {
        match self.at.and_then(|at| i64::try_from(at).ok()) {
            Some(at) => format!("{}", at + 1 + i64::from(offset)),
            None => format!("{offset:+}"),
        }
    }

    fn map(&self, fd: i32) -> String {
        self.map
            .map_or_else(|| format!("map[{fd}]"), |name| format!("map[{name}]"))
    }
}

pub(crate) fn mnemonic(op: Op, names: &Names<'_>) -> String {
    match op {
        Op::Alu { wide, op, dst, src } => {
            format!("{} {} {}", reg(wide, dst), op.sign(), operand(wide, src))
        }
        Op::Negate { wide, dst } => format!("{0} = -{0}", reg(wide, dst)),
        Op::MoveSigned {
            wide,
            bits,
            dst,
            src,
        } => format!("{} = (s{bits}){}", reg(wide, dst), reg(wide, src)),
        Op::ByteOrder { kind, bits, dst } => byte_order(kind, bits, dst),
        Op::Load {
            width,
            signed,
            dst,
            base,
            offset,
        } => format!(
            "{} = {}",
            reg(true, dst),
            memory(width, signed, base, offset)
        ),
        Op::Store {
            width,
            base,
            offset,
            src,
        } => format!(
            "{} = {}",
            memory(width, false, base, offset),
            operand(width == Width::DW, src)
        ),
        Op::Atomic { .. } => atomic(op),
        Op::Immediate { dst, value } => format!("{} = {value:#x} ll", reg(true, dst)),
        Op::Map { dst, fd } => format!("{} = {} ll", reg(true, dst), names.map(fd)),
        Op::MapValue { dst, fd, offset } => {
            format!("{} = {}[0]+{offset} ll", reg(true, dst), names.map(fd))
        }
        _ => control(op, names),
    }
}

fn control(op: Op, names: &Names<'_>) -> String {
    match op {
        Op::Goto { offset, long } => {
            let word = if long { "gotol" } else { "goto" };
            format!("{word} {}", names.target(offset))
        }
        Op::Branch {
            wide,
            op,
            dst,
            src,
            offset,
        } => format!(
            "if {} {} {} goto {}",
            reg(wide, dst),
            op.sign(),
            operand(wide, src),
            names.target(i32::from(offset))
        ),
        Op::Call { helper } => match Helper::from_number(helper) {
            Some(helper) => format!("call {}", helper.name()),
            None => format!("call {helper}"),
        },
        Op::CallLocal { offset } => format!("call pc{}", names.target(offset)),
        _ => "exit".to_owned(),
    }
}

fn reg(wide: bool, register: Register) -> String {
    format!("{}{}", if wide { 'r' } else { 'w' }, register.number())
}

fn operand(wide: bool, src: Operand) -> String {
    match src {
        Operand::Register(register) => reg(wide, register),
        Operand::Imm(imm) if imm < 0 => format!("-{:#x}", imm.unsigned_abs()),
        Operand::Imm(imm) => format!("{imm:#x}"),
    }
}

fn memory(width: Width, signed: bool, base: Register, offset: i16) -> String {
    let kind = if signed { 's' } else { 'u' };
    format!("*({kind}{} *)({})", width.bits(), address(base, offset))
}

fn address(base: Register, offset: i16) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{} {sign} {}", reg(true, base), offset.unsigned_abs())
}

fn byte_order(kind: ByteOrder, bits: u32, dst: Register) -> String {
    let word = match kind {
        ByteOrder::ToLittle => "le",
        ByteOrder::ToBig => "be",
        ByteOrder::Swap => "bswap",
    };
    format!("{0} = {word}{bits} {0}", reg(true, dst))
}

fn atomic(op: Op) -> String {
    let Op::Atomic {
        width,
        op,
        fetch,
        base,
        offset,
        src,
    } = op
    else {
        return String::new();
    };
    let bits = width.bits();
    let place = address(base, offset);
    let wide = width == Width::DW;
    let (src, result) = (reg(wide, src), reg(wide, Register::R0));
    let sign = match op {
        AtomicOp::Add => "+=",
        AtomicOp::Or => "|=",
        AtomicOp::And => "&=",
        AtomicOp::Xor | AtomicOp::Exchange | AtomicOp::CompareExchange => "^=",
    };
    match op {
        AtomicOp::CompareExchange => {
            format!("{result} = cmpxchg((u{bits} *)({place}), {result}, {src})")
        }
        AtomicOp::Exchange => format!("{src} = xchg((u{bits} *)({place}), {src})"),
        _ if fetch => format!(
            "{src} = atomic_fetch_{}((u{bits} *)({place}), {src})",
            op.name()
        ),
        _ => format!("lock *(u{bits} *)({place}) {sign} {src}"),
    }
}

#[cfg(test)]
mod tests;
