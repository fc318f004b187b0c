//! Reading commands of users who may not read the kernel's things themselves: what is asked for them, and how.
//!
//! Takes a command line; gives what a service (`sockc answer`) said in its place, or nothing where the command is to run by itself.
//! Not here: the service (`src/verbs/answer.rs`).

mod asked;
pub(crate) mod frames;
pub(crate) mod taken;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

pub(crate) use asked::instead;

/// Whether this is a folder that root alone can change: whoever else may could put another socket there.
pub(crate) fn is_roots_alone(about: &Metadata) -> bool {
    about.is_dir() && about.uid() == 0 && about.mode() & 0o022 == 0
}
