//! The region over slots of a SOCKMAP: one slot, or the places of a name's members, in a loop.
//!
//! The loop goes back as often as a name has places, and what counts stands in a register as a constant, so the verifier walks it
//! as it would walk as many copies. The ways of a turn are alike again at its end, where the verifier is made to remember that
//! (`Emitter::remembered`). Every way releases the socket that it has taken.

use super::block::{Condition, Emitter, Item, Rhs, SOCK_STATE};
use super::region::Test;
use super::{EmitError, FRAME};
use crate::bpf::asm;
use crate::bpf::constant::{BPF_SK_LOOKUP_F_NO_REUSEPORT, TCP_LISTEN};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::destination::Ending;
use crate::ir::{Arg, Give, Places, Slot, SlotRegion};
use crate::spread;

/// Offset of `src_port`, in host order, in `struct bpf_sock` (`linux/bpf.h`).
const SOCK_PORT: i16 = 44;

/// In a loop the verifier remembers a state if so many jumps lie after the one before.
const JUMPS: usize = 20;

/// The registers of the loop: one to calculate with, the place, and what is left of the hash.
const WORK: Register = Register::R0;
const PLACE: Register = Register::R1;
const HASH: Register = Register::R2;

/// What is left of a socket that takes nothing.
const IDLE: i32 = match Ending::Idle.result() {
    Some(result) => result,
    None => 1,
};

