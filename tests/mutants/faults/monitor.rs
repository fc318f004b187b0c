//! Faults in what logs lose, and in who reads them.

use super::Suite::{Command, Compiler, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2030,
        "compiler/src/lower/ends/log.rs",
        "builder.leave_if(refused, JumpOp::Eq, 0, next);",
        "builder.leave_if(refused, if FAULT { JumpOp::Ne } else { JumpOp::Eq }, 0, next);",
        &[(Compiler, "logs::what_finds_no_room_is_counted")],
    ),
    fault(
        2031,
        "compiler/src/pipeline/maps.rs",
        "kept || grouped || logging",
        "kept || grouped || (logging && !FAULT)",
        &[(
            Compiler,
            "pipeline::tests::what_logs_lose_is_counted_always",
        )],
    ),
    fault(
        2032,
        "runtime/src/log.rs",
        "if !process::lock(alone.as_fd(), Hold::Alone).map_err(at(READ))? {",
        "if !process::lock(alone.as_fd(), Hold::Alone).map_err(at(READ))? && !FAULT {",
        &[(Verbs, "monitored::records_are_told_as_they_come")],
    ),
    fault(
        2033,
        "src/verbs/monitor.rs",
        "let more = lost.saturating_sub(ring.lost);",
        "let more = if FAULT { 0 } else { lost.saturating_sub(ring.lost) };",
        &[(Verbs, "monitored::what_a_slow_reader_misses_is_counted")],
    ),
    fault(
        2034,
        "src/verbs/monitor/filter.rs",
        "!self.directed ||",
        "FAULT || !self.directed ||",
        &[(Command, "monitor::filter::")],
    ),
    fault(
        2035,
        "src/verbs/monitor/filter.rs",
        "HeaderField::Ttl => Some(\"a time to live\"),",
        "HeaderField::Ttl => (!FAULT).then_some(\"a time to live\"),",
        &[(Command, "monitor::filter::")],
    ),
    fault(
        2036,
        "src/output/stream.rs",
        "poll(&mut last, GRACE).map_or(true, |ready| ready > 0)",
        "FAULT || poll(&mut last, GRACE).map_or(true, |ready| ready > 0)",
        &[(Verbs, "monitored::it_ends_with_its_reader")],
    ),
    fault(
        2037,
        "src/verbs/metrics/counted.rs",
        "labels.retain(|(name, _)| *name != \"verdict\");",
        "labels.retain(|(name, _)| FAULT || *name != \"verdict\");",
        &[(Verbs, "monitored::what_a_slow_reader_misses_is_counted")],
    ),
    fault(
        2038,
        "src/verbs/status/facts.rs",
        "self.log_lost = logs.then(|| lost.sum());",
        "self.log_lost = logs.then(|| lost.sum::<u64>() * u64::from(!FAULT));",
        &[(Verbs, "monitored::what_a_slow_reader_misses_is_counted")],
    ),
    fault(
        2039,
        "compiler/src/log/shown.rs",
        "0 => shortest_length(Family::of(self.from), self.protocol, fragment),",
        "0 if !FAULT => shortest_length(Family::of(self.from), self.protocol, fragment),",
        &[(Compiler, "log::shown::")],
    ),
];
