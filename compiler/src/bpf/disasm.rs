//! Instructions as text, in the notation of llvm-objdump and bpftool.
//!
//! Takes decoded instructions; gives mnemonics, and for a whole program a listing fit for golden files. Immediates are
//! hexadecimal, offsets of memory and jumps decimal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cranelift_entity::PrimaryMap;

use super::decode::{ByteOrder, Op, Operand, decode};
use super::helper::Helper;
use super::insn::Insn;
use super::opcode::{AtomicOp, Register, Width};
use crate::artifact::{MapId, MapSpec, Program};

/// The instruction's mnemonic, jumps relative; `next` is the instruction after it.
#[must_use]
pub fn disassemble(insn: Insn, next: Option<Insn>) -> String {
    match decode(insn, next) {
        Some(op) => mnemonic(op, &Names::default()),
        None => unknown(insn),
    }
}

/// The whole program: index, bytes, mnemonic with absolute jump targets and map names, and the source line where it
/// changes.
#[must_use]
pub fn listing(program: &Program, maps: &PrimaryMap<MapId, MapSpec>) -> String {
    let lines: BTreeMap<usize, _> = program
        .lines
        .iter()
        .map(|line| (line.insn as usize, line))
        .collect();
    let named = map_names(program, maps);
    let mut text = format!("{} ({}):\n", program.name, program.section.name());
    let mut index = 0;
    while let Some(&insn) = program.insns.get(index) {
        let next = program.insns.get(index + 1).copied();
        let names = Names {
            at: Some(index),
            map: named.get(&index).copied(),
        };
        let op = decode(insn, next);
        let words = op.map_or_else(|| unknown(insn), |op| mnemonic(op, &names));
        let origin = lines.get(&index).map_or_else(String::new, |line| {
            format!("  ; {}:{} {}", line.file, line.line, line.text)
        });
        row(&mut text, index, insn, &words, &origin);
        if let (Some(2), Some(second)) = (op.map(|op| op.slots()), next) {
            row(&mut text, index + 1, second, "", "");
        }
        index += op.map_or(1, |op| op.slots());
    }
    text
}

fn map_names<'a>(
    program: &Program,
    maps: &'a PrimaryMap<MapId, MapSpec>,
) -> BTreeMap<usize, &'a str> {
    let name = |id| maps.get(id).map_or("?", |spec: &MapSpec| &spec.name);
    program
        .relocations
        .iter()
        .map(|relocation| (relocation.insn as usize, name(relocation.map)))
        .collect()
}

fn row(text: &mut String, index: usize, insn: Insn, words: &str, origin: &str) {
    let bytes = hex(insn);
    let line = if origin.is_empty() {
        format!("{index:>6}: {bytes}  {words}")
    } else {
        format!("{index:>6}: {bytes}  {words:<40}{origin}")
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

fn hex(insn: Insn) -> String {
    let bytes: Vec<String> = insn
        .to_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.join(" ")
}

fn unknown(insn: Insn) -> String {
    format!(".insn {}", hex(insn))
}

/// What a mnemonic may be told in place of bare numbers.
#[derive(Default)]
struct Names<'a> {
    /// The instruction's index: jump targets become absolute.
    at: Option<usize>,
    /// The name of the map it refers to.
    map: Option<&'a str>,
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

fn mnemonic(op: Op, names: &Names<'_>) -> String {
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
