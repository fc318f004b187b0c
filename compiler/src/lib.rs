//! Policy to meaning, decision structure, IR, bytecode and object. Pure: no files, clock, kernel or printing.
//!
//! ```text
//! text ─ reading ─▶ ast ─ resolve ─▶ Policy ─ bulk ─▶ reduced Policy ─ place ─▶ Chain per hook ─ diagram ─▶ decision
//!   ─ lower ─▶ IR ─ emit ─▶ Program ─ object ─▶ ELF
//! ```

#![forbid(unsafe_code)]

pub mod artifact;
pub mod bpf;
pub mod bulk;
mod candidates;
pub mod chain;
pub mod classifier;
pub mod codes;
mod compose;
pub mod coverage;
pub mod decide;
pub mod diagram;
pub mod diff;
pub mod direction;
pub mod emit;
pub mod event;
pub mod expect;
pub mod explain;
pub mod faithful;
pub mod field;
pub mod files;
pub mod glob;
pub mod guard;
pub mod header_field;
pub mod hook;
pub mod interpret;
pub mod ir;
pub mod kept;
pub mod lint;
pub mod listing;
pub mod location;
pub mod log;
pub mod lower;
pub mod names;
pub mod object;
pub mod observer;
mod opt;
pub mod packet;
pub mod pipeline;
pub mod place;
pub mod policy;
pub mod protocol;
pub mod ranges;
mod reading;
pub mod replay;
mod resolve;
pub mod shapes;
pub mod simulate;
pub mod tables;
pub mod target;
mod values;
pub mod verifier_cost;
mod witness;

#[cfg(test)]
extern crate self as sockc_compiler;

/// What the tests of all crates share, built with the types of the unit tests.
#[cfg(test)]
#[path = "../../tests/support/src/lib.rs"]
pub mod testing;

#[cfg(test)]
mod tests;
