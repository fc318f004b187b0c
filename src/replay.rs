//! `--replay`: recorded traffic under the policy as it was and as it is to be.
//!
//! Takes a recording and two policies; counts with the compiler's replay, and shows what was counted. Packets are
//! streamed: memory does not grow with the recording, but for its flows, of which there is a bound. Not here: the
//! comparison of the policies themselves.

mod json;
mod svg;
mod text;

use std::net::IpAddr;
use std::path::Path;

use sockc_compiler::event::Parsed;
use sockc_compiler::observer::Observer;
use sockc_compiler::packet::parse::{Layout, parse, sender};
use sockc_compiler::policy::{Direction, Policy};
use sockc_compiler::replay::{Recorded, Replay, Report};
use sockc_runtime::Prefix;

use crate::cli::Recording;
use crate::exit::Exit;
use crate::files::capture::{self, Packet};
use crate::files::input::is_stream;
use crate::files::written;
use crate::output::Output;
use crate::output::watch::Watch;

pub(crate) use json::Json;

/// So many packets are read between two signs of progress.
const STEP: u64 = 4096;

/// A recording that was played to two policies.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The file, as in messages.
    file: String,
    report: Report,
    /// Packets whose headers were not recorded whole.
    cut_short: u64,
    /// Packets of which nobody says whether they arrived or left.
    undirected: u64,
    /// Frames that stand for calls and for data of connections, which were never packets.
    of_processes: u64,
    /// Why it ends before its end, if it does.
    damaged: Option<String>,
}

impl Replayed {
    /// Plays the recording that the command line names, if it names one, and writes the picture that it asks for. A
    /// recording that is damaged is played as far as it goes; [`Self::exit`] says how the command ends.
    pub(crate) fn of(
        options: &Recording,
        old: &Policy,
        new: &Policy,
        output: &mut Output,
    ) -> Result<Option<Self>, Exit> {
        let Some(path) = &options.replay else {
            return Ok(None);
        };
        if is_stream(path) {
            output.error("a recording may be read twice, so it cannot come from standard input");
            return Err(Exit::Usage);
        }
        let replayed = Self::play(path, options, old, new, output)?;
        if let Some(picture) = &options.replay_svg {
            written::result(picture, replayed.svg().as_bytes(), path, output)?;
        }
        Ok(Some(replayed))
    }

    fn play(
        path: &Path,
        options: &Recording,
        old: &Policy,
        new: &Policy,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let mut replay = Replay::new(old, new, options.replay_sockets.into());
        let file = path.display().to_string();
        if replay.must_learn() {
            // What is damaged is said when it is read again.
            let _ = each(path, "read the recording", output.watch(), &mut |packet| {
                if let Some(parsed) = parsed(&packet).filter(|_| !packet.of_process) {
                    replay.learn(&parsed);
                }
            });
            replay.learnt();
        }
        let (mut cut_short, mut undirected, mut of_processes) = (0, 0, 0);
        let read = each(
            path,
            "replay the recording",
            output.watch(),
            &mut |packet| {
                if packet.of_process {
                    of_processes += 1;
                    return;
                }
                let Some(parsed) = parsed(&packet) else {
                    cut_short += 1;
                    return;
                };
                let direction = direction(&packet, &parsed, &options.replay_local);
                undirected += u64::from(direction.is_none());
                let interface = options.replay_on.as_deref();
                replay.packet(&Recorded {
                    direction: direction.unwrap_or(Direction::In),
                    interface: interface.or(packet.interface.as_deref()),
                    length: u32::try_from(packet.frame.len()).unwrap_or(u32::MAX),
                    packet: parsed,
                });
            },
        );
        let report = replay.report();
        if let Err(reason) = &read {
            output.watch().clear();
            output.error(format!("cannot read {file}: {reason}"));
            if report.whole.packets == 0 {
                return Err(Exit::Refused);
            }
        }
        Ok(Self {
            file,
            report,
            cut_short,
            undirected,
            of_processes,
            damaged: read.err(),
        })
    }

    /// How the command ends, as far as the recording goes.
    pub(crate) fn exit(&self) -> Exit {
        match self.damaged {
            Some(_) => Exit::Refused,
            None => Exit::Done,
        }
    }

    /// What was counted, for a person.
    pub(crate) fn text(&self) -> String {
        text::text(self)
    }

    /// The same as a picture.
    fn svg(&self) -> String {
        svg::draw(self)
    }
}

/// Reads a recording, and says how far it has come.
fn each(
    path: &Path,
    stage: &str,
    watch: &mut Watch,
    take: &mut dyn FnMut(Packet),
) -> Result<(), String> {
    watch.stage(stage);
    let mut count = 0u64;
    capture::packets(path, &mut |packet, (read, size)| {
        count += 1;
        if count.is_multiple_of(STEP) {
            watch.progress(read, size);
        }
        take(packet);
    })
}

/// What a packet is; nothing if that depends on bytes that were not recorded.
pub(crate) fn parsed(packet: &Packet) -> Option<Parsed> {
    let found = parse(&packet.frame, Layout::Ethernet);
    if packet.recorded >= packet.frame.len() {
        return Some(found);
    }
    // With something else in place of the zeros for what is missing, it is the same packet only if nothing missing was looked at.
    let mut others = OTHERS.iter();
    let is_same = others.all(|other| {
        let mut frame = packet.frame.clone();
        let missing = frame.iter_mut().enumerate().skip(packet.recorded);
        missing.for_each(|(at, byte)| *byte = other[at % 2]);
        parse(&frame, Layout::Ethernet) == found
    });
    is_same.then_some(found)
}

/// What is tried in place of what is missing. Of ones a header is longer than a short packet, and of zeros too short, so that both may
/// be malformed where the packet was not. Of the others each header ends at once: in an extension they are a protocol that none
/// follows, and no length beyond the shortest; in TCP five words. Headers begin at even places.
const OTHERS: [[u8; 2]; 2] = [[0xff, 0xff], [0x50, 0x00]];

/// Whether a packet arrives or leaves, if that is known: by the addresses that are said, else by the recording.
pub(crate) fn direction(packet: &Packet, parsed: &Parsed, local: &[Prefix]) -> Option<Direction> {
    let from_here = |address: IpAddr| {
        local.iter().any(|prefix| {
            Prefix::truncate(address, prefix.length()).is_some_and(|one| one == *prefix)
        })
    };
    let from = match parsed {
        Parsed::Ip(header) => Some(header.from),
        Parsed::Malformed => sender(&packet.frame, Layout::Ethernet),
        Parsed::NotIp => None,
    };
    let leaves = match from.filter(|_| !local.is_empty()) {
        Some(from) => Some(from_here(from)),
        None => packet.leaves,
    };
    leaves.map(|leaves| {
        if leaves {
            Direction::Out
        } else {
            Direction::In
        }
    })
}
