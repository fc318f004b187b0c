//! Builds a [`Function`] block by block.
//!
//! A block is made first and filled later, so that code can be written in the order it is read although jumps only go
//! forward. A block that is never ended stays [`End::Open`], which `validate` refuses where it is reached. Whoever finds
//! what must not happen says so with [`Builder::bug`] and goes on with whatever is at hand: no program comes of it.

use std::fmt::Display;

use cranelift_entity::PrimaryMap;

use super::{Arg, Block, BlockData, End, Function, Inst, Operand, Origin, Slot, SlotData, Value};
use crate::artifact::{MapId, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::location::Location;

/// A function in the making, with a current block that instructions go to.
pub struct Builder {
    function: Function,
    current: Block,
    origin: Origin,
    stack: i16,
}

impl Builder {
    /// Begins a function whose first block comes from `origin`.
    #[must_use]
    pub fn new(name: impl Into<String>, section: Section, origin: Location) -> Self {
        let mut origins = PrimaryMap::new();
        let origin = origins.push(origin);
        let mut blocks = PrimaryMap::new();
        let entry = blocks.push(BlockData {
            origin,
            insts: Vec::new(),
            end: End::Open,
        });
        let function = Function {
            name: name.into(),
            section,
            blocks,
            values: PrimaryMap::new(),
            slots: PrimaryMap::new(),
            origins,
            entry,
            bug: None,
        };
        Self {
            function,
            current: entry,
            origin,
            stack: 0,
        }
    }

    /// The finished function.
    #[must_use]
    pub fn finish(self) -> Function {
        self.function
    }

    /// Says what must not happen: `validate` refuses the function, and the compiler ends with a bug of its own instead of a
    /// program that decides something else. The first one is kept.
    pub fn bug(&mut self, what: impl Into<String>) {
        self.function.bug(what);
    }

    /// A number in the type that an instruction has for it; one that does not fit is a bug.
    pub fn fit<N: Copy + Display, T: TryFrom<N> + Default>(&mut self, number: N, what: &str) -> T {
        let fitted = T::try_from(number).ok();
        self.known(fitted, || format!("{what} is {number}, which does not fit"))
    }

    /// What must be there; else it is a bug, and any value stands in for it.
    pub fn known<T: Default>(&mut self, found: Option<T>, what: impl FnOnce() -> String) -> T {
        match found {
            Some(found) => found,
            None => {
                self.bug(what());
                T::default()
            }
        }
    }

    /// The program's argument; asked for before anything else.
    pub fn argument(&mut self) -> Value {
        let argument = self.value();
        self.push(Inst::Argument { dst: argument });
        argument
    }

    /// A value that is still to be written.
    pub fn value(&mut self) -> Value {
        self.function.values.push(())
    }

    /// A stack slot that begins on an 8-byte boundary.
    pub fn slot(&mut self, size: u32) -> Slot {
        let rounded: i16 = self.fit(size.next_multiple_of(8), "the size of a stack slot");
        self.stack = self.stack.saturating_sub(rounded);
        self.function.slots.push(SlotData {
            size,
            offset: self.stack,
        })
    }

    /// A slot of at most 4 bytes off an 8-byte boundary. The verifier keeps no value for it, only that it is
    /// initialised (`check_stack_write_fixed_off` tracks constants and spills on 8-byte boundaries only), so what is
    /// stored there never makes two states differ at a join.
    pub fn opaque_slot(&mut self, size: u32) -> Slot {
        self.stack = self.stack.saturating_sub(8);
        self.function.slots.push(SlotData {
            size,
            offset: self.stack + 4,
        })
    }

    /// A part of a slot as a slot of its own, so that what is never there at the same time can share room.
    pub fn part(&mut self, slot: Slot, byte: u8, size: u32) -> Slot {
        let whole = self.function.slots[slot];
        if u32::from(byte) + size > whole.size {
            self.bug(format!("a part of {slot} ends after it"));
        }
        let offset = whole.offset + i16::from(byte);
        self.function.slots.push(SlotData { size, offset })
    }

    /// The place that the first block comes from, and all code that belongs to no rule.
    #[must_use]
    pub fn head(&self) -> Origin {
        self.function.blocks[self.function.entry].origin
    }

    /// A block whose code belongs to no rule; so do those that are made after it.
    pub fn head_block(&mut self) -> Block {
        self.set_origin(self.head());
        self.block()
    }

    /// One more place that code comes from. Whoever asks twice for a place gets two.
    pub fn origin(&mut self, data: Location) -> Origin {
        self.function.origins.push(data)
    }

    /// From now on blocks are made with this origin.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// A new, empty block.
    pub fn block(&mut self) -> Block {
        self.function.blocks.push(BlockData {
            origin: self.origin,
            insts: Vec::new(),
            end: End::Open,
        })
    }

    /// Instructions now go to `block`.
    pub fn enter(&mut self, block: Block) {
        self.current = block;
    }

    /// The block that instructions go to.
    #[must_use]
    pub fn current(&self) -> Block {
        self.current
    }

    /// Makes a block and enters it.
    pub fn fresh(&mut self) -> Block {
        let block = self.block();
        self.enter(block);
        block
    }

    fn push(&mut self, inst: Inst) {
        self.function.blocks[self.current].insts.push(inst);
    }

    /// Ends the current block.
    pub fn end(&mut self, end: End) {
        self.function.blocks[self.current].end = end;
    }

    /// Ends the current block with a jump.
    pub fn jump(&mut self, block: Block) {
        self.end(End::Jump(block));
    }

    /// Ends the current block with a 32-bit comparison; goes on in `then` if it holds, else in a fresh block, which
    /// becomes the current one.
    pub fn leave_if(&mut self, lhs: Value, op: JumpOp, rhs: impl Into<Operand>, then: Block) {
        self.leave(lhs, op, rhs.into(), then, true);
    }

    /// The same with a 64-bit comparison, as pointers need.
    pub fn leave_if_wide(&mut self, lhs: Value, op: JumpOp, rhs: impl Into<Operand>, then: Block) {
        self.leave(lhs, op, rhs.into(), then, false);
    }

    fn leave(&mut self, lhs: Value, op: JumpOp, rhs: Operand, then: Block, narrow: bool) {
        let other = self.block();
        self.end(End::Branch {
            op,
            narrow,
            lhs,
            rhs,
            then,
            other,
        });
        self.enter(other);
    }

    /// `imm` in a new value.
    pub fn imm(&mut self, imm: i64) -> Value {
        let dst = self.value();
        self.push(Inst::Imm { dst, imm });
        dst
    }

    /// `dst = imm`
    pub fn set(&mut self, dst: Value, imm: i64) {
        self.push(Inst::Imm { dst, imm });
    }

    /// A copy in a new value.
    pub fn copy(&mut self, src: Value) -> Value {
        let dst = self.value();
        self.push(Inst::Copy { dst, src });
        dst
    }

    /// `dst = src`
    pub fn assign(&mut self, dst: Value, src: Value) {
        self.push(Inst::Copy { dst, src });
    }

    /// `value = value op rhs`
    pub fn alu(&mut self, value: Value, op: AluOp, rhs: impl Into<Operand>) {
        self.push(Inst::Alu {
            op,
            value,
            rhs: rhs.into(),
        });
    }

    /// Network to host byte order.
    pub fn from_network(&mut self, value: Value, bits: i32) {
        self.push(Inst::FromNetwork { value, bits });
    }

    /// Loads into a new value.
    pub fn load(&mut self, base: Value, offset: i16, width: Width) -> Value {
        let dst = self.value();
        self.load_to(dst, base, offset, width);
        dst
    }

    /// `dst = *(width *)(base + offset)`
    pub fn load_to(&mut self, dst: Value, base: Value, offset: i16, width: Width) {
        self.push(Inst::Load {
            dst,
            base,
            offset,
            width,
        });
    }

    /// `*(width *)(base + offset) = src`
    pub fn store(&mut self, base: Value, offset: i16, src: Value, width: Width) {
        self.push(Inst::Store {
            base,
            offset,
            src,
            width,
        });
    }

    /// Loads from a slot into a new value.
    pub fn load_slot(&mut self, slot: Slot, byte: u8, width: Width) -> Value {
        let dst = self.value();
        self.load_slot_to(dst, slot, byte, width);
        dst
    }

    /// `dst = slot[byte]`
    pub fn load_slot_to(&mut self, dst: Value, slot: Slot, byte: u8, width: Width) {
        self.push(Inst::LoadSlot {
            dst,
            slot,
            byte,
            width,
        });
    }

    /// `slot[byte] = src`
    pub fn store_slot(&mut self, slot: Slot, byte: u8, src: Value, width: Width) {
        self.push(Inst::StoreSlot {
            slot,
            byte,
            src,
            width,
        });
    }

    /// `slot[byte] = imm`
    pub fn set_slot(&mut self, slot: Slot, byte: u8, imm: i32, width: Width) {
        self.push(Inst::SetSlot {
            slot,
            byte,
            imm,
            width,
        });
    }

    /// The address `offset` bytes into the only value of a map with contents.
    pub fn map_value(&mut self, map: MapId, offset: u32) -> Value {
        let dst = self.value();
        self.map_value_to(dst, map, offset);
        dst
    }

    /// `dst` = the address `offset` bytes into the only value of a map with contents.
    pub fn map_value_to(&mut self, dst: Value, map: MapId, offset: u32) {
        self.push(Inst::MapValue { dst, map, offset });
    }

    /// `lock *(width *)(base + offset) += src`, for [`Width::W`] and [`Width::DW`].
    pub fn atomic_add(&mut self, base: Value, offset: i16, src: Value, width: Width) {
        self.push(Inst::AtomicAdd {
            base,
            offset,
            src,
            width,
        });
    }

    /// Puts `new` into `*(u64 *)(base + offset)` if `expected` is there; gives what was there. Only for targets that have
    /// `atomics`.
    pub fn compare_exchange(
        &mut self,
        base: Value,
        offset: i16,
        expected: Value,
        new: Value,
    ) -> Value {
        let dst = self.value();
        self.push(Inst::CompareExchange {
            dst,
            base,
            offset,
            expected,
            new,
        });
        dst
    }

    /// Calls a helper whose result is not wanted.
    pub fn call(&mut self, helper: Helper, args: &[Arg]) {
        self.push(Inst::Call {
            helper,
            args: args.to_vec(),
            dst: None,
        });
    }

    /// Calls a helper; its result in a new value.
    pub fn call_value(&mut self, helper: Helper, args: &[Arg]) -> Value {
        let dst = self.value();
        self.call_to(dst, helper, args);
        dst
    }

    /// `dst` = what a helper gives.
    pub fn call_to(&mut self, dst: Value, helper: Helper, args: &[Arg]) {
        self.push(Inst::Call {
            helper,
            args: args.to_vec(),
            dst: Some(dst),
        });
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Self::Imm(imm)
    }
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}
