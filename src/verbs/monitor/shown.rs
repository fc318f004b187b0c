//! A record as a line: for a person, and as JSON.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sockc_compiler::artifact::{Counter, CounterKind};
use sockc_compiler::log::LogRecord;
use sockc_runtime::{LocalTime, log_clock};

use super::judged::By;
use crate::output::harmless;

/// Nanoseconds of a second and of a millisecond.
const SECOND: u128 = 1_000_000_000;
const MILLISECOND: u128 = 1_000_000;

/// What the clock of records has to do with that of the day, as both stand now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Nanoseconds since 1970, and on the clock of records.
    now: (u128, u64),
}

impl Clock {
    pub(super) fn now() -> Self {
        let day = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            now: (day.map_or(0, |day| day.as_nanos()), log_clock()),
        }
    }

    /// When a record was written, in nanoseconds since 1970.
    pub(super) fn day(self, record: &LogRecord) -> u128 {
        let (day, clock) = self.now;
        (day + u128::from(record.time)).saturating_sub(u128::from(clock))
    }

    /// The same on the clock of the machine's zone; with the date where that is not today's.
    fn words(self, record: &LogRecord) -> String {
        let local = |time: u128| LocalTime::of(i64::try_from(time / SECOND).unwrap_or(i64::MAX));
        let then = self.day(record);
        let Some(LocalTime { date, time }) = local(then) else {
            return format!("{}", then / SECOND);
        };
        let (hour, minute, second) = time;
        let milliseconds = then % SECOND / MILLISECOND;
        let time = format!("{hour:02}:{minute:02}:{second:02}.{milliseconds:03}");
        let today = local(self.now.0).map(|now| now.date);
        match date {
            date if Some(date) == today => time,
            (year, month, day) => format!("{year}-{month:02}-{day:02} {time}"),
        }
    }
}

/// A record with all that is known of it.
pub(super) struct Shown<'a> {
    pub(super) record: &'a LogRecord,
    /// Who logged it, or dropped it.
    pub(super) by: &'a By<'a>,
    /// Of how many drops it is one; nothing of what was logged.
    pub(super) sampled: Option<u32>,
    pub(super) interface: Option<&'a str>,
    pub(super) generation: u32,
    pub(super) clock: Clock,
}

/// The JSON of one.
#[derive(Serialize)]
struct Row<'a> {
    format: &'static str,
    event: &'static str,
    /// Seconds since 1970.
    seconds: f64,
    /// Nanoseconds on the clock that no setting of the time moves.
    monotonic: u64,
    generation: u32,
    verdict: &'a str,
    audit: bool,
    /// The label, else the statement's text; null where it is not known.
    rule: Option<&'a str>,
    label: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    hook: &'a str,
    direction: &'a str,
    interface: Option<&'a str>,
    /// In the words of the command line; null of a malformed one.
    packet: Option<String>,
    from: Option<String>,
    to: Option<String>,
    protocol: Option<u8>,
    from_port: Option<u16>,
    to_port: Option<u16>,
    tcp_flags: Option<u8>,
    icmp: Option<(u8, u8)>,
    /// Of the IP packet, or of what was written; null where the hook sees none.
    length: Option<u32>,
    mark: Option<u32>,
    /// What the rule's `log` says.
    log: Option<&'a str>,
    /// Of how many drops it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<u32>,
    /// The rules one of which dropped it, where it is not known which.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<Candidate<'a>>>,
    /// Why nobody can say what dropped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'a str>,
}

/// A rule that may have dropped a packet, as JSON.
#[derive(Serialize)]
struct Candidate<'a> {
    verdict: &'a str,
    rule: &'a str,
    label: Option<&'a str>,
    file: &'a str,
    line: u32,
}

impl<'a> Candidate<'a> {
    fn of(counter: &'a Counter) -> Self {
        Self {
            verdict: &counter.verdict,
            rule: rule(counter),
            label: counter.label.as_deref(),
            file: &counter.location.file,
            line: counter.location.line,
        }
    }
}

fn rule(counter: &Counter) -> &str {
    counter.label.as_deref().unwrap_or(&counter.location.text)
}

/// The verdict of what is dropped by nobody knows whom.
const DROP: &str = "drop";

