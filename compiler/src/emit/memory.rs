//! Loads, stores and atomics of a block.

use crate::bpf::asm;
use crate::bpf::opcode::Register;
use crate::ir::Inst;

use super::block::{Emitter, Item};
use super::{EmitError, FRAME};

impl Emitter<'_> {
    pub(super) fn memory(&mut self, inst: &Inst) -> Result<(), EmitError> {
        let insn = match inst {
            Inst::Load {
                dst,
                base,
                offset,
                width,
            } => {
                let [to, from] = [self.registers.of(*dst)?, self.registers.of(*base)?];
                let load = asm::load(*width, to, from, *offset);
                if Some(*base) == self.context {
                    self.items.push(Item::Context(load));
                    return Ok(());
                }
                load
            }
            Inst::Store {
                base,
                offset,
                src,
                width,
            } => asm::store_reg(
                *width,
                self.registers.of(*base)?,
                *offset,
                self.registers.of(*src)?,
            ),
            Inst::LoadSlot {
                dst,
                slot,
                byte,
                width,
            } => asm::load(
                *width,
                self.registers.of(*dst)?,
                FRAME,
                self.address(*slot, *byte),
            ),
            Inst::StoreSlot {
                slot,
                byte,
                src,
                width,
            } => asm::store_reg(
                *width,
                FRAME,
                self.address(*slot, *byte),
                self.registers.of(*src)?,
            ),
            Inst::SetSlot {
                slot,
                byte,
                imm,
                width,
            } => asm::store_imm(*width, FRAME, self.address(*slot, *byte), *imm),
            Inst::AtomicAdd {
                base,
                offset,
                src,
                width,
            } => asm::atomic_add(
                *width,
                self.registers.of(*base)?,
                *offset,
                self.registers.of(*src)?,
            ),
            Inst::Argument { .. }
            | Inst::Imm { .. }
            | Inst::Copy { .. }
            | Inst::Alu { .. }
            | Inst::FromNetwork { .. }
            | Inst::MapValue { .. }
            | Inst::CompareExchange { .. }
            | Inst::Call { .. } => return Ok(()),
        };
        self.push(insn);
        Ok(())
    }

    /// What is expected must stand in r0, which gets what was there. Nothing else that is read from here on is in r0.
    pub(super) fn compare_exchange(&mut self, inst: &Inst) -> Result<(), EmitError> {
        let Inst::CompareExchange {
            dst,
            base,
            offset,
            expected,
            new,
        } = inst
        else {
            return Ok(());
        };
        let [dst, base, expected, new] = [dst, base, expected, new].map(|&v| self.registers.of(v));
        self.mov(Register::R0, expected?);
        self.push(asm::compare_exchange64(base?, *offset, new?));
        self.mov(dst?, Register::R0);
        Ok(())
    }
}
