//! The clocks that programs read.

use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in nanoseconds, as `bpf_ktime_get_ns` gives it.
pub(crate) fn now() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CLOCK_BOOTTIME in nanoseconds, as `bpf_ktime_get_boot_ns` gives it.
pub(crate) fn since_boot() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

fn read(clock: ClockId) -> u64 {
    // The call cannot fail for these clocks.
    let time = clock_gettime(clock).map(std::time::Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
