//! Faults in what becomes of each hook.

use super::Suite::Runtime;
use super::{Fault, Narrow, fault};

const STEPS: &str = "runtime/src/apply/steps.rs";

const TESTS: &[Narrow] = &[(Runtime, "steps::")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        241,
        STEPS,
        "attached.hook.point == point && attached.hook.target == target",
        "attached.hook.point == point",
        TESTS,
    ),
    fault(
        242,
        STEPS,
        "filter(|there| there.alive)",
        "filter(|there| FAULT || there.alive)",
        TESTS,
    ),
    fault(
        243,
        STEPS,
        "Some(Made::Link(id, _)) if *id != there.id",
        "Some(Made::Link(id, _)) if !FAULT && *id != there.id",
        TESTS,
    ),
    fault(
        244,
        STEPS,
        "Some(Made::Link(_, program)) if *program != Some(there.program)",
        "Some(Made::Link(_, program)) if !FAULT && *program != Some(there.program)",
        TESTS,
    ),
    fault(
        245,
        STEPS,
        "Some(Made::Program(id)) if *id != there.program",
        "Some(Made::Program(id)) if !FAULT && *id != there.program",
        TESTS,
    ),
    fault(246, STEPS, "cookie.filter(|_| able())", "cookie", TESTS),
    fault(
        247,
        STEPS,
        "listen::slots(manifest).next().is_none()",
        "false",
        TESTS,
    ),
    fault(
        248,
        STEPS,
        "points.sort();",
        "if !FAULT { points.sort(); }",
        TESTS,
    ),
    fault(
        249,
        STEPS,
        "|pin| pin.path == path",
        "|pin| FAULT || pin.path == path",
        TESTS,
    ),
];
