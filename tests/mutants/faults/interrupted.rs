//! Faults of calls that a signal interrupts.

use super::Suite::Runtime;
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1710,
        "runtime/src/sys/retry.rs",
        "Err(error) if error.kind() == io::ErrorKind::Interrupted => {}",
        "Err(error) if error.kind() == io::ErrorKind::Interrupted && !FAULT => {}",
        &[(Runtime, "probe::streams::calls::")],
    ),
    fault(
        1711,
        "runtime/src/probe/streams.rs",
        "let _ = SigSet::all().thread_block();",
        "if !FAULT { let _ = SigSet::all().thread_block(); }",
        &[(Runtime, "probe::streams::trials::")],
    ),
];
