//! Whether every read finds the value that is meant.
//!
//! Follows what stands in each register from block to block as the emitted instructions leave it, knowing nothing of how the
//! registers were found (the checker of regalloc2). Where ways join, only what holds on all of them is left.

use cranelift_entity::SecondaryMap;

use crate::bpf::opcode::Register;
use crate::ir::{Arg, Block, End, Give, Inst, Valid, Value};

use super::registers::{LOST, Registers};
use super::{ARGUMENTS, EmitError};

/// Refuses registers in which some way finds another value than it reads.
pub(super) fn check(valid: &Valid<'_>, registers: &Registers) -> Result<(), EmitError> {
    let function = valid.function;
    let mut before: SecondaryMap<Block, Option<Vec<Fact>>> = SecondaryMap::new();
    before[function.entry] = Some(Vec::new());
    for &block in &valid.order {
        let mut held = Held {
            registers,
            facts: before[block].take().unwrap_or_default(),
        };
        let data = &function.blocks[block];
        for inst in &data.insts {
            held.inst(inst)?;
        }
        held.end(&data.end)?;
        for successor in data.end.successors() {
            match &mut before[successor] {
                Some(facts) => facts.retain(|fact| held.facts.contains(fact)),
                none => *none = Some(held.facts.clone()),
            }
        }
    }
    Ok(())
}

/// What a value is stands in a register.
type Fact = (Value, Register);

/// What stands where at one place.
struct Held<'r> {
    registers: &'r Registers,
    facts: Vec<Fact>,
}

impl Held<'_> {
    fn inst(&mut self, inst: &Inst) -> Result<(), EmitError> {
        match inst {
            Inst::Copy { dst, src } => {
                let (from, to) = (self.read(*src)?, self.registers.of(*dst)?);
                self.facts.retain(|&(value, _)| value != *dst);
                self.moved(from, to);
                self.facts.push((*dst, to));
                return Ok(());
            }
            Inst::Call { args, .. } => self.call(args)?,
            Inst::CompareExchange {
                base,
                expected,
                new,
                ..
            } => {
                let expected = self.read(*expected)?;
                self.moved(expected, Register::R0);
                self.read(*base)?;
                self.read(*new)?;
                self.lose(&[Register::R0]);
            }
            _ => self.all(|read| inst.reads(read))?,
        }
        match inst.writes() {
            Some(value) => self.write(value),
            None => Ok(()),
        }
    }

    fn end(&mut self, end: &End) -> Result<(), EmitError> {
        match end {
            End::Socket(region) => self.call(&region.args()),
            End::Slot(region) => {
                if let Some(places) = &region.places {
                    self.write(places.turn)?;
                }
                self.call(&[])?;
                if region.give != Give::Nothing {
                    self.write(region.carrier)?;
                    self.call(&[Arg::Value(region.context), Arg::Value(region.carrier)])?;
                    self.read(region.carrier)?;
                }
                match &region.places {
                    // Once more, from the beginning.
                    Some(places) => {
                        self.read(places.turn)?;
                        self.all(|read| end.reads(read))
                    }
                    None => Ok(()),
                }
            }
            End::Headers(region) => {
                self.all(|read| end.reads(read))?;
                self.write(region.cursor)?;
                self.lose(LOST);
                Ok(())
            }
            End::Frame(region) => {
                self.write(region.cursor)?;
                self.call(&[Arg::Value(region.context), Arg::Value(region.cursor)])
            }
            _ => self.all(|read| end.reads(read)),
        }
    }

    /// Arguments are written one after the other.
    fn call(&mut self, args: &[Arg]) -> Result<(), EmitError> {
        for (&register, arg) in ARGUMENTS.iter().zip(args) {
            match arg.value() {
                Some(value) => {
                    let from = self.read(value)?;
                    self.moved(from, register);
                }
                None => self.lose(&[register]),
            }
        }
        self.lose(LOST);
        Ok(())
    }

    fn all(&self, reads: impl FnOnce(&mut dyn FnMut(Value))) -> Result<(), EmitError> {
        let mut result = Ok(());
        reads(&mut |value| {
            if let Err(error) = self.read(value) {
                result = Err(error);
            }
        });
        result
    }

    fn read(&self, value: Value) -> Result<Register, EmitError> {
        let register = self.registers.of(value)?;
        if self.facts.contains(&(value, register)) {
            Ok(register)
        } else {
            Err(EmitError::Overwritten(value))
        }
    }

    fn write(&mut self, value: Value) -> Result<(), EmitError> {
        let register = self.registers.of(value)?;
        self.facts.retain(|&(other, _)| other != value);
        self.lose(&[register]);
        self.facts.push((value, register));
        Ok(())
    }

    fn lose(&mut self, registers: &[Register]) {
        self.facts
            .retain(|(_, register)| !registers.contains(register));
    }

    fn moved(&mut self, from: Register, to: Register) {
        if from == to {
            return;
        }
        self.lose(&[to]);
        let here = self.facts.iter().filter(|(_, register)| *register == from);
        let there: Vec<Fact> = here.map(|&(value, _)| (value, to)).collect();
        self.facts.extend(there);
    }
}
