//! What the verifier knows of the values in registers, as far as it keeps two states apart.
//!
//! Two unknown numbers are the same to it unless they have become parts of pointers; constants matter where a branch or a
//! pointer is made of them. What stands on the stack is unknown to it by the builder's discipline (`Builder::opaque_slot`).

use cranelift_entity::{EntityRef, SecondaryMap};

use crate::bpf::opcode::{AluOp, JumpOp};
use crate::ir::{Arg, Block, End, Function, Inst, Operand, Value};

/// What is known of one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    /// What it is: [`NUMBER`], or which pointer.
    kind: u64,
    /// A constant that was added.
    offset: i64,
    /// How many unknown numbers were added.
    unknown: u32,
}

/// No pointer.
const NUMBER: u64 = 0;
/// The context.
const CONTEXT: u64 = 1 << 40;
/// What stands in a field of the context, a pointer to the packet perhaps, by the field's offset.
const FIELD: u64 = 1 << 41;
/// The value of a map with contents, by the map.
const TABLE: u64 = 1 << 42;
/// What a call gave, by where the call stands.
const GIVEN: u64 = 1 << 43;

impl Known {
    const UNKNOWN: Self = Self {
        kind: NUMBER,
        offset: 0,
        unknown: 1,
    };

    fn constant(self) -> Option<i64> {
        (self.kind == NUMBER && self.unknown == 0).then_some(self.offset)
    }

    fn number(offset: i64) -> Self {
        Self {
            kind: NUMBER,
            offset,
            unknown: 0,
        }
    }

    fn pointer(kind: u64) -> Self {
        Self {
            kind,
            offset: 0,
            unknown: 0,
        }
    }

    fn alu(self, op: AluOp, rhs: Self) -> Self {
        match (op, self.constant(), rhs.constant()) {
            (AluOp::Add, ..) if self.kind == NUMBER || rhs.kind == NUMBER => Self {
                kind: self.kind | rhs.kind,
                offset: self.offset.wrapping_add(rhs.offset),
                unknown: self.unknown.saturating_add(rhs.unknown),
            },
            (AluOp::Sub, _, Some(rhs)) => Self {
                offset: self.offset.wrapping_sub(rhs),
                ..self
            },
            (_, Some(left), Some(right)) => folded(op, left, right),
            _ => Self::UNKNOWN,
        }
    }
}

/// Constants that become another one.
fn folded(op: AluOp, left: i64, right: i64) -> Known {
    let shift = u32::try_from(right & 63).unwrap_or(0);
    match op {
        AluOp::Mul => Known::number(left.wrapping_mul(right)),
        AluOp::And => Known::number(left & right),
        AluOp::Or => Known::number(left | right),
        AluOp::Xor => Known::number(left ^ right),
        AluOp::Lsh => Known::number(left.wrapping_shl(shift)),
        AluOp::Rsh => Known::number((left.cast_unsigned() >> shift).cast_signed()),
        _ => Known::UNKNOWN,
    }
}

/// What is known of the registers that matter, by value; what is not there is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State(Vec<(Value, Known)>);

impl State {
    /// The state after the instructions of a block.
    pub(super) fn after(mut self, function: &Function, block: Block) -> Self {
        let data = &function.blocks[block];
        for (index, inst) in data.insts.iter().enumerate() {
            let given = GIVEN | (block.index() as u64) << 12 | index as u64 & 0xfff;
            self.step(inst, given);
        }
        // How far the loop goes is not known.
        if let End::Headers(region) = &data.end {
            self.set(region.cursor, Known::UNKNOWN);
        }
        self
    }

    fn step(&mut self, inst: &Inst, given: u64) {
        match inst {
            Inst::Argument { dst } => self.set(*dst, Known::pointer(CONTEXT)),
            Inst::Imm { dst, imm } => self.set(*dst, Known::number(*imm)),
            Inst::Copy { dst, src } => self.set(*dst, self.get(*src)),
            Inst::Alu { op, value, rhs } => {
                let rhs = self.operand(*rhs);
                self.set(*value, self.get(*value).alu(*op, rhs));
            }
            Inst::FromNetwork { value, .. } => self.set(*value, Known::UNKNOWN),
            Inst::Load {
                dst, base, offset, ..
            } => {
                let field = Known::pointer(FIELD | u64::from(offset.cast_unsigned()));
                let context = self.get(*base).kind == CONTEXT;
                self.set(*dst, if context { field } else { Known::UNKNOWN });
            }
            Inst::MapValue { dst, map, offset } => self.set(
                *dst,
                Known {
                    kind: TABLE | u64::from(map.as_u32()),
                    offset: i64::from(*offset),
                    unknown: 0,
                },
            ),
            Inst::LoadSlot { dst, .. } | Inst::CompareExchange { dst, .. } => {
                self.set(*dst, Known::UNKNOWN);
            }
            Inst::Call { dst, .. } => {
                if let Some(dst) = dst {
                    self.set(*dst, Known::pointer(given));
                }
            }
            Inst::Store { .. }
            | Inst::StoreSlot { .. }
            | Inst::SetSlot { .. }
            | Inst::AtomicAdd { .. } => {}
        }
    }

