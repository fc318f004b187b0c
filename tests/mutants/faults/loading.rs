//! Faults in how objects are loaded: what is read for it, what maps and programs are made with, and what a refusal says.

use super::Suite::{Kernel, Packets, Runtime, Verbs};
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
        "if declared.section_kind() == EbpfSectionKind::Rodata",
        "if !FAULT && declared.section_kind() == EbpfSectionKind::Rodata",
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
];
