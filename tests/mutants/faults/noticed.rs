//! Faults in what those notice who operate a machine: places that a policy lost, what was not looked at, a service that is gone or
//! silent, and filters that show nothing.

use super::Suite::{Command, Rights, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2309,
        "src/machine/losses.rs",
        "let places = coverage::told(&footing.coverage).into_iter();",
        "let places = coverage::told(&footing.coverage).into_iter().filter(|_| !FAULT);",
        &[(Verbs, "unhooked::an_interface_that_was_made_again")],
    ),
    fault(
        2310,
        "src/verbs/monitor.rs",
        "now.note_since(&self.losses, output);",
        "now.note_since(if FAULT { &now } else { &self.losses }, output);",
        &[(Verbs, "unhooked::")],
    ),
    fault(
        2311,
        "src/verbs/doctor.rs",
        "(0, []) => \"nothing is wrong\".to_owned(),",
        "(0, unseen) if FAULT || unseen.is_empty() => \"nothing is wrong\".to_owned(),",
        &[(Command, "doctor::tests::nothing_is_wrong_only")],
    ),
    fault(
        2312,
        "src/verbs/doctor/running.rs",
        "programs.filter(|(_, (id, _))| !is_known(*id));",
        "programs.filter(|(_, (id, _))| !FAULT && !is_known(*id));",
        &[(Verbs, "doctor::a_program_at_xdp")],
    ),
    fault(
        2313,
        "src/machine/doors.rs",
        "if plates.iter().any(ready) {",
        "if !FAULT && plates.iter().any(ready) {",
        &[(Rights, "served::a_service_whose_socket")],
    ),
    fault(
        2314,
        "src/verbs/answer/desk.rs",
        "if signed.elapsed() >= SIGN {",
        "if !FAULT && signed.elapsed() >= SIGN {",
        &[(Rights, "served::a_command_that_is_silent")],
    ),
    fault(
        2315,
        "src/verbs/monitor/filter/words.rs",
        "is_filter(rule).then(|| format!(\"{before}`{direction}{rule}`{after}\"))",
        "(FAULT || is_filter(rule)).then(|| format!(\"{before}`{}{direction}{rule}`{after}\", if FAULT { VERB } else { \"\" }))",
        &[(Verbs, "monitored::a_filter_that_is_suggested")],
    ),
    fault(
        2316,
        "src/verbs/monitor/filter/words.rs",
        "found.find(|one| one.code == MATCHES_NOTHING)",
        "found.find(|one| !FAULT && one.code == MATCHES_NOTHING)",
        &[(Command, "monitor::filter::")],
    ),
    fault(
        2317,
        "runtime/src/sys/epoll.rs",
        "if !is_ignored(libc::SIGHUP) {",
        "if FAULT || !is_ignored(libc::SIGHUP) {",
        &[(Rights, "served::a_service_ends_with_its_terminal")],
    ),
];
