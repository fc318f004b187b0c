//! The machine: instructions, opcodes, helpers, limits. It knows nothing about policies.

pub mod insn;
