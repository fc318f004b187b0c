//! Faults in what is asked of whoever runs a command: capabilities, and whose the folder is.

use super::Suite::Rights;
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
        "caps::missing(options.netns.is_some());",
        "caps::missing(!FAULT && options.netns.is_some());",
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
];