impl Shown<'_> {
    /// Adds the line.
    pub(super) fn line(&self, json: bool, text: &mut String) {
        match json {
            true => text.push_str(&serde_json::to_string(&self.row()).unwrap_or_default()),
            false => self.words(text),
        }
        text.push('\n');
    }

    fn words(&self, text: &mut String) {
        let time = self.clock.words(self.record);
        let verdict = self.verdict();
        let rule = match self.by {
            By::One(counter) => name(counter),
            By::OneOf(all) => format!("one of {}", all.len()),
            By::Unknown(_) => "not known".to_owned(),
        };
        let interface = self.interface.unwrap_or("-");
        let packet = self.record.words();
        let line = format!("{time}  {verdict:<6}  {rule:<12}  {interface:<6}  {packet}");
        text.push_str(&harmless(&line));
        if let Some(of) = self.sampled {
            // Writing to a text does not fail.
            let _ = write!(text, "  1/{of}");
        }
        match self.by {
            By::One(counter) => {
                let log = counter.log.as_deref().filter(|_| self.sampled.is_none());
                if let Some(log) = log.filter(|log| !log.is_empty()) {
                    let _ = write!(text, "  \"{}\"", harmless(log));
                }
            }
            By::OneOf(all) => {
                let names: Vec<String> = all.iter().map(|one| name(one)).collect();
                let _ = write!(text, "  (one of {})", harmless(&names.join(", ")));
            }
            By::Unknown(why) => {
                let _ = write!(text, "  (not known: {})", harmless(why));
            }
        }
    }

    fn verdict(&self) -> String {
        match self.by {
            By::One(counter) if counter.audit => format!("audit {}", counter.verdict),
            By::One(counter) => counter.verdict.clone(),
            By::OneOf(_) | By::Unknown(_) => DROP.to_owned(),
        }
    }

    /// What a recording says of it.
    pub(super) fn comment(&self) -> String {
        let verdict = self.verdict();
        let by = match self.by {
            By::One(counter) => {
                let (name, place) = (name(counter), &counter.location);
                match counter.label {
                    Some(_) => format!("by {name} ({}:{})", place.file, place.line),
                    None => format!("by {name}"),
                }
            }
            By::OneOf(all) => {
                let names: Vec<String> = all.iter().map(|one| name(one)).collect();
                format!("by one of {}", names.join(", "))
            }
            By::Unknown(why) => format!("by what is not known: {why}"),
        };
        match self.sampled {
            Some(of) => format!("{verdict} {by}; 1/{of} of what is dropped"),
            None => format!(
                "{verdict} {by}; made from what the log tells: {}",
                self.record.words()
            ),
        }
    }

    fn row(&self) -> Row<'_> {
        let record = self.record;
        let packet = record.packet.as_ref();
        let counter = match self.by {
            By::One(counter) => Some(*counter),
            By::OneOf(_) | By::Unknown(_) => None,
        };
        Row {
            format: "sockc.monitor/1",
            event: match self.sampled {
                Some(_) => "drop",
                None => "packet",
            },
            seconds: self.clock.day(record) as f64 / SECOND as f64,
            monotonic: record.time,
            generation: self.generation,
            verdict: counter.map_or(DROP, |counter| counter.verdict.as_str()),
            audit: counter.is_some_and(|counter| counter.audit),
            rule: counter.map(rule),
            label: counter.and_then(|counter| counter.label.as_deref()),
            file: counter.map(|counter| &*counter.location.file),
            line: counter.map(|counter| counter.location.line),
            hook: record.hook.name(),
            direction: record.hook.direction().word(),
            interface: self.interface,
            packet: packet.map(|_| record.words()),
            from: packet
                .filter(|_| record.hook.direction().has_sender())
                .map(|one| one.from.to_string()),
            to: packet.map(|one| one.to.to_string()),
            protocol: packet.map(|one| one.protocol.0),
            from_port: packet
                .filter(|_| record.hook.direction().has_sender())
                .and_then(|one| one.ports)
                .map(|(from, _)| from),
            to_port: packet.and_then(|one| one.ports).map(|(_, to)| to),
            tcp_flags: packet.and_then(|one| one.flags),
            icmp: packet.and_then(|one| one.icmp),
            length: packet.map(|one| one.length).filter(|length| *length > 0),
            mark: packet.map(|one| one.mark),
            log: counter.and_then(|counter| counter.log.as_deref()),
            sampled: self.sampled,
            candidates: match self.by {
                By::OneOf(all) => Some(all.iter().map(|one| Candidate::of(one)).collect()),
                By::One(_) | By::Unknown(_) => None,
            },
            unknown: match self.by {
                By::Unknown(why) => Some(why),
                By::One(_) | By::OneOf(_) => None,
            },
        }
    }
}

/// What `counters` calls who logged it, in short.
pub(super) fn name(counter: &Counter) -> String {
    let location = &counter.location;
    let place = format!("{}:{}", location.file, location.line);
    match (&counter.label, counter.kind) {
        (Some(label), _) => label.clone(),
        (None, CounterKind::Default) => format!("default ({place})"),
        (None, _) if location.line > 0 => place,
        (None, _) => location.text.to_string(),
    }
}
