//! The regions that are loops: IPv6 extension headers, the types of a frame, the places of a name's members.
//!
//! A loop goes back at most six times, or as often as a name has places, and what counts stands in a register as a constant, so
//! the verifier (Linux 5.3 and later) walks it as it would walk as many copies. Ethernet types are compared as they stand in memory.

use super::block::{Condition, Emitter, Item, Rhs};
use super::{EmitError, FRAME};
use crate::bpf::asm;
use crate::bpf::constant::{IP_TYPES, VLAN_HLEN, VLAN_TYPES};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::ir::{Arg, Block, FrameRegion, HeaderRegion, Places, Slot, SlotRegion};
use crate::protocol::IpProtocol;
use crate::spread;

/// The maximum number of extension headers that are stepped over; one more is malformed.
const MAX_EXTENSIONS: i32 = 6;
/// The cursor never gets further: 40 + 6 extension headers of 2,048 bytes.
const FURTHEST: i32 = 0x3fff;

/// Offset of the first type in a frame, and of the last one that is looked at.
const FIRST_TYPE: i32 = 12;
const LAST_TYPE: i32 = 20;

/// The registers of the loop over headers: two to calculate with, the kind and later whether it is no fragment header, how
/// many were passed, the kinds that are extension headers, the header.
const WORK: Register = Register::R0;
const MORE: Register = Register::R1;
const KIND: Register = Register::R2;
const PASSED: Register = Register::R3;
const KINDS: Register = Register::R4;
const HEADER: Register = Register::R5;

/// The registers of the loop over places, beside [`WORK`]: the place, and what is left of the hash.
const PLACE: Register = Register::R1;
const HASH: Register = Register::R2;

