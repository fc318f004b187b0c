//! Faults in redirects at tc.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault};

const OUTCOME: &str = "compiler/src/lower/ends/outcome.rs";

const WHOLE: Narrow = (Differential, "the_interpreter_agrees_on_the_whole_language");

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
];
