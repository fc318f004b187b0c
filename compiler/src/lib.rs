//! Policy to meaning, decision structure, IR, bytecode and object. Pure: no files, clock, kernel or printing.
//!
//! ```text
//! text ─ reading ─▶ ast ─ resolve ─▶ Policy ─ bulk ─▶ reduced Policy ─ place ─▶ Chain per hook ─ diagram ─▶ decision
//!   ─ lower ─▶ IR ─ emit ─▶ Program ─ object ─▶ ELF
//! ```
//!
//! What others use: [`pipeline`] checks and compiles a text, [`object`] writes and reads the file, [`decide`](mod@decide) says
//! what becomes of a packet and [`explain`](mod@explain) why, [`diff`], [`replay`] and [`simulate`](mod@simulate) compare and try
//! policies, [`artifact`], [`policy`] and [`event`] are what they speak of.
//!
//! ```
//! use sockc_compiler::files::Texts;
//! use sockc_compiler::target::Target;
//! use sockc_compiler::{object, pipeline};
//! use sockc_grammar::source::SourceMap;
//!
//! let mut sources = SourceMap::default();
//! let id = sources.add("web.sk", "interfaces eth0\ndefault in drop\nallow tcp to any:443\n");
//! let target = Target::baseline();
//! let outcome = pipeline::compile(&mut sources, id, "web", &target, &mut Texts::default());
//! assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
//! if let Some(built) = outcome.built {
//!     let file = object::write(&built.artifact)?;
//!     assert_eq!(object::read_manifest(&file)?.policy, "web");
//! }
//! # Ok::<(), object::ObjectError>(())
//! ```

#![forbid(unsafe_code)]

#[macro_use]
mod listed;

mod apart;
pub mod artifact;
mod beside;
pub mod bpf;
pub mod bulk;
mod candidates;
pub mod chain;
pub mod classifier;
pub mod codes;
mod compose;
pub mod counter_blocks;
pub mod coverage;
pub mod decide;
pub mod destination;
pub mod diagram;
pub mod diff;
pub mod direction;
pub mod dropped;
pub mod emit;
pub mod entry_table;
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
pub mod member_table;
pub mod mutation;
pub mod names;
pub mod object;
pub mod observer;
mod opt;
pub mod packet;
pub mod passage;
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
pub mod spread;
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