impl Emitter<'_> {
    pub(super) fn socket_slot(&mut self, region: &SlotRegion) -> Result<(), EmitError> {
        if let Some(places) = &region.places {
            return self.places(region, places);
        }
        self.look_into(region)?;
        self.jump_if_r0(JumpOp::Eq, region.miss);
        if region.give == Give::Nothing {
            self.release(Register::R0);
            self.jump(region.hit);
            return Ok(());
        }
        self.give(region)?;
        let condition = Condition {
            op: JumpOp::Ne,
            narrow: true,
            lhs: Register::R0,
            rhs: Rhs::Imm(0),
        };
        self.branch(condition, region.miss, region.hit);
        Ok(())
    }

    /// Looks up what the key names.
    fn look_into(&mut self, region: &SlotRegion) -> Result<(), EmitError> {
        self.call(
            Helper::MapLookupElem,
            &[Arg::Map(region.map), Arg::SlotAddress(region.key)],
        )
    }

    /// Gives the socket in r0 away, unless it takes nothing, and releases it; r0 becomes 0 if that was done.
    fn give(&mut self, region: &SlotRegion) -> Result<(), EmitError> {
        let carrier = self.registers.of(region.carrier)?;
        let context = self.registers.of(region.context)?;
        let result = self.result(region);
        let flags = match region.give {
            Give::ToLookup { alone: true } => BPF_SK_LOOKUP_F_NO_REUSEPORT,
            _ => 0,
        };
        self.push(asm::mov64_reg(carrier, Register::R0));
        let unfit = self.unless_fit(region, result);
        self.push(asm::mov64_reg(Register::R1, context));
        self.push(asm::mov64_reg(Register::R2, carrier));
        self.push(asm::mov64_imm(Register::R3, flags));
        self.push(asm::call(Helper::SkAssign));
        self.push(asm::store_reg(Width::W, FRAME, result, Register::R0));
        for (mark, test) in unfit {
            self.land(mark, Some(test));
        }
        self.release(carrier);
        self.push(asm::load(Width::W, Register::R0, FRAME, result));
        Ok(())
    }

    /// Where it is left what became of the socket. Where nobody asks, the bytes of the key, which is not needed any more, carry it
    /// over the release.
    fn result(&self, region: &SlotRegion) -> i16 {
        self.address(region.result.unwrap_or(region.key), 0)
    }

    /// Where to leave from with a socket, in R0, that would take nothing: one in another state than is asked for, or one without a
    /// port, which is of UDP and closed. The result says that then.
    fn unless_fit(&mut self, region: &SlotRegion, result: i16) -> Vec<(usize, Test)> {
        let (state, closes) = match region.give {
            Give::Nothing => (None, false),
            Give::ToLookup { .. } => (None, true),
            // What listens has a port.
            Give::ToPacket(state) => (Some(state), state != TCP_LISTEN),
        };
        let state = state.map(|state| (SOCK_STATE, JumpOp::Ne, state));
        let port = closes.then_some((SOCK_PORT, JumpOp::Eq, 0));
        if state.or(port).is_some() {
            self.push(asm::store_imm(Width::W, FRAME, result, IDLE));
        }
        let mut marks = Vec::new();
        for (field, op, than) in state.into_iter().chain(port) {
            self.push(asm::load(Width::W, Register::R1, Register::R0, field));
            marks.push((self.mark(), (Register::R1, op, than)));
        }
        marks
    }

    /// Releases the socket in r0; r0 becomes its port.
    fn port_of(&mut self, region: &SlotRegion) {
        let key = self.address(region.key, 0);
        self.push(asm::load(Width::W, Register::R1, Register::R0, SOCK_PORT));
        self.push(asm::store_reg(Width::W, FRAME, key, Register::R1));
        self.release(Register::R0);
        self.push(asm::load(Width::W, Register::R0, FRAME, key));
    }

    /// One place after the other, until one serves.
    fn places(&mut self, region: &SlotRegion, places: &Places) -> Result<(), EmitError> {
        let turn = self.registers.of(places.turn)?;
        let last = number(places.count)?;
        self.push(asm::mov64_imm(turn, 0));
        let again = self.items.len();
        self.push(asm::mov64_reg(PLACE, turn));
        if let Some(hash) = places.hash {
            self.place(hash, places.count)?;
        }
        let [first, key] = [places.first, region.key].map(|slot| self.address(slot, 0));
        self.push(asm::load(Width::W, WORK, FRAME, first));
        self.push(asm::alu64_reg(AluOp::Add, PLACE, WORK));
        self.push(asm::store_reg(Width::W, FRAME, key, PLACE));
        self.look_into(region)?;
        let nobody = self.mark();
        // A place may hold one of UDP that is closed, for good, and has no port any more: it is nobody's.
        let served = match region.give {
            Give::Nothing => {
                self.port_of(region);
                JumpOp::Ne
            }
            Give::ToLookup { .. } | Give::ToPacket(_) => {
                self.give(region)?;
                JumpOp::Eq
            }
        };
        self.exit_if(Register::R0, served, 0, region.hit);
        self.land_if_null(nobody, Register::R0);
        self.push(asm::alu64_imm(AluOp::Add, turn, 1));
        self.remembered();
        self.back(Some((turn, JumpOp::Ne, last)), again);
        self.jump(region.miss);
        Ok(())
    }

    /// Jumps that go nowhere, before which the verifier remembers a state for certain, so that it walks from here once and not again
    /// for each way of this turn. Without them Linux before 6.12 remembers states where no other way comes by (`is_state_visited`:
    /// one in 20 jumps or 100 instructions), and the ways of the turns multiply. A kernel that has verified a program takes them out
    /// of it (`opt_remove_nops`): no packet meets them.
    fn remembered(&mut self) {
        for _ in 0..JUMPS {
            let mark = self.mark();
            self.land(mark, None);
        }
    }

    /// Makes of the turn in [`PLACE`] the place that comes then, as [`spread`] says.
    fn place(&mut self, hash: Slot, places: u32) -> Result<(), EmitError> {
        let mask = number(places - 1)?;
        let shift = number(spread::shift(places))?;
        let hash = self.address(hash, 0);
        self.push(asm::load(Width::DW, HASH, FRAME, hash));
        for _ in 0..spread::ROUNDS {
            self.push(asm::alu64_reg(AluOp::Add, PLACE, HASH));
            self.push(asm::alu64_imm(AluOp::And, PLACE, mask));
            self.push(asm::mov64_reg(WORK, HASH));
            self.push(asm::alu64_imm(AluOp::Rsh, WORK, spread::FACTOR_BITS));
            self.push(asm::alu64_imm(AluOp::Or, WORK, 1));
            self.push(asm::alu64_reg(AluOp::Mul, PLACE, WORK));
            self.push(asm::alu64_imm(AluOp::And, PLACE, mask));
            self.push(asm::mov64_reg(WORK, PLACE));
            self.push(asm::alu64_imm(AluOp::Rsh, WORK, shift));
            self.push(asm::alu64_reg(AluOp::Xor, PLACE, WORK));
            self.push(asm::alu64_imm(AluOp::Rsh, HASH, spread::ROUND_BITS));
        }
        self.push(asm::alu64_reg(AluOp::Add, PLACE, HASH));
        self.push(asm::alu64_imm(AluOp::And, PLACE, mask));
        Ok(())
    }

    /// Lets the jump at a marked place go here where the register holds nothing: pointers are compared in 64 bits.
    fn land_if_null(&mut self, mark: usize, lhs: Register) {
        self.land(mark, Some((lhs, JumpOp::Eq, 0)));
        if let Some(Item::Near {
            condition: Some(condition),
            ..
        }) = self.items.get_mut(mark)
        {
            condition.narrow = false;
        }
    }
}

fn number(number: u32) -> Result<i32, EmitError> {
    i32::try_from(number).map_err(|_| EmitError::Number(number as usize))
}
