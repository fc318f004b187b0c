//! A small interpreter for exactly the programs we emit: what a program does, without a kernel.
//!
//! Takes a [`Program`], its [`Maps`], an [`Input`] (the context) and a [`Kernel`] that answers lookups; gives an
//! [`Execution`] or the [`Fault`] that a kernel would have prevented. Values carry the region they point into, so that a
//! read beyond the packet, a forgotten NULL test, a stale packet pointer or a socket that is not released on this path
//! is a fault and not a wrong answer. It reads instructions through the same decoder as the disassembler. What helpers and
//! writes made of the packet is in the outcome; what went into maps and ring buffers is in the maps.
//!
//! Not here: the verifier's work on *all* paths, tail calls, functions inside a program, and writes to messages, none of
//! which we emit.

mod alu;
mod buffer;
mod call;
mod context;
mod fault;
mod kernel;
mod map;
mod memory;
mod socket;
mod stack;
mod value;

use crate::artifact::{MapId, Program, Section};
use crate::bpf::constant::{SK_DROP, SK_PASS};
use crate::bpf::decode::{ByteOrder, Op, Operand, decode};
use crate::bpf::limits;
use crate::bpf::opcode::{AluOp, JumpOp, Register};

pub use self::context::{
    Arriving, Connection, Input, Lookup, Message, Skb, SockOps, SocketOption, Xdp,
};
pub use self::fault::{Fault, FaultKind};
pub use self::kernel::{Bare, Kernel, LookupKind, Netns, Quiet, Tuple};
pub use self::map::{Errno, Maps};
pub use self::socket::SocketModel;

use self::buffer::Packet;
use self::context::Context;
use self::socket::Ledger;
use self::stack::Stack;
use self::value::Value;

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// R0 at the exit.
    pub r0: u64,
    /// The socket that `bpf_sk_assign` chose.
    pub assigned: Option<SocketModel>,
    /// Where `bpf_msg_redirect_hash` sends the message, if the program returns `SK_PASS`.
    pub redirected: Option<Redirect>,
    /// Where `bpf_redirect` sends the packet, if the program returns `TC_ACT_REDIRECT` or `XDP_REDIRECT`.
    pub forwarded: Option<Forward>,
    /// The copies that `bpf_clone_redirect` sent, in order.
    pub clones: Vec<(Forward, Vec<u8>)>,
    /// The packet or message as the program leaves it; empty for a lookup or a callback.
    pub frame: Vec<u8>,
    /// The mark of a packet at TC as the program leaves it.
    pub mark: Option<u32>,
    /// The length of an option's value as the program leaves it.
    pub length: Option<i32>,
    /// The instructions it ran, by index, in order.
    pub trace: Vec<u32>,
}

impl Execution {
    /// The return code as the kernel reads it: the low 32 bits.
    #[must_use]
    pub fn code(&self) -> i32 {
        alu::low(self.r0).cast_signed()
    }

    /// How many instructions it ran.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.trace.len()
    }
}

/// Where a message goes instead of to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The socket.
    pub socket: SocketModel,
    /// To its receive queue, else out through it.
    pub ingress: bool,
}

/// Where a packet goes instead of on to the stack or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The interface.
    pub ifindex: u32,
    /// As if it arrived there, else out of it.
    pub ingress: bool,
}

/// Where `struct __sk_buff` has the mark.
const SKB_MARK: (Section, i16) = (Section::Classifier, 8);
/// Where `struct bpf_sockopt` has the length of the value.
const OPTION_LENGTH: (Section, i16) = (Section::Setsockopt, 32);

/// Runs the program once.
///
/// # Errors
/// The fault, with the instruction at which it happened.
pub fn run(
    program: &Program,
    maps: &mut Maps,
    input: Input,
    world: &mut dyn Kernel,
) -> Result<Execution, Fault> {
    let mut machine = Machine::new(program, maps, input, world);
    match machine.until_exit() {
        Ok(r0) => Ok(Execution {
            r0,
            assigned: machine.assigned,
            redirected: machine.redirected,
            forwarded: machine.forwarded,
            clones: machine.clones,
            mark: machine.context.left_in(SKB_MARK),
            length: machine.context.left_in(OPTION_LENGTH).map(u32::cast_signed),
            frame: machine.packet.into_bytes(),
            trace: machine.trace,
        }),
        Err(kind) => Err(Fault {
            insn: machine.at,
            kind,
        }),
    }
}

