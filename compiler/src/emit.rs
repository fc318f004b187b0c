//! From IR to instructions: registers, stack addresses, jumps, relocations, line information.
//!
//! Takes a validated [`Function`]; gives a [`Program`]. Each value gets one register (`registers`). Jumps are short where they reach; where 16 bits do not, a
//! target that has `gotol` gets it, for others the function is refused. Nothing is optimised here.

mod block;
mod check;
mod memory;
mod needs;
mod region;
mod registers;
mod slots;

use std::fmt::{self, Display, Formatter};

use crate::artifact::{Line, MapId, Program, Relocation};
use crate::bpf::asm;
use crate::bpf::insn::Insn;
use crate::bpf::opcode::{JumpOp, Register};
use crate::ir::{Block, Function, Inst, Invalid, Value, validate};
use crate::target::Target;
use block::{Item, Rhs, block_items};
use cranelift_entity::SecondaryMap;
use registers::Registers;

/// Why a function cannot become a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// A bug: the function breaks a rule of the IR.
    Invalid(Invalid),
    /// A bug: where this value lives, all registers that it may have are taken.
    OutOfRegisters(Value),
    /// A bug: some way finds something else in the register where it reads this value.
    Overwritten(Value),
    /// A bug: a number of the code does not fit its field.
    Number(usize),
    /// A bug: the function has an instruction that the target lacks.
    NoAtomics,
    /// The program needs a jump of more than 32,767 instructions and the target has no `gotol`.
    TooFar,
    /// More instructions than the target's limit.
    TooManyInsns(usize),
}

impl Display for EmitError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => write!(f, "the intermediate form is invalid: {invalid}"),
            Self::OutOfRegisters(value) => write!(f, "no register is left for {value}"),
            Self::Overwritten(value) => write!(f, "{value} is overwritten before it is read"),
            Self::Number(number) => write!(f, "{number} does not fit its field"),
            Self::NoAtomics => write!(f, "the target has no compare-and-exchange"),
            Self::TooFar => write!(f, "a jump goes further than 32,767 instructions"),
            Self::TooManyInsns(count) => write!(f, "{count} instructions"),
        }
    }
}

/// Emits a function for a target.
///
/// # Errors
///
/// A limit of the target, or a bug of the compiler.
pub fn emit(function: &Function, target: &Target) -> Result<Program, EmitError> {
    let valid = validate(function).map_err(EmitError::Invalid)?;
    check_target(function, target)?;
    let registers = Registers::allocate(&valid)?;
    check::check(&valid, &registers)?;
    let order = valid.order;
    let mut items = Vec::new();
    let mut starts = SecondaryMap::with_default(usize::MAX);
    for (index, &block) in order.iter().enumerate() {
        starts[block] = items.len();
        let next = order.get(index + 1).copied();
        items.extend(block_items(function, &registers, block, next)?);
    }
    let layout = Layout::settle(&items, &starts, target)?;
    let mut program = Program {
        name: function.name.clone(),
        section: function.section,
        insns: Vec::with_capacity(layout.length),
        relocations: Vec::new(),
        lines: lines(function, &order, &starts, &layout)?,
    };
    for (index, item) in items.iter().enumerate() {
        layout.write(index, item, &starts, &mut program)?;
    }
    if program.insns.len() > target.limits.instructions.ours {
        return Err(EmitError::TooManyInsns(program.insns.len()));
    }
    Ok(program)
}

/// Whether the target has every instruction.
fn check_target(function: &Function, target: &Target) -> Result<(), EmitError> {
    let mut insts = function.blocks.values().flat_map(|block| &block.insts);
    let exchanges = insts.any(|inst| matches!(inst, Inst::CompareExchange { .. }));
    if exchanges && !target.atomics {
        return Err(EmitError::NoAtomics);
    }
    Ok(())
}

/// Where every item begins, and which jumps are long.
struct Layout {
    positions: Vec<usize>,
    /// The same with room for what the kernel puts in place of instructions.
    grown: Vec<usize>,
    long: Vec<bool>,
    length: usize,
}

impl Layout {
    /// Grows jumps until every one reaches. Terminates because a jump never shrinks again.
    fn settle(
        items: &[Item],
        starts: &SecondaryMap<Block, usize>,
        target: &Target,
    ) -> Result<Self, EmitError> {
        let mut long = vec![false; items.len()];
        loop {
            let (positions, length) = place(items, &long, |_| 0);
            let (grown, _) = place(items, &long, Item::growth);
            let layout = Self {
                positions,
                grown,
                long: long.clone(),
                length,
            };
            let mut grown = false;
            for (index, item) in items.iter().enumerate() {
                if let Item::Jump { target: to, .. } = item
                    && !long[index]
                    && layout.reach(index, starts[*to]) > target.limits.jump.ours
                {
                    long[index] = true;
                    grown = true;
                }
            }
            if !grown {
                return Ok(layout);
            }
            if !target.gotol {
                return Err(EmitError::TooFar);
            }
        }
    }

