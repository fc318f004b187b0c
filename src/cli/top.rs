//! The options of `top`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Deployment;
use super::duration::pace;

#[derive(Args, Debug)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// How often to look, such as `500ms` or `5s`
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = pace)]
    pub(crate) every: Duration,
    /// What stands first
    #[arg(long, value_name = "BY", default_value = "packets")]
    pub(crate) sort: Sort,
    /// Leave out what has counted nothing
    #[arg(long)]
    pub(crate) nonzero: bool,
}

/// By what rules are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Most packets a second first
    Packets,
    /// Most bytes a second first
    Bytes,
    /// As the rules stand
    Rule,
}
