//! What rules have counted, as a table and as JSON.
//!
//! Takes counters with their values, of a policy in force or of a trial; gives rows. Not here: where the values come from.

use serde::Serialize;
use sockc_compiler::artifact::{Counter, CounterKind, Manifest};
use sockc_compiler::hook::Hook;
use sockc_compiler::policy::Direction;
use sockc_runtime::CounterValue;

use crate::output::{Output, quoted};

/// One counter. `rule` is the label, else the text.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    rule: &'a str,
    file: &'a str,
    line: u32,
    /// The namespace of the `for netns` block; null for the policy itself.
    netns: Option<&'a str>,
    /// The path of that namespace, if it lost its name.
    netns_path: Option<&'a str>,
    direction: &'a str,
    verdict: &'a str,
    /// Whether the rule only counts and logs: what it counted went on.
    audit: bool,
    kind: &'static str,
    packets: u64,
    /// Null of calls, where nothing has been sent yet.
    bytes: Option<u64>,
    /// Whether this is what it counted since somebody reset it.
    since_reset: bool,
}

/// Whether a counter was left out when the policy was compiled. One that does not count since there is nothing to count was
/// not: connections that an allowing default of `send` or `receive` alone concerns are not looked at.
pub(crate) fn is_left_out(counter: &Counter) -> bool {
    let mut directions = Direction::ALL.into_iter();
    let direction = directions.find(|one| one.word() == counter.direction);
    let of_nothing = counter.kind == CounterKind::Default
        && direction.is_some_and(Hook::leave_alone)
        && counter.verdict == "allow";
    !counter.counted && !of_nothing
}

/// How many rules a policy has.
pub(crate) fn rules(manifest: &Manifest) -> usize {
    let counters = manifest.counters.iter();
    counters.filter(|one| one.kind == CounterKind::Rule).count()
}

/// The counters as a table.
pub(crate) fn table(values: &[CounterValue], output: &mut Output) {
    let heading = ["packets", "bytes", "direction", "rule"].map(String::from);
    let mut table = vec![heading.to_vec()];
    table.extend(values.iter().map(|value| {
        vec![
            value.packets.to_string(),
            bytes(value),
            value.counter.direction.clone(),
            name(value),
        ]
    }));
    output.table(&table);
}

/// The counters in JSON.
pub(crate) fn rows(values: &[CounterValue]) -> Vec<Row<'_>> {
    values
        .iter()
        .map(|value| Row {
            rule: value
                .counter
                .label
                .as_deref()
                .unwrap_or(&value.counter.location.text),
            file: &value.counter.location.file,
            line: value.counter.location.line,
            netns: value.netns.as_deref(),
            netns_path: value.entered.as_deref(),
            direction: &value.counter.direction,
            verdict: &value.counter.verdict,
            audit: value.counter.audit,
            kind: match value.counter.kind {
                CounterKind::Rule => "rule",
                CounterKind::Default => "default",
                CounterKind::Malformed => "malformed",
                CounterKind::Escaped => "escaped",
                CounterKind::Refused => "refused",
                CounterKind::Back => "back",
                CounterKind::Withheld => "withheld",
                CounterKind::Lost => "lost",
                CounterKind::ByTcp => "by-tcp",
                CounterKind::Absent => "absent",
            },
            packets: value.packets,
            bytes: has_bytes(&value.counter).then_some(value.bytes),
            since_reset: value.reset != [0, 0],
        })
        .collect()
}

/// Whether what is counted has bytes: a call that says whom it wants to reach has sent nothing.
fn has_bytes(counter: &Counter) -> bool {
    counter.direction != "connect"
}

/// Whether packets are counted, and not calls, data or lookups of a socket.
pub(crate) fn counts_packets(value: &CounterValue) -> bool {
    let mut words = Direction::of_packets().map(Direction::word);
    words.any(|word| word == value.counter.direction)
        && bytes_of(&value.counter, [value.packets, value.bytes]).is_some()
}

/// The bytes of so many packets and bytes that were counted; calls and lookups of a socket have none, for no packet is at hand.
pub(crate) fn bytes_of(counter: &Counter, counted: [u64; 2]) -> Option<u64> {
    let [packets, bytes] = counted;
    match (packets, bytes) {
        _ if !has_bytes(counter) => None,
        (1.., 0) => None,
        (_, bytes) => Some(bytes),
    }
}

