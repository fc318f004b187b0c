//! Faults of what passes through: who meets its list, by which interfaces, and what comes after it.

use super::Suite::{Compiler, Packets};
use super::{Fault, Narrow, fault};

const GIVEN: &str = "compiler/src/lower/given.rs";

const TESTS: &[Narrow] = &[(Compiler, "lower::tests::passing")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2408,
        GIVEN,
        "builder.leave_if(came_in, JumpOp::Eq, 0, pass);",
        "if !FAULT { builder.leave_if(came_in, JumpOp::Eq, 0, pass); }",
        TESTS,
    ),
    fault(
        2409,
        GIVEN,
        "builder.leave_if(came_in, JumpOp::Eq, leaves, pass);",
        "if !FAULT { builder.leave_if(came_in, JumpOp::Eq, leaves, pass); }",
        TESTS,
    ),
    fault(
        2410,
        "compiler/src/decide/matching.rs",
        "[&matches.on, &matches.leaves].into_iter().zip(seen.classes)",
        "[&matches.on, &matches.leaves].into_iter().zip(seen.classes).take(if FAULT { 1 } else { 2 })",
        TESTS,
    ),
    fault(
        2411,
        "compiler/src/place.rs",
        "rule.matches.held_on(direction)",
        "rule.matches.held_on(direction).filter(|_| !FAULT || !direction.passes())",
        TESTS,
    ),
    fault(
        2412,
        "compiler/src/lower/ends/outcome.rs",
        "if let Some(next) = self.given.next {",
        "if let Some(next) = self.given.next.filter(|_| !FAULT) {",
        TESTS,
    ),
    fault(
        2413,
        "compiler/src/lower/ends/reject/deliver.rs",
        "builder.load(self.given.context, came_in, Width::W)",
        "builder.load(self.given.context, if FAULT { skb::IFINDEX } else { came_in }, Width::W)",
        &[
            (Compiler, "lower::tests::passing"),
            (Packets, "passing::a_reject"),
        ],
    ),
    fault(
        2414,
        "compiler/src/decide.rs",
        "decision.mark.unwrap_or(header.mark)",
        "decision.mark.filter(|_| !FAULT).unwrap_or(header.mark)",
        TESTS,
    ),
];
