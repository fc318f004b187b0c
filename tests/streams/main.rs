//! Policies of groups on the running kernel: real sockets, real cgroups, in throw-away namespaces.
//!
//! Every test compiles a policy's text, applies it by the runtime, and looks at what processes see: which writes are
//! refused, which data arrives, which way it takes. Not here: packets and lookups.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod alone;
mod anew;
mod between;
mod calls;
mod change;
mod egress;
mod escape;
mod place;
mod refusal;
mod shortcut;
mod speed;
mod writes;
