//! Every packet of a recording: a line each, then a sum for each rule.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sockc_compiler::event::{Decider, Event, SocketAnswer};
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::packet::text::Described;
use sockc_compiler::policy::{Direction, Policy};

use super::{Answer, report};
use crate::capture;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::output::Output;
use crate::trial::{Subject, words};

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

/// Explains a recording. Nothing is known of its sockets, so packets are taken as without one.
pub(super) fn run(compiled: &Compiled, path: &Path, output: &mut Output) -> Exit {
    let subject = Subject::outer(compiled);
    let policy = subject.policy;
    let mut sums: BTreeMap<(u8, Option<u32>), Sum> = BTreeMap::new();
    let mut lines = Vec::new();
    let mut exit = Exit::Done;
    let mut number = 0u64;
    let read = capture::packets(path, &mut |packet, _| {
        number += 1;
        let described = described(&packet);
        let answer = Answer::of(subject, &described, &packet.frame);
        exit = exit.max(answer.exit(output));
        let decision = &answer.trace.decision;
        let by = report::decider(policy, &described.event, decision.decider);
        let words = report::packet(policy, &described);
        let sum = sums.entry(place(decision.decider)).or_insert_with(|| Sum {
            rule: by.clone(),
            packets: 0,
            bytes: 0,
        });
        sum.packets += 1;
        sum.bytes += packet.frame.len() as u64;
        if output.is_json() {
            lines.push(Line {
                packet: words,
                said: report::said(policy, &described.event, decision),
            });
        } else {
            let verdict = words::verdict(policy, decision.verdict);
            output.line(format_args!("{number:>6}  {verdict:<10} {words}  ({by})"));
        }
    });
    finish(lines, sums.into_values().collect(), output);
    if let Err(reason) = read {
        output.error(format!("cannot read {}: {reason}", path.display()));
        return exit.max(Exit::Usage);
    }
    exit
}

fn finish(lines: Vec<Line<'_>>, sums: Vec<Sum>, output: &mut Output) {
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

fn described(packet: &capture::Packet) -> Described {
    let direction = if packet.leaves == Some(true) {
        Direction::Out
    } else {
        Direction::In
    };
    let event = Event::Packet {
        direction,
        class: Policy::plain_class(),
        packet: parse(&packet.frame, Layout::Ethernet),
    };
    Described::plain(event, SocketAnswer::None)
}

/// The order of the sums: rules as they stand, then what no rule decides.
fn place(decider: Decider) -> (u8, Option<u32>) {
    match decider {
        Decider::Rule(rule) => (0, Some(rule.as_u32())),
        Decider::Default => (1, None),
        Decider::Malformed => (2, None),
        Decider::Unmatched => (3, None),
        Decider::NotIp => (4, None),
    }
}
