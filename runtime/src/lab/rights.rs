//! What a lab may need that the process does not have.

use crate::sys::caps;

/// The capabilities of a lab, by their bit: raw frames, interfaces, namespaces (setns(2) wants CAP_SYS_CHROOT for those of
/// mounts), files of root, programs.
const NEEDED: [(u32, &str); 7] = [
    (1, "CAP_DAC_OVERRIDE"),
    (12, "CAP_NET_ADMIN"),
    (13, "CAP_NET_RAW"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];

/// The names of the capabilities that miss; all of them where the system does not tell.
#[must_use]
pub fn missing_rights() -> Vec<&'static str> {
    // Of a user namespace they do not hold for the machine, and bpf(2) refuses.
    let effective = caps::told().unwrap_or(0);
    let misses = |&&(bit, _): &&(u32, &str)| effective >> bit & 1 == 0;
    NEEDED
        .iter()
        .filter(misses)
        .map(|&(_, name)| name)
        .collect()
}

/// Whether a test may use a lab. Where it may not, it says that it is skipped, or fails if none is to be.
#[cfg(test)]
pub(crate) fn permitted() -> bool {
    let missing = missing_rights();
    let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
    assert!(!wanted || missing.is_empty(), "this test needs {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}
