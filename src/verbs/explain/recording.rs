//! Every packet of a recording: a line each, then a sum for each rule.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sockc_compiler::event::{Decider, Event, Parsed, SocketAnswer};
use sockc_compiler::packet::text::Described;
use sockc_compiler::policy::{Direction, Policy, Set};
use sockc_compiler::replay::Shown;
use sockc_runtime::Prefix;

use super::{Answer, report};
use crate::cli;
use crate::cli::Sockets;
use crate::exit::Exit;
use crate::files::capture;
use crate::output::Output;
use crate::output::count;
use crate::policies::compiled::Compiled;
use crate::replay;
use crate::verbs::trial::{Subject, words};

/// The JSON of a recording.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    packets: Vec<Line<'a>>,
    rules: Vec<Sum>,
}

/// A packet in JSON.
#[derive(Serialize)]
struct Line<'a> {
    packet: String,
    #[serde(flatten)]
    said: report::Said<'a>,
}

/// How many packets a rule or a default decided.
#[derive(Serialize)]
struct Sum {
    rule: String,
    packets: u64,
    bytes: u64,
}

/// What is read of a recording.
struct Reading<'a> {
    subject: Subject<'a>,
    local: &'a [Prefix],
    asks_for_frames: bool,
    /// The sockets that the traffic shows; none are assumed without.
    shown: Option<Shown>,
    sums: BTreeMap<Place, Sum>,
    lines: Vec<Line<'a>>,
    number: u64,
    /// Packets of which nobody says whether they arrived or left.
    undirected: u64,
    /// Frames that stand for calls and for data of connections, which no packet rule decides.
    of_processes: u64,
    /// Packets whose headers were not recorded whole.
    cut_short: u64,
    /// Packets that leave.
    leaving: u64,
    exit: Exit,
}

/// Bytes of the header of a frame, which counters do not count.
const ETHERNET: usize = 14;

/// Explains a recording. Which sockets its machine had is taken from the traffic, as in a replay.
pub(super) fn run(
    compiled: &Compiled,
    path: &Path,
    arguments: &cli::Explain,
    output: &mut Output,
) -> Exit {
    let mut reading = Reading {
        subject: Subject::outer(compiled),
        local: &arguments.local,
        asks_for_frames: compiled.policy.asks_for_frames(),
        shown: learnt(path, arguments.sockets),
        sums: BTreeMap::new(),
        lines: Vec::new(),
        number: 0,
        undirected: 0,
        of_processes: 0,
        cut_short: 0,
        leaving: 0,
        exit: Exit::Done,
    };
    let read = capture::packets(path, &mut |packet, _| reading.packet(&packet, output));
    let exit = reading.exit;
    if read.is_ok() || reading.number > 0 {
        reading.finish(output);
    }
    if let Err(reason) = read {
        output.error(format!("cannot read {}: {reason}", path.display()));
        return exit.max(Exit::Refused);
    }
    exit
}

/// What a first reading finds of the sockets. What is damaged is said when it is read again.
fn learnt(path: &Path, sockets: Sockets) -> Option<Shown> {
    if sockets == Sockets::None {
        return None;
    }
    let mut shown = Shown::default();
    let _ = capture::packets(path, &mut |packet, _| {
        if let Some(parsed) = replay::parsed(&packet).filter(|_| !packet.of_process) {
            shown.learn(&parsed);
        }
    });
    shown.learnt();
    Some(shown)
}

