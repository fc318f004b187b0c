//! The integration tests that need nothing but this repository: one binary, since linking each alone takes longer than
//! running them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

mod benchmarks;
mod changes;
mod command;
mod diff;
mod dot;
mod folder;
mod golden;
mod manual;
mod readme;
mod repository;
mod tested;
mod tidy;
