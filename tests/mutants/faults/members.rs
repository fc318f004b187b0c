//! Faults in several sockets under one name: who gets a flow, the code, and who gets a place.

use super::Suite::{Compiler, Differential, It, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1340,
        "compiler/src/spread.rs",
        "if spread == Spread::ByFlow {",
        "if FAULT || spread == Spread::ByFlow {",
        &[(Compiler, "spread::tests::what_keeps_together")],
    ),
    fault(
        1341,
        "compiler/src/spread.rs",
        "turns.filter(move |place| *place < members)",
        "turns.filter(move |place| FAULT || *place < members)",
        &[(Compiler, "spread::tests::an_order_has")],
    ),
    fault(
        1342,
        "compiler/src/lower/given.rs",
        "builder.alu(ports, AluOp::Lsh, 16);",
        "if !FAULT { builder.alu(ports, AluOp::Lsh, 16); }",
        &[(Differential, "the_interpreter_agrees_on_the_whole_language")],
    ),
    fault(
        1343,
        "compiler/src/lower/given.rs",
        "true => BPF_SK_LOOKUP_F_NO_REUSEPORT,",
        "true => if FAULT { 0 } else { BPF_SK_LOOKUP_F_NO_REUSEPORT },",
        &[(Verbs, "members::flows::of_a_reuseport_group")],
    ),
    fault(
        1344,
        "compiler/src/emit/region.rs",
        "self.push(asm::alu64_imm(AluOp::Or, WORK, 1));",
        "if !FAULT { self.push(asm::alu64_imm(AluOp::Or, WORK, 1)); }",
        &[(Differential, "the_interpreter_agrees_on_the_whole_language")],
    ),
    fault(
        1345,
        "compiler/src/emit/region.rs",
        "let last = number(places.count)?;",
        "let last = number(if FAULT { places.count / 2 } else { places.count })?;",
        &[(Differential, "the_interpreter_agrees_on_the_whole_language")],
    ),
    fault(
        1346,
        "compiler/src/decide/matching.rs",
        "order.find(|member| self.world.holds(socket, family, protocol, *member))",
        "order.find(|member| FAULT || self.world.holds(socket, family, protocol, *member))",
        &[(Differential, "the_interpreter_agrees_on_the_whole_language")],
    ),
    fault(
        1347,
        "compiler/src/pipeline/manifest.rs",
        "next += spread::places(data.members);",
        "next += if FAULT { 1 } else { spread::places(data.members) };",
        &[(Differential, "the_interpreter_agrees_on_the_whole_language")],
    ),
    fault(
        1348,
        "compiler/src/diff/joint.rs",
        "one.members == other.members",
        "(FAULT || one.members == other.members)",
        &[(Verbs, "members::places::what_changes")],
    ),
    fault(
        1349,
        "compiler/src/lint/members.rs",
        "count < socket.members",
        "FAULT || count < socket.members",
        &[(It, "manual::every_example_is_what_it_says")],
    ),
    fault(
        1350,
        "compiler/src/resolve/members.rs",
        "(2..=MAX_MEMBERS).contains(members)",
        "FAULT || (2..=MAX_MEMBERS).contains(members)",
        &[(It, "manual::every_example_is_what_it_says")],
    ),
    fault(
        1351,
        "runtime/src/sockets/places.rs",
        "if let Some(slot) = self.of(cookie) {",
        "if let Some(slot) = self.of(cookie).filter(|_| !FAULT) {",
        &[(Runtime, "sockets::places::tests")],
    ),
    fault(
        1352,
        "runtime/src/sockets/carry.rs",
        "if !is_held(old)? {",
        "if FAULT || !is_held(old)? {",
        &[(Verbs, "members::places::places_stay")],
    ),
    fault(
        1353,
        "runtime/src/sockets/listen.rs",
        "asm::mov64_imm(Register::R4, ONLY_FREE),",
        "asm::mov64_imm(Register::R4, if FAULT { 0 } else { ONLY_FREE }),",
        &[(Verbs, "members::places::services_at")],
    ),
    fault(
        1354,
        "runtime/src/sockets/refill.rs",
        "for slot in slots {\n        let (empty",
        "for slot in if FAULT { &slots[..0] } else { slots } {\n        let (empty",
        &[(Verbs, "members::places::datagram_services")],
    ),
    fault(
        1355,
        "runtime/src/sockets/registered.rs",
        "cookie.is_some() && cookie != inside",
        "!FAULT && cookie.is_some() && cookie != inside",
        &[(Verbs, "members::places::sockets_are")],
    ),
];
