//! A replay for a person: sums first, then a bar for each change with who decides, an example and the busiest flows.

use std::fmt::Write;

use sockc_compiler::policy::Direction;
use sockc_compiler::replay::report::Change;
use sockc_compiler::replay::{Count, MAX_FLOWS};

use super::Replayed;
use crate::changes::words::decided;
use crate::output::count;

/// So many changes are shown; JSON has all of them.
const MAX_SHOWN: usize = 20;

/// So many flows are shown of each.
const MAX_FLOWS_SHOWN: usize = 3;

/// The length of the longest bar.
const BAR: u64 = 24;

/// The whole text.
pub(super) fn text(replayed: &Replayed) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", Sums(replayed));
    let pairs = &replayed.report.pairs;
    let most = pairs.first().map_or(0, |first| first.count.packets);
    for (number, change) in (1..).zip(pairs.iter().take(MAX_SHOWN)) {
        let _ = write!(text, "\n{}", one(number, change, most));
    }
    let more = pairs.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        let packets: u64 = pairs[MAX_SHOWN..].iter().map(|one| one.count.packets).sum();
        let _ = writeln!(
            text,
            "\n  and {} more with {} (--json lists all)",
            count::of(more, "change"),
            count::of(packets, "packet")
        );
    }
    text
}

/// Everything but the changes one by one.
struct Sums<'a>(&'a Replayed);

impl std::fmt::Display for Sums<'_> {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (replayed, report) = (self.0, &self.0.report);
        let all = report.whole.packets + replayed.cut_short;
        writeln!(
            text,
            "replay of {}: {}, {}, {}{}",
            replayed.file,
            count::of(all, "packet"),
            bytes(report.whole.bytes),
            if report.beyond > 0 { "more than " } else { "" },
            count::of(report.flows, "flow")
        )?;
        for line in notes(replayed) {
            writeln!(text, "  {line}")?;
        }
        writeln!(text)?;
        let flows = count::of(report.changed_flows, "flow");
        writeln!(
            text,
            "  {} in {flows}",
            sum("another fate", report.changed, all)
        )?;
        for (fate, count) in &report.kept {
            let name = format!("{} as before", fate.words());
            writeln!(text, "  {}", sum(&name, *count, all))?;
        }
        let rest = [
            ("not IP, always passes", report.not_ip),
            ("headers cut short", replayed.cut_short),
        ];
        for (name, packets) in rest.into_iter().filter(|(_, packets)| *packets > 0) {
            writeln!(text, "  {name:<24} {:>13}", count::grouped(packets))?;
        }
        Ok(())
    }
}

/// What has to be known to read the numbers.
fn notes(replayed: &Replayed) -> Vec<String> {
    let report = &replayed.report;
    let mut notes: Vec<String> = report.assumptions.iter().map(ToString::to_string).collect();
    if replayed.undirected > 0 {
        notes.push(format!(
            "{} taken as arriving: the recording does not say which leave; --replay-local ADDRESS does",
            count::of(replayed.undirected, "packet")
        ));
    }
    if replayed.of_processes > 0 {
        notes.push(format!(
            "{} left out: `monitor` made them of calls and of data of connections, which are no packets",
            count::of(replayed.of_processes, "frame")
        ));
    }
    if report.beyond > 0 {
        notes.push(format!(
            "only the first {} flows are told apart; {} of others find no socket and count without a flow",
            count::grouped(MAX_FLOWS),
            count::of(report.beyond, "packet")
        ));
    }
    if let Some(reason) = &replayed.damaged {
        notes.push(format!("only a part of the recording was read: {reason}"));
    }
    notes
}

/// A name, a number of packets, their part of all, and their bytes.
fn sum(name: &str, count: Count, all: u64) -> String {
    format!(
        "{name:<24} {:>13} {:>7}  {:>9}",
        count::grouped(count.packets),
        percent(count.packets, all),
        bytes(count.bytes)
    )
}

fn one(number: usize, change: &Change, most: u64) -> String {
    let mut text = String::new();
    let fates = fates(change);
    let length = (change.count.packets * BAR).div_ceil(most.max(1));
    let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
    let _ = writeln!(text, "  {number:>3}  {fates:<22} {bar} {}", size(change));
    let _ = writeln!(
        text,
        "       was      {}",
        decided(&change.from, &change.was)
    );
    let _ = writeln!(
        text,
        "       will be  {}",
        decided(&change.to, &change.will_be)
    );
    if let Some(example) = &change.example {
        let _ = writeln!(text, "       such as  {example}");
    }
    let several = change.flows > 1;
    for (flow, count) in change.top.iter().take(MAX_FLOWS_SHOWN).filter(|_| several) {
        let packets = count::of(count.packets, "packet");
        let _ = writeln!(text, "         {packets:>16}  {flow}");
    }
    text
}

/// `drop -> allow`.
pub(super) fn fates(change: &Change) -> String {
    let direction = match change.direction {
        Direction::Out => "out: ",
        _ => "",
    };
    format!(
        "{direction}{} -> {}",
        change.from.words(),
        change.to.words()
    )
}

/// Packets, bytes and flows of a change.
pub(super) fn size(change: &Change) -> String {
    let packets = count::of(change.count.packets, "packet");
    let flows = count::of(change.flows, "flow");
    format!("{packets}, {}, {flows}", bytes(change.count.bytes))
}

/// `812.4 MB`, in powers of ten.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The part in percent, never said as none or all if it is not.
fn percent(part: u64, of: u64) -> String {
    let tenths = part.saturating_mul(1000).checked_div(of).unwrap_or(0);
    match (part, tenths) {
        (0, _) => "0 %".into(),
        (_, 0) => "<0.1 %".into(),
        (part, _) if part == of => "100 %".into(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_people_say_them() {
        let sizes = [999, 1000, 999_999, 1_000_000, 812_400_000].map(bytes);
        assert_eq!(sizes, ["999 B", "1.0 kB", "999.9 kB", "1.0 MB", "812.4 MB"]);
        let parts = [
            (0, 5),
            (1, 100_000),
            (1, 8),
            (9_999, 10_000),
            (5, 5),
            (0, 0),
        ];
        let parts = parts.map(|(part, of)| percent(part, of));
        assert_eq!(parts, ["0 %", "<0.1 %", "12.5 %", "99.9 %", "100 %", "0 %"]);
    }
}
