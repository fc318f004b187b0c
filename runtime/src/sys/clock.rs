//! The clocks that programs read.

use std::fs;
use std::sync::OnceLock;

use nix::time::{ClockId, clock_gettime};

use super::retry::again;

/// CLOCK_MONOTONIC in nanoseconds, as `bpf_ktime_get_ns` gives it: without what a time namespace adds for its processes.
pub(crate) fn now() -> u64 {
    static ADDED: OnceLock<i128> = OnceLock::new();
    let added = ADDED.get_or_init(|| offset(["monotonic", "1"]));
    without(ClockId::CLOCK_MONOTONIC, *added)
}

/// CLOCK_BOOTTIME in nanoseconds, as `bpf_ktime_get_boot_ns` gives it: without what a time namespace adds for its processes
/// (time_namespaces(7)).
pub(crate) fn since_boot() -> u64 {
    static ADDED: OnceLock<i128> = OnceLock::new();
    let added = ADDED.get_or_init(|| offset(["boottime", "7"]));
    without(ClockId::CLOCK_BOOTTIME, *added)
}

fn without(clock: ClockId, added: i128) -> u64 {
    u64::try_from(i128::from(read(clock)) - added).unwrap_or(0)
}

/// What the time namespace of this process adds to a clock; Linux before 5.7 wrote the clock as a number.
fn offset(clock: [&str; 2]) -> i128 {
    let offsets = again(|| fs::read_to_string("/proc/self/timens_offsets"));
    offsets.map_or(0, |offsets| added(&offsets, clock))
}

/// The same, of the file's text, in nanoseconds.
fn added(offsets: &str, names: [&str; 2]) -> i128 {
    let mut lines = offsets.lines().map(|line| line.split_whitespace());
    let boot = lines.find_map(|mut words| {
        let clock = words.next()?;
        let seconds: i128 = words.next()?.parse().ok()?;
        let rest: i128 = words.next()?.parse().ok()?;
        names
            .contains(&clock)
            .then_some(seconds * 1_000_000_000 + rest)
    });
    boot.unwrap_or(0)
}

/// A time in the zone of the machine.
pub(crate) fn local(seconds: i64) -> Option<libc::tm> {
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: the call reads the number and writes the time; it fails where there is no date, and has written one otherwise.
    unsafe {
        let written = libc::localtime_r(&raw const seconds, local.as_mut_ptr());
        (!written.is_null()).then(|| local.assume_init())
    }
}

fn read(clock: ClockId) -> u64 {
    // The call cannot fail for these clocks.
    let time = clock_gettime(clock).map(std::time::Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn what_a_time_namespace_adds_is_read() {
        for (text, wanted) in [
            (
                "monotonic           0         0\nboottime            0         0\n",
                0,
            ),
            ("monotonic 5 6\nboottime 86400 7\n", 86_400_000_000_007),
            ("boottime -10 500\n", -9_999_999_500),
            ("", 0),
            ("boottime x\n", 0),
        ] {
            assert_eq!(added(text, ["boottime", "7"]), wanted, "{text}");
        }
        let both = "monotonic 5 6\nboottime 7 8\n";
        assert_eq!(added(both, ["monotonic", "1"]), 5_000_000_006);
    }
}
