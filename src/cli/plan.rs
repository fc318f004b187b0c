//! The command line of `plan`, and what `apply` shares with it.

use std::path::PathBuf;

use clap::Args;

/// What a policy must keep to.
#[derive(Args, Debug)]
pub(crate) struct Guards {
    /// Refuse a policy that does not keep to the `expect` lines of this file; may be given several times
    #[arg(long = "guard", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the machine's guards from here [default: /etc/sockc/guards, if it is there]
    #[arg(long = "guards", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}