    fn get(&self, value: Value) -> Known {
        let found = self.0.iter().find(|(known, _)| *known == value);
        found.map_or(Known::UNKNOWN, |&(_, known)| known)
    }

    fn operand(&self, operand: Operand) -> Known {
        match operand {
            Operand::Imm(imm) => Known::number(imm.into()),
            Operand::Value(value) => self.get(value),
        }
    }

    fn set(&mut self, value: Value, known: Known) {
        match self.0.binary_search_by_key(&value, |&(value, _)| value) {
            Ok(place) => self.0[place].1 = known,
            Err(place) => self.0.insert(place, (value, known)),
        }
    }

    /// What is left of it where only these values matter.
    pub(super) fn only(&self, matter: &[Value]) -> Self {
        let kept = self.0.iter().filter(|(value, known)| {
            *known != Known::UNKNOWN && matter.binary_search(value).is_ok()
        });
        Self(kept.copied().collect())
    }

    /// Where it goes on; a branch on constants has one way only.
    pub(super) fn successors(&self, end: &End) -> Vec<Block> {
        if let End::Branch {
            op,
            lhs,
            rhs,
            then,
            other,
            ..
        } = end
            && let Some(lhs) = self.get(*lhs).constant()
            && let Some(rhs) = self.operand(*rhs).constant()
            && let Some(holds) = holds(*op, lhs, rhs)
        {
            return vec![if holds { *then } else { *other }];
        }
        end.successors()
    }
}

/// Whether a comparison of small constants holds, where that needs no thought about widths.
fn holds(op: JumpOp, lhs: i64, rhs: i64) -> Option<bool> {
    let small = 0..i64::from(i32::MAX);
    if !small.contains(&lhs) || !small.contains(&rhs) {
        return None;
    }
    Some(match op {
        JumpOp::Eq => lhs == rhs,
        JumpOp::Ne => lhs != rhs,
        JumpOp::Gt | JumpOp::SGt => lhs > rhs,
        JumpOp::Ge | JumpOp::SGe => lhs >= rhs,
        JumpOp::Lt | JumpOp::SLt => lhs < rhs,
        JumpOp::Le | JumpOp::SLe => lhs <= rhs,
        JumpOp::Set => lhs & rhs != 0,
    })
}

/// For each block the values whose contents still become pointers or decide branches.
pub(super) struct Matter(SecondaryMap<Block, Vec<Value>>);

impl Matter {
    /// Of the blocks in forward order.
    pub(super) fn of(function: &Function, order: &[Block]) -> Self {
        let mut matter: SecondaryMap<Block, Vec<Value>> = SecondaryMap::new();
        for &block in order.iter().rev() {
            let end = &function.blocks[block].end;
            let mut here = Needed(Vec::new());
            for successor in end.successors() {
                here.0.extend(&matter[successor]);
            }
            here.end(end);
            for inst in function.blocks[block].insts.iter().rev() {
                here.inst(inst);
            }
            here.0.sort_unstable();
            here.0.dedup();
            matter[block] = here.0;
        }
        Self(matter)
    }

    pub(super) fn at(&self, block: Block) -> &[Value] {
        &self.0[block]
    }
}

/// The values that matter at one place of a block, some of them more than once.
struct Needed(Vec<Value>);

impl Needed {
    fn end(&mut self, end: &End) {
        match end {
            End::Branch { lhs, rhs, .. } => {
                self.0.push(*lhs);
                self.operand(*rhs);
            }
            End::ReturnValue(value) => self.0.push(*value),
            End::Socket(region) => self.0.push(region.context),
            End::Slot(region) => self.0.push(region.context),
            End::Headers(region) => {
                self.0.extend([region.network, region.end, region.cursor]);
            }
            End::Frame(region) => self.0.push(region.context),
            End::Open | End::Jump(_) | End::Return(_) => {}
        }
    }

    fn operand(&mut self, operand: Operand) {
        if let Operand::Value(value) = operand {
            self.0.push(value);
        }
    }

    /// Whether a value that is set here mattered.
    fn set(&mut self, value: Value) -> bool {
        let before = self.0.len();
        self.0.retain(|&one| one != value);
        self.0.len() < before
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Argument { dst }
            | Inst::Imm { dst, .. }
            | Inst::MapValue { dst, .. }
            | Inst::LoadSlot { dst, .. } => {
                self.set(*dst);
            }
            Inst::Copy { dst, src } => {
                if self.set(*dst) {
                    self.0.push(*src);
                }
            }
            Inst::Alu { value, rhs, .. } => {
                if self.0.contains(value) {
                    self.operand(*rhs);
                }
            }
            Inst::Load { dst, base, .. } => {
                self.set(*dst);
                self.0.push(*base);
            }
            Inst::Store { base, .. } | Inst::AtomicAdd { base, .. } => self.0.push(*base),
            Inst::CompareExchange { dst, base, .. } => {
                self.set(*dst);
                self.0.push(*base);
            }
            Inst::Call { args, dst, .. } => {
                if let Some(dst) = dst {
                    self.set(*dst);
                }
                self.0.extend(args.iter().filter_map(Arg::value));
            }
            Inst::FromNetwork { .. } | Inst::StoreSlot { .. } | Inst::SetSlot { .. } => {}
        }
    }
}
