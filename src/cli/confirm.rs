//! The command line of `confirm`.

use clap::Args;

use super::Deployment;

#[derive(Args, Debug)]
pub(crate) struct Confirm {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Also from an SSH connection that was there before, which does not show that a new one gets through
    #[arg(long)]
    pub(crate) same_connection: bool,
}
