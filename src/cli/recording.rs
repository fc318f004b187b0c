//! The command line of a replay, the same for every verb that compares two policies.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sockc_compiler::replay;
use sockc_runtime::Prefix;

use super::element::element;

#[derive(Args, Debug)]
pub(crate) struct Recording {
    /// A recording (pcap or pcapng): count which of its packets get another fate
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// Draw what changes in the recording and write it to this file
    #[arg(long, value_name = "FILE", requires = "replay")]
    pub(crate) replay_svg: Option<PathBuf>,
    /// An address or prefix of the recorded machine: packets from it leave, others arrive; may be given several times
    /// [default: as the recording says, else all arrive]
    #[arg(long, value_name = "ADDRESS", requires = "replay", value_parser = element)]
    pub(crate) replay_local: Vec<Prefix>,
    /// The interface of the recording [default: as the recording says, else one that both policies are on]
    #[arg(long, value_name = "INTERFACE", requires = "replay")]
    pub(crate) replay_on: Option<String>,
    /// The sockets that the recorded machine is taken to have had
    #[arg(
        long,
        value_name = "WHICH",
        requires = "replay",
        default_value = "traffic"
    )]
    pub(crate) replay_sockets: Sockets,
}

/// Which sockets a machine had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sockets {
    /// Those that the traffic shows: what answers has a socket
    Traffic,
    /// None
    None,
}

impl From<Sockets> for replay::Sockets {
    fn from(sockets: Sockets) -> Self {
        match sockets {
            Sockets::Traffic => Self::Traffic,
            Sockets::None => Self::None,
        }
    }
}
