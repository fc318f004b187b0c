//! Faults of what passes through: who meets its list, by which interfaces, and what comes after it.

use super::Suite::{Command, Compiler, Packets, Verbs};
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
    fault(
        2415,
        "compiler/src/dropped.rs",
        "came_in: self.came_in,",
        "came_in: if FAULT { 0 } else { self.came_in },",
        &[(Compiler, "dropped::tests")],
    ),
    fault(
        2416,
        "compiler/src/lower/ends/sample.rs",
        "self.note_context(builder, head, head_of(hook));",
        "self.note_context(builder, head, if FAULT { 32 } else { head_of(hook) });",
        TESTS,
    ),
    fault(
        2417,
        "src/verbs/monitor/filter.rs",
        "true => came_in,",
        "true => if FAULT { interface } else { came_in },",
        &[(Command, "monitor::filter")],
    ),
    fault(
        2418,
        "src/machine/passing.rs",
        "if !policy.has_list(Direction::Forward) {",
        "if FAULT || !policy.has_list(Direction::Forward) {",
        &[(Verbs, "passing::interfaces")],
    ),
    fault(
        2419,
        "runtime/src/names/passing.rs",
        "(of_v4 || of_v6) && !is_met(&one.interface_name)",
        "(of_v4 || of_v6) && (FAULT || !is_met(&one.interface_name))",
        &[(Verbs, "passing::interfaces")],
    ),
    fault(
        2420,
        "runtime/src/names/passing.rs",
        "value.trim() != \"0\"",
        "FAULT || value.trim() != \"0\"",
        &[(Verbs, "passing::interfaces")],
    ),
    fault(
        2421,
        "src/verbs/trial/choose.rs",
        "u32::from(u8::MAX) - 1]",
        "u32::from(u8::MAX) - u32::from(!FAULT)]",
        &[(Verbs, "trying::what_passes")],
    ),
    fault(
        2422,
        "src/verbs/trial/around.rs",
        "let stops = verdict != Verdict::Allow;",
        "let stops = !FAULT && verdict != Verdict::Allow;",
        &[(Verbs, "trying::what_passes")],
    ),
    fault(
        2423,
        "src/verbs/trial/stage/passing.rs",
        "seen.left.contains(&leaves)",
        "!FAULT && seen.left.contains(&leaves)",
        &[(Verbs, "trying::what_passes")],
    ),
    fault(
        2424,
        "compiler/src/replay/report.rs",
        ".any(|policy| policy.has_list(Direction::Forward))",
        ".any(|policy| !FAULT && policy.has_list(Direction::Forward))",
        &[(Compiler, "replay::tests")],
    ),
    fault(
        2425,
        "src/verbs/explain/recording.rs",
        "if forwards { self.leaving }",
        "if forwards && !FAULT { self.leaving }",
        &[(Verbs, "passing::a_recording")],
    ),
    fault(
        2426,
        "src/verbs/monitor/shown.rs",
        "format!(\"{came_in} -> {interface}\")",
        "format!(\"{} -> {interface}\", if FAULT { interface } else { came_in })",
        &[(Verbs, "passing::records")],
    ),
    fault(
        2427,
        "runtime/src/names/passing.rs",
        "!one.ends_with(\"default\")",
        "(FAULT || !one.ends_with(\"default\"))",
        &[(Verbs, "passing::interfaces")],
    ),
    fault(
        2428,
        "compiler/src/diff/space.rs",
        "let held = match direction.passes() {",
        "let held = match !FAULT && direction.passes() {",
        &[(Compiler, "diff::tests::quiet::what_comes_in_elsewhere")],
    ),
];