/// The state of a run.
struct Machine<'a> {
    program: &'a Program,
    maps: &'a mut Maps,
    world: &'a mut dyn Kernel,
    context: Context,
    packet: Packet,
    registers: [Option<Value>; 11],
    stack: Stack,
    ledger: Ledger,
    assigned: Option<SocketModel>,
    redirected: Option<Redirect>,
    forwarded: Option<Forward>,
    clones: Vec<(Forward, Vec<u8>)>,
    /// The instruction that runs.
    at: usize,
    trace: Vec<u32>,
}

/// What follows an instruction.
enum Next {
    /// The instruction after it.
    After,
    /// This many instructions further.
    Jump(i32),
    /// Nothing: R0 is the result.
    Exit,
}

impl<'a> Machine<'a> {
    fn new(
        program: &'a Program,
        maps: &'a mut Maps,
        input: Input,
        world: &'a mut dyn Kernel,
    ) -> Self {
        let (context, packet) = Context::of(input);
        let mut registers = [None; 11];
        registers[Register::R1 as usize] = Some(Value::Context);
        registers[Register::R10 as usize] = Some(Value::Stack(0));
        Self {
            program,
            maps,
            world,
            context,
            packet,
            registers,
            stack: Stack::default(),
            ledger: Ledger::default(),
            assigned: None,
            redirected: None,
            forwarded: None,
            clones: Vec::new(),
            at: 0,
            trace: Vec::new(),
        }
    }

    fn until_exit(&mut self) -> Result<u64, FaultKind> {
        if self.context.section() != self.program.section {
            return Err(FaultKind::WrongInput);
        }
        loop {
            let insn = self.program.insns.get(self.at).copied();
            let insn = insn.ok_or(FaultKind::OutOfProgram)?;
            let next = self.program.insns.get(self.at + 1).copied();
            let op = decode(insn, next).ok_or(FaultKind::UnknownInstruction)?;
            if self.trace.len() >= limits::INSTRUCTIONS {
                return Err(FaultKind::TooManySteps);
            }
            self.trace.push(u32::try_from(self.at).unwrap_or(u32::MAX));
            let after = self.at + op.slots();
            self.at = match self.step(op)? {
                Next::After => after,
                Next::Jump(offset) => isize::try_from(offset)
                    .ok()
                    .and_then(|offset| after.checked_add_signed(offset))
                    .ok_or(FaultKind::OutOfProgram)?,
                Next::Exit => return self.leave(),
            };
        }
    }

    fn leave(&self) -> Result<u64, FaultKind> {
        let r0 = self.scalar(Register::R0)?;
        if self.ledger.has_live() {
            return Err(FaultKind::ReferenceLeak);
        }
        let code = alu::low(r0).cast_signed();
        if self.context.returns_a_bit() && code != SK_DROP && code != SK_PASS {
            return Err(FaultKind::BadReturn(r0));
        }
        Ok(r0)
    }

    fn step(&mut self, op: Op) -> Result<Next, FaultKind> {
        match op {
            Op::Alu { wide, op, dst, src } => self.arithmetic(wide, op, dst, src)?,
            Op::Negate { wide, dst } => {
                let value = self.scalar(dst)?;
                self.set_scalar(dst, alu::apply(wide, AluOp::Sub, 0, value))?;
            }
            Op::MoveSigned {
                wide,
                bits,
                dst,
                src,
            } => {
                let value = alu::extend(wide, bits, self.scalar(src)?);
                self.set_scalar(dst, value)?;
            }
            Op::ByteOrder { kind, bits, dst } => {
                let value = self.scalar(dst)?;
                let swap = kind != ByteOrder::ToLittle;
                self.set_scalar(dst, alu::byte_order(swap, bits, value))?;
            }
            Op::Immediate { dst, value } => self.set_scalar(dst, value)?,
            Op::Map { dst, .. } => {
                let map = self.relocation(None)?;
                self.set(dst, Value::Map(map))?;
            }
            Op::MapValue { dst, offset, .. } => {
                let map = self.relocation(Some(offset))?;
                let value = self.maps.direct_value(map, offset)?;
                self.set(dst, value)?;
            }
            Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => self.memory(op)?,
            Op::Call { helper } => self.call(helper)?,
            Op::CallLocal { .. } => return Err(FaultKind::Unsupported("a local call")),
            Op::Goto { offset, .. } => return Ok(Next::Jump(offset)),
            Op::Branch {
                wide,
                op,
                dst,
                src,
                offset,
            } => {
                if self.compare(wide, op, dst, src)? {
                    return Ok(Next::Jump(i32::from(offset)));
                }
            }
            Op::Exit => return Ok(Next::Exit),
        }
        Ok(Next::After)
    }

