//! The machine: instructions, opcodes, helpers, limits. It knows nothing about policies.

pub mod asm;
pub mod constant;
pub mod decode;
pub mod disasm;
pub mod helper;
pub mod insn;
pub(crate) mod limits;
pub mod opcode;
