//! Faults in bulk rules with rates: which they are, on which level they are asked, and how code takes their tokens.

use super::Suite::Compiler;
use super::{Fault, Narrow, fault};

const CODE: &str = "compiler/src/lower/answers/walk/rated.rs";
const LEVELS: &str = "compiler/src/bulk/rated.rs";
const ROWS: &str = "compiler/src/lower/bucket/numbers.rs";

const TESTS: &[Narrow] = &[(Compiler, "lower::tests::rated")];
const BULK: &[Narrow] = &[(Compiler, "bulk::tests::rates_for bulk::tests::a_rate_is")];

pub(super) const FAULTS: &[Fault] = &[
    // Two rates for the same packets are remembered as one.
    fault(
        1660,
        LEVELS,
        "last.map(|last| level.max(last))",
        "last.map(|last| if FAULT { 0 } else { level.max(last) })",
        BULK,
    ),
    // Rules for different customers are rules for the same packets.
    fault(
        1670,
        LEVELS,
        "if disjoint(policy, matches, &policy.rules[other].matches)",
        "if !FAULT && disjoint(policy, matches, &policy.rules[other].matches)",
        BULK,
    ),
    // Tokens are taken though a rule decides that is in no table.
    fault(
        1661,
        LEVELS,
        "rule.action.decides() && (!is_bulk[*id] || is_rated(id))",
        "rule.action.decides() && is_rated(id)",
        &[(Compiler, "reduced::tests::rates_that_may_not_be_reached")],
    ),
    // Both hooks take tokens.
    fault(
        1662,
        "compiler/src/place/arriving/homes.rs",
        "pub(crate) fn changes_on_the_way(field: Field) -> bool {\n    matches!(",
        "pub(crate) fn changes_on_the_way(field: Field) -> bool {\n    (!FAULT || field.kind() != FieldKind::Rate) && matches!(",
        BULK,
    ),
    fault(
        1663,
        CODE,
        "if above == conforms { no } else { yes }",
        "if (above || FAULT) == conforms { no } else { yes }",
        TESTS,
    ),
    // What a rate does not count takes tokens.
    fault(
        1664,
        CODE,
        "no: conforming,",
        "no: if FAULT { counted } else { conforming },",
        TESTS,
    ),
    fault(
        1665,
        CODE,
        "builder.alu(address, AluOp::And, mask);",
        "if !FAULT { builder.alu(address, AluOp::And, mask); }",
        TESTS,
    ),
    fault(
        1666,
        CODE,
        "builder.alu(rank, AluOp::Sub, number(self.maps.first));",
        "if !FAULT { builder.alu(rank, AluOp::Sub, number(self.maps.first)); }",
        TESTS,
    ),
    fault(
        1667,
        ROWS,
        "bytes.extend(pace.most.to_le_bytes());",
        "bytes.extend((if FAULT { u64::MAX } else { pace.most }).to_le_bytes());",
        TESTS,
    ),
    fault(
        1668,
        ROWS,
        "rules[id] = self.rules[origin(id)];",
        "rules[id] = self.rules[if FAULT { id } else { origin(id) }];",
        TESTS,
    ),
    // First matches and the key of a bucket share their bytes.
    fault(
        1669,
        "compiler/src/lower/answers/walk/asked.rs",
        "Some(_) => 4 + BUCKET_ROOM,",
        "Some(_) => 4 + if FAULT { 0 } else { BUCKET_ROOM },",
        TESTS,
    ),
];
