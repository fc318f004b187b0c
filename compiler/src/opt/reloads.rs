//! What a block has stored and loads again is copied, if the value that was stored is not needed any more: the copy then
//! costs nothing. A value that stays would be one of two for the verifier that are known to be the same (6.12 and 6.18
//! follow each way on which they are), so that is loaded.

use std::collections::BTreeMap;

use crate::bpf::opcode::{AluOp, Width};
use crate::ir::{Arg, Block, Function, Inst, Liveness, Operand, Slot, Value};

pub(super) fn run(function: &mut Function, order: &[Block]) {
    let liveness = Liveness::of(function, order);
    for &block in order {
        let mut last = last_reads(function, block);
        for value in liveness.after(function, block) {
            last.insert(value, usize::MAX);
        }
        let mut insts = std::mem::take(&mut function.blocks[block].insts);
        let mut known = Known::default();
        for (index, inst) in insts.iter_mut().enumerate() {
            if let Some((dst, src)) = known.reloaded(inst)
                && last.get(&src).is_none_or(|&last| last < index)
            {
                *inst = Inst::Copy { dst, src };
            }
            known.step(function, inst);
        }
        function.blocks[block].insts = insts;
    }
}

/// The last instruction of a block that reads each value; its end comes after all.
fn last_reads(function: &Function, block: Block) -> BTreeMap<Value, usize> {
    let data = &function.blocks[block];
    let mut last = BTreeMap::new();
    for (index, inst) in data.insts.iter().enumerate() {
        inst.reads(|value| {
            last.insert(value, index);
        });
    }
    data.end.reads(|value| {
        last.insert(value, usize::MAX);
    });
    last
}

/// What is known at a place of a block.
#[derive(Default)]
struct Known {
    /// How many bits of a value may be set, from the lowest one; what is not here may have all.
    bits: BTreeMap<Value, u32>,
    /// What was stored last at a place, as long as it stands there.
    stored: Vec<(Slot, u8, Width, Value)>,
}

impl Known {
    /// The target of a load, and the value that it would find.
    fn reloaded(&self, load: &Inst) -> Option<(Value, Value)> {
        let Inst::LoadSlot {
            dst,
            slot,
            byte,
            width,
        } = load
        else {
            return None;
        };
        let place = (*slot, *byte, *width);
        let mut stored = self.stored.iter();
        let found = stored.find(|&&(slot, byte, width, _)| (slot, byte, width) == place)?;
        Some((*dst, found.3))
    }

    fn step(&mut self, function: &Function, inst: &Inst) {
        match inst {
            Inst::StoreSlot {
                slot,
                byte,
                src,
                width,
            } => {
                self.overwrite(function, *slot, *byte, *width);
                if self.bits(*src) as usize <= 8 * width.bytes() {
                    self.stored.push((*slot, *byte, *width, *src));
                }
            }
            Inst::SetSlot {
                slot, byte, width, ..
            } => self.overwrite(function, *slot, *byte, *width),
            // A helper may write to what it is given the address of.
            Inst::Call { args, .. }
                if args.iter().any(|arg| matches!(arg, Arg::SlotAddress(_))) =>
            {
                self.stored.clear();
            }
            _ => {}
        }
        if let Some(written) = inst.writes() {
            let bits = self.written(inst);
            self.stored.retain(|&(.., value)| value != written);
            self.bits.insert(written, bits);
        }
    }

    /// Forgets what shares bytes with a store.
    fn overwrite(&mut self, function: &Function, slot: Slot, byte: u8, width: Width) {
        let range = |slot: Slot, byte: u8, width: Width| {
            let first = i64::from(function.slots[slot].offset) + i64::from(byte);
            first..first + width.bytes() as i64
        };
        let new = range(slot, byte, width);
        self.stored.retain(|&(slot, byte, width, _)| {
            let old = range(slot, byte, width);
            old.end <= new.start || new.end <= old.start
        });
    }

    fn bits(&self, value: Value) -> u32 {
        self.bits.get(&value).copied().unwrap_or(64)
    }

    /// The bits of what an instruction writes. A constant has all: a slot may be what hides it from the verifier.
    fn written(&self, inst: &Inst) -> u32 {
        let bits = match inst {
            Inst::Load { width, .. } | Inst::LoadSlot { width, .. } => 8 * width.bytes() as u32,
            Inst::FromNetwork { bits, .. } => bits.unsigned_abs(),
            Inst::Copy { src, .. } => self.bits(*src),
            Inst::Alu {
                op,
                value,
                rhs: Operand::Imm(imm),
            } => match (op, u32::try_from(*imm)) {
                (AluOp::And, Ok(imm)) => self.bits(*value).min(length(imm)),
                (AluOp::Add, Ok(imm)) => self.bits(*value).max(length(imm)) + 1,
                (AluOp::Rsh, Ok(imm)) => self.bits(*value).saturating_sub(imm),
                _ => 64,
            },
            _ => 64,
        };
        bits.min(64)
    }
}

/// The bits of a constant.
fn length(imm: u32) -> u32 {
    u32::BITS - imm.leading_zeros()
}
