//! The command line of `diff`.

use std::path::PathBuf;

use clap::Args;

use super::{Deployment, Recording};

#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The policy as it was; `-` is standard input, `running` what is in force, `running:12` generation 12 of `sockc history`
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The policy as it is to be, in the same way
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) place: Deployment,
    #[command(flatten)]
    pub(crate) view: View,
    /// Compare the instructions of both policies too
    #[arg(long)]
    pub(crate) bytecode: bool,
    /// Draw what changes, by the sender's address and the receiver's port, and write it to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// End with 2 if anything gets another fate
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) replay: Recording,
}

/// How a comparison is shown.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// Print Markdown, fit for a comment on a pull request
    #[arg(long, conflicts_with = "stat")]
    pub(crate) markdown: bool,
    /// Print a few counts only
    #[arg(long)]
    pub(crate) stat: bool,
    /// Cut no list, however long
    #[arg(long)]
    pub(crate) all: bool,
}
