//! Faults in what those are told who look after a machine: filters, answers for a group, and what to do about what is found.

use super::Suite::{Command, Rights, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2461,
        "src/verbs/monitor/filter/words.rs",
        "Statement::Include(_) => return",
        "Statement::Include(_) if !FAULT => return",
        &[(Verbs, "monitored::a_filter_includes")],
    ),
    fault(
        2462,
        "src/verbs/monitor/filter/words.rs",
        "(rule_asks(rule, HeaderField::Mark), \"a mark\"),",
        "(!FAULT && rule_asks(rule, HeaderField::Mark), \"a mark\"),",
        &[
            (Command, "filter::tests::what_no_record"),
            (Verbs, "called::each_word"),
        ],
    ),
    fault(
        2463,
        "compiler/src/log/shown.rs",
        "self.hook.is_packet().then_some(packet.mark)",
        "(FAULT || self.hook.is_packet()).then_some(packet.mark)",
        &[
            (Command, "filter::tests::words_of_a_rule"),
            (Verbs, "called::"),
        ],
    ),
    fault(
        2464,
        "src/answering/frames.rs",
        "if text.len() > MOST_BYTES {",
        "if !FAULT && text.len() > MOST_BYTES {",
        &[
            (Command, "frames::tests::what_is_no_request"),
            (Rights, "answered::a_command_line_that_is_too_long"),
        ],
    ),
    fault(
        2465,
        "src/verbs/answer/desk.rs",
        "guest.set_write_timeout(Some(TO_READ))",
        "guest.set_write_timeout((!FAULT).then_some(TO_READ))",
        &[(Rights, "answered::who_never_reads")],
    ),
    fault(
        2466,
        "src/verbs/doctor/checks.rs",
        "if !health.legacy.is_empty() {",
        "if !FAULT && !health.legacy.is_empty() {",
        &[(Command, "checks::tests::all_that_is_told")],
    ),
];