    /// Instructions between the end of item `from` and the beginning of item `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        let end = self.positions.get(from + 1).copied().unwrap_or(self.length);
        self.positions[to] - end
    }

    /// The same once the kernel has put its own instructions in place of calls and loads: it refuses a jump of 16 bits
    /// that becomes too long then (`bpf_adj_branches`: "insn cannot be patched due to 16-bit range").
    fn reach(&self, from: usize, to: usize) -> usize {
        self.grown[to] - self.grown[from]
    }

    fn write(
        &self,
        index: usize,
        item: &Item,
        starts: &SecondaryMap<Block, usize>,
        program: &mut Program,
    ) -> Result<(), EmitError> {
        match item {
            Item::Insn(insn) | Item::Context(insn) => program.insns.push(*insn),
            Item::Map(register, map) => {
                refer(program, *map, None)?;
                program.insns.extend(asm::load_map(*register));
            }
            Item::MapValue(register, map, offset) => {
                refer(program, *map, Some(*offset))?;
                let insns = asm::load_map_value(*register, offset.cast_signed());
                program.insns.extend(insns);
            }
            Item::Imm64(register, imm) => program
                .insns
                .extend(asm::load_imm64(*register, imm.cast_unsigned())),
            Item::Jump { condition, target } => {
                let distance = self.distance(index, starts[*target]);
                let insns = jump(condition.as_ref(), distance, self.long[index])?;
                program.insns.extend(insns);
            }
            Item::Near { condition, by } => {
                let insn = self.near(index, condition.as_ref(), *by)?;
                program.insns.push(insn);
            }
        }
        Ok(())
    }

    /// A jump within a region, which is far shorter than 16 bits reach.
    fn near(
        &self,
        index: usize,
        condition: Option<&block::Condition>,
        by: isize,
    ) -> Result<Insn, EmitError> {
        let after = index + 1;
        let (from, to) = match (
            self.positions.get(after),
            after
                .checked_add_signed(by)
                .and_then(|to| self.positions.get(to)),
        ) {
            (Some(&from), Some(&to)) => (from, to),
            _ => return Err(EmitError::Number(index)),
        };
        let offset = match to.checked_sub(from) {
            Some(forward) => fit::<i16>(forward)?,
            None => -fit::<i16>(from - to)?,
        };
        Ok(match condition {
            Some(condition) => compare(condition, offset),
            None => asm::ja(offset),
        })
    }
}

/// Notes that the next instruction refers to a map.
fn refer(program: &mut Program, map: MapId, value_offset: Option<u32>) -> Result<(), EmitError> {
    let insn = fit(program.insns.len())?;
    program.relocations.push(Relocation {
        insn,
        map,
        value_offset,
    });
    Ok(())
}

/// A number in the type that an instruction has for it.
fn fit<T: TryFrom<usize>>(number: usize) -> Result<T, EmitError> {
    T::try_from(number).map_err(|_| EmitError::Number(number))
}

fn place(items: &[Item], long: &[bool], growth: impl Fn(&Item) -> usize) -> (Vec<usize>, usize) {
    let mut position = 0;
    let positions = items
        .iter()
        .zip(long)
        .map(|(item, &long)| {
            let start = position;
            position += item.length(long) + growth(item);
            start
        })
        .collect();
    (positions, position)
}

/// The instructions of a jump over `distance` instructions after it.
fn jump(
    condition: Option<&block::Condition>,
    distance: usize,
    long: bool,
) -> Result<Vec<Insn>, EmitError> {
    Ok(match (condition, long) {
        (None, false) => vec![asm::ja(fit(distance)?)],
        (None, true) => vec![asm::gotol(fit(distance)?)],
        (Some(condition), false) => vec![compare(condition, fit(distance)?)],
        (Some(condition), true) => vec![
            compare(condition, 1),
            asm::ja(1),
            asm::gotol(fit(distance)?),
        ],
    })
}

fn compare(condition: &block::Condition, offset: i16) -> Insn {
    let block::Condition {
        op,
        narrow,
        lhs,
        rhs,
    } = *condition;
    match (rhs, narrow) {
        (Rhs::Imm(imm), true) => asm::jump32_imm(op, lhs, imm, offset),
        (Rhs::Imm(imm), false) => asm::jump_imm(op, lhs, imm, offset),
        (Rhs::Register(rhs), true) => asm::jump32_reg(op, lhs, rhs, offset),
        (Rhs::Register(rhs), false) => asm::jump_reg(op, lhs, rhs, offset),
    }
}

/// One record where the origin changes from one block to the next.
fn lines(
    function: &Function,
    order: &[Block],
    starts: &SecondaryMap<Block, usize>,
    layout: &Layout,
) -> Result<Vec<Line>, EmitError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut origin = None;
    for &block in order {
        let data = &function.blocks[block];
        let Some(&position) = layout.positions.get(starts[block]) else {
            continue;
        };
        let insn = fit(position)?;
        if origin == Some(data.origin) {
            continue;
        }
        origin = Some(data.origin);
        let location = function.origins[data.origin].clone();
        let line = Line { insn, location };
        // A block without instructions of its own shares its first instruction with the block after it.
        match lines.last_mut() {
            Some(last) if last.insn == insn => *last = line,
            _ => lines.push(line),
        }
    }
    Ok(lines)
}

/// The comparison that holds exactly where `op` does not; bit tests have none.
fn inverted(op: JumpOp) -> Option<JumpOp> {
    INVERSES.iter().find_map(|&(one, other)| match op {
        op if op == one => Some(other),
        op if op == other => Some(one),
        _ => None,
    })
}

const INVERSES: [(JumpOp, JumpOp); 5] = [
    (JumpOp::Eq, JumpOp::Ne),
    (JumpOp::Gt, JumpOp::Le),
    (JumpOp::Ge, JumpOp::Lt),
    (JumpOp::SGt, JumpOp::SLe),
    (JumpOp::SGe, JumpOp::SLt),
];

/// The registers that carry arguments.
const ARGUMENTS: [Register; 5] = [
    Register::R1,
    Register::R2,
    Register::R3,
    Register::R4,
    Register::R5,
];

/// The frame pointer.
const FRAME: Register = Register::R10;

#[cfg(test)]
mod tests;
