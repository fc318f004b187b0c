//! Policies in force on a lab's interface, met by real sockets and real packets.
//!
//! Every test makes its own pair of namespaces, which end with it. It needs root; without, it says that it was skipped, and
//! with `SOCKC_KERNEL=require` it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod absent;
mod codepoint;
mod destinations;
mod every_shape;
mod knock;
mod load;
mod loaded;
mod logging;
mod lookups;
mod metering;
mod moved;
mod passing;
mod refusals;
mod reject;
mod stage;
mod stateful;
mod steering;
#[path = "../kernels/syscalls.rs"]
#[allow(dead_code, reason = "these tests run packet programs only")]
mod syscalls;
mod table;
mod transparent;
mod two_sentences;
