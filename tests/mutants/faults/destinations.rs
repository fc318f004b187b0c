//! Faults in what is counted of what named sockets are given, and in since when these are there.

use super::Suite::{Compiler, Packets, Runtime, Verbs};
use super::{Fault, Narrow, fault};

const SINCE: &str = "runtime/src/sockets/since.rs";
const STEERED: &str = "runtime/src/state/steered.rs";

const COUNTED: Narrow = (Compiler, "lower::tests::destinations");

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1440,
        "compiler/src/destination.rs",
        "8 * self as u32",
        "8 * (self as u32 / (1 + u32::from(FAULT)))",
        &[COUNTED],
    ),
    fault(
        1441,
        "compiler/src/lower/ends/destination.rs",
        "Some(ending) => self.count_ending(builder, row, ending),",
        "Some(ending) => if !FAULT || ending != Ending::Given { self.count_ending(builder, row, ending) },",
        &[COUNTED],
    ),
    fault(
        1442,
        "compiler/src/lower/given.rs",
        "builder.set_slot(result, 0, missed, Width::W);",
        "builder.set_slot(result, 0, if FAULT { 1 } else { missed }, Width::W);",
        &[COUNTED],
    ),
    fault(
        1443,
        "compiler/src/lower/ends/outcome.rs",
        "true => self.counted_ends(builder, key, [delivered, absent]),",
        "true if !FAULT => self.counted_ends(builder, key, [delivered, absent]),\n            true => [delivered, absent],",
        &[COUNTED],
    ),
    fault(
        1444,
        "compiler/src/emit/slots.rs",
        "Give::ToLookup { .. } => (None, true),",
        "Give::ToLookup { .. } => (None, !FAULT),",
        &[COUNTED],
    ),
    fault(
        1445,
        "compiler/src/lower/ends/destination.rs",
        "self.given.unless_asked(builder, next);",
        "if !FAULT { self.given.unless_asked(builder, next); }",
        &[(Packets, "destinations::a_question_counts_nothing")],
    ),
    fault(
        1446,
        STEERED,
        "old.socket == one.socket && old.slot.is_of_kind(&one.slot)",
        "old.socket == one.socket && (FAULT || old.slot.is_of_kind(&one.slot))",
        &[(Packets, "destinations::numbers_go_on_in_a_policy")],
    ),
    fault(
        1447,
        STEERED,
        "for name in [destination::MAP, CARRIED] {",
        "for name in [destination::MAP, CARRIED].into_iter().take(2 - usize::from(FAULT)) {",
        &[(Packets, "destinations::numbers_go_on_in_a_policy")],
    ),
    fault(
        1448,
        SINCE,
        "let its_own = self.cookie == 0 || self.cookie == cookie;",
        "let its_own = FAULT || self.cookie == 0 || self.cookie == cookie;",
        &[(Runtime, "sockets::since::tests::a_time_is_taken")],
    ),
    fault(
        1449,
        SINCE,
        "let time = before.copied().unwrap_or_else(clock::since_boot);",
        "let time = before.copied().filter(|_| !FAULT).unwrap_or_else(clock::since_boot);",
        &[(Packets, "destinations::a_socket_is_there_since")],
    ),
    fault(
        1450,
        SINCE,
        "self.write(slot, known.unwrap_or_default())\n                .map_err(at(NOTE))?;",
        "if !FAULT { self.write(slot, known.unwrap_or_default()).map_err(at(NOTE))?; }",
        &[(Packets, "destinations::what_a_packet_put_there")],
    ),
    fault(
        1451,
        "runtime/src/sockets/listen.rs",
        "    leave_time(code);\n    code.jump(pass);",
        "    if !FAULT { leave_time(code); }\n    code.jump(pass);",
        &[(Packets, "destinations::one_that_is_refused")],
    ),
    fault(
        1452,
        "runtime/src/sockets/listen.rs",
        "    leave_time(code);\n    // What is refused",
        "    if !FAULT { leave_time(code); }\n    // What is refused",
        &[(Packets, "destinations::members_are_there_each")],
    ),
    fault(
        1453,
        "runtime/src/sockets/refill.rs",
        "    since::now(code);",
        "    if !FAULT { since::now(code); }",
        &[(Packets, "destinations::a_socket_is_there_since")],
    ),
    fault(
        1454,
        "src/machine/destinations.rs",
        "let given = destinations.iter().filter(|one| one.endings.all() > 0);",
        "let given = destinations.iter().filter(|one| FAULT || one.endings.all() > 0);",
        &[(Verbs, "destinations::what_a_name_was_given")],
    ),
    fault(
        1455,
        "src/machine/slots.rs",
        "            since: since(state),",
        "            since: since(state).filter(|_| !FAULT),",
        &[(Verbs, "destinations::since_when")],
    ),
    fault(
        1456,
        "compiler/src/lower/ends/outcome.rs",
        "let [absent, none] =",
        "let missed = if FAULT { logged } else { missed };\n        let [absent, none] =",
        &[COUNTED],
    ),
    fault(
        1457,
        "compiler/src/lower/ends/outcome.rs",
        "[missed, logged].map(",
        "[missed, if FAULT { missed } else { logged }].map(",
        &[COUNTED],
    ),
    fault(
        1458,
        "compiler/src/lower/ends/outcome.rs",
        "Some(Ending::Missed));",
        "Some(if FAULT { Ending::Idle } else { Ending::Missed }));",
        &[COUNTED],
    ),
];
