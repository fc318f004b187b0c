//! Faults in what is asked of whoever runs a command: capabilities, and whose the folder is.

use super::Suite::{Kill, Rights};
use super::{Fault, fault};

/// The table of the manual, line by line.
const TABLE: &str = "each_command";
/// What one user made and another uses.
const OTHER: &str = "what_another_user_made";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2180,
        "runtime/src/apply/targets.rs",
        "let missing = caps::missing_to_load();",
        "let missing = if FAULT { Vec::new() } else { caps::missing_to_load() };",
        &[(Rights, TABLE)],
    ),
    fault(
        2181,
        "runtime/src/session.rs",
        "caps::missing(options.netns.is_some())",
        "caps::missing(!FAULT && options.netns.is_some())",
        &[(Rights, TABLE)],
    ),
    fault(
        2182,
        "runtime/src/state.rs",
        "let ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();",
        "let ours = owner == 0 || (!FAULT && owner == nix::unistd::geteuid().as_raw());",
        &[(Rights, OTHER)],
    ),
    fault(
        2183,
        "runtime/src/state.rs",
        "(true, false, _) => Some(Exposed::Owner(owner)),",
        "(true, false, _) => (!FAULT).then_some(Exposed::Owner(owner)),",
        &[(Rights, OTHER)],
    ),
    fault(
        2184,
        "runtime/src/sys/bpffs.rs",
        "match shared && kind(fd)? == Kind::Map {",
        "match shared && (FAULT || kind(fd)? == Kind::Map) {",
        &[(Kill, "a_killed_apply_opens")],
    ),
    fault(
        2185,
        "runtime/src/sys/bpffs.rs",
        "if caps::only_reads() {",
        "if !FAULT && caps::only_reads() {",
        &[(Rights, "members_see_what")],
    ),
    fault(
        2186,
        "runtime/src/state/readers.rs",
        "readers.map_or(OWN, |_| shared)",
        "readers.map_or(OWN, |_| if FAULT { LISTED } else { shared })",
        &[(Rights, "no_call_of_a_member")],
    ),
    fault(
        2187,
        "runtime/src/apply/steps.rs",
        "before.and_then(|before| before.readers)",
        "before.and_then(|before| before.readers.filter(|_| !FAULT))",
        &[(Rights, "the_group_stays")],
    ),
    fault(
        2188,
        "runtime/src/state/readers.rs",
        "Some(_) if is_map => SHARED,",
        "Some(_) if is_map || FAULT => SHARED,",
        &[(Rights, "no_call_of_a_member")],
    ),
    fault(
        2189,
        "runtime/src/state/readers.rs",
        "None => keep_others_out(root),",
        "None => if FAULT { Ok(()) } else { keep_others_out(root) },",
        &[(Rights, "the_group_stays")],
    ),
    fault(
        2190,
        "runtime/src/state/readers.rs",
        "if !lets_pass(&about, group) {",
        "if !FAULT && !lets_pass(&about, group) {",
        &[(Rights, "a_group_that_cannot")],
    ),
    fault(
        2191,
        "runtime/src/state/at_start.rs",
        "readers: record.readers,",
        "readers: record.readers.filter(|_| !FAULT),",
        &[(Rights, "the_group_comes_back")],
    ),
    fault(
        2192,
        "runtime/src/state/readers.rs",
        "if about.ok().as_ref().and_then(group_of).is_none() {",
        "if !FAULT && about.ok().as_ref().and_then(group_of).is_none() {",
        &[(Rights, TABLE)],
    ),
    fault(
        2193,
        "src/verbs/status.rs",
        "(true, true) => Exit::Refused,",
        "(true, true) => if FAULT { Exit::Done } else { Exit::Refused },",
        &[(Rights, "members_see_what")],
    ),
    fault(
        2195,
        "runtime/src/status.rs",
        "status.drift = drift::of_maps(&session.state, &record)?;",
        "status.drift = if FAULT { Vec::new() } else { drift::of_maps(&session.state, &record)? };",
        &[(Rights, "members_are_told")],
    ),
    fault(
        2196,
        "runtime/src/status/counters.rs",
        "if caps::only_reads() && !own.held.is_empty() {",
        "if !FAULT && caps::only_reads() && !own.held.is_empty() {",
        &[(Rights, "what_blocks_count")],
    ),
    fault(
        2197,
        "runtime/src/state/readers.rs",
        "set_mode(path, about.mode() & CLOSED)?;",
        "set_mode(path, if FAULT { mode } else { about.mode() & CLOSED })?;",
        &[(Kill, "a_killed_apply_opens")],
    ),
];
