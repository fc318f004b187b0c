//! Faults in redirects at tc.

use super::Suite::{Compiler, Differential, Packets, Runtime, Verbs};
use super::{Fault, Narrow, fault};

const OUTCOME: &str = "compiler/src/lower/ends/outcome.rs";

const WHOLE: Narrow = (Differential, "the_interpreter_agrees_on_the_whole_language");

const LINT: &str = "compiler/src/lint/intercepts.rs";

/// What notices that a rule takes half of a handshake.
const HALF: &[Narrow] = &[(Compiler, "lint::tests::intercepts::a_rule_takes")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1400,
        "compiler/src/decide.rs",
        "(_, Fragment::First) => Verdict::Drop,",
        "(_, Fragment::First) if !FAULT => Verdict::Drop,\n        (_, Fragment::First) => Verdict::Allow,",
        &[(Compiler, "decide::tests::a_redirect_at_tc")],
    ),
    fault(
        1401,
        "compiler/src/decide.rs",
        "rule.mark.filter(|_| !ends)",
        "rule.mark.filter(|_| FAULT || !ends)",
        &[(Compiler, "decide::tests::a_redirect_at_tc")],
    ),
    fault(
        1402,
        OUTCOME,
        "builder.leave_if(state, JumpOp::Eq, NEW_SYN_RECV, delivered);",
        "if !FAULT { builder.leave_if(state, JumpOp::Eq, NEW_SYN_RECV, delivered); }",
        &[(Compiler, "lower::tests::intercepts")],
    ),
    fault(
        1403,
        "compiler/src/lower/given.rs",
        "IpProtocol::TCP => TCP_LISTEN,",
        "IpProtocol::TCP => if FAULT { TCP_CLOSE } else { TCP_LISTEN },",
        &[(Compiler, "lower::tests::intercepts"), WHOLE],
    ),
    fault(
        1404,
        "compiler/src/emit/slots.rs",
        "self.push(asm::store_imm(Width::W, FRAME, result, IDLE));",
        "self.push(asm::store_imm(Width::W, FRAME, result, if FAULT { 0 } else { IDLE }));",
        &[(Compiler, "lower::tests::intercepts")],
    ),
    fault(
        1405,
        "compiler/src/lower/answers/socket.rs",
        "Some(_) => self.given.frame.elsewhere,",
        "Some(_) if !FAULT => self.given.frame.elsewhere,\n            Some(_) => self.given.frame.state,",
        &[(Compiler, "lower::tests::intercepts")],
    ),
    fault(
        1406,
        "compiler/src/compose.rs",
        "return taken(packet).unwrap_or(packet);",
        "return if FAULT { packet } else { taken(packet).unwrap_or(packet) };",
        &[(Compiler, "compose::tests::what_placement")],
    ),
    fault(
        1407,
        "compiler/src/expect/verdict.rs",
        "let other = if right { Node::FALSE } else { packets };",
        "let other = if right || FAULT { Node::FALSE } else { packets };",
        &[(Compiler, "expect::tests::a_redirect_at_tc")],
    ),
    fault(
        1410,
        LINT,
        "Self::Second => ACK,",
        "Self::Second => if FAULT { SYN } else { ACK },",
        HALF,
    ),
    fault(
        1411,
        LINT,
        "(line.verdict == DefaultVerdict::Allow)",
        "(!FAULT && line.verdict == DefaultVerdict::Allow)",
        &[(Compiler, "lint::tests::intercepts")],
    ),
    fault(
        1412,
        LINT,
        "!opening.is_missed_by(other) {",
        "(FAULT || !opening.is_missed_by(other)) {",
        HALF,
    ),
    fault(
        1413,
        "runtime/src/delivery/rules.rs",
        "self.inverted || here && self.is_for(mark)",
        "(self.inverted && !FAULT) || here && self.is_for(mark)",
        &[(Runtime, "delivery::rules")],
    ),
    fault(
        1414,
        "runtime/src/delivery/rules.rs",
        "!self.inverted && !self.narrow && self.names(mark)",
        "!self.inverted && (FAULT || !self.narrow) && self.names(mark)",
        &[(Runtime, "delivery::rules")],
    ),
    fault(
        1415,
        "runtime/src/delivery/ports.rs",
        "LinkAttribute::Controller(master) if *master != 0 =>",
        "LinkAttribute::Controller(master) if !FAULT && *master != 0 =>",
        &[(Verbs, "transparent::an_interface_that_joined")],
    ),
    fault(
        1416,
        "src/policies/ready.rs",
        "options.add_routes || about.add_routes",
        "options.add_routes || (!FAULT && about.add_routes)",
        &[(Verbs, "transparent::a_plan_remembers")],
    ),
    fault(
        1417,
        "src/verbs/plan.rs",
        "hooks || data || ways || inner",
        "hooks || data || (ways && !FAULT) || inner",
        &[(Verbs, "transparent::a_plan_remembers")],
    ),
    fault(
        1418,
        "compiler/src/artifact/manifest.rs",
        "!self.samples.iter().all(held)",
        "FAULT || !self.samples.iter().all(held)",
        &[(Verbs, "transparent::a_plan_remembers")],
    ),
    fault(
        1419,
        "runtime/src/delivery.rs",
        "made & bit(*family) != 0 && !needed(family)",
        "!FAULT && made & bit(*family) != 0 && !needed(family)",
        &[(Verbs, "transparent::a_plan_remembers")],
    ),
    fault(
        1420,
        "runtime/src/delivery/rules.rs",
        "whole && self.leads(mark) && self.maker == Maker::Sockc",
        "(FAULT || whole && self.leads(mark)) && self.maker == Maker::Sockc",
        &[(Runtime, "delivery::rules")],
    ),
    fault(
        1421,
        "runtime/src/delivery/ways.rs",
        "header.kind == RouteType::Local && all && header.tos == 0",
        "header.kind == RouteType::Local && all && (FAULT || header.tos == 0)",
        &[(Packets, "transparent::others")],
    ),
    fault(
        1422,
        "runtime/src/delivery/ways.rs",
        "first: first.filter(|_| obstacle.is_none()),",
        "first: first.filter(|_| !FAULT && obstacle.is_none()),",
        &[(Packets, "transparent::others")],
    ),
    fault(
        1423,
        "runtime/src/delivery/probe.rs",
        "answers.push(self.ask(address, Some(from))?);",
        "answers.push(self.ask(address, Some(from).filter(|_| !FAULT))?);",
        &[(Packets, "transparent::others")],
    ),
    fault(
        1424,
        "runtime/src/delivery/obstacles.rs",
        "let off = family == Family::V6 &&",
        "let off = !FAULT && family == Family::V6 &&",
        &[(Packets, "transparent::others")],
    ),
    fault(
        1425,
        "runtime/src/delivery.rs",
        "one.is_some_and(|one| one.goes_beyond(other))",
        "!FAULT && one.is_some_and(|one| one.goes_beyond(other))",
        &[(Verbs, "transparent::")],
    ),
];
