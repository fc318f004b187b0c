//! Faults in bulk rules that ask what the header does not tell: which they are, what tables keep of them, and how code asks.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault};

const WALK: &str = "compiler/src/lower/answers/walk/asked.rs";
const PARTS: &str = "compiler/src/classifier/asked.rs";
const TABLES: &str = "compiler/src/classifier/tables.rs";
const GROW: &str = "compiler/src/classifier/grow.rs";
const MOST: &str = "compiler/src/bulk/questions.rs";

const TESTS: &[Narrow] = &[(Compiler, "lower::tests::asked")];

const WHOLE: &[Narrow] = &[
    (Compiler, "lower::tests::asked"),
    (
        Differential,
        "the_interpreter_agrees_where_plain the_interpreter_agrees_on_the_whole_language_where",
    ),
];

pub(super) const FAULTS: &[Fault] = &[
    // A better match of a question is lost, or a worse one kept.
    fault(
        1520,
        WALK,
        "builder.leave_if(found, JumpOp::Ge, first, miss);",
        "if !FAULT { builder.leave_if(found, JumpOp::Ge, first, miss); }",
        WHOLE,
    ),
    // What asks is asked though a better rule has won already.
    fault(
        1521,
        WALK,
        "builder.leave_if(first, JumpOp::Ge, winner, no);",
        "if !FAULT { builder.leave_if(first, JumpOp::Ge, winner, no); }",
        TESTS,
    ),
    // Who asked for the first match is forgotten.
    fault(
        1522,
        WALK,
        "builder.store_slot(self.given.frame.call_site, 0, call_site, Width::W);",
        "if !FAULT { builder.store_slot(self.given.frame.call_site, 0, call_site, Width::W); }",
        WHOLE,
    ),
    fault(
        1523,
        "compiler/src/lower/answers/walk/rated.rs",
        "0 => self.no,",
        "0 if !FAULT => self.no,",
        TESTS,
    ),
    // A record that asks takes those away that stand behind it.
    fault(
        1524,
        GROW,
        "[0, flat.question()].contains(&one.question()) && spans",
        "(FAULT || [0, flat.question()].contains(&one.question())) && spans",
        WHOLE,
    ),
    fault(
        1525,
        GROW,
        "&& flat.question() == 0",
        "&& (FAULT || flat.question() == 0)",
        TESTS,
    ),
    fault(
        1526,
        TABLES,
        "u64::from(item.question) << group_bits",
        "u64::from(item.question) << (group_bits + u32::from(FAULT))",
        TESTS,
    ),
    // Every negated set is the set.
    fault(
        1527,
        PARTS,
        "negated: *negated,",
        "negated: *negated && !FAULT,",
        TESTS,
    ),
    // A set whose elements change decides whose sockets are taken in.
    fault(
        1528,
        "compiler/src/bulk/grouping.rs",
        "!Hook::leave_alone(rule.direction)",
        "true",
        &[(Compiler, "bulk::tests::what_changes_is_not_asked")],
    ),
    fault(
        1529,
        MOST,
        "question.as_ref().is_none_or(|one| most.contains(one))",
        "true",
        &[(Compiler, "bulk::tests::what_few_rules_ask")],
    ),
];
