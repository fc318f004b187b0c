//! Faults in what is found out of the SSH connection that a command comes over, and of a machine, and in what becomes of the command.

use super::Suite::{Command, Runtime, Verbs};
use super::{Fault, fault};

const JUDGE: &str = "src/policies/lockout/judge.rs";
const CHECKS: &str = "src/verbs/doctor/checks.rs";
const PACKETS: &str = "src/policies/lockout/packets.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2000,
        JUDGE,
        "let on = way.is_ethernet && coverage::is_on(asked.policy, &way.interface);",
        "let on = FAULT || way.is_ethernet && coverage::is_on(asked.policy, &way.interface);",
        &[(Command, "lockout::tests::what_lets_both_in")],
    ),
    fault(
        2001,
        JUDGE,
        "Fate::Lost(fate) if is_known() => {",
        "Fate::Lost(fate) if FAULT || is_known() => {",
        &[(Command, "lockout::tests::live_sets_are")],
    ),
    fault(
        2002,
        JUDGE,
        "add(Why::Later, &|one| one.rate_exceeded = true);",
        "if !FAULT { add(Why::Later, &|one| one.rate_exceeded = true); }",
        &[(Command, "lockout::tests::what_is_not_known")],
    ),
    fault(
        2003,
        JUDGE,
        "return Fate::Perhaps(fate);",
        "return if FAULT { Fate::Passes } else { Fate::Perhaps(fate) };",
        &[(Command, "lockout::tests::lookups_meet")],
    ),
    fault(
        2004,
        JUDGE,
        "if named && !wanted.any",
        "if !FAULT && named && !wanted.any",
        &[(Command, "lockout::tests::lookups_meet")],
    ),
    fault(
        2005,
        JUDGE,
        "let new = asked.reached.listens(asked.ends).then_some(Part::New);",
        "let new = (FAULT || asked.reached.listens(asked.ends)).then_some(Part::New);",
        &[(Command, "lockout::tests::nobody_gets_in")],
    ),
    fault(
        2006,
        JUDGE,
        ".chain([Part::Neighbour])",
        ".chain((!FAULT).then_some(Part::Neighbour))",
        &[(Command, "lockout::tests::ipv6_needs")],
    ),
    fault(
        2007,
        PACKETS,
        "(Direction::Out, SYN | ACK, FIRST, Listening)",
        "(Direction::Out, SYN | ACK, FIRST, if FAULT { Established } else { Listening })",
        &[(Command, "lockout::tests::answers_have")],
    ),
    fault(
        2008,
        PACKETS,
        "(ACK, FULL),",
        "(ACK, if FAULT { SOME } else { FULL }),",
        &[(Command, "lockout::tests::a_long_packet")],
    ),
    fault(
        2009,
        "src/policies/lockout/words.rs",
        "let allow = naming.all(|rule| rule.action == Action::Allow);",
        "let allow = FAULT || naming.all(|rule| rule.action == Action::Allow);",
        &[(Command, "lockout::tests::a_remedy")],
    ),
    fault(
        2010,
        "src/machine/remote.rs",
        "(client.is_ipv4() == server.is_ipv4()).then_some(ends)",
        "(FAULT || client.is_ipv4() == server.is_ipv4()).then_some(ends)",
        &[(Command, "remote::tests::ends_are_read")],
    ),
    fault(
        2011,
        "src/verbs/rollback.rs",
        "lock_me_out: arguments.lock_me_out,",
        "lock_me_out: FAULT || arguments.lock_me_out,",
        &[(Verbs, "lockout::what_would_cut")],
    ),
    fault(
        2012,
        "runtime/src/sockets/reached.rs",
        "self.connected || self.local && self.listens(ends)",
        "FAULT || self.connected || self.local && self.listens(ends)",
        &[(Verbs, "lockout::a_variable_with")],
    ),
    fault(
        2013,
        "runtime/src/sys/diag.rs",
        "Ok(body.get(STATE) == Some(&ESTABLISHED))",
        "Ok(FAULT || body.get(STATE) == Some(&ESTABLISHED))",
        &[(Verbs, "lockout::a_variable_with")],
    ),
    fault(
        2014,
        "src/verbs/apply/cut_off.rs",
        "match (looked.cuts(), wanted) {",
        "match (looked.cuts(), FAULT || wanted) {",
        &[(Verbs, "lockout::a_variable_with")],
    ),
    fault(
        2020,
        "runtime/src/health.rs",
        "(word(\"policy\") == \"drop\").then(",
        "(FAULT || word(\"policy\") == \"drop\").then(",
        &[(Runtime, "health::tests::chains_that_drop")],
    ),
    fault(
        2021,
        CHECKS,
        "Some(version) if version < OLDEST =>",
        "Some(version) if !FAULT && version < OLDEST =>",
        &[(Command, "checks::tests::numbers_of_kernels")],
    ),
    fault(
        2022,
        CHECKS,
        "filter(|(has, ..)| !has(features))",
        "filter(|(has, ..)| !FAULT && !has(features))",
        &[(Command, "checks::tests::each_thing")],
    ),
    fault(
        2023,
        "src/verbs/doctor/running.rs",
        "(number > 0).then(",
        "(!FAULT && number > 0).then(",
        &[(Verbs, "doctor::a_sound_machine")],
    ),
    fault(
        2024,
        "src/verbs/doctor.rs",
        "let ends = found.iter().map(|one| one.ends).max();",
        "let ends = found.iter().map(|one| one.ends).filter(|_| !FAULT).max();",
        &[(Verbs, "doctor::what_is_missing")],
    ),
];