/// Bytes, or what stands for them where there are none.
pub(crate) fn in_words(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string())
}

fn bytes(value: &CounterValue) -> String {
    in_words(bytes_of(&value.counter, [value.packets, value.bytes]))
}

/// The most characters of a statement that a line of the table has; JSON has all of it.
const MAX_CHARS: usize = 60;

/// The statement with its place, if it has one, and the namespace of its block.
pub(crate) fn name(value: &CounterValue) -> String {
    let counter = &value.counter;
    let text = short(&counter.location.text);
    let text = match counter.kind {
        CounterKind::ByTcp => format!("by TCP: {text}"),
        CounterKind::Absent => format!("nobody there: {text}"),
        _ => text,
    };
    let name = if counter.location.line == 0 {
        text
    } else {
        format!("{}:{} {text}", counter.location.file, counter.location.line)
    };
    match (&value.netns, &value.entered) {
        (Some(netns), Some(path)) => {
            let was = quoted(netns);
            format!("{name} (in the network namespace {path}, which was {was})")
        }
        (Some(netns), None) => format!("{name} (in netns {})", quoted(netns)),
        (None, _) => name,
    }
}

/// A statement that is cut where it gets long.
fn short(text: &str) -> String {
    if text.chars().count() <= MAX_CHARS {
        return text.to_owned();
    }
    let begin: String = text.chars().take(MAX_CHARS - 1).collect();
    format!("{}…", begin.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_compiler::location::Location;

    #[test]
    fn long_statements_are_cut_between_characters() {
        let long = "ä".repeat(MAX_CHARS + 1);
        assert_eq!(short(&long).chars().count(), MAX_CHARS);
        assert_eq!(short("allow tcp"), "allow tcp");
    }

    #[test]
    fn calls_have_no_bytes_however_many_there_were() {
        let value = |direction: &str, packets, bytes| CounterValue {
            netns: None,
            entered: None,
            counter: Counter {
                kind: CounterKind::Rule,
                label: None,
                location: Location::new("", 1, ""),
                direction: direction.to_owned(),
                verdict: "drop".to_owned(),
                audit: direction == "in",
                log: None,
                counted: true,
            },
            packets,
            bytes,
            reset: [0, 0],
        };
        for packets in [0, 7] {
            let calls = [value("connect", packets, 0)];
            assert_eq!(bytes(&calls[0]), "-");
            assert_eq!(
                (rows(&calls)[0].bytes, rows(&calls)[0].audit),
                (None, false)
            );
        }
        for (value, is) in [
            (value("in", 3, 60), true),
            (value("out", 0, 0), true),
            (value("in", 3, 0), false),
            (value("send", 3, 60), false),
            (value("connect", 3, 0), false),
        ] {
            assert_eq!(counts_packets(&value), is);
        }
        let audited = [value("in", 0, 0)];
        assert_eq!(
            (rows(&audited)[0].bytes, rows(&audited)[0].audit),
            (Some(0), true)
        );
        assert_eq!(bytes(&value("in", 0, 0)), "0");
        assert_eq!(bytes(&value("in", 3, 0)), "-");
    }

    #[test]
    fn a_default_that_concerns_no_write_is_no_counter_left_out() {
        let counter = |kind, direction: &str, verdict: &str| Counter {
            kind,
            label: None,
            location: Location::new("", 1, ""),
            direction: direction.to_owned(),
            verdict: verdict.to_owned(),
            audit: false,
            log: None,
            counted: false,
        };
        for direction in ["send", "receive"] {
            let default = counter(CounterKind::Default, direction, "allow");
            assert!(!is_left_out(&default), "{direction}");
        }
        for (kind, direction, verdict) in [
            (CounterKind::Default, "send", "drop"),
            (CounterKind::Default, "in", "allow"),
            (CounterKind::Default, "connect", "allow"),
            (CounterKind::Rule, "send", "allow"),
        ] {
            assert!(is_left_out(&counter(kind, direction, verdict)));
        }
    }
}
