//! A register for each value, the same one as long as it lives.
//!
//! Values may be written more than once, and have holes: places between a write and a read of theirs that lie on no way
//! from the one to the other. Two values share a register if they are nowhere live at once. The values with the fewest
//! registers to choose from choose first, and among them the one that is written first: linear scan over live ranges with
//! holes (Traub, Holloway and Smith 1998) without its spilling. If no register is left, that is a bug: whoever builds a
//! function keeps in registers only what fits.

use std::collections::BTreeMap;
use std::ops::Range;

use cranelift_entity::SecondaryMap;

use crate::bpf::opcode::Register;
use crate::ir::{Valid, Value};

use super::EmitError;
use super::needs::{Hint, Need, needs};

/// The register of each value.
pub(super) struct Registers(SecondaryMap<Value, Option<Register>>);

impl Registers {
    /// For a function.
    pub(super) fn allocate(valid: &Valid<'_>) -> Result<Self, EmitError> {
        let (function, needs) = (valid.function, needs(valid));
        let mut values: Vec<Value> = function.values.keys().collect();
        values.retain(|&value| !needs[value].live.is_empty());
        values.sort_by_key(|&value| (needs[value].allowed.len(), needs[value].start()));
        let mut registers = Self(SecondaryMap::with_capacity(function.values.len()));
        let mut taken: [Taken; FREE.len()] = Default::default();
        for value in values {
            let need = &needs[value];
            let free = |&register: &Register| {
                need.allowed.contains(register) && taken[index(register)].is_free(&need.live)
            };
            let register = registers.wished(need).chain(FREE).find(free);
            let register = register.ok_or(EmitError::OutOfRegisters(value))?;
            taken[index(register)].take(&need.live);
            registers.0[value] = Some(register);
        }
        Ok(registers)
    }

    /// The register of a value.
    pub(super) fn of(&self, value: Value) -> Result<Register, EmitError> {
        self.0[value].ok_or(EmitError::OutOfRegisters(value))
    }

    fn wished(&self, need: &Need) -> impl Iterator<Item = Register> {
        need.hints.iter().rev().filter_map(|hint| match hint {
            Hint::Register(register) => Some(*register),
            Hint::Of(other) => self.0[*other],
        })
    }
}

/// The registers there are; those that no call keeps come first.
const FREE: [Register; 10] = [
    Register::R0,
    Register::R1,
    Register::R2,
    Register::R3,
    Register::R4,
    Register::R5,
    Register::R6,
    Register::R7,
    Register::R8,
    Register::R9,
];

/// Those that a call leaves nothing in: r0 to r5.
pub(super) const LOST: &[Register] = FREE.split_at(6).0;

fn index(register: Register) -> usize {
    usize::from(register.number())
}

/// Where a register is taken: the end of each range by its start.
#[derive(Default)]
struct Taken(BTreeMap<usize, usize>);

impl Taken {
    fn is_free(&self, live: &[Range<usize>]) -> bool {
        live.iter().all(|range| {
            let before = self.0.range(..range.end).next_back();
            before.is_none_or(|(_, &end)| end <= range.start)
        })
    }

    fn take(&mut self, live: &[Range<usize>]) {
        self.0
            .extend(live.iter().map(|range| (range.start, range.end)));
    }
}

#[cfg(test)]
mod tests;
