//! What `import` reads.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Whose configuration is read.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportVerb {
    /// Bindings of tubular: a file of `tubectl load-bindings`, or what `tubectl bindings` prints
    Tubular(Tubular),
}

#[derive(Args, Debug)]
pub(crate) struct Tubular {
    /// The bindings; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write; `-` is standard output [default: `-`]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Make a live map, which `sockc map` changes while the policy is in force
    #[arg(long)]
    pub(crate) live: bool,
    /// Write the entries alone, one a line, for `sockc map load`
    #[arg(long, conflicts_with = "live")]
    pub(crate) entries: bool,
}
