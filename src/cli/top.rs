//! The options of `top`.

use std::time::Duration;

use clap::Args;

use super::Deployment;
use super::counters::seconds;

#[derive(Args, Debug)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// How often to look
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) every: Duration,
}
