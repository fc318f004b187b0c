//! Faults in the check that the chains together mean what the list means: whoever breaks a chain has to be caught.

use super::Suite::Compiler;
use super::{Fault, Narrow, fault};

const COMPOSE: &str = "compiler/src/compose.rs";

const TESTS: &[Narrow] = &[(Compiler, "compose::")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        49,
        COMPOSE,
        "twice.map_or(Ok(()), |rule| Err(Fault::MeteredTwice(rule)))",
        "Ok(())",
        TESTS,
    ),
    fault(
        201,
        COMPOSE,
        "watched != to_watch || watched && packet != found",
        "false",
        TESTS,
    ),
    fault(
        202,
        COMPOSE,
        "matches!(hook.reads(field), Ability::No(_))",
        "false",
        TESTS,
    ),
    fault(
        203,
        COMPOSE,
        "if list == chains {",
        "if FAULT || list == chains {",
        TESTS,
    ),
    fault(
        204,
        COMPOSE,
        "check.lookups()?;",
        "if !FAULT { check.lookups()?; }",
        TESTS,
    ),
    fault(
        205,
        COMPOSE,
        "if goes_on(outcome) { after } else { NOBODY }",
        "after",
        TESTS,
    ),
    fault(
        206,
        COMPOSE,
        "(first, _) if !goes_on(first) => first,",
        "(first, _) if !FAULT && !goes_on(first) => first,",
        TESTS,
    ),
    fault(
        207,
        COMPOSE,
        "check.arriving_deciders(class)?;",
        "if !FAULT { check.arriving_deciders(class)?; }",
        TESTS,
    ),
    fault(
        208,
        COMPOSE,
        "check.arriving_verdicts(class)?;",
        "if !FAULT { check.arriving_verdicts(class)?; }",
        TESTS,
    ),
];
