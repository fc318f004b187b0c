//! Faults that users met from outside: recordings, quotes, kept files, sets over SSH, and what is said where something is in the way.

use super::Suite::{Command, Kernel, Kill, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2200,
        "src/files/capture.rs",
        "one.of_processes() && one.word() == word",
        "!FAULT && one.of_processes() && one.word() == word",
        &[(Verbs, "explaining::what_processes_did")],
    ),
    fault(
        2201,
        "src/verbs/explain/recording.rs",
        "list.map_or(0, |_| event.direction() as usize)",
        "list.map_or(0, |_| if FAULT { 0 } else { event.direction() as usize })",
        &[(Verbs, "explaining::a_recording_knows")],
    ),
    fault(
        2202,
        "src/output.rs",
        "'\"' | '\\\\' => quoted.extend(['\\\\', letter]),",
        "'\"' | '\\\\' if !FAULT => quoted.extend(['\\\\', letter]),",
        &[(Command, "output::tests::a_quoted_text")],
    ),
    fault(
        2203,
        "src/verbs/top/drawn.rs",
        "0 => without_room(lists.len()),",
        "0 if !FAULT => without_room(lists.len()),",
        &[(Command, "top::drawn::tests::lists_without_room")],
    ),
    fault(
        2204,
        "runtime/src/confirm.rs",
        "had && state.kept_trial()?.is_none()",
        "!FAULT && had && state.kept_trial()?.is_none()",
        &[(Kernel, "trial::what_others_took_away")],
    ),
    fault(
        2205,
        "runtime/src/state/trial.rs",
        "self.generation == 0 && self.deadline != 0 && follows",
        "!FAULT && self.generation == 0 && self.deadline != 0 && follows",
        &[
            (Runtime, "what_was_confirmed"),
            (Kill, "kept::confirm_is_killed"),
        ],
    ),
    fault(
        2206,
        "runtime/src/state/at_start.rs",
        "Err(error) if knows_no_links(&error) =>",
        "Err(error) if !FAULT && knows_no_links(&error) =>",
        &[(Kill, "kept::a_disk_without_links")],
    ),
    fault(
        2207,
        "src/verbs/metrics/request.rs",
        "weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)",
        "FAULT || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)",
        &[(Command, "request::tests::what_is_accepted")],
    ),
    fault(
        2208,
        "src/files/written.rs",
        "kill(Pid::from_raw(number), None) == Err(Errno::ESRCH)",
        "!FAULT && kill(Pid::from_raw(number), None) == Err(Errno::ESRCH)",
        &[(Command, "written::tests::what_a_killed_command")],
    ),
    fault(
        2209,
        "src/policies/lockout/members.rs",
        "let comes = covers(elements, address);",
        "let comes = !FAULT && covers(elements, address);",
        &[(Verbs, "lockout::a_live_set")],
    ),
    fault(
        2210,
        "src/policies/lockout/judge.rs",
        "self.cuts.into_iter().filter(|cut| !was(cut)).collect()",
        "self.cuts.into_iter().filter(|cut| FAULT || !was(cut)).collect()",
        &[(Verbs, "lockout::a_live_set")],
    ),
    fault(
        2211,
        "runtime/src/attach.rs",
        "if !matches!(program, Ok(None)) {",
        "if FAULT || !matches!(program, Ok(None)) {",
        &[(Verbs, "veth::below_a_program")],
    ),
    fault(
        2212,
        "src/verbs/doctor/running.rs",
        "Err(error @ Error::Untrusted { .. }) => Some(Finding::fault(",
        "Err(error @ Error::Untrusted { .. }) if !FAULT => Some(Finding::fault(",
        &[(Verbs, "doctor::")],
    ),
    fault(
        2213,
        "src/machine/slots.rs",
        "!matches!(state.state, Fill::Filled | Fill::Free)",
        "!FAULT && !matches!(state.state, Fill::Filled | Fill::Free)",
        &[(Verbs, "doctor::")],
    ),
    fault(
        2214,
        "src/files/input.rs",
        "if bytes.starts_with(ELF) {",
        "if !FAULT && bytes.starts_with(ELF) {",
        &[(Verbs, "plain::an_object_is_no_text")],
    ),
    fault(
        2216,
        "src/verbs/counters/watch.rs",
        "words(rate.filter(|_| bytes.is_some()).map(|[_, bytes]| bytes)),",
        "words(rate.filter(|_| FAULT || bytes.is_some()).map(|[_, bytes]| bytes)),",
        &[(Command, "watch::tests::calls")],
    ),
    fault(
        2215,
        "src/changes/words.rs",
        "both.is_some_and(|(before, after)| before != after)",
        "FAULT || both.is_some_and(|(before, after)| before != after)",
        &[(Verbs, "plain::a_redirect_that_lets_nobody_in")],
    ),
];
