//! Two ways, measured in turns, so that whatever else the machine does meets both.

use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// What both ways took, and how much of the first the second takes.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    /// The median of the first way.
    pub(crate) first: Duration,
    /// That of the second.
    pub(crate) second: Duration,
    /// The median of what each turn says.
    pub(crate) ratio: f64,
}

/// So many turns of both.
pub(crate) fn compare(
    turns: usize,
    mut first: impl FnMut() -> Duration,
    mut second: impl FnMut() -> Duration,
) -> Compared {
    let both: Vec<_> = (0..turns).map(|_| (first(), second())).collect();
    let ratios = both
        .iter()
        .map(|(first, second)| second.as_secs_f64() / first.as_secs_f64());
    Compared {
        first: median(both.iter().map(|(first, _)| *first)),
        second: median(both.iter().map(|(_, second)| *second)),
        ratio: middle(ratios.collect()),
    }
}

/// The median.
pub(crate) fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// The median of numbers.
pub(crate) fn middle(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Puts the calling thread on a CPU.
pub(crate) fn stay_on(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(0), &only).unwrap();
}
