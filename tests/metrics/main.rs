//! `sockc metrics` against a kernel: the numbers are those of what was sent, in forms that Prometheus reads.
//!
//! promtool (of Debian's package prometheus) reads what is printed; where it is missing, and without root, tests say `skipped: …`;
//! `SOCKC_KERNEL=require` makes that a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod counters;
mod exporter;
mod promtool;
mod scene;
mod texts;
mod written;
