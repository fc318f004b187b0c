//! Checks what a function must hold whatever built it: a failure is always a bug of the compiler.
//!
//! Checked: nothing impossible happened while it was built; every block that can be reached ends; control flow goes forward; every value is set before it is read, in its block unless it is pinned; no
//! unpinned value is read after a helper call; calls take only arguments that survive their own set-up; slots are not
//! overrun; the stack holds 512 bytes. Not checked: that pinned values are set on every path (the verifier does).

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use super::{Arg, Block, End, Function, Inst, Operand, Slot, Value, forward_order};
use crate::bpf::limits::STACK;
use crate::bpf::opcode::{Register, Width};

/// What is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The function's name.
    pub function: String,
    /// The block.
    pub block: Option<Block>,
    /// What is wrong.
    pub what: String,
}

impl Display for Invalid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.function)?;
        if let Some(block) = self.block {
            write!(f, "{block}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Checks a function.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn validate(function: &Function) -> Result<(), Invalid> {
    let fail = |block, what: String| Invalid {
        function: function.name.clone(),
        block,
        what,
    };
    if let Some(bug) = &function.bug {
        return Err(fail(None, bug.clone()));
    }
    let order = forward_order(function).ok_or_else(|| fail(None, "a jump goes backward".into()))?;
    for (slot, data) in &function.slots {
        if usize::from(data.offset.unsigned_abs()) > STACK {
            return Err(fail(None, format!("{slot} lies beyond the stack")));
        }
    }
    for block in order {
        check_block(function, block).map_err(|what| fail(Some(block), what))?;
    }
    Ok(())
}

struct Check<'f> {
    function: &'f Function,
    live: BTreeSet<Value>,
}

fn check_block(function: &Function, block: Block) -> Result<(), String> {
    let mut check = Check {
        function,
        live: BTreeSet::new(),
    };
    for inst in &function.blocks[block].insts {
        check.inst(inst)?;
    }
    match &function.blocks[block].end {
        End::Branch { lhs, rhs, .. } => {
            check.read(*lhs)?;
            check.operand(*rhs)
        }
        End::ReturnValue(value) => check.read(*value),
        End::Socket(region) => {
            check.survivor(region.context)?;
            if let Some(netns) = region.netns {
                check.slot(netns, 0, 4)?;
            }
            let size = usize::try_from(region.size)
                .map_err(|_| format!("a tuple has {} bytes", region.size))?;
            check.slot(region.tuple, 0, size)
        }
        End::Slot(region) => {
            check.survivor(region.context)?;
            check.survivor(region.carrier)?;
            check.slot(region.key, 0, 4)
        }
        End::Headers(region) => {
            [region.network, region.end, region.cursor]
                .into_iter()
                .try_for_each(|value| check.survivor(value))?;
            check.slot(region.protocol, 0, 1)?;
            check.slot(region.part, 0, 1)
        }
        End::Frame(region) => {
            check.survivor(region.context)?;
            check.survivor(region.cursor)?;
            check.slot(region.kind, 0, 2)
        }
        End::Open => Err("nobody says how it ends".into()),
        End::Jump(_) | End::Return(_) => Ok(()),
    }
}

impl Check<'_> {
    fn inst(&mut self, inst: &Inst) -> Result<(), String> {
        match inst {
            Inst::Argument { dst } | Inst::Imm { dst, .. } => self.write(*dst),
            Inst::Copy { dst, src } => {
                self.read(*src)?;
                self.write(*dst);
            }
            Inst::Alu { value, rhs, .. } => {
                self.read(*value)?;
                self.operand(*rhs)?;
            }
            Inst::FromNetwork { value, .. } => self.read(*value)?,
            Inst::Load { dst, base, .. } => {
                self.read(*base)?;
                self.write(*dst);
            }
            Inst::Store { base, src, .. } => {
                self.read(*base)?;
                self.read(*src)?;
            }
            Inst::LoadSlot {
                dst,
                slot,
                byte,
                width,
            } => {
                self.access(*slot, *byte, *width)?;
                self.write(*dst);
            }
            Inst::StoreSlot {
                slot,
                byte,
                src,
                width,
            } => {
                self.read(*src)?;
                self.access(*slot, *byte, *width)?;
            }
            Inst::SetSlot {
                slot, byte, width, ..
            } => self.access(*slot, *byte, *width)?,
            Inst::MapValue { dst, .. } => self.write(*dst),
            Inst::AtomicAdd { base, src, .. } => {
                self.read(*base)?;
                self.read(*src)?;
            }
            Inst::CompareExchange {
                dst,
                base,
                expected,
                new,
                ..
            } => {
                [base, expected, new]
                    .into_iter()
                    .try_for_each(|value| self.read(*value))?;
                self.write(*dst);
            }
            Inst::Call { args, dst, .. } => {
                args.iter().try_for_each(|arg| self.arg(*arg))?;
                self.live.clear();
                if let Some(dst) = dst {
                    self.write(*dst);
                }
            }
        }
        Ok(())
    }

    fn arg(&self, arg: Arg) -> Result<(), String> {
        match arg {
            Arg::Pinned(value) => self.survivor(value),
            Arg::SlotValue(slot, width) => self.access(slot, 0, width),
            Arg::Imm(_) | Arg::SlotAddress(_) | Arg::Map(_) => Ok(()),
        }
    }

    fn survivor(&self, value: Value) -> Result<(), String> {
        match self.function.values[value].pinned {
            Some(Register::R6 | Register::R7 | Register::R8 | Register::R9) => Ok(()),
            _ => Err(format!("{value} does not survive a call")),
        }
    }

    fn operand(&self, operand: Operand) -> Result<(), String> {
        match operand {
            Operand::Value(value) => self.read(value),
            Operand::Imm(_) => Ok(()),
        }
    }

    fn read(&self, value: Value) -> Result<(), String> {
        if self.function.values[value].pinned.is_some() || self.live.contains(&value) {
            Ok(())
        } else {
            Err(format!("{value} is read where it has no value"))
        }
    }

    fn write(&mut self, value: Value) {
        if self.function.values[value].pinned.is_none() {
            self.live.insert(value);
        }
    }

    fn access(&self, slot: Slot, byte: u8, width: Width) -> Result<(), String> {
        self.slot(slot, usize::from(byte), width.bytes())
    }

    fn slot(&self, slot: Slot, byte: usize, size: usize) -> Result<(), String> {
        if byte + size <= self.function.slots[slot].size as usize {
            Ok(())
        } else {
            Err(format!("{slot} is overrun"))
        }
    }
}
