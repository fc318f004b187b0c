//! Faults in the making of instructions: layout, jumps, registers.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault};

const EMIT: &str = "compiler/src/emit.rs";
const BLOCK: &str = "compiler/src/emit/block.rs";
const NEEDS: &str = "compiler/src/emit/needs.rs";
const REGISTERS: &str = "compiler/src/emit/registers.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "emit::"),
    (Differential, "interpreter_and_diagrams"),
];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        74,
        EMIT,
        "op if op == one => Some(other),",
        "op if op == one => Some(if FAULT && op == JumpOp::Gt { JumpOp::Lt } else { other }),",
        TESTS,
    ),
    fault(75, EMIT, "asm::ja(1)", "asm::ja(0)", TESTS),
    fault(76, BLOCK, "insn.opcode == CALL", "false", TESTS),
    fault(
        211,
        BLOCK,
        "Self::Context(_) => 3,",
        "Self::Context(_) => if FAULT { 0 } else { 3 },",
        TESTS,
    ),
    fault(
        212,
        EMIT,
        "(None, true) => vec![asm::gotol(fit(distance)?)]",
        "(None, true) => vec![asm::gotol(fit(distance + usize::from(FAULT))?)]",
        TESTS,
    ),
    fault(
        213,
        EMIT,
        "if !target.gotol {",
        "if !FAULT && !target.gotol {",
        TESTS,
    ),
    fault(
        214,
        NEEDS,
        "self.needs[value].add(self.start..at + 1);",
        "self.needs[value].add(self.start..at);",
        TESTS,
    ),
    fault(
        215,
        REGISTERS,
        "end <= range.start",
        "FAULT || end <= range.start",
        TESTS,
    ),
    fault(
        216,
        EMIT,
        "op if op == other => Some(one),",
        "op if op == other => Some(if FAULT && op == JumpOp::SLt { JumpOp::SGt } else { one }),",
        TESTS,
    ),
    fault(
        217,
        EMIT,
        "if exchanges && !target.atomics {",
        "if !FAULT && exchanges && !target.atomics {",
        TESTS,
    ),
];
