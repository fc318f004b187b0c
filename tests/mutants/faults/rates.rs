//! Faults in what never fits a rate, in what a lab takes of rates, and in the walk of interface patterns.

use super::Suite::{Command, Compiler};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        673,
        "compiler/src/decide/matching.rs",
        "!rate.never_fits(seen.direction, seen.header.length) && seen.world",
        "(FAULT || !rate.never_fits(seen.direction, seen.header.length)) && seen.world",
        &[(Compiler, "decide::tests::a_packet_longer")],
    ),
    fault(
        674,
        "compiler/src/policy/measure.rs",
        "u64::from(length) > longest",
        "u64::from(length) >= longest",
        &[(Compiler, "decide::tests::a_packet_longer")],
    ),
    fault(
        675,
        "compiler/src/diagram/classify.rs",
        "rate.longest(direction).and_then(below_longest)",
        "rate.longest(direction).and_then(below_longest).filter(|_| !FAULT)",
        &[(
            Compiler,
            "diagram::tests::a_rate_is_asked_for expect::tests::what_never_fits",
        )],
    ),
    fault(
        676,
        "compiler/src/replay/sight.rs",
        "sight.add_longest(longest);",
        "if !FAULT { sight.add_longest(longest); }",
        &[(Compiler, "replay::tests")],
    ),
    fault(
        677,
        "compiler/src/explain/reason.rs",
        "rate.never_fits(rule.direction, header.length)",
        "false",
        &[(Compiler, "explain::tests::a_rate_has")],
    ),
    fault(
        678,
        "src/verbs/trial/tokens.rs",
        "header.length.into()",
        "1",
        &[(Command, "trial::tests::what_is_sent_is_counted")],
    ),
    fault(
        679,
        "src/verbs/trial/real.rs",
        "taken.is_short_of(&due)",
        "false",
        &[(Command, "trial::tests::no_packet_of_a_lab")],
    ),
    fault(
        680,
        "compiler/src/resolve/globs/walk.rs",
        "places.extend(&leads.any);",
        "if !FAULT { places.extend(&leads.any); }",
        &[(Compiler, "resolve::globs")],
    ),
    fault(
        681,
        "compiler/src/resolve/globs/walk.rs",
        "star.is_err() || star.is_ok_and(|index| known[index].1 < *at)",
        "star.is_err()",
        &[(Compiler, "resolve::globs")],
    ),
    fault(
        682,
        "compiler/src/diff/malformed.rs",
        "None, joint.netns)",
        "None, joint.netns.filter(|_| !FAULT))",
        &[(Compiler, "diff::tests::examples::each_example")],
    ),
    fault(
        683,
        "compiler/src/policy/measure.rs",
        "self.unit == RateUnit::Bytes && !direction.of_processes()",
        "self.unit == RateUnit::Bytes && (FAULT || !direction.of_processes())",
        &[(Compiler, "lower::tests::rates::a_rate_of_bytes")],
    ),
];
