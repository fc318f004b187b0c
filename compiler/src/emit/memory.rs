//! Loads, stores and atomics of a block.

use crate::bpf::asm;
use crate::bpf::opcode::Register;
use crate::ir::Inst;

use super::block::Emitter;
use super::{EmitError, FRAME};

impl Emitter<'_> {
    pub(super) fn memory(&mut self, inst: &Inst, index: usize) -> Result<(), EmitError> {
        let insn = match inst {
            Inst::Load {
                dst,
                base,
                offset,
                width,
            } => {
                let base = self.registers.read(*base)?;
                asm::load(
                    *width,
                    self.registers.write(*dst, index, None)?,
                    base,
                    *offset,
                )
            }
            Inst::Store {
                base,
                offset,
                src,
                width,
            } => asm::store_reg(
                *width,
                self.registers.read(*base)?,
                *offset,
                self.registers.read(*src)?,
            ),
            Inst::LoadSlot {
                dst,
                slot,
                byte,
                width,
            } => asm::load(
                *width,
                self.registers.write(*dst, index, None)?,
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
                self.registers.read(*src)?,
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
                self.registers.read(*base)?,
                *offset,
                self.registers.read(*src)?,
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

    /// What is expected must stand in r0, which gets what was there. Whatever else r0 holds and is read from here on moves
    /// away first.
    pub(super) fn compare_exchange(&mut self, inst: &Inst, index: usize) -> Result<(), EmitError> {
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
        let expected_in = self.registers.read(*expected)?;
        if let Some(elsewhere) = self.registers.clear(Register::R0, *expected, index)? {
            self.mov(elsewhere, Register::R0);
        }
        self.mov(Register::R0, expected_in);
        let base = self.registers.read(*base)?;
        let new = self.registers.read(*new)?;
        self.push(asm::compare_exchange64(base, *offset, new));
        let dst = self.registers.write(*dst, index, Some(Register::R0))?;
        self.mov(dst, Register::R0);
        Ok(())
    }
}
