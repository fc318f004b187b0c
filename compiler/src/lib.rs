//! Policy to meaning, decision structure, IR, bytecode and object. Pure: no files, clock, kernel or printing.
//!
//! ```text
//! ast ─ resolve ─▶ Policy ─ place ─▶ Chain per hook ─ diagram ─▶ decision ─ lower ─▶ IR ─ emit ─▶ Program ─ object ─▶ ELF
//! ```

#![forbid(unsafe_code)]

pub mod artifact;
pub mod bpf;
pub mod event;
pub mod field;
pub mod hook;
pub mod object;
pub mod packet;
pub mod place;
pub mod policy;
pub mod ranges;
