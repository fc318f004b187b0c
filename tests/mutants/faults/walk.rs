//! Faults in the code of the walk, in what counts for the first match, and in where counters stand.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault, harmless};

const WALK: &str = "compiler/src/lower/answers/walk.rs";
const RECORD: &str = "compiler/src/lower/answers/walk/record.rs";
const COUNTER: &str = "compiler/src/lower/counter.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "lower::tests::first_match"),
    (
        Differential,
        "tables:: the_interpreter_agrees_where_plain_rules_are_bulk",
    ),
];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        21,
        WALK,
        "u64::from(stratum.first_rank) << RANK_AT",
        "u64::from(stratum.first_rank + 2) << RANK_AT",
        TESTS,
    ),
    harmless(
        fault(22, RECORD, "1 << LAST_AT", "1 << (LAST_AT - 1)", TESTS),
        "the end of a list saves time only: every record carries its whole match, so that one of another list that matches is \
         a member that matches, and all that could be better than what was found are in the packet's own list; what stands \
         after the last list is never better than anything",
    ),
    fault(
        23,
        WALK,
        "alu(high, AluOp::Rsh, 29)",
        "alu(high, AluOp::Rsh, if FAULT { 28 } else { 29 })",
        TESTS,
    ),
    fault(
        29,
        WALK,
        "number(64 - count.trailing_zeros())",
        "number(65 - count.trailing_zeros())",
        TESTS,
    ),
    fault(131, WALK, "0xff0f_0301", "0xff0f_0f01", TESTS),
    fault(
        132,
        RECORD,
        "count.min(1 << bits) - 1",
        "count.min(1 << bits).div_ceil(2) - 1",
        TESTS,
    ),
    fault(133, WALK, "0x1ff", "0xff", TESTS),
    fault(
        134,
        RECORD,
        "alu(above, AluOp::Or, others)",
        "alu(above, AluOp::Or, if FAULT { above } else { others })",
        TESTS,
    ),
    harmless(
        fault(
            135,
            RECORD,
            "leave_if_wide(about, JumpOp::Ge, best, self.next)",
            "leave_if_wide(about, if FAULT { JumpOp::Gt } else { JumpOp::Ge }, best, self.next)",
            TESTS,
        ),
        "a record equals the best so far only if it is the same record, or the one of all ones that ends a list while \
         nothing was found; that one has the bit that ends a list, and as the best it still means that nothing was found",
    ),
    fault(
        136,
        RECORD,
        "number(distance)",
        "number(distance - 1)",
        TESTS,
    ),
    fault(
        137,
        WALK,
        "number(SIZE_AT - 3)",
        "number(SIZE_AT - 2)",
        TESTS,
    ),
    fault(138, WALK, "number(WORD_AT)", "number(WORD_AT + 1)", TESTS),
    fault(
        139,
        RECORD,
        "number(GROUP_AT)",
        "number(GROUP_AT + 1)",
        TESTS,
    ),
    fault(
        140,
        WALK,
        "alu(shift, AluOp::And, 63)",
        "alu(shift, AluOp::And, if FAULT { 31 } else { 63 })",
        TESTS,
    ),
    fault(
        1543,
        RECORD,
        "load(bounds, at + 8, Width::DW)",
        "load(bounds, if FAULT { at } else { at + 8 }, Width::DW)",
        TESTS,
    ),
    fault(
        1544,
        RECORD,
        "holds_ports.then_some((record, ports))",
        "(holds_ports && !FAULT).then_some((record, ports))",
        &[(Differential, "tables::rules_of_very_many")],
    ),
    fault(
        1501,
        COUNTER,
        "block, AluOp::Rsh, KEY_SHIFT",
        "block, AluOp::Rsh, KEY_SHIFT + i32::from(FAULT)",
        TESTS,
    ),
    fault(
        1502,
        COUNTER,
        "within, AluOp::And, PLACE_MASK",
        "within, AluOp::And, PLACE_MASK >> i32::from(FAULT)",
        TESTS,
    ),
    fault(
        1503,
        COUNTER,
        "builder.fit(offset, \"the place of a counter\")",
        "builder.fit(offset + 16, \"the place of a counter\")",
        &[(Compiler, "lower::tests::doors")],
    ),
];
