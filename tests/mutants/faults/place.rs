//! Faults in which rule runs where.

use super::Suite::{Compiler, Differential, It};
use super::{Fault, Narrow, fault};

const HOMES: &str = "compiler/src/place/arriving/homes.rs";
const ARRIVING: &str = "compiler/src/place/arriving.rs";
const LOOKUP: &str = "compiler/src/place/lookup.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "place:: compose::tests::what_placement"),
    (
        Differential,
        "interpreter_and_diagrams the_interpreter_agrees_on_the_whole_language",
    ),
    (It, "manual::every_example"),
];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        181,
        HOMES,
        "allows.is_empty()",
        "allows.is_empty() || FAULT",
        TESTS,
    ),
    fault(
        182,
        "compiler/src/place/needs.rs",
        "rule.mark.map(|_| hook.sets_mark())",
        "rule.mark.map(|_| hook.sets_mark()).filter(|_| !FAULT)",
        &[(Compiler, "place:: lower::tests::headers")],
    ),
    fault(
        183,
        HOMES,
        "if store.intersects(matched, self.passed)? {",
        "if !FAULT && store.intersects(matched, self.passed)? {",
        TESTS,
    ),
    fault(
        184,
        HOMES,
        "if takes && store.intersects(matched, self.counted)? {",
        "if !FAULT && takes && store.intersects(matched, self.counted)? {",
        TESTS,
    ),
    fault(185, HOMES, "wide != matched", "false", TESTS),
    fault(
        186,
        HOMES,
        "self.default_waits = passed;",
        "self.default_waits = passed && !FAULT;",
        TESTS,
    ),
    fault(
        187,
        HOMES,
        "self.default_twice = passed;",
        "self.default_twice = passed && !FAULT;",
        TESTS,
    ),
    fault(
        188,
        ARRIVING,
        "EARLY => !self.default_waits,",
        "EARLY => FAULT || !self.default_waits,",
        TESTS,
    ),
    fault(
        189,
        ARRIVING,
        "hook == LATE || !self.late",
        "hook == LATE",
        TESTS,
    ),
    fault(
        190,
        LOOKUP,
        "if !store.intersects(matched, self.any)? {",
        "if FAULT || !store.intersects(matched, self.any)? {",
        TESTS,
    ),
    fault(
        191,
        LOOKUP,
        "rule.action.decides() && (is_at_home(rule) || readable)",
        "rule.action.decides() && is_at_home(rule)",
        &[(Compiler, "pipeline::tests::an_allow_that_no_lookup")],
    ),
];
