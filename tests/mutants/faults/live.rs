//! Faults in live sets and live maps.

use super::Suite::{Kernel, Kill, Runtime};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        451,
        "runtime/src/set_maps.rs",
        "members.purge(now);",
        "if !FAULT { members.purge(now); }",
        &[(
            Kernel,
            "live_sets::what_has_expired live_sets::an_element live_sets::an_address",
        )],
    ),
    fault(
        453,
        "runtime/src/set_maps.rs",
        "side: other,",
        "side: if FAULT { before.side } else { other },",
        &[(Kernel, "live_sets::a_full_set")],
    ),
    fault(
        454,
        "runtime/src/set_maps.rs",
        "read_key(key).is_none_or(|(of, _)| of == side)",
        "true",
        &[(Kernel, "live_sets::a_full_set")],
    ),
    fault(
        455,
        "runtime/src/set_maps.rs",
        "count = count.saturating_sub(1);",
        "count = count.saturating_sub(usize::from(!FAULT));",
        &[(Kernel, "live_sets::what_has_expired")],
    ),
    fault(
        456,
        "runtime/src/set_maps.rs",
        "let Some(outer) = shorter.and_then(|length| Prefix::truncate(element.address(), length))",
        "let Some(outer) = shorter.filter(|_| !FAULT).and_then(|length| Prefix::truncate(element.address(), length))",
        &[(Kernel, "live_sets::an_element live_sets::an_address")],
    ),
    fault(
        457,
        "runtime/src/set_maps.rs",
        "unfinished: true,\n            ..before",
        "unfinished: !FAULT,\n            ..before",
        &[(Kill, "kills::set_load")],
    ),
    fault(
        461,
        "runtime/src/set_change.rs",
        "until.unwrap_or(0).max(outer)",
        "until.unwrap_or(0)",
        &[(Kernel, "live_sets::an_element live_sets::an_address")],
    ),
    fault(
        462,
        "runtime/src/set_change.rs",
        "element == Prefix::host(element.address()) || maps.due_after(None)?.is_none()",
        "true",
        &[(Kernel, "live_sets::an_element live_sets::an_address")],
    ),
    fault(
        463,
        "runtime/src/set_change.rs",
        "maps.write(side, element, Times { member, own })?;",
        "maps.write(side, element, Times { member: if FAULT { own } else { member }, own })?;",
        &[(Kernel, "live_sets::an_element live_sets::an_address")],
    ),
    fault(
        467,
        "runtime/src/sets.rs",
        "wanted > plan.max as usize",
        "false",
        &[(Kernel, "live_sets::a_refusal")],
    ),
    fault(
        468,
        "runtime/src/sets.rs",
        "missing == Missing::Refused",
        "false",
        &[(Kernel, "live_sets::a_refusal")],
    ),
    fault(
        469,
        "runtime/src/sets.rs",
        "there.is_some() && shapes.get(name).copied() == there",
        "there.is_some()",
        &[(Kernel, "forecast::live")],
    ),
    fault(
        470,
        "runtime/src/sets.rs",
        "None => at_start(plan, now)?,",
        "None => if FAULT { Members::default() } else { at_start(plan, now)? },",
        &[(Kernel, "live_sets::what_is_added")],
    ),
    fault(
        472,
        "runtime/src/entry_maps.rs",
        "side * PORTS",
        "(side & 0) * PORTS",
        &[(Kernel, "live_maps::")],
    ),
    fault(
        473,
        "runtime/src/entry_maps.rs",
        "side_of(key).is_none_or(|of| of == side)",
        "true",
        &[(Kernel, "live_maps::")],
    ),
    fault(
        475,
        "runtime/src/entries.rs",
        "both && !apart && !nested",
        "!apart && !nested",
        &[(Runtime, "entries::")],
    ),
    fault(
        478,
        "runtime/src/prefix.rs",
        "(prefix.address == address).then_some(prefix)",
        "Some(prefix)",
        &[(Runtime, "prefix::")],
    ),
];
