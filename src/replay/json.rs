//! A replay as JSON.

use serde::Serialize;
use sockc_compiler::replay::Count;
use sockc_compiler::replay::report::Change;

use super::Replayed;
use crate::changes::json::{By, by};

/// The `replay` object.
#[derive(Serialize)]
pub(crate) struct Json<'a> {
    recording: &'a str,
    packets: u64,
    bytes: u64,
    flows: usize,
    /// Packets of flows that were too many to be told apart.
    packets_beyond_flows: u64,
    not_ip: u64,
    malformed: u64,
    /// Packets that were not judged, since their headers were not recorded whole.
    cut_short: u64,
    /// Packets that were taken as arriving, since nobody says whether they did.
    undirected: u64,
    /// Frames that were left out: `monitor` made them of calls and of data of connections, which are no packets.
    of_processes: u64,
    /// Why only a part of the recording was read.
    damaged: Option<&'a str>,
    assumptions: &'a [&'static str],
    changed: Changed,
    kept: Vec<Kept<'a>>,
    changes: Vec<Row<'a>>,
}

/// What gets another fate.
#[derive(Serialize)]
struct Changed {
    packets: u64,
    bytes: u64,
    flows: usize,
}

/// What keeps its fate.
#[derive(Serialize)]
struct Kept<'a> {
    verdict: &'static str,
    target: Option<&'a str>,
    mark: Option<u32>,
    packets: u64,
    bytes: u64,
}

/// Packets of which the same two deciders make two fates.
#[derive(Serialize)]
struct Row<'a> {
    direction: &'static str,
    from: &'static str,
    from_target: Option<&'a str>,
    from_mark: Option<u32>,
    to: &'static str,
    to_target: Option<&'a str>,
    to_mark: Option<u32>,
    old: By<'a>,
    new: By<'a>,
    packets: u64,
    bytes: u64,
    flows: usize,
    example: Option<&'a str>,
    top: Vec<Flow<'a>>,
}

/// A flow.
#[derive(Serialize)]
struct Flow<'a> {
    flow: &'a str,
    packets: u64,
    bytes: u64,
}

impl<'a> Json<'a> {
    /// The JSON of a replay.
    pub(crate) fn new(replayed: &'a Replayed) -> Self {
        let report = &replayed.report;
        let Count { packets, bytes } = report.changed;
        Self {
            recording: &replayed.file,
            packets: report.whole.packets + replayed.cut_short,
            bytes: report.whole.bytes,
            flows: report.flows,
            packets_beyond_flows: report.beyond,
            not_ip: report.not_ip,
            malformed: report.malformed,
            cut_short: replayed.cut_short,
            undirected: replayed.undirected,
            of_processes: replayed.of_processes,
            damaged: replayed.damaged.as_deref(),
            assumptions: &report.assumptions,
            changed: Changed {
                packets,
                bytes,
                flows: report.changed_flows,
            },
            kept: report
                .kept
                .iter()
                .map(|(fate, count)| Kept {
                    verdict: fate.verdict,
                    target: fate.target.as_deref(),
                    mark: fate.mark,
                    packets: count.packets,
                    bytes: count.bytes,
                })
                .collect(),
            changes: report.pairs.iter().map(row).collect(),
        }
    }
}

fn row(change: &Change) -> Row<'_> {
    Row {
        direction: change.direction.word(),
        from: change.from.verdict,
        from_target: change.from.target.as_deref(),
        from_mark: change.from.mark,
        to: change.to.verdict,
        to_target: change.to.target.as_deref(),
        to_mark: change.to.mark,
        old: by(&change.was),
        new: by(&change.will_be),
        packets: change.count.packets,
        bytes: change.count.bytes,
        flows: change.flows,
        example: change.example.as_deref(),
        top: change
            .top
            .iter()
            .map(|(flow, count)| Flow {
                flow,
                packets: count.packets,
                bytes: count.bytes,
            })
            .collect(),
    }
}
