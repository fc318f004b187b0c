//! Faults in how objects are loaded: what is read for it, what maps and programs are made with, and what a refusal says; and in
//! what is saved on the way, since it is known already.

use super::Suite::{Compiler, Grammar, Kernel, Packets, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1500,
        "runtime/src/probe.rs",
        "segments: kernel_types::are_told(),",
        "segments: if FAULT { crate::code::segments::known(true).is_ok() } else { kernel_types::are_told() },",
        &[(Verbs, "unread::")],
    ),
    fault(
        1507,
        "runtime/src/load.rs",
        "if is_machine(&cause) {",
        "if is_machine(&cause) && !FAULT {",
        &[(Runtime, "load::")],
    ),
    fault(
        1508,
        "runtime/src/load.rs",
        "declared.section_kind() == EbpfSectionKind::Rodata",
        "false",
        &[(Kernel, "lifecycle::tables_decide")],
    ),
    fault(
        1509,
        "runtime/src/sys/verified.rs",
        "program.log_level = LEVEL;",
        "program.log_level = if FAULT { 4 } else { LEVEL };",
        &[(Packets, "refusals::a_program_that_the_verifier")],
    ),
    fault(
        1510,
        "runtime/src/sys/verified.rs",
        "program.line_info_cnt = count(source.lines)?;",
        "program.line_info_cnt = if FAULT { 0 } else { count(source.lines)? };",
        &[(Packets, "refusals::a_program_that_the_verifier")],
    ),
    fault(
        1511,
        "runtime/src/sys/retry.rs",
        "Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}",
        "Err(error) if error.kind() == io::ErrorKind::WouldBlock && !FAULT => {}",
        &[(Runtime, "retry::")],
    ),
    fault(
        1561,
        "runtime/src/state/heirs.rs",
        "let by_verdict = unnamed && counter.kind != CounterKind::Escaped;",
        "let by_verdict = unnamed;",
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
];
