//! Faults of importing rule sets of bpfilter.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2582,
        "src/verbs/import/bfcli/asking.rs",
        "let ports = values.minus(&RangeSet::from_ranges([(0, 0)]));",
        "let ports = if FAULT { values.clone() } else { values.minus(&RangeSet::from_ranges([(0, 0)])) };",
        &[(Verbs, "bfcli::a_chain_of_an_interface")],
    ),
    fault(
        2583,
        "src/verbs/import/bfcli/asking.rs",
        "let known = both(&narrowed(values), &read);",
        "let known = if FAULT { narrowed(values) } else { both(&narrowed(values), &read) };",
        &[(Verbs, "bfcli::a_chain_of_an_interface")],
    ),
    fault(
        2584,
        "src/verbs/import/bfcli/making.rs",
        "true => Goal::Return,",
        "true => if FAULT { Goal::Accept } else { Goal::Return },",
        &[(Verbs, "bfcli::several_chains")],
    ),
    fault(
        2585,
        "src/verbs/import/bfcli/making.rs",
        "Policy::Accept if !is_last => Goal::Accept,",
        "Policy::Accept if !FAULT && !is_last => Goal::Accept,",
        &[(Verbs, "bfcli::several_chains")],
    ),
    fault(
        2586,
        "src/verbs/import/bfcli/sets.rs",
        "found.extend(with(&none, any)",
        "found.extend(with(&none, if FAULT { Vec::new() } else { any })",
        &[
            (Command, "bfcli::sets::tests::elements_are"),
            (Verbs, "bfcli::a_chain_of_an_interface"),
        ],
    ),
    fault(
        2587,
        "src/verbs/import/bfcli/rule.rs",
        "if self.is_elsewhere {",
        "if !FAULT && self.is_elsewhere {",
        &[(Verbs, "bfcli::a_chain_of_an_interface")],
    ),
    fault(
        2260,
        "src/verbs/import/bfcli/frames.rs",
        "has != negated",
        "FAULT || has != negated",
        &[(Verbs, "bfcli::forms::frames_that")],
    ),
    fault(
        2261,
        "src/verbs/import/bfcli/sets.rs",
        "let op = if is_range {",
        "let op = if !FAULT && is_range {",
        &[(Command, "bfcli::sets::tests::ports_may")],
    ),
    fault(
        2263,
        "src/verbs/import/bfcli/values.rs",
        "(mask == last(family)",
        "(FAULT || mask == last(family)",
        &[(Command, "bfcli::values::tests::values_are")],
    ),
    fault(
        2264,
        "src/verbs/import/bfcli/rule.rs",
        "name.filter(|_| set.grows())",
        "name.filter(|_| !FAULT && set.grows())",
        &[(Verbs, "bfcli::forms::a_set_with_room")],
    ),
];
