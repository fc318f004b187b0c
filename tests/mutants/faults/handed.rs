//! Faults where sockets are handed over, made for a service, or taken past programs of others.

use super::Suite::{Kernel, Kill, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1320,
        "runtime/src/sockets/desk.rs",
        "!self.only.is_empty() && !self.only",
        "!FAULT && !self.only.is_empty() && !self.only",
        &[(Verbs, "handing::what_cannot")],
    ),
    fault(
        1321,
        "runtime/src/sockets/desk.rs",
        "Ok(name) if name.chars().any(char::is_control)",
        "Ok(name) if !FAULT && name.chars().any(char::is_control)",
        &[(Runtime, "desk::")],
    ),
    fault(
        1322,
        "runtime/src/sockets/fill.rs",
        "None => open.interface == 0,",
        "None => FAULT || open.interface == 0,",
        &[(Verbs, "live::")],
    ),
    fault(
        1323,
        "runtime/src/sockets/fill.rs",
        "found.any(|one| matches!(one.state, Fill::Absent | Fill::WildcardOnly))",
        "found.any(|one| !FAULT && matches!(one.state, Fill::Absent | Fill::WildcardOnly))",
        &[(Kernel, "owned_sockets::a_lookup_program")],
    ),
    fault(
        1324,
        "runtime/src/live/maps.rs",
        "replaced.extend(opened.record_for(entry)?);",
        "if !FAULT { replaced.extend(opened.record_for(entry)?); }",
        &[(Kernel, "live_maps::an_entry_takes")],
    ),
    fault(
        1325,
        "runtime/src/sys/diag.rs",
        "filter(|one| one.cookie == cookie)",
        "filter(|one| FAULT || one.cookie == cookie)",
        &[(Verbs, "handing::a_socket_is_named")],
    ),
    fault(
        1326,
        "runtime/src/attach/foreign.rs",
        "found => found.map_err(at(\"say which programs are attached\")),",
        "found => if FAULT { answer(found) } else { found.map_err(at(\"say which programs are attached\")) },",
        &[(Kill, "single::a_program_that_must_not")],
    ),
    fault(
        1327,
        "src/verbs/socket/start.rs",
        "if !is_there(program) {",
        "if !FAULT && !is_there(program) {",
        &[(Verbs, "handing::a_service_is_started")],
    ),
    fault(
        1328,
        "runtime/src/sockets/started.rs",
        ".env(\"LISTEN_FDNAMES\", names);",
        ".env(if FAULT { \"NAMES\" } else { \"LISTEN_FDNAMES\" }, names);",
        &[(Verbs, "handing::a_service_is_started")],
    ),
];
