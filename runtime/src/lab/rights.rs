//! What a lab may need that the process does not have.

use std::fs;

use crate::sys::caps;

/// The capabilities of a lab, by their bit: raw frames, interfaces, namespaces of mounts too, programs.
const NEEDED: [(u32, &str); 5] = [
    (12, "CAP_NET_ADMIN"),
    (13, "CAP_NET_RAW"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
    (39, "CAP_BPF"),
];

/// The names of the capabilities that miss; all of them where the system does not tell.
#[must_use]
pub fn missing_rights() -> Vec<&'static str> {
    // Of a user namespace they do not hold for the machine, and bpf(2) refuses.
    let told = effective().filter(|_| caps::in_first_user_namespace());
    let effective = told.unwrap_or(0);
    let misses = |&&(bit, _): &&(u32, &str)| effective >> bit & 1 == 0;
    NEEDED
        .iter()
        .filter(misses)
        .map(|&(_, name)| name)
        .collect()
}

fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
