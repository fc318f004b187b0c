//! Reading commands of users who may not read the kernel's things themselves: what is asked for them, and how.
//!
//! Takes a command line; gives what a service (`sockc answer`) said in its place, or nothing where the command is to run by itself.
//! Not here: the service (`src/verbs/answer.rs`).

mod asked;
pub(crate) mod frames;
pub(crate) mod taken;

pub(crate) use asked::instead;
