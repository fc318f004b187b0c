//! Registers for the values of one block: the first free one, freed after the last read.

use std::collections::{BTreeMap, BTreeSet};

use crate::bpf::opcode::Register;
use crate::ir::{Arg, Block, End, Function, Inst, Operand, Value};

use super::EmitError;

const SCRATCH: [Register; 6] = [
    Register::R0,
    Register::R1,
    Register::R2,
    Register::R3,
    Register::R4,
    Register::R5,
];

/// The registers of one block.
pub(super) struct Registers<'f> {
    function: &'f Function,
    /// The registers of the function's pinned values, which no other value gets.
    pinned: &'f [Register],
    block: Block,
    last_read: BTreeMap<Value, usize>,
    held: BTreeMap<Value, Register>,
}

impl<'f> Registers<'f> {
    pub(super) fn new(function: &'f Function, pinned: &'f [Register], block: Block) -> Self {
        let data = &function.blocks[block];
        let mut last_read = BTreeMap::new();
        for (index, inst) in data.insts.iter().enumerate() {
            reads(inst, |value| {
                last_read.insert(value, index);
            });
        }
        let mut at_end = |value| {
            last_read.insert(value, data.insts.len());
        };
        match &data.end {
            End::Branch { lhs, rhs, .. } => {
                at_end(*lhs);
                if let Operand::Value(rhs) = rhs {
                    at_end(*rhs);
                }
            }
            End::ReturnValue(value) => at_end(*value),
            End::Open
            | End::Jump(_)
            | End::Return(_)
            | End::Socket(_)
            | End::Slot(_)
            | End::Headers(_)
            | End::Frame(_) => {}
        }
        Self {
            function,
            pinned,
            block,
            last_read,
            held: BTreeMap::new(),
        }
    }

    /// The register a value is in.
    pub(super) fn read(&self, value: Value) -> Result<Register, EmitError> {
        let pinned = self.function.values[value].pinned;
        pinned
            .or_else(|| self.held.get(&value).copied())
            .ok_or(EmitError::OutOfRegisters(self.block))
    }

    /// The register that instruction `index` writes a value to; `prefer` if it is free.
    pub(super) fn write(
        &mut self,
        value: Value,
        index: usize,
        prefer: Option<Register>,
    ) -> Result<Register, EmitError> {
        if let Some(register) = self.function.values[value]
            .pinned
            .or_else(|| self.held.get(&value).copied())
        {
            return Ok(register);
        }
        let last_read = &self.last_read;
        self.held
            .retain(|held, _| last_read.get(held).is_some_and(|&last| last > index));
        let free = prefer
            .into_iter()
            .chain(SCRATCH)
            .find(|register| self.is_free(*register));
        let register = free.ok_or(EmitError::OutOfRegisters(self.block))?;
        self.held.insert(value, register);
        Ok(register)
    }

    /// Gives the value in `register` another one if instruction `index` reads it, other than as `operand`, or a later one
    /// does. Gives the new register; the value's bits are still in the old one.
    pub(super) fn clear(
        &mut self,
        register: Register,
        operand: Value,
        index: usize,
    ) -> Result<Option<Register>, EmitError> {
        let last_read = &self.last_read;
        self.held
            .retain(|held, _| last_read.get(held).is_some_and(|&last| last >= index));
        let mut holders = self.held.iter().filter(|&(_, &held)| held == register);
        let Some((&holder, _)) = holders.next() else {
            return Ok(None);
        };
        if holder == operand && self.last_read.get(&holder) == Some(&index) {
            return Ok(None);
        }
        let free = SCRATCH.into_iter().find(|other| self.is_free(*other));
        let free = free.ok_or(EmitError::OutOfRegisters(self.block))?;
        self.held.insert(holder, free);
        Ok(Some(free))
    }

    fn is_free(&self, register: Register) -> bool {
        self.held.values().all(|&held| held != register) && !self.pinned.contains(&register)
    }
}

/// The registers of a function's pinned values.
pub(super) fn pinned(function: &Function) -> Vec<Register> {
    let all = function.values.values();
    let registers: BTreeSet<Register> = all.filter_map(|data| data.pinned).collect();
    registers.into_iter().collect()
}

fn reads(inst: &Inst, mut read: impl FnMut(Value)) {
    match inst {
        Inst::Copy { src, .. } | Inst::StoreSlot { src, .. } => read(*src),
        Inst::Alu { value, rhs, .. } => {
            read(*value);
            if let Operand::Value(rhs) = rhs {
                read(*rhs);
            }
        }
        Inst::FromNetwork { value, .. } => read(*value),
        Inst::Load { base, .. } => read(*base),
        Inst::Store { base, src, .. } | Inst::AtomicAdd { base, src, .. } => {
            read(*base);
            read(*src);
        }
        Inst::CompareExchange {
            base,
            expected,
            new,
            ..
        } => [base, expected, new]
            .into_iter()
            .for_each(|value| read(*value)),
        Inst::Call { args, .. } => {
            for arg in args {
                if let Arg::Pinned(value) = arg {
                    read(*value);
                }
            }
        }
        Inst::Argument { .. }
        | Inst::Imm { .. }
        | Inst::LoadSlot { .. }
        | Inst::SetSlot { .. }
        | Inst::MapValue { .. } => {}
    }
}
