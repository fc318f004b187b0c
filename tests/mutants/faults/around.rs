//! Faults in what is told of other namespaces, of sockets that nobody handed over, and of whose a socket is.

use super::Suite::{Kernel, Runtime, Verbs};
use super::{Fault, fault};

const ELSEWHERE: &str = "runtime/src/elsewhere.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        684,
        ELSEWHERE,
        "|group| groups.contains(&group)",
        "|group| FAULT || groups.contains(&group)",
        &[(Verbs, "groups::a_policy_in_another")],
    ),
    fault(
        692,
        "src/verbs/plan/text.rs",
        "if data.elements != Some(0)",
        "if FAULT || data.elements != Some(0)",
        &[(Verbs, "blocks::a_socket_that_nobody")],
    ),
    fault(
        693,
        "src/verbs/plan.rs",
        "&[&running.manifest, manifest]",
        "&[&running.manifest, if FAULT { &running.manifest } else { manifest }]",
        &[(Verbs, "groups::a_policy_in_another")],
    ),
    fault(
        694,
        "runtime/src/status/drift.rs",
        "Ok(!present.any(|(index, _)| u64::from(index) == hook.target))",
        "Ok(FAULT || !present.any(|(index, _)| u64::from(index) == hook.target))",
        &[(Kernel, "refilled::an_interface_that_only")],
    ),
    fault(
        695,
        "runtime/src/sockets/open.rs",
        "open.map_or(Ok(false), |open|",
        "open.map_or(Ok(FAULT), |open|",
        &[(Runtime, "sockets::open")],
    ),
    fault(
        696,
        "runtime/src/sockets/open.rs",
        "open.cgroup) else {\n        return Ok(false);",
        "open.cgroup) else {\n        return Ok(FAULT);",
        &[(Runtime, "sockets::open")],
    ),
    fault(
        697,
        ELSEWHERE,
        ".is_some_and(|title| title == mark)",
        ".is_some_and(|title| FAULT || title == mark)",
        &[(Verbs, "groups::each_of_two")],
    ),
    fault(
        698,
        ELSEWHERE,
        "self.programs.iter().all(",
        "self.programs.iter().take(if FAULT { 1 } else { usize::MAX }).all(",
        &[(Runtime, "elsewhere::")],
    ),
    fault(
        699,
        "runtime/src/names/coverage.rs",
        "Some(MovedTo::Renamed(now)) => now,",
        "Some(MovedTo::Renamed(now)) => if FAULT { attached.target.clone() } else { now },",
        &[(Verbs, "blocks::an_interface_that_opens")],
    ),
    fault(
        700,
        "src/verbs/plan/reach.rs",
        "one.held.lookups.then_some(Part::Sockets)",
        "None",
        &[(Verbs, "blocks::the_sockets_that_open")],
    ),
    fault(
        701,
        "runtime/src/apply/forecast/data.rs",
        "one.fate != Carried::Goes)",
        "(FAULT || one.fate != Carried::Goes))",
        &[(Verbs, "blocks::a_live_set_that_goes")],
    ),
    fault(
        702,
        "runtime/src/blocks/departing.rs",
        "self.holds == Holds::Block",
        "true",
        &[(Verbs, "spaces::what_others_did")],
    ),
    fault(
        703,
        "runtime/src/blocks/departing.rs",
        "filter(|one| !is_left(one))",
        "filter(|one| FAULT || !is_left(one))",
        &[(Kernel, "namespaces::a_block_that_cannot")],
    ),
];
