//! What each value needs of its register: where nothing else may be in it, and which registers will do.
//!
//! Places are numbered in the order of the blocks, two for each instruction: at the even one it reads, at the odd one
//! after it writes. A value that is read for the last time may so share its register with the one that is written.

use std::ops::Range;

use cranelift_entity::SecondaryMap;

use crate::bpf::opcode::Register;
use crate::ir::{Arg, Block, End, Function, Give, Inst, Valid, Value};

use super::ARGUMENTS;
use super::registers::LOST;

/// Some of the registers r0 to r9.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RegisterSet(u16);

impl RegisterSet {
    const ALL: Self = Self(0x3ff);

    fn only(register: Register) -> Self {
        Self(1 << register.number())
    }

    fn without(self, others: &[Register]) -> Self {
        let others = others.iter().map(|&other| Self::only(other).0);
        Self(others.fold(self.0, |set, other| set & !other))
    }

    pub(super) fn contains(self, register: Register) -> bool {
        self.0 & Self::only(register).0 != 0
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

/// A register that saves an instruction.
#[derive(Clone, Copy)]
pub(super) enum Hint {
    /// This one.
    Register(Register),
    /// The one of this value.
    Of(Value),
}

/// What one value needs.
#[derive(Clone)]
pub(super) struct Need {
    /// Where it is live, the last places first; no two ranges touch.
    pub(super) live: Vec<Range<usize>>,
    /// The registers that will do.
    pub(super) allowed: RegisterSet,
    /// Registers that are better than others, the best one last.
    pub(super) hints: Vec<Hint>,
}

impl Need {
    /// Where it is written first.
    pub(super) fn start(&self) -> usize {
        self.live.last().map_or(0, |range| range.start)
    }

    fn add(&mut self, range: Range<usize>) {
        match self.live.last_mut() {
            Some(later) if later.start == range.end => later.start = range.start,
            _ => self.live.push(range),
        }
    }

    fn hint(&mut self, register: Register) {
        self.hints.push(Hint::Register(register));
    }
}

/// What the values of a function need.
pub(super) fn needs(valid: &Valid<'_>) -> SecondaryMap<Value, Need> {
    let Valid {
        function,
        order,
        liveness,
    } = valid;
    let none = Need {
        live: Vec::new(),
        allowed: RegisterSet::ALL,
        hints: Vec::new(),
    };
    let mut walk = Walk {
        needs: SecondaryMap::with_default(none),
        live: Vec::new(),
        start: 0,
    };
    walk.needs.resize(function.values.len());
    let places = |block: &Block| 2 * function.blocks[*block].insts.len() + 2;
    let mut end = order.iter().map(places).sum::<usize>();
    for &block in order.iter().rev() {
        walk.start = end - places(&block);
        walk.live = liveness.after(function, block);
        walk.block(function, block, end);
        end = walk.start;
    }
    walk.needs
}

/// A walk from the last place to the first.
struct Walk {
    needs: SecondaryMap<Value, Need>,
    /// The values that are live here.
    live: Vec<Value>,
    /// The first place of the block.
    start: usize,
}

impl Walk {
    fn block(&mut self, function: &Function, block: Block, end: usize) {
        for &value in &self.live {
            self.needs[value].add(self.start..end);
        }
        let data = &function.blocks[block];
        self.end(&data.end, end - 2);
        for (index, inst) in data.insts.iter().enumerate().rev() {
            let at = self.start + 2 * index;
            if let Some(value) = inst.writes() {
                self.write(value, at + 1);
            }
            self.clobber(inst);
            inst.reads(|value| self.read(value, at));
        }
    }

    fn read(&mut self, value: Value, at: usize) {
        if !self.live.contains(&value) {
            self.live.push(value);
            self.needs[value].add(self.start..at + 1);
        }
    }

    fn write(&mut self, value: Value, at: usize) {
        let need = &mut self.needs[value];
        match self.live.iter().position(|&live| live == value) {
            Some(index) => {
                self.live.swap_remove(index);
                if let Some(range) = need.live.last_mut() {
                    range.start = at;
                }
            }
            // Nobody reads it, but it is written.
            None => need.live.push(at..at + 1),
        }
    }

    /// What an instruction does to registers beside the one that it writes. What is live here is live after it.
    fn clobber(&mut self, inst: &Inst) {
        match inst {
            Inst::Argument { dst } => self.needs[*dst].hint(ARGUMENTS[0]),
            Inst::Copy { dst, src } => {
                self.needs[*dst].hints.push(Hint::Of(*src));
                self.needs[*src].hints.push(Hint::Of(*dst));
            }
            Inst::CompareExchange {
                dst,
                base,
                expected,
                new,
                ..
            } => {
                let elsewhere = self.live.iter().chain([base, new]);
                for &value in elsewhere {
                    let allowed = &mut self.needs[value].allowed;
                    *allowed = allowed.without(&[Register::R0]);
                }
                for value in [dst, expected] {
                    self.needs[*value].hint(Register::R0);
                }
            }
            Inst::Call { args, dst, .. } => {
                self.call(args);
                if let Some(dst) = dst {
                    self.needs[*dst].hint(Register::R0);
                }
            }
            _ => {}
        }
    }

    /// A call leaves nothing in r0 to r5, and its arguments are written one after the other.
    fn call(&mut self, args: &[Arg]) {
        for &value in &self.live {
            survive(&mut self.needs[value]);
        }
        for (index, arg) in args.iter().enumerate() {
            if let Some(value) = arg.value() {
                let need = &mut self.needs[value];
                need.allowed = need.allowed.without(&ARGUMENTS[..index]);
                need.hint(ARGUMENTS[index]);
            }
        }
    }

    fn end(&mut self, end: &End, at: usize) {
        match end {
            End::ReturnValue(value) => self.needs[*value].hint(Register::R0),
            End::Socket(region) => self.call(&region.args()),
            End::Slot(region) => {
                self.call(&[]);
                if region.give != Give::Nothing {
                    survive(&mut self.needs[region.context]);
                    survive(&mut self.needs[region.carrier]);
                    self.needs[region.carrier].add(at..at + 2);
                }
                if let Some(places) = &region.places {
                    survive(&mut self.needs[places.turn]);
                    self.needs[places.turn].add(at..at + 2);
                    if region.give != Give::Nothing {
                        self.hold(region.context, at);
                    }
                }
            }
            End::Headers(region) => {
                self.call(&[]);
                for value in [region.network, region.end, region.cursor] {
                    self.hold(value, at);
                }
            }
            End::Frame(region) => {
                self.call(&[]);
                self.hold(region.context, at);
                survive(&mut self.needs[region.cursor]);
                self.needs[region.cursor].add(at..at + 2);
            }
            End::Open | End::Jump(_) | End::Branch { .. } | End::Return(_) => {}
        }
        end.reads(|value| self.read(value, at));
    }

    /// A region reads the value until it ends.
    fn hold(&mut self, value: Value, at: usize) {
        survive(&mut self.needs[value]);
        if !self.live.contains(&value) {
            self.live.push(value);
            self.needs[value].add(self.start..at + 2);
        }
    }
}

fn survive(need: &mut Need) {
    need.allowed = need.allowed.without(LOST);
}
