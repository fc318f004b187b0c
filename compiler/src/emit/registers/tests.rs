//! Random functions: no read finds another value than it means, and what is emitted computes what the function says.

use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::Section;
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Register, Width};
use crate::emit::{EmitError, check::check, emit};
use crate::interpret::{Bare, Input, Maps, Xdp, run};
use crate::ir::{Arg, Block, Builder, End, Function, Inst, Operand, Slot, Value, validate};
use crate::location::Location;
use crate::target::Target;
use crate::testing::Rng;

use super::Registers;

const BLOCKS: usize = 14;
const VALUES: usize = 8;
/// So many of the values are read after calls, beside the context.
const KEPT: usize = 3;
const OPERATIONS: [AluOp; 6] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::And,
    AluOp::Or,
    AluOp::Xor,
];
const COMPARISONS: [JumpOp; 4] = [JumpOp::Eq, JumpOp::Ne, JumpOp::Gt, JumpOp::Le];
/// Offset of `ingress_ifindex`.
const INTERFACE: i16 = 12;

/// A random function in the making.
struct Maker {
    rng: Rng,
    builder: Builder,
    context: Value,
    values: Vec<Value>,
    slot: Slot,
    /// The values that have been written on every way.
    written: BTreeSet<Value>,
    /// Whether to make what can only be checked, not run.
    wild: bool,
}

impl Maker {
    fn function(seed: u64, wild: bool) -> Function {
        let origin = Location::new("a.sk", 1, "");
        let mut builder = Builder::new("f", Section::Xdp, origin);
        let context = builder.argument();
        let slot = builder.slot(8);
        builder.set_slot(slot, 0, 5, Width::DW);
        let values = (0..VALUES).map(|_| builder.value()).collect();
        let maker = Self {
            rng: Rng::new(seed),
            builder,
            context,
            values,
            slot,
            written: BTreeSet::new(),
            wild,
        };
        maker.fill()
    }

    fn fill(mut self) -> Function {
        let mut blocks = vec![self.builder.current()];
        blocks.extend((1..BLOCKS).map(|_| self.builder.block()));
        let mut before: BTreeMap<Block, BTreeSet<Value>> = BTreeMap::new();
        before.insert(blocks[0], BTreeSet::new());
        for (index, &block) in blocks.iter().enumerate() {
            let Some(written) = before.remove(&block) else {
                continue;
            };
            self.written = written;
            self.builder.enter(block);
            for _ in 0..self.rng.below(9) {
                self.inst();
            }
            let end = self.end(&blocks[index + 1..]);
            for successor in end.successors() {
                let there = before
                    .entry(successor)
                    .or_insert_with(|| self.written.clone());
                there.retain(|value| self.written.contains(value));
            }
            self.builder.end(end);
        }
        self.builder.finish()
    }

    fn any(&mut self) -> Value {
        *self.rng.pick(&self.values).unwrap()
    }

    /// A value that may be read.
    fn known(&mut self) -> Value {
        let known: Vec<Value> = self.written.iter().copied().collect();
        match self.rng.pick(&known) {
            Some(&value) => value,
            None => {
                let value = self.any();
                self.builder.set(value, 3);
                self.written.insert(value);
                value
            }
        }
    }

    fn operand(&mut self) -> Operand {
        match self.rng.chance(1, 2) {
            true => Operand::Value(self.known()),
            false => Operand::Imm(i32::from(self.rng.byte())),
        }
    }

    fn inst(&mut self) {
        match self.rng.below(if self.wild { 10 } else { 8 }) {
            0 => {
                let (value, number) = (self.any(), self.rng.half());
                self.builder.set(value, i64::from(number));
                self.written.insert(value);
            }
            1 => {
                let value = self.any();
                self.builder
                    .load_to(value, self.context, INTERFACE, Width::W);
                self.written.insert(value);
            }
            2 => {
                let (dst, src) = (self.any(), self.known());
                self.builder.assign(dst, src);
                self.written.insert(dst);
            }
            3 | 4 => {
                let (value, rhs) = (self.known(), self.operand());
                let op = *self.rng.pick(&OPERATIONS).unwrap();
                self.builder.alu(value, op, rhs);
            }
            5 => {
                let value = self.known();
                self.builder.store_slot(self.slot, 0, value, Width::DW);
            }
            6 => {
                let value = self.any();
                self.builder.load_slot_to(value, self.slot, 0, Width::DW);
                self.written.insert(value);
            }
            7 => self.call(&[]),
            8 => {
                let args = [Arg::Imm(1), Arg::Value(self.known())];
                let context = Arg::Value(self.context);
                self.call(&[args[0], context, args[1]]);
            }
            _ => {
                let [base, expected, new] = [(); 3].map(|()| self.known());
                let was = self.builder.compare_exchange(base, 0, expected, new);
                let dst = self.any();
                self.builder.assign(dst, was);
                self.written.insert(dst);
            }
        }
    }

