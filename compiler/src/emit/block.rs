//! One block as instructions and jumps whose distance is not known yet.

use crate::artifact::MapId;
use crate::bpf::asm;
use crate::bpf::helper::Helper;
use crate::bpf::insn::Insn;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::ir::{Arg, Block, End, Function, Inst, Operand, Slot, SocketRegion, Value};
use crate::protocol::IpProtocol;

use super::registers::Registers;
use super::{ARGUMENTS, EmitError, FRAME, inverted};

/// Offset of `state` in `struct bpf_sock` (`linux/bpf.h`), readable of `sock_common` too.
pub(super) const SOCK_STATE: i16 = 72;

/// A piece of code of known meaning and, but for jumps, known length.
pub(super) enum Item {
    /// One instruction.
    Insn(Insn),
    /// A load from the context.
    Context(Insn),
    /// A map's address in a register: two instructions with a relocation.
    Map(Register, MapId),
    /// The address so many bytes into a map's only value: two instructions with a relocation.
    MapValue(Register, MapId, u32),
    /// A 64-bit constant: two instructions.
    Imm64(Register, i64),
    /// A jump to a block.
    Jump {
        /// Taken only if this holds.
        condition: Option<Condition>,
        /// Where to.
        target: Block,
    },
    /// A jump within a region, forward or back.
    Near {
        /// Taken only if this holds.
        condition: Option<Condition>,
        /// Where to: so many items after the next one.
        by: isize,
    },
}

/// A comparison of registers.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    pub(super) op: JumpOp,
    pub(super) narrow: bool,
    pub(super) lhs: Register,
    pub(super) rhs: Rhs,
}

/// The right-hand side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Rhs {
    Imm(i32),
    Register(Register),
}

impl Item {
    /// At most so many instructions come in addition to this one when the kernel loads the program: lookups in arrays and hashes
    /// are written out, a load from the context is up to four, a division checks its divisor.
    pub(super) fn growth(&self) -> usize {
        const CALL: u8 = 0x85;
        const DIVISIONS: [u8; 4] = [0x3c, 0x3f, 0x9c, 0x9f];
        match self {
            Self::Context(_) => 3,
            Self::Insn(insn) if insn.opcode == CALL => 16,
            Self::Insn(insn) if DIVISIONS.contains(&insn.opcode) => 4,
            _ => 0,
        }
    }

    /// Its length in instructions.
    pub(super) fn length(&self, long: bool) -> usize {
        match self {
            Self::Insn(_) | Self::Context(_) | Self::Near { .. } => 1,
            Self::Map(..) | Self::MapValue(..) | Self::Imm64(..) => 2,
            Self::Jump {
                condition: Some(_), ..
            } if long => 3,
            Self::Jump { .. } => 1,
        }
    }
}

/// The items of a block; `next` is laid out right after it.
pub(super) fn block_items(
    function: &Function,
    registers: &Registers,
    block: Block,
    next: Option<Block>,
) -> Result<Vec<Item>, EmitError> {
    let mut emitter = Emitter {
        function,
        context: argument(function),
        registers,
        items: Vec::new(),
        next,
    };
    let data = &function.blocks[block];
    for inst in &data.insts {
        emitter.inst(inst)?;
    }
    emitter.end(&data.end)?;
    Ok(emitter.items)
}

/// The value that the program is called with.
fn argument(function: &Function) -> Option<Value> {
    match function.blocks[function.entry].insts.first() {
        Some(Inst::Argument { dst }) => Some(*dst),
        _ => None,
    }
}

pub(super) struct Emitter<'f> {
    function: &'f Function,
    pub(super) context: Option<Value>,
    pub(super) registers: &'f Registers,
    pub(super) items: Vec<Item>,
    next: Option<Block>,
}

