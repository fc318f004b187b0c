//! The rows of a trial, for a person and as JSON.

use serde::Serialize;
use sockc_runtime::CounterValue;

use crate::machine::counted;
use crate::output::Output;

/// One packet, or a pair of connections, what was seen of it and what should have been.
#[derive(Debug)]
pub(crate) struct Row {
    /// The network namespace whose policy it meets, for a `for netns` block.
    pub(crate) netns: Option<String>,
    /// The packet or the pair in words.
    pub(crate) packet: String,
    /// What was seen.
    pub(crate) seen: String,
    /// What the rules say.
    pub(crate) verdict: String,
    /// The statement that decides.
    pub(crate) decider: Decider,
    /// The rules that count it before, each as its place and text.
    pub(crate) counted: Vec<String>,
    /// Whether the two agree; `None` where nothing could be seen.
    pub(crate) agrees: Option<bool>,
}

/// The statement that decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decider {
    /// The label, else the text.
    pub(crate) rule: String,
    /// The file; empty where no statement decides.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: u32,
}

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    packets: Vec<Packet<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<Pair<'a>>,
    counters: Vec<counted::Row<'a>>,
}

/// A row of a packet in JSON.
#[derive(Serialize)]
struct Packet<'a> {
    packet: &'a str,
    #[serde(flatten)]
    fate: Fate<'a>,
}

/// A row of a pair in JSON.
#[derive(Serialize)]
struct Pair<'a> {
    pair: &'a str,
    #[serde(flatten)]
    fate: Fate<'a>,
}

/// What the rows of both say.
#[derive(Serialize)]
struct Fate<'a> {
    seen: &'a str,
    verdict: &'a str,
    rule: &'a str,
    file: &'a str,
    line: u32,
    agrees: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<&'a str>,
}

/// Prints the rows of packets, those of pairs, then the counters.
pub(crate) fn report(
    [rows, pairs]: [&[Row]; 2],
    values: &[CounterValue],
    sent: bool,
    output: &mut Output,
) {
    if output.is_json() {
        output.value(&Report {
            format: "sockc.try/1",
            packets: rows.iter().map(packet).collect(),
            pairs: pairs.iter().map(pair).collect(),
            counters: counted::rows(values),
        });
        return;
    }
    // Nobody saw a packet that was not sent.
    let told = if sent { "seen" } else { "the bytecode says" };
    for row in rows.iter().chain(pairs) {
        let mark = match row.agrees {
            Some(true) => "ok     ",
            Some(false) => "WRONG  ",
            None => "-      ",
        };
        let netns = row.netns.iter();
        let within: String = netns.map(|name| format!("in netns \"{name}\": ")).collect();
        output.line(format!("{mark}{within}{}", row.packet));
        let decider = &row.decider;
        let place = if decider.file.is_empty() {
            decider.rule.clone()
        } else {
            format!("{}:{} {}", decider.file, decider.line, decider.rule)
        };
        output.line(format!(
            "       {told}: {}; the rules say: {}; by {place}",
            row.seen, row.verdict
        ));
        for counted in &row.counted {
            output.line(format!("       counted by {counted}"));
        }
    }
    summary(rows.iter().chain(pairs), output);
    if !values.is_empty() {
        output.line("");
        counted::table(values, output);
    }
}

fn summary<'a>(rows: impl Iterator<Item = &'a Row> + Clone, output: &mut Output) {
    let count = |agrees| rows.clone().filter(|row| row.agrees == agrees).count();
    let (right, wrong, unseen) = (count(Some(true)), count(Some(false)), count(None));
    let mut line = format!("{right} as the rules say, {wrong} not");
    if unseen > 0 {
        line += &format!(", {unseen} could not be sent");
    }
    output.line("");
    output.line(line);
}

fn packet(row: &Row) -> Packet<'_> {
    Packet {
        packet: &row.packet,
        fate: fate(row),
    }
}

fn pair(row: &Row) -> Pair<'_> {
    Pair {
        pair: &row.packet,
        fate: fate(row),
    }
}

fn fate(row: &Row) -> Fate<'_> {
    Fate {
        seen: &row.seen,
        verdict: &row.verdict,
        rule: &row.decider.rule,
        file: &row.decider.file,
        line: row.decider.line,
        agrees: row.agrees,
        netns: row.netns.as_deref(),
    }
}
