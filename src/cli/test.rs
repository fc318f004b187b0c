//! The command line of `test`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Test {
    /// The policy; `-` is standard input
    #[arg(value_name = "POLICY")]
    pub(crate) file: PathBuf,
    /// Guards: files of `expect` lines that the policy must keep to
    #[arg(value_name = "GUARD")]
    pub(crate) guards: Vec<PathBuf>,
    /// Change each rule in small ways, and name the changes that break no line; ends with 2 if there are any
    #[arg(long)]
    pub(crate) mutate: bool,
    /// Try no more changes than this, spread evenly over all that there are
    #[arg(long, value_name = "N", requires = "mutate")]
    pub(crate) at_most: Option<NonZeroUsize>,
    /// Write lines that would notice them to this file: a guard that the policy keeps to
    #[arg(long, value_name = "FILE", requires = "mutate")]
    pub(crate) write_expects: Option<PathBuf>,
}
