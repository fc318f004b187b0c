//! Faults in the interpreter: what it lets a program do, and what it makes of an instruction.

use super::Suite::Compiler;
use super::{Fault, Narrow, fault};

const ALU: &str = "compiler/src/interpret/alu.rs";
const MEMORY: &str = "compiler/src/interpret/memory.rs";
const PACKET: &str = "compiler/src/interpret/buffer.rs";

const TESTS: &[Narrow] = &[(
    Compiler,
    "interpret:: lower::tests::headers_beyond emit::tests::every_comparison",
)];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        221,
        ALU,
        "left.checked_rem(right).unwrap_or(left)",
        "left.checked_rem(right).unwrap_or(0)",
        TESTS,
    ),
    fault(
        222,
        ALU,
        "signed_left < signed_right",
        "signed_left <= signed_right",
        TESTS,
    ),
    fault(
        223,
        ALU,
        "left.checked_div(right).unwrap_or(0)",
        "left.checked_div(right).unwrap_or(left)",
        TESTS,
    ),
    fault(
        224,
        PACKET,
        "linear.get(start..start.checked_add(length)?)",
        "self.bytes.get(start..start.checked_add(length)?)",
        TESTS,
    ),
    fault(225, PACKET, "self.linear.max(length)", "self.linear", TESTS),
    fault(
        226,
        PACKET,
        "self.generation += 1;",
        "self.generation += u32::from(!FAULT);",
        TESTS,
    ),
    fault(
        227,
        MEMORY,
        "if expected == old { operand } else { old }",
        "operand",
        TESTS,
    ),
    fault(228, MEMORY, "old | operand", "old & operand", TESTS),
];
