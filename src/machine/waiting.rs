//! A policy that waits to be confirmed, in words and in JSON.

use std::time::Duration;

use serde::Serialize;
use sockc_runtime::Waiting;

/// It in JSON.
#[derive(Serialize)]
pub(crate) struct Row {
    /// The generation that comes back; null if nothing was in force before.
    fallback: Option<u32>,
    /// After so many milliseconds.
    left_ms: u64,
}

/// It in JSON.
pub(crate) fn row(waiting: &Waiting) -> Row {
    Row {
        fallback: (waiting.fallback != 0).then_some(waiting.fallback),
        left_ms: u64::try_from(waiting.left.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What to do, and what happens else: two lines.
pub(crate) fn words(waiting: &Waiting) -> [String; 2] {
    let [within, comes] = [time(waiting.left), back(waiting.fallback)];
    [
        format!("it waits to be confirmed: `sockc confirm` within {within} keeps it, or {comes}"),
        "the kernel does that by itself; `sockc rollback` does it at once, and nothing else can be changed until then".to_owned(),
    ]
}

/// The same in one line, for a screen that is drawn again and again.
pub(crate) fn line(waiting: &Waiting) -> String {
    let [left, comes] = [time(waiting.left), back(waiting.fallback)];
    format!("on trial: {left} left; unless it is confirmed, {comes}")
}

/// What happens where nobody confirms.
fn back(fallback: u32) -> String {
    match fallback {
        0 => "it is in force no more: no policy was before it, and every packet passes".to_owned(),
        fallback => format!("generation {fallback} comes back"),
    }
}

/// A time in seconds, with a decimal where that is much of it; never more than there is.
fn time(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100),
        whole => format!("{whole} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_time_is_told_than_there_is() {
        for (left, told) in [(59_999, "59 s"), (9_999, "9.9 s"), (99, "0.0 s")] {
            assert_eq!(time(Duration::from_millis(left)), told);
        }
    }
}