    fn call(&mut self, args: &[Arg]) {
        let given = self.builder.call_value(Helper::KtimeGetNs, args);
        let kept = &self.values[..KEPT];
        self.written.retain(|value| kept.contains(value));
        let dst = self.any();
        self.builder.assign(dst, given);
        self.written.insert(dst);
    }

    fn end(&mut self, later: &[Block]) -> End {
        let [Some(&then), Some(&other)] = [(); 2].map(|()| self.rng.pick(later)) else {
            return End::ReturnValue(self.known());
        };
        match self.rng.below(4) {
            0 => End::Jump(then),
            _ => End::Branch {
                op: *self.rng.pick(&COMPARISONS).unwrap(),
                narrow: false,
                lhs: self.known(),
                rhs: self.operand(),
                then,
                other,
            },
        }
    }
}

/// What a function gives, by its own words.
fn meaning(function: &Function, interface: u32, now: u64) -> u64 {
    let mut values: BTreeMap<Value, u64> = BTreeMap::new();
    let mut slot = 0;
    let mut block = function.entry;
    loop {
        for inst in &function.blocks[block].insts {
            let result = match inst {
                Inst::Argument { .. } => 0,
                Inst::Imm { imm, .. } => imm.cast_unsigned(),
                Inst::Load { .. } => u64::from(interface),
                Inst::Copy { src, .. } => values[src],
                Inst::Alu { op, value, rhs } => {
                    computed(*op, values[value], operand(*rhs, &values))
                }
                Inst::Call { .. } => now,
                Inst::LoadSlot { .. } => slot,
                Inst::SetSlot { imm, .. } => {
                    slot = u64::from(imm.cast_unsigned());
                    continue;
                }
                Inst::StoreSlot { src, .. } => {
                    slot = values[src];
                    continue;
                }
                other => unreachable!("{other:?} is not made"),
            };
            values.insert(inst.writes().unwrap(), result);
        }
        block = match &function.blocks[block].end {
            End::Jump(next) => *next,
            End::ReturnValue(value) => return values[value],
            End::Branch {
                op,
                lhs,
                rhs,
                then,
                other,
                ..
            } => {
                let (left, right) = (values[lhs], operand(*rhs, &values));
                let holds = match op {
                    JumpOp::Eq => left == right,
                    JumpOp::Ne => left != right,
                    JumpOp::Gt => left > right,
                    JumpOp::Le => left <= right,
                    other => unreachable!("{other:?} is not made"),
                };
                if holds { *then } else { *other }
            }
            other => unreachable!("{other:?} is not made"),
        };
    }
}

fn operand(operand: Operand, values: &BTreeMap<Value, u64>) -> u64 {
    match operand {
        Operand::Imm(imm) => i64::from(imm).cast_unsigned(),
        Operand::Value(value) => values[&value],
    }
}

fn computed(op: AluOp, left: u64, right: u64) -> u64 {
    match op {
        AluOp::Add => left.wrapping_add(right),
        AluOp::Sub => left.wrapping_sub(right),
        AluOp::Mul => left.wrapping_mul(right),
        AluOp::And => left & right,
        AluOp::Or => left | right,
        AluOp::Xor => left ^ right,
        other => unreachable!("{other:?} is not made"),
    }
}

#[test]
fn what_is_emitted_computes_what_the_function_says() {
    let mut results = BTreeSet::new();
    let mut world = Bare { now: 77, random: 0 };
    for seed in 0..2_000 {
        let function = Maker::function(seed, false);
        let program = emit(&function, &Target::baseline())
            .unwrap_or_else(|error| panic!("{seed}: {error}\n{function}"));
        for interface in [0, 3, 200] {
            let input = Input::Xdp(Xdp {
                ingress_ifindex: interface,
                ..Xdp::new(vec![0; 64])
            });
            let outcome = run(&program, &mut Maps::default(), input, &mut world).unwrap();
            let meant = meaning(&function, interface, world.now);
            assert_eq!(outcome.r0, meant, "{seed}\n{function}");
            results.insert(meant);
        }
    }
    assert!(results.len() > 500, "{} results", results.len());
}

