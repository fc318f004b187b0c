//! What becomes of an SSH connection, as JSON.

use serde::Serialize;

use super::judge::Part;
use super::{Cut, Lockout};

/// It in JSON.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    client: String,
    server: String,
    /// Whether it is there; else only a new one was asked about.
    connected: bool,
    cuts: Vec<Lost<'a>>,
    /// What is not known, in words.
    unknown: &'a [String],
}

/// What is cut.
#[derive(Serialize)]
struct Lost<'a> {
    what: &'static str,
    packet: &'a str,
    interface: &'a str,
    fate: &'a str,
    decider: &'a str,
    remedy: &'a str,
}

impl Lockout {
    /// It in JSON; nothing where nothing was looked at.
    pub(crate) fn row(&self) -> Option<Row<'_>> {
        let Self::Looked(looked) = self else {
            return None;
        };
        Some(Row {
            client: looked.ends.remote.to_string(),
            server: looked.ends.local.to_string(),
            connected: looked.connected,
            cuts: looked.found.cuts.iter().map(lost).collect(),
            unknown: &looked.found.doubts,
        })
    }
}

fn lost(cut: &Cut) -> Lost<'_> {
    Lost {
        what: match cut.part {
            Part::New => "new",
            Part::Established => "established",
            Part::Neighbour => "neighbour",
        },
        packet: &cut.packet,
        interface: &cut.interface,
        fate: &cut.fate,
        decider: &cut.by,
        remedy: &cut.remedy,
    }
}
