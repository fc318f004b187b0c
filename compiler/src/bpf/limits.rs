//! What a kernel takes, 5.10 on. A program beyond one of these is never emitted.

/// Stack bytes of a program.
pub const STACK: usize = 512;
/// Instructions of a privileged program, and instructions the verifier processes before it gives up.
pub const INSTRUCTIONS: usize = 1_000_000;
/// Branches the verifier keeps pending on one path.
pub const PENDING_JUMPS: usize = 8_192;
/// Maps a program refers to.
pub const MAPS: usize = 64;
/// Tail calls in a row.
pub const TAIL_CALLS: usize = 33;
/// Bytes of a map's or program's name, without the final zero.
pub const NAME: usize = 15;
/// Bytes of a SOCKHASH key.
pub const SOCKHASH_KEY: u32 = 512;
/// Furthest a conditional jump, or a jump on a kernel without `gotol`, reaches forward.
pub const JUMP: usize = i16::MAX as usize;
