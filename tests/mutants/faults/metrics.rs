//! Faults in numbers for Prometheus: what rules that are gone counted, labels, files, requests.

use super::Suite::{Command, Metrics, Runtime};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1940,
        "runtime/src/state/gone.rs",
        "*inherited = true;",
        "*inherited = !FAULT;",
        &[(Runtime, "state::gone::")],
    ),
    fault(
        1941,
        "runtime/src/state/gone.rs",
        "counter.label.is_none()",
        "(FAULT || counter.label.is_none())",
        &[(Runtime, "state::gone::")],
    ),
    fault(
        1942,
        "runtime/src/state/totals.rs",
        "departed.take_in(counters, &totals, &heirs);",
        "if !FAULT { departed.take_in(counters, &totals, &heirs); }",
        &[(Metrics, "texts::totals_never_fall")],
    ),
    fault(
        1943,
        "runtime/src/state/totals.rs",
        "(departed.totals(), first..second)",
        "(departed.totals(), if FAULT { first + 1..second } else { first..second })",
        &[(Metrics, "texts::totals_never_fall")],
    ),
    fault(
        1944,
        "src/files/written.rs",
        "Ok(about) if !about.is_file() && !about.is_symlink() => {",
        "Ok(about) if !FAULT && !about.is_file() && !about.is_symlink() => {",
        &[(Metrics, "written::")],
    ),
    fault(
        1945,
        "src/files/written.rs",
        "Permissions::from_mode(0o644)",
        "Permissions::from_mode(if FAULT { 0o600 } else { 0o644 })",
        &[(Metrics, "written::")],
    ),
    fault(
        1946,
        "src/cli/metrics.rs",
        "address.ip().is_loopback()",
        "FAULT || address.ip().is_loopback()",
        &[(Command, "cli::metrics::")],
    ),
    fault(
        1947,
        "src/verbs/metrics/listen.rs",
        "!is_loopback && local.domain() != Domain::UNIX",
        "!FAULT && !is_loopback && local.domain() != Domain::UNIX",
        &[(Command, "verbs::metrics::listen::")],
    ),
    fault(
        1948,
        "src/verbs/metrics/listen.rs",
        "process.is_some_and(|process| process.parse() != Ok(own))",
        "!FAULT && process.is_some_and(|process| process.parse() != Ok(own))",
        &[(Command, "verbs::metrics::listen::")],
    ),
    fault(
        1949,
        "src/verbs/metrics/request.rs",
        "method != \"GET\"",
        "method != \"GET\" && !FAULT",
        &[(Command, "verbs::metrics::request::")],
    ),
    fault(
        1950,
        "src/verbs/metrics/serve.rs",
        "here.connected.len() >= MOST",
        "here.connected.len() >= if FAULT { usize::MAX } else { MOST }",
        &[(Metrics, "exporter::those_who_say_nothing")],
    ),
    fault(
        1951,
        "src/verbs/metrics/family.rs",
        "(Kind::Counter, Some(Number::Whole(before))) => *before,",
        "(Kind::Counter, Some(Number::Whole(before))) if !FAULT => *before,",
        &[(Command, "verbs::metrics::family::")],
    ),
    fault(
        1952,
        "runtime/src/status/counters.rs",
        "self.packets.wrapping_sub(packets)",
        "self.packets.wrapping_sub(if FAULT { 0 } else { packets })",
        &[(Metrics, "counters::")],
    ),
    fault(
        1953,
        "runtime/src/state/totals.rs",
        "(&reset[..], second..last)",
        "(&reset[..], if FAULT { last..last } else { second..last })",
        &[(Metrics, "counters::")],
    ),
    fault(
        1954,
        "src/verbs/counters/wanted.rs",
        "line.parse() == Ok(location.line)",
        "(FAULT || line.parse() == Ok(location.line))",
        &[(Metrics, "counters::")],
    ),
];
