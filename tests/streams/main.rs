//! Policies of groups on the running kernel: real sockets, real cgroups, in throw-away namespaces.
//!
//! Every test compiles a policy's text, applies it by the runtime, and looks at what processes see: which writes are
//! refused, which data arrives, which way it takes. All of it is done on the older kernels too, under QEMU. Not here: packets
//! and lookups.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod again;
mod alone;
mod anew;
mod arrivals;
#[path = "../../examples/proxy/ask.rs"]
mod ask;
mod between;
mod bound;
mod calls;
mod change;
mod datagrams;
mod egress;
mod encrypted;
mod ends;
mod escape;
mod existing;
mod faults;
mod full;
#[path = "../kernels/guests.rs"]
mod guests;
mod handover;
mod inward;
mod kernels;
mod large;
#[path = "../kernels/machine.rs"]
mod machine;
mod many;
mod members;
mod outside;
#[path = "../../examples/proxy/pairs.rs"]
mod pairs;
mod place;
mod proxy;
mod refusal;
mod relaxed;
#[path = "../../examples/proxy/relay.rs"]
mod relay;
mod selftests;
mod short;
mod shortcut;
mod speed;
mod splice;
mod untouched;
mod whole;
mod writes;
