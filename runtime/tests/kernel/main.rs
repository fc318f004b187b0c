//! The runtime on the running kernel: each test has its own namespaces, bpf file system and control group.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod beside;
mod classes;
mod drift;
mod faults;
mod forecast;
mod foreign;
mod groups;
mod handed;
mod hooks;
mod lifecycle;
mod live_maps;
mod live_sets;
mod namespaces;
mod owned_sockets;
mod policy;
mod refilled;
mod refusals;
mod sockets;
mod space;
mod trial;
