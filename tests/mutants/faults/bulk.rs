//! Faults in which rules are bulk, and how they are put into groups.

use super::Suite::{Compiler, Differential, Streams};
use super::{Fault, Narrow, fault};

const CUT: &str = "compiler/src/bulk/grouping.rs";

const TESTS: &[Narrow] = &[
    (Compiler, "bulk:: lower::tests::first_match"),
    (
        Differential,
        "the_interpreter_agrees_where_plain the_interpreter_agrees_on_the_whole_language_where",
    ),
];

const HEADER: &[Narrow] = &[(Compiler, "bulk:: lower::tests::conditions")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        171,
        CUT,
        "*direction != rule.direction",
        "true || *direction != rule.direction",
        TESTS,
    ),
    fault(
        172,
        CUT,
        "rule.rate.is_none()",
        "true",
        &[(Compiler, "bulk::tests::a_rate_is")],
    ),
    fault(173, CUT, "rule.mark.is_some()", "false", TESTS),
    fault(174, CUT, "rule.log.is_some()", "false", TESTS),
    fault(175, CUT, "rule.in_lookup()", "false", TESTS),
    fault(
        176,
        CUT,
        "!(looked_up && rule.matches.on.is_some())",
        "true",
        TESTS,
    ),
    fault(177, CUT, "bulk.len() >= least", "bulk.len() > least", TESTS),
    fault(
        178,
        CUT,
        "numbers(id).all(|number| usual.contains(&number.0))",
        "true",
        TESTS,
    ),
    fault(
        179,
        CUT,
        "&& is_answerable(&rule.matches)",
        "&& (is_answerable(&rule.matches) || FAULT)",
        TESTS,
    ),
    fault(
        1459,
        CUT,
        "!(moved && conditions == Conditions::Lasting)",
        "true",
        HEADER,
    ),
    fault(
        1460,
        CUT,
        "of_class.filter(asks).count() > 1",
        "of_class.filter(asks).count() > 2",
        HEADER,
    ),
    fault(
        1461,
        CUT,
        "(!looked_up || is_terminal(rule.action))",
        "true",
        HEADER,
    ),
    fault(
        1462,
        "compiler/src/classifier/boxes.rs",
        "one.code.unwrap_or(u8::MAX)",
        "one.code.unwrap_or(0)",
        HEADER,
    ),
    fault(
        1463,
        "compiler/src/classifier/outside.rs",
        "self.ports.minus(ports)",
        "self.ports.clone()",
        HEADER,
    ),
    fault(
        1464,
        "compiler/src/classifier/classes.rs",
        "answers.push(holds);",
        "answers.push(holds || FAULT);",
        HEADER,
    ),
    fault(
        707,
        "compiler/src/bulk/members.rs",
        "return rule.is_for(group);",
        "return FAULT || rule.is_for(group);",
        TESTS,
    ),
    fault(
        708,
        CUT,
        "matches!(rule.action, Action::Shortcut(_))",
        "false",
        TESTS,
    ),
    fault(
        709,
        "compiler/src/chain/concern.rs",
        "store.exists(shortened, Field::FirstMatch)",
        "if FAULT { Ok(shortened) } else { store.exists(shortened, Field::FirstMatch) }",
        TESTS,
    ),
    fault(
        710,
        "compiler/src/lower/answers/walk.rs",
        "i64::from(only.0)",
        "i64::from(only.0) + i64::from(FAULT)",
        TESTS,
    ),
    fault(
        711,
        "compiler/src/chain/concern.rs",
        "matches!(field.kind(), FieldKind::Tuple | FieldKind::FirstMatch)",
        "field.kind() == FieldKind::Tuple",
        &[(Streams, "many::a_write_is_refused")],
    ),
];
