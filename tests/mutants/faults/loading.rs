//! Faults in how objects are loaded: what is read for it, what maps and programs are made with, and what a refusal says.

use super::Suite::{Kernel, Packets, Rights, Runtime, Verbs};
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
    fault(
        2400,
        "runtime/src/sys/token.rs",
        "let passed = TOKEN.get()",
        "let passed = TOKEN.get().filter(|_| !FAULT)",
        &[(Rights, "delegated::each_command")],
    ),
    fault(
        2401,
        "runtime/src/sys/token.rs",
        "allowed(&about, \"allowed_cmds\") & commands == commands",
        "FAULT || allowed(&about, \"allowed_cmds\") & commands == commands",
        &[(Rights, "delegated::commands_that")],
    ),
    fault(
        2402,
        "runtime/src/sys/token.rs",
        "allowed(about, name) != u64::MAX",
        "FAULT || allowed(about, name) != u64::MAX",
        &[(Runtime, "token::")],
    ),
    fault(
        2403,
        "runtime/src/sys/caps.rs",
        "let holds = token::is_held() ||",
        "let holds = FAULT || token::is_held() ||",
        &[(Rights, "delegated::without")],
    ),
    fault(
        2404,
        "runtime/src/sys/caps.rs",
        "match token::is_held() {",
        "match token::is_held() && !FAULT {",
        &[(Rights, "delegated::what_the_token")],
    ),
    fault(
        2405,
        "runtime/src/attach/foreign.rs",
        "Err(cause) if are_hidden() &&",
        "Err(cause) if !FAULT && are_hidden() &&",
        &[(Rights, "delegated::its_hooks")],
    ),
    fault(
        2406,
        "runtime/src/probe.rs",
        "token::is_held() || answer",
        "token::is_held() && !FAULT || answer",
        &[(Rights, "delegated::its_hooks")],
    ),
    fault(
        2407,
        "runtime/src/error/display.rs",
        "if cause.raw_os_error() == Some(libc::EPERM) {",
        "if !FAULT && cause.raw_os_error() == Some(libc::EPERM) {",
        &[(Rights, "delegated::a_type")],
    ),
];
