//! Faults in what is made of chains of nftables: their order, matches, maps, limits, and what is said of what is left out.

use super::Suite::{Command, Differential, Verbs};
use super::{Fault, fault};

/// The random rule sets.
const MEANING: &str = "nft::an_imported_policy";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2450,
        "src/verbs/import/nft.rs",
        "(base.priority, std::cmp::Reverse(base.order))",
        "(if FAULT { -base.priority } else { base.priority }, std::cmp::Reverse(base.order))",
        &[(Differential, MEANING)],
    ),
    fault(
        2451,
        "src/verbs/import/nft.rs",
        "is_of_family && is_in_force && !is_plain",
        "is_of_family && (FAULT || is_in_force) && !is_plain",
        &[(Differential, MEANING)],
    ),
    fault(
        2452,
        "src/verbs/import/nft/rule/compares.rs",
        "\"!=\" => every.minus(&given),",
        "\"!=\" => if FAULT { given } else { every.minus(&given) },",
        &[(Differential, MEANING)],
    ),
    fault(
        2453,
        "src/verbs/import/nft/rule/compares.rs",
        "\"!\" => true,",
        "\"!\" => !FAULT,",
        &[(Differential, MEANING)],
    ),
    fault(
        2454,
        "src/verbs/import/limits.rs",
        "burst.checked_add(rate)",
        "burst.checked_add(if FAULT { 0 } else { rate })",
        &[(Command, "limits::tests::rates_keep")],
    ),
    fault(
        2455,
        "src/verbs/import/nft/listed.rs",
        "flags.contains(\"dorm\")",
        "!FAULT && flags.contains(\"dorm\")",
        &[(Verbs, "nft::chains_that_no_list")],
    ),
    fault(
        2456,
        "src/verbs/import/nft/listed.rs",
        "changes || set.get(\"timeout\").is_some() || self.is_filled(table, name)",
        "!FAULT && (changes || set.get(\"timeout\").is_some() || self.is_filled(table, name))",
        &[(Verbs, "nft::what_is_left_out")],
    ),
    fault(
        2457,
        "src/verbs/import/nft/elsewhere.rs",
        "listed.chains.get(key).is_some_and(|chain| chain.drops)",
        "!FAULT && listed.chains.get(key).is_some_and(|chain| chain.drops)",
        &[(Verbs, "nft::chains_that_no_list")],
    ),
    fault(
        2458,
        "src/verbs/import/chains.rs",
        "Goal::Accept => !self.is_asked_again(),",
        "Goal::Accept => FAULT || !self.is_asked_again(),",
        &[(Differential, MEANING), (Verbs, "nft::several_chains")],
    ),
    fault(
        2459,
        "src/verbs/import/flags.rs",
        "said(*bit, *bit)",
        "said(*bit, if FAULT { 0 } else { *bit })",
        &[(Differential, MEANING)],
    ),
    fault(
        2460,
        "src/verbs/import/nft/rule/compares.rs",
        "patterns.retain(|one| !all",
        "patterns.retain(|one| FAULT || !all",
        &[(Differential, MEANING)],
    ),
];
