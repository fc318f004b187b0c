//! Faults in what a command spares itself: what is known already is not found again, and work is done at once with other work.

use super::Suite::{Compiler, Grammar, Kill, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1561,
        "runtime/src/state/heirs.rs",
        "counter.kind != CounterKind::Escaped",
        "(FAULT || counter.kind != CounterKind::Escaped)",
        &[(Runtime, "heirs::")],
    ),
    fault(
        1562,
        "runtime/src/state/heirs.rs",
        ".take_while(|(old, new)| Identity::of(old) == Identity::of(new))",
        ".take_while(|(old, new)| FAULT || Identity::of(old) == Identity::of(new))",
        &[(Runtime, "heirs::")],
    ),
    fault(
        1563,
        "runtime/src/state/chunks.rs",
        "map::is_frozen(self.map.as_fd()).then_some(id)",
        "(FAULT || map::is_frozen(self.map.as_fd())).then_some(id)",
        &[(Runtime, "state::record::")],
    ),
    fault(
        1564,
        "runtime/src/state/record.rs",
        "all.iter().find(|(known, _)| *known == id)",
        "all.iter().find(|(known, _)| FAULT || *known == id)",
        &[(Runtime, "state::record::")],
    ),
    fault(
        1565,
        "compiler/src/lint/list.rs",
        "found >= self.enough ||",
        "!FAULT && found >= self.enough ||",
        &[(Compiler, "lint::tests::large::where_a_policy")],
    ),
    fault(
        1566,
        "runtime/src/load/checked.rs",
        "        sizes(artifact)?;",
        "        if !FAULT { sizes(artifact)?; }",
        &[(Runtime, "load::checked")],
    ),
    fault(
        1567,
        "grammar/src/tree/ahead.rs",
        "let rule = plain::rule(plain.get(start..end)?, source, start);",
        "let rule = plain::rule(plain.get(start..end)?, source, if FAULT { 0 } else { start });",
        &[(Grammar, "plain::large_texts")],
    ),
    fault(
        1568,
        "compiler/src/pipeline/linted.rs",
        "Ok(warnings) => warnings.into_iter().chain(lints).collect(),",
        "Ok(warnings) if FAULT => warnings, Ok(warnings) => warnings.into_iter().chain(lints).collect(),",
        &[(Compiler, "lint::tests::a_rule")],
    ),
    fault(
        1570,
        "runtime/src/status/counters.rs",
        "matches!(own, Look::Half)",
        "(!FAULT && matches!(own, Look::Half))",
        &[(Kill, "what_was_counted")],
    ),
    fault(
        1571,
        "runtime/src/state/totals.rs",
        "Err(Error::State { .. }) => return Ok(()),",
        "Err(_) if FAULT => return Ok(()), Err(Error::State { .. }) => return Ok(()),",
        &[(Kill, "what_was_counted")],
    ),
    fault(
        1572,
        "src/machine/cards.rs",
        "if named || !there || cards.is_empty()",
        "if named || (!there && !FAULT) || cards.is_empty()",
        &[(Verbs, "veth::nothing_is_said")],
    ),
];
