//! The regions over a packet that are loops: IPv6 extension headers, and the types of a frame.
//!
//! A loop goes back at most six times, and what counts stands in a register as a constant, so the verifier (Linux 5.3 and
//! later) walks it as it would walk as many copies. Ethernet types are compared as they stand in memory.

use super::block::{Condition, Emitter, Item, Rhs};
use super::{EmitError, FRAME};
use crate::bpf::asm;
use crate::bpf::constant::{IP_TYPES, VLAN_HLEN, VLAN_TYPES};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::ir::{Arg, Block, FrameRegion, HeaderRegion};
use crate::protocol::IpProtocol;

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

/// A register, compared with a number in 32 bits.
pub(super) type Test = (Register, JumpOp, i32);

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

    pub(super) fn exit_if(&mut self, lhs: Register, op: JumpOp, rhs: i32, target: Block) {
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
    pub(super) fn land(&mut self, mark: usize, condition: Option<Test>) {
        let by = (self.items.len() - 1 - mark).cast_signed();
        let condition = condition.map(narrow);
        self.items[mark] = Item::Near { condition, by };
    }

    /// A jump back.
    pub(super) fn back(&mut self, condition: Option<Test>, to: usize) {
        let by = to.cast_signed() - self.items.len().cast_signed() - 1;
        let condition = condition.map(narrow);
        self.items.push(Item::Near { condition, by });
    }
}

fn narrow((lhs, op, rhs): Test) -> Condition {
    Condition {
        op,
        narrow: true,
        lhs,
        rhs: Rhs::Imm(rhs),
    }
}