    fn arithmetic(
        &mut self,
        wide: bool,
        op: AluOp,
        dst: Register,
        src: Operand,
    ) -> Result<(), FaultKind> {
        let right = self.operand(src)?;
        if op == AluOp::Mov && wide {
            return self.set(dst, right);
        }
        let left = match op {
            // A 32-bit move does not read its target.
            AluOp::Mov => Value::Scalar(0),
            _ => self.get(dst)?,
        };
        let result = match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                Value::Scalar(alu::apply(wide, op, left, right))
            }
            _ if !wide => return Err(FaultKind::PointerArithmetic),
            (pointer, Value::Scalar(amount)) if op == AluOp::Add => {
                self.fresh(pointer)?.moved(amount.cast_signed())?
            }
            (Value::Scalar(amount), pointer) if op == AluOp::Add => {
                self.fresh(pointer)?.moved(amount.cast_signed())?
            }
            // How far two places in the packet are apart.
            (Value::PacketEnd { .. }, Value::Packet { .. }) if op == AluOp::Sub => {
                let [left, right] = [left, right].map(|one| self.place(self.fresh(one)?));
                Value::Scalar(alu::apply(true, AluOp::Sub, left?, right?))
            }
            (pointer, Value::Scalar(amount)) if op == AluOp::Sub => self
                .fresh(pointer)?
                .moved(amount.cast_signed().wrapping_neg())?,
            _ => return Err(FaultKind::PointerArithmetic),
        };
        self.set(dst, result)
    }

    fn compare(
        &self,
        wide: bool,
        op: JumpOp,
        dst: Register,
        src: Operand,
    ) -> Result<bool, FaultKind> {
        match (self.get(dst)?, self.operand(src)?) {
            (Value::Scalar(left), Value::Scalar(right)) => Ok(alu::compare(wide, op, left, right)),
            _ if !wide => Err(FaultKind::PointerCompare),
            (pointer, Value::Scalar(0)) | (Value::Scalar(0), pointer) => {
                self.fresh(pointer)?;
                match op {
                    JumpOp::Eq => Ok(false),
                    JumpOp::Ne => Ok(true),
                    _ => Err(FaultKind::PointerCompare),
                }
            }
            (left, right) => {
                let left = self.place(self.fresh(left)?)?;
                let right = self.place(self.fresh(right)?)?;
                Ok(alu::compare(true, op, left, right))
            }
        }
    }

    /// Where a packet pointer stands, for a comparison with another one.
    fn place(&self, value: Value) -> Result<u64, FaultKind> {
        match value {
            Value::Packet { offset, .. } if offset >= 0 => Ok(offset.cast_unsigned()),
            Value::PacketEnd { .. } => Ok(self.packet.end()),
            _ => Err(FaultKind::PointerCompare),
        }
    }

    /// The value, unless it is a packet pointer from before the packet was made linear.
    fn fresh(&self, value: Value) -> Result<Value, FaultKind> {
        match value {
            Value::Packet { generation, .. } | Value::PacketEnd { generation }
                if generation != self.packet.generation() =>
            {
                Err(FaultKind::StalePacketPointer)
            }
            _ => Ok(value),
        }
    }

    /// The map that the relocation here names; it must be for the same kind of load.
    fn relocation(&self, value_offset: Option<u32>) -> Result<MapId, FaultKind> {
        let relocations = &self.program.relocations;
        let here = u32::try_from(self.at).unwrap_or(u32::MAX);
        relocations
            .binary_search_by_key(&here, |relocation| relocation.insn)
            .ok()
            .and_then(|index| relocations.get(index))
            .filter(|relocation| relocation.value_offset == value_offset)
            .map(|relocation| relocation.map)
            .ok_or(FaultKind::UnknownMap)
    }

    fn get(&self, register: Register) -> Result<Value, FaultKind> {
        self.registers[register as usize].ok_or(FaultKind::UninitialisedRegister(register))
    }

    fn scalar(&self, register: Register) -> Result<u64, FaultKind> {
        match self.get(register)? {
            Value::Scalar(value) => Ok(value),
            _ => Err(FaultKind::NotAScalar(register)),
        }
    }

    fn operand(&self, operand: Operand) -> Result<Value, FaultKind> {
        match operand {
            Operand::Register(register) => self.get(register),
            Operand::Imm(imm) => Ok(Value::Scalar(i64::from(imm).cast_unsigned())),
        }
    }

    fn set(&mut self, register: Register, value: Value) -> Result<(), FaultKind> {
        if register == Register::R10 {
            return Err(FaultKind::ReadOnly);
        }
        self.registers[register as usize] = Some(value);
        Ok(())
    }

    fn set_scalar(&mut self, register: Register, value: u64) -> Result<(), FaultKind> {
        self.set(register, Value::Scalar(value))
    }
}

#[cfg(test)]
mod tests;