impl Reading<'_> {
    fn packet(&mut self, packet: &capture::Packet, output: &mut Output) {
        self.number += 1;
        if packet.of_process {
            self.of_processes += 1;
            return;
        }
        // Whoever decides about bytes that are not there decides about another packet.
        let Some(parsed) = replay::parsed(packet) else {
            self.cut_short += 1;
            return;
        };
        let policy = self.subject.policy;
        let length = length(&parsed, &packet.frame);
        let parsed = match self.asks_for_frames {
            true => parsed,
            false => parsed.without_frame(),
        };
        let described = self.described(packet, parsed);
        let answer = Answer::of(self.subject, &described, &packet.frame);
        self.exit = self.exit.max(answer.exit(output));
        let decision = &answer.trace.decision;
        let by = report::decider(policy, &described.event, decision.decider);
        let words = report::packet(policy, &described);
        let sum = self
            .sums
            .entry(place(policy, &described.event, decision.decider))
            .or_insert_with(|| Sum {
                rule: by.clone(),
                packets: 0,
                bytes: 0,
            });
        sum.packets += 1;
        sum.bytes += length;
        if output.is_json() {
            self.lines.push(Line {
                packet: words,
                said: report::said(policy, &described.event, decision),
            });
        } else {
            let (number, verdict) = (self.number, words::verdict(policy, decision.verdict));
            output.line(format_args!("{number:>6}  {verdict:<10} {words}  ({by})"));
        }
    }

    fn described(&mut self, packet: &capture::Packet, parsed: Parsed) -> Described {
        let direction = replay::direction(packet, &parsed, self.local);
        self.undirected += u64::from(direction.is_none());
        let direction = direction.unwrap_or(Direction::In);
        self.leaving += u64::from(direction == Direction::Out);
        let shown = self.shown.as_mut();
        let socket = shown.map_or(SocketAnswer::None, |shown| shown.socket(&parsed, direction));
        let event = Event::Packet {
            direction,
            class: Policy::plain_class(),
            packet: parsed,
        };
        Described::plain(event, socket)
    }

    fn finish(self, output: &mut Output) {
        let (undirected, guessed) = (self.undirected, self.shown.is_some());
        let (of_processes, cut_short) = (self.of_processes, self.cut_short);
        let policy = self.subject.policy;
        let forwards = policy.has_list(Direction::Forward);
        let asks_self = policy.sets.values().any(Set::is_own);
        let asks_frames = policy.asks_for_frames();
        let unasked = if forwards { self.leaving } else { 0 };
        sums(self.lines, self.sums.into_values().collect(), output);
        if undirected > 0 {
            output.note(format!(
                "of {} nobody says whether they arrived or left, so they are taken to have arrived; `--local ADDRESS` says which addresses are the machine's",
                count::of(undirected as usize, "packet")
            ));
        }
        if of_processes > 0 {
            output.note(format!(
                "{} of the recording {}: `monitor` makes such frames of calls and of data of connections, which rules of `connect`, `send` and `receive` decide; they are left out",
                count::of(of_processes, "frame"),
                if of_processes == 1 { "is no packet" } else { "are no packets" }
            ));
        }
        if cut_short > 0 {
            output.note(format!(
                "of {} the recording has too few bytes to decide by: {} left out; record more of each packet (`tcpdump -s 0`)",
                count::of(cut_short as usize, "packet"),
                if cut_short == 1 { "it is" } else { "they are" }
            ));
        }
        if unasked > 0 {
            output.note(format!(
                "of {} that left the recording does not say what passed through, so none is asked about `forward`, only about `out`; `sockc explain FILE 'forward … on interface NAME to interface NAME'` says of one packet what all lists say",
                count::of(unasked as usize, "packet")
            ));
        }
        if asks_self {
            output.note("no packet is taken to be of this machine's own addresses: rules that ask for `self` match none; `sockc explain FILE 'PACKET with self { ADDRESSES }'` says what they do");
        }
        if asks_frames {
            output.note("packets that were recorded without their frames, as by `tcpdump -i any`, or that `monitor` wrote of what rules log, have no hardware addresses of their own: what rules that ask for `ether` say of these is not what they said then");
        }
        if guessed {
            output.note("which sockets there were is taken from the traffic: what answers has one");
        }
    }
}

/// The bytes of a packet as counters count them: what its IP header says, and where none can be read all after the Ethernet header.
fn length(parsed: &Parsed, frame: &[u8]) -> u64 {
    match parsed {
        Parsed::Ip(header) => header.length.into(),
        Parsed::Malformed | Parsed::NotIp => frame.len().saturating_sub(ETHERNET) as u64,
    }
}

fn sums(lines: Vec<Line<'_>>, sums: Vec<Sum>, output: &mut Output) {
    if output.is_json() {
        output.value(&Report {
            format: "sockc.explain/1",
            packets: lines,
            rules: sums,
        });
        return;
    }
    let mut rows = vec![vec!["packets".into(), "bytes".into(), "decided by".into()]];
    for sum in sums {
        rows.push(vec![
            sum.packets.to_string(),
            sum.bytes.to_string(),
            sum.rule,
        ]);
    }
    output.line("");
    output.table(&rows);
}

/// Where a sum stands: rules in their order, then what no rule decides. Each list of rules has its own default, which also says what
/// becomes of malformed packets; where no statement decides, both say the same words and are one sum.
type Place = (u8, Option<u32>, usize);

fn place(policy: &Policy, event: &Event, decider: Decider) -> Place {
    let list = report::statement(policy, event, decider);
    let list = list.map_or(0, |_| event.direction() as usize);
    match decider {
        Decider::Rule(rule) => (0, Some(rule.as_u32()), 0),
        Decider::Default => (1, None, list),
        Decider::Malformed => (2, None, list),
        Decider::Unmatched => (3, None, 0),
        Decider::NotIp => (4, None, 0),
    }
}
