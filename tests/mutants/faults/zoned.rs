//! Faults of importing what firewalld is configured by.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2625,
        "src/verbs/import/firewalld/dispatch.rs",
        "all.reverse();",
        "if !FAULT { all.reverse(); }",
        &[(Verbs, "firewalld::patterns_that_meet")],
    ),
    fault(
        2626,
        "src/verbs/import/firewalld/settings.rs",
        "..0 => Phase::Ahead,",
        "..0 => if FAULT { plain } else { Phase::Ahead },",
        &[(Verbs, "firewalld::rich_rules_stand")],
    ),
    fault(
        2627,
        "src/verbs/import/firewalld/always.rs",
        "(Target::Default, None) => Some(Goal::Accept),",
        "(Target::Default, None) => (!FAULT).then_some(Goal::Accept),",
        &[(Verbs, "firewalld::zones_of_senders")],
    ),
    fault(
        2628,
        "src/verbs/import/firewalld/config.rs",
        "policies.sort_by_key(|policy| policy.priority);",
        "policies.sort_by_key(|policy| if FAULT { 0 } else { policy.priority });",
        &[(Verbs, "firewalld::policies_stand")],
    ),
    fault(
        2629,
        "src/verbs/import/firewalld/services.rs",
        "Ok(number) if family == Family::V6 && BETWEEN.contains(number) => {",
        "Ok(number) if !FAULT && family == Family::V6 && BETWEEN.contains(number) => {",
        &[(Command, "services::tests::a_protocol_that")],
    ),
];