/// With calls that take values and with exchanges.
#[test]
fn every_read_finds_its_value() {
    let mut refused = 0;
    for seed in 0..2_000 {
        let function = Maker::function(seed, true);
        let valid = validate(&function).unwrap();
        match Registers::allocate(&valid) {
            Ok(registers) => check(&valid, &registers)
                .unwrap_or_else(|error| panic!("{seed}: {error}\n{function}")),
            Err(_) => refused += 1,
        }
    }
    assert!(refused < 100, "{refused} functions found no registers");
}

#[test]
fn the_checker_sees_a_wrong_register() {
    let mut seen = 0;
    for seed in 0..300 {
        let function = Maker::function(seed, true);
        let valid = validate(&function).unwrap();
        let Ok(registers) = Registers::allocate(&valid) else {
            continue;
        };
        for &value in &written(&function, &valid.order) {
            let mut wrong = Registers(registers.0.clone());
            wrong.0[value] = Some(Register::R0);
            let error = check(&valid, &wrong).err();
            seen += usize::from(matches!(error, Some(EmitError::Overwritten(_))));
        }
    }
    assert!(seen > 500, "{seen}");
}

/// Whether the checker takes registers of which some are others than those that were found.
fn taken(builder: Builder, others: &[(Value, Register)]) -> bool {
    let function = builder.finish();
    let valid = validate(&function).unwrap();
    let mut registers = Registers::allocate(&valid).unwrap();
    check(&valid, &registers).unwrap();
    for &(value, register) in others {
        registers.0[value] = Some(register);
    }
    check(&valid, &registers).is_ok()
}

#[test]
fn what_one_way_overwrites_is_not_there_where_ways_meet() {
    for first in [true, false] {
        let mut builder = Builder::new("f", Section::Xdp, Location::new("a.sk", 1, ""));
        let context = builder.argument();
        let slot = builder.slot(4);
        let (one, two, meet) = (builder.block(), builder.block(), builder.block());
        let read = builder.load(context, INTERFACE, Width::W);
        builder.end(End::Branch {
            op: JumpOp::Eq,
            narrow: true,
            lhs: read,
            rhs: 0.into(),
            then: one,
            other: two,
        });
        let other = builder.value();
        for (block, writes) in [(one, first), (two, !first)] {
            builder.enter(block);
            if writes {
                let value = builder.load(context, INTERFACE, Width::W);
                builder.assign(other, value);
                builder.store_slot(slot, 0, other, Width::W);
            }
            builder.jump(meet);
        }
        builder.enter(meet);
        builder.end(End::ReturnValue(read));
        let same = [(read, Register::R7), (other, Register::R7)];
        assert!(!taken(builder, &same), "{first}");
    }
}

#[test]
fn an_exchange_overwrites_r0_before_it_reads() {
    let mut builder = Builder::new("f", Section::Xdp, Location::new("a.sk", 1, ""));
    let context = builder.argument();
    let new = builder.load(context, INTERFACE, Width::W);
    let expected = builder.load(context, INTERFACE, Width::W);
    let old = builder.compare_exchange(context, 8, expected, new);
    builder.end(End::ReturnValue(old));
    let in_the_way = [(new, Register::R0), (expected, Register::R7)];
    assert!(!taken(builder, &in_the_way));
}

fn written(function: &Function, order: &[Block]) -> Vec<Value> {
    let insts = order
        .iter()
        .flat_map(|&block| &function.blocks[block].insts);
    insts.filter_map(Inst::writes).collect()
}

/// A function whose first `count` values live over a call.
fn over_a_call(count: usize) -> Function {
    let origin = Location::new("a.sk", 1, "");
    let mut builder = Builder::new("f", Section::Xdp, origin);
    let context = builder.argument();
    let values: Vec<Value> = (0..count)
        .map(|_| builder.load(context, INTERFACE, Width::W))
        .collect();
    let sum = builder.call_value(Helper::KtimeGetNs, &[]);
    for value in values {
        builder.alu(sum, AluOp::Add, value);
    }
    builder.end(End::ReturnValue(sum));
    builder.finish()
}

#[test]
fn four_values_live_over_a_call_and_no_fifth() {
    assert!(emit(&over_a_call(4), &Target::baseline()).is_ok());
    let refused = emit(&over_a_call(5), &Target::baseline()).unwrap_err();
    assert!(matches!(refused, EmitError::OutOfRegisters(_)), "{refused}");
}
