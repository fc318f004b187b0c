//! Small programs by hand, in the interpreter and in the running kernel: both must do the same with the same packet.
//!
//! `packets` has the helpers that change a packet, `tables` what is looked up, `shapes` what the intermediate form is made
//! for: a search in a table and a meter. Without root the interpreter runs alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of programs of its own ends where something is wrong"
)]

mod engine;
mod packets;
mod shapes;
mod tables;