impl Emitter<'_> {
    /// There is one way through the loop, and others only leave it: in a loop the verifier remembers few states
    /// (`is_state_visited`: one in 20 jumps), so that ways that join would multiply.
    pub(super) fn headers(&mut self, region: &HeaderRegion) -> Result<(), EmitError> {
        let protocol = self.address(region.protocol, 0);
        // All are below 64.
        let kinds = IpProtocol::EXTENSIONS
            .iter()
            .fold(0, |kinds, kind| kinds | 1_i64 << kind.0);
        self.push(asm::mov64_imm(PASSED, 0));
        self.items.push(Item::Imm64(KINDS, kinds));
        let again = self.items.len();
        self.push(asm::load(Width::B, KIND, FRAME, protocol));
        self.exit_if(KIND, JumpOp::Gt, 63, region.transport);
        self.push(asm::mov64_reg(WORK, KINDS));
        self.push(asm::alu64_reg(AluOp::Rsh, WORK, KIND));
        self.push(asm::alu64_imm(AluOp::And, WORK, 1));
        self.exit_if(WORK, JumpOp::Eq, 0, region.transport);
        self.exit_if(PASSED, JumpOp::Eq, MAX_EXTENSIONS, region.malformed);
        self.header_at_cursor(region)?;
        self.push(asm::load(Width::B, WORK, HEADER, 0));
        self.push(asm::store_reg(Width::B, FRAME, protocol, WORK));
        self.fragment(region);
        self.step(region)?;
        self.push(asm::alu64_imm(AluOp::Add, PASSED, 1));
        self.back(None, again);
        Ok(())
    }

    /// Eight bytes are there.
    fn header_at_cursor(&mut self, region: &HeaderRegion) -> Result<(), EmitError> {
        let [network, end, cursor] = [
            self.registers.of(region.network)?,
            self.registers.of(region.end)?,
            self.registers.of(region.cursor)?,
        ];
        self.push(asm::mov64_reg(HEADER, network));
        self.push(asm::alu64_reg(AluOp::Add, HEADER, cursor));
        self.push(asm::mov64_reg(WORK, HEADER));
        self.push(asm::alu64_imm(AluOp::Add, WORK, 8));
        self.items.push(Item::Jump {
            condition: Some(Condition {
                op: JumpOp::Gt,
                narrow: false,
                lhs: WORK,
                rhs: Rhs::Register(end),
            }),
            target: region.short,
        });
        Ok(())
    }

    /// Makes of the kind 0 for a fragment header, else 1. Looks at the offset and the flag of the first.
    fn fragment(&mut self, region: &HeaderRegion) {
        let part = self.address(region.part, 0);
        self.push(asm::alu64_imm(
            AluOp::Xor,
            KIND,
            IpProtocol::FRAGMENT.into(),
        ));
        self.push(asm::alu64_imm(AluOp::Add, KIND, 63));
        self.push(asm::alu64_imm(AluOp::Rsh, KIND, 6));
        // All bits for a fragment header, none for another.
        self.push(asm::mov64_reg(MORE, KIND));
        self.push(asm::alu64_imm(AluOp::Sub, MORE, 1));
        self.push(asm::load(Width::H, WORK, HEADER, 2));
        self.push(asm::to_be(WORK, 16));
        self.push(asm::alu64_reg(AluOp::And, WORK, MORE));
        self.exit_if(WORK, JumpOp::Set, 0xfff8, region.later);
        self.push(asm::alu64_imm(AluOp::And, WORK, 1));
        self.push(asm::alu64_imm(AluOp::Lsh, WORK, 1));
        self.push(asm::load(Width::B, MORE, FRAME, part));
        self.push(asm::alu64_reg(AluOp::Or, MORE, WORK));
        self.push(asm::store_reg(Width::B, FRAME, part, MORE));
    }

    /// A fragment header is 8 bytes long; the byte that is a length elsewhere is reserved.
    fn step(&mut self, region: &HeaderRegion) -> Result<(), EmitError> {
        let cursor = self.registers.of(region.cursor)?;
        self.push(asm::load(Width::B, WORK, HEADER, 1));
        self.push(asm::alu64_reg(AluOp::Mul, WORK, KIND));
        self.push(asm::alu64_imm(AluOp::Add, WORK, 1));
        self.push(asm::alu64_imm(AluOp::Lsh, WORK, 3));
        self.push(asm::alu64_reg(AluOp::Add, cursor, WORK));
        self.push(asm::alu64_imm(AluOp::And, cursor, FURTHEST));
        Ok(())
    }

    /// `bpf_skb_load_bytes` leaves zeros where the frame ends before, which is no type.
    pub(super) fn frame(&mut self, region: &FrameRegion) -> Result<(), EmitError> {
        let [context, cursor] = [
            self.registers.of(region.context)?,
            self.registers.of(region.cursor)?,
        ];
        self.push(asm::mov64_imm(cursor, FIRST_TYPE));
        let again = self.items.len();
        let args = [
            Arg::Value(region.context),
            Arg::Value(region.cursor),
            Arg::SlotAddress(region.kind),
            Arg::Imm(2),
        ];
        self.call(Helper::SkbLoadBytes, &args)?;
        let kind = self.address(region.kind, 0);
        self.push(asm::load(Width::H, WORK, FRAME, kind));
        for family in IP_TYPES {
            self.exit_if(WORK, JumpOp::Eq, family, region.ip);
        }
        let tag = self.mark();
        self.exit_if(WORK, JumpOp::Ne, VLAN_TYPES[1], region.other);
        self.land(tag, Some((WORK, JumpOp::Eq, VLAN_TYPES[0])));
        self.push(asm::alu64_imm(AluOp::Add, cursor, VLAN_HLEN));
        self.exit_if(cursor, JumpOp::Gt, LAST_TYPE, region.ip);
        self.back(Some((cursor, JumpOp::Ne, LAST_TYPE)), again);
        let present = asm::load(Width::W, WORK, context, region.taken_off);
        self.items.push(Item::Context(present));
        self.back(Some((WORK, JumpOp::Eq, 0)), again);
        self.jump(region.ip);
        Ok(())
    }

    /// One place after the other, until one serves.
    pub(super) fn places(&mut self, region: &SlotRegion, places: &Places) -> Result<(), EmitError> {
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
        match region.assign {
            Some(flags) => {
                self.assign(region, flags)?;
                self.exit_if(Register::R0, JumpOp::Eq, 0, region.hit);
            }
            None => {
                self.release(Register::R0);
                let condition = None;
                let target = region.hit;
                self.items.push(Item::Jump { condition, target });
            }
        }
        self.land_if_null(nobody, Register::R0);
        self.push(asm::alu64_imm(AluOp::Add, turn, 1));
        self.back(Some((turn, JumpOp::Ne, last)), again);
        self.jump(region.miss);
        Ok(())
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

    fn exit_if(&mut self, lhs: Register, op: JumpOp, rhs: i32, target: Block) {
        let condition = Some(narrow((lhs, op, rhs)));
        self.items.push(Item::Jump { condition, target });
    }

    /// The place of a jump that [`Self::land`] makes.
    pub(super) fn mark(&mut self) -> usize {
        self.items.push(Item::Near {
            condition: None,
            by: 0,
        });
        self.items.len() - 1
    }

    /// Lets the jump at a marked place go here.
    pub(super) fn land(&mut self, mark: usize, condition: Option<(Register, JumpOp, i32)>) {
        let by = (self.items.len() - 1 - mark).cast_signed();
        let condition = condition.map(narrow);
        self.items[mark] = Item::Near { condition, by };
    }

    /// The same where the register holds nothing: pointers are compared in 64 bits.
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

    /// A jump back.
    fn back(&mut self, condition: Option<(Register, JumpOp, i32)>, to: usize) {
        let by = to.cast_signed() - self.items.len().cast_signed() - 1;
        let condition = condition.map(narrow);
        self.items.push(Item::Near { condition, by });
    }
}

fn number(number: u32) -> Result<i32, EmitError> {
    i32::try_from(number).map_err(|_| EmitError::Number(number as usize))
}

fn narrow((lhs, op, rhs): (Register, JumpOp, i32)) -> Condition {
    Condition {
        op,
        narrow: true,
        lhs,
        rhs: Rhs::Imm(rhs),
    }
}