impl Emitter<'_> {
    pub(super) fn push(&mut self, insn: Insn) {
        self.items.push(Item::Insn(insn));
    }

    fn inst(&mut self, inst: &Inst) -> Result<(), EmitError> {
        match inst {
            Inst::Argument { dst } => {
                let dst = self.registers.of(*dst)?;
                self.mov(dst, Register::R1);
            }
            Inst::Imm { dst, imm } => {
                let dst = self.registers.of(*dst)?;
                match i32::try_from(*imm) {
                    Ok(imm) => self.push(asm::mov64_imm(dst, imm)),
                    Err(_) => self.items.push(Item::Imm64(dst, *imm)),
                }
            }
            Inst::Copy { dst, src } => {
                let src = self.registers.of(*src)?;
                let dst = self.registers.of(*dst)?;
                self.mov(dst, src);
            }
            Inst::Alu { op, value, rhs } => {
                let value = self.registers.of(*value)?;
                let insn = match rhs {
                    Operand::Imm(imm) => asm::alu64_imm(*op, value, *imm),
                    Operand::Value(rhs) => asm::alu64_reg(*op, value, self.registers.of(*rhs)?),
                };
                self.push(insn);
            }
            Inst::FromNetwork { value, bits } => {
                let value = self.registers.of(*value)?;
                self.push(asm::to_be(value, *bits));
            }
            Inst::MapValue { dst, map, offset } => {
                let dst = self.registers.of(*dst)?;
                self.items.push(Item::MapValue(dst, *map, *offset));
            }
            Inst::CompareExchange { .. } => self.compare_exchange(inst)?,
            Inst::Call { helper, args, dst } => {
                self.call(*helper, args)?;
                if let Some(dst) = dst {
                    let dst = self.registers.of(*dst)?;
                    self.mov(dst, Register::R0);
                }
            }
            memory => self.memory(memory)?,
        }
        Ok(())
    }

    pub(super) fn mov(&mut self, dst: Register, src: Register) {
        if dst != src {
            self.push(asm::mov64_reg(dst, src));
        }
    }

    pub(super) fn address(&self, slot: Slot, byte: u8) -> i16 {
        self.function.slots[slot].offset + i16::from(byte)
    }

    fn slot_address(&mut self, register: Register, slot: Slot) {
        let offset = self.address(slot, 0);
        self.push(asm::mov64_reg(register, FRAME));
        self.push(asm::alu64_imm(AluOp::Add, register, i32::from(offset)));
    }

    pub(super) fn call(&mut self, helper: Helper, args: &[Arg]) -> Result<(), EmitError> {
        self.arguments(args)?;
        self.push(asm::call(helper));
        Ok(())
    }

    fn arguments(&mut self, args: &[Arg]) -> Result<(), EmitError> {
        for (&register, &arg) in ARGUMENTS.iter().zip(args) {
            match arg {
                Arg::Value(value) => {
                    let value = self.registers.of(value)?;
                    self.mov(register, value);
                }
                Arg::Imm(imm) => self.push(asm::mov64_imm(register, imm)),
                Arg::SlotAddress(slot) => self.slot_address(register, slot),
                Arg::SlotValue(slot, width) => {
                    let offset = self.address(slot, 0);
                    self.push(asm::load(width, register, FRAME, offset));
                }
                Arg::Map(map) => self.items.push(Item::Map(register, map)),
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), EmitError> {
        match end {
            // `validate` has refused it.
            End::Open => {}
            End::Jump(block) => self.jump(*block),
            End::Return(imm) => {
                self.push(asm::mov64_imm(Register::R0, *imm));
                self.push(asm::exit());
            }
            End::ReturnValue(value) => {
                let value = self.registers.of(*value)?;
                self.mov(Register::R0, value);
                self.push(asm::exit());
            }
            End::Branch {
                op,
                narrow,
                lhs,
                rhs,
                then,
                other,
            } => {
                let lhs = self.registers.of(*lhs)?;
                let rhs = match rhs {
                    Operand::Imm(imm) => Rhs::Imm(*imm),
                    Operand::Value(value) => Rhs::Register(self.registers.of(*value)?),
                };
                self.branch(
                    Condition {
                        op: *op,
                        narrow: *narrow,
                        lhs,
                        rhs,
                    },
                    *then,
                    *other,
                );
            }
            End::Socket(region) => self.socket(region)?,
            End::Slot(region) => self.socket_slot(region)?,
            End::Headers(region) => self.headers(region)?,
            End::Frame(region) => self.frame(region)?,
        }
        Ok(())
    }

    pub(super) fn jump(&mut self, target: Block) {
        if self.next != Some(target) {
            self.items.push(Item::Jump {
                condition: None,
                target,
            });
        }
    }

    pub(super) fn branch(&mut self, condition: Condition, then: Block, other: Block) {
        match inverted(condition.op) {
            Some(op) if self.next == Some(then) => {
                let condition = Some(Condition { op, ..condition });
                self.items.push(Item::Jump {
                    condition,
                    target: other,
                });
            }
            _ => {
                self.items.push(Item::Jump {
                    condition: Some(condition),
                    target: then,
                });
                self.jump(other);
            }
        }
    }

    pub(super) fn jump_if_r0(&mut self, op: JumpOp, target: Block) {
        let condition = Condition {
            op,
            narrow: false,
            lhs: Register::R0,
            rhs: Rhs::Imm(0),
        };
        self.items.push(Item::Jump {
            condition: Some(condition),
            target,
        });
    }

    /// What the two lookups give has types of its own, and a load may have but one (`reg_type_mismatch`): each has its load.
    fn socket(&mut self, region: &SocketRegion) -> Result<(), EmitError> {
        let [state, protocol] = [region.state, region.protocol].map(|slot| self.address(slot, 0));
        self.push(asm::store_imm(Width::B, FRAME, state, 0));
        self.arguments(&region.args())?;
        self.push(asm::load(Width::B, Register::R0, FRAME, protocol));
        let datagrams = self.mark();
        self.found(Helper::SkcLookupTcp, region.next);
        let ready = self.mark();
        let udp = (Register::R0, JumpOp::Eq, IpProtocol::UDP.into());
        self.land(datagrams, Some(udp));
        self.found(Helper::SkLookupUdp, region.next);
        self.land(ready, None);
        self.push(asm::store_reg(Width::B, FRAME, state, Register::R1));
        self.release(Register::R0);
        self.jump(region.next);
        Ok(())
    }

    /// Calls a lookup and loads the state of what it finds.
    fn found(&mut self, lookup: Helper, none: Block) {
        self.push(asm::call(lookup));
        self.jump_if_r0(JumpOp::Eq, none);
        self.push(asm::load(Width::W, Register::R1, Register::R0, SOCK_STATE));
    }

    /// Releases a socket.
    pub(super) fn release(&mut self, reference: Register) {
        self.mov(Register::R1, reference);
        self.push(asm::call(Helper::SkRelease));
    }
}
