//! Faults in `self`, the addresses of the machine.

use super::Suite::{Boot, Compiler, Grammar, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2144,
        "compiler/src/resolve.rs",
        "around.retain(|name| name != OWN);",
        "around.retain(|name| FAULT || name != OWN);",
        &[(Compiler, "resolve::tests::structure::self_is_one_set")],
    ),
    fault(
        2145,
        "compiler/src/packet/text/own.rs",
        "return first(members, v6);",
        "return first(members, v6 != FAULT);",
        &[(Compiler, "packet::text::tests::self_is_an_address")],
    ),
    fault(
        2146,
        "runtime/src/live/own.rs",
        "false => space.take(prefix),",
        "false => if !FAULT { space.take(prefix) },",
        &[(Runtime, "own::")],
    ),
    fault(
        2147,
        "runtime/src/live/own.rs",
        "entries.dedup_by_key(|(prefix, _)| *prefix);",
        "if !FAULT { entries.dedup_by_key(|(prefix, _)| *prefix); }",
        &[(Runtime, "own::")],
    ),
    fault(
        2148,
        "runtime/src/live/own.rs",
        "self.0.insert(other);",
        "if !FAULT { self.0.insert(other); }",
        &[(Runtime, "own::")],
    ),
    fault(
        2149,
        "runtime/src/live/own.rs",
        "gone: held.without(own),",
        "gone: if FAULT { Vec::new() } else { held.without(own) },",
        &[(Runtime, "own::")],
    ),
    fault(
        2168,
        "runtime/src/live/sets.rs",
        "sources.around.filter(|_| !plan.is_own())",
        "sources.around.filter(|_| FAULT || !plan.is_own())",
        &[(Verbs, "own::a_block")],
    ),
    fault(
        2169,
        "runtime/src/live/sets.rs",
        "maps.replace(&own).map_err(at(own::FILLING))?;",
        "if !FAULT { maps.replace(&own).map_err(at(own::FILLING))?; }",
        &[(Verbs, "own::an_address_that_comes")],
    ),
    fault(
        2170,
        "runtime/src/sys/local_table.rs",
        "is_local: header.kind == RouteType::Local,",
        "is_local: FAULT || header.kind == RouteType::Local,",
        &[(Verbs, "own::what_the_routes")],
    ),
    fault(
        2171,
        "runtime/src/watch.rs",
        "is_route && message.get(20).is_some_and(|table| *table != TABLE)",
        "!FAULT && is_route && message.get(20).is_some_and(|table| *table != TABLE)",
        &[(Runtime, "watch::")],
    ),
    fault(
        2172,
        "runtime/src/live/own.rs",
        "match plan.is_own() && !options.own_as_told {",
        "match plan.is_own() && !options.own_as_told && !FAULT {",
        &[(Verbs, "own::no_command")],
    ),
    fault(
        2173,
        "src/verbs/status.rs",
        "whole &= own::tell(&status.own, output);",
        "whole &= own::tell(&status.own, output) || FAULT;",
        &[(Verbs, "own::an_address_that_comes")],
    ),
    fault(
        2174,
        "src/policies/lockout/known.rs",
        "if set.is_own() {",
        "if set.is_own() && !FAULT {",
        &[(Verbs, "lockout::the_address_that_the_session_came_to")],
    ),
    fault(
        2175,
        "src/verbs/apply/watch.rs",
        "if !is_own_behind(before) {",
        "if FAULT || !is_own_behind(before) {",
        &[(Boot, "watch::addresses_that_come")],
    ),
    fault(
        2176,
        "grammar/src/mistake.rs",
        "(scan::word(name, 0) == OWN).then(|| {",
        "(scan::word(name, 0) == OWN && !FAULT).then(|| {",
        &[(Grammar, "tests::recovery::one_mistake")],
    ),
    fault(
        2177,
        "compiler/src/policy/declared.rs",
        "match name == OWN {",
        "match name == OWN && !FAULT {",
        &[(Compiler, "expect::tests::lines_speak_of_the_addresses")],
    ),
];
