//! Faults in comparisons of policies.

use super::Suite::Compiler;
use super::{Fault, Narrow, fault};

const WEIGH: &str = "compiler/src/diff/weigh.rs";
const BLOCK: &str = "compiler/src/diff/block.rs";
const SCOPE: &str = "compiler/src/diff/scope.rs";
const REPORT: &str = "compiler/src/diff/report.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "diff::tests::words diff::block"),
    (Compiler, "diff::tests::oracle diff::tests::examples"),
];

pub(super) const FAULTS: &[Fault] = &[
    fault(96, WEIGH, "found.unknown.is_empty()", "true", TESTS),
    fault(
        231,
        WEIGH,
        "state.found.unknown.extend(failed.then_some(edit));",
        "state.found.unknown.extend(failed.then_some(edit).filter(|_| !FAULT));",
        TESTS,
    ),
    fault(
        232,
        WEIGH,
        "Err(_) => found.unknown.push(delta.edit),",
        "Err(_) if FAULT => {}\n                Err(_) => found.unknown.push(delta.edit),",
        TESTS,
    ),
    fault(
        233,
        WEIGH,
        "same_outcome(self.space.joint, old, new)",
        "true",
        TESTS,
    ),
    fault(
        234,
        BLOCK,
        "self.needs_ports || other.needs_ports",
        "self.needs_ports && other.needs_ports",
        TESTS,
    ),
    fault(
        235,
        SCOPE,
        "topic.about != About::Lookup || !self.arriving.contains(&owners(finding))",
        "true",
        TESTS,
    ),
    fault(236, SCOPE, "!found.unknown.is_empty()", "false", TESTS),
    fault(
        237,
        REPORT,
        "told || scope.untold > 0 || scope.incomplete.is_some()",
        "told",
        TESTS,
    ),
    fault(
        238,
        BLOCK,
        "to: both(self.to, other.to)?",
        "to: if FAULT { self.to } else { both(self.to, other.to)? }",
        TESTS,
    ),
];
