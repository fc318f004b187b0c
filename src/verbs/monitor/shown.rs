//! A record as a line: for a person, and as JSON.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sockc_compiler::artifact::{Counter, CounterKind};
use sockc_compiler::log::LogRecord;
use sockc_runtime::{LocalTime, log_clock};

use super::dropped::Sample;
use super::filter::header_words;
use crate::output::{harmless, quoted};

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
    /// What its slot counts.
    pub(super) counter: &'a Counter,
    /// What it has besides where it is a drop that was sampled.
    pub(super) sample: Option<&'a Sample>,
    pub(super) interface: Option<&'a str>,
    /// Of what passes through, the interface by which it came in.
    pub(super) came_in: Option<&'a str>,
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
    /// The label, else the statement's text.
    rule: &'a str,
    label: Option<&'a str>,
    file: &'a str,
    line: u32,
    hook: &'a str,
    direction: &'a str,
    interface: Option<&'a str>,
    /// Of what passes through, the interface by which it came in; null of all else.
    came_in: Option<&'a str>,
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
}

/// What became of a packet that was sampled, by the verb of what decided.
pub(super) fn verb_of_sample(verb: &str) -> &str {
    match verb {
        "reject" => verb,
        _ => "drop",
    }
}

impl Shown<'_> {
    /// Adds the line. Writing to memory does not fail.
    pub(super) fn line(&self, json: bool, text: &mut Vec<u8>) {
        match json {
            true => drop(serde_json::to_writer(&mut *text, &self.row())),
            false => self.words(text),
        }
        text.push(b'\n');
    }

    fn verdict(&self) -> String {
        match self.counter.audit {
            true => format!("audit {}", self.verb()),
            false => self.verb().to_owned(),
        }
    }

    /// The verb of the rule; of a sample what became of the packet, as of one whose redirect found no socket.
    pub(super) fn verb(&self) -> &str {
        let verb = self.counter.verdict.as_str();
        match self.sample {
            None => verb,
            Some(_) => verb_of_sample(verb),
        }
    }

    /// What a recording says of it: the verdict, the rule with its place, and what the rule's `log` says.
    pub(super) fn comment(&self) -> String {
        let place = &self.counter.location;
        let place = match self.counter.label {
            Some(_) => format!(" ({}:{})", place.file, place.line),
            None => String::new(),
        };
        let log = self.log().filter(|log| !log.is_empty());
        let log = log.map_or_else(String::new, |log| format!(" {}", quoted(log)));
        let came_in = self
            .came_in
            .map_or_else(String::new, |name| format!("; it came in by {name}"));
        format!(
            "{} by {}{place}{log}{came_in}",
            self.verdict(),
            name(self.counter)
        )
    }

    /// What the rule's `log` says of a record of it.
    fn log(&self) -> Option<&str> {
        let log = self.counter.log.as_deref();
        log.filter(|_| self.sample.is_none())
    }

    /// The packet in words.
    fn packet(&self) -> String {
        match self.sample {
            Some(sample) if !sample.is_read => {
                "a packet whose headers are longer than what is sampled of it".to_owned()
            }
            _ => self.packet_words(),
        }
    }

    /// The same in the words of the command line: of a sample all that its header says, of a record what a log keeps.
    fn packet_words(&self) -> String {
        let direction = self.record.hook.direction();
        let words = self.sample.and_then(|sample| {
            let header = sample.header.as_ref()?;
            match sample.tells_frame {
                true => header_words(header, direction),
                false => header_words(&header.without_frame(), direction),
            }
        });
        words.unwrap_or_else(|| self.record.words())
    }

    fn words(&self, text: &mut Vec<u8>) {
        let time = self.clock.words(self.record);
        let verdict = self.verdict();
        let rule = name(self.counter);
        let interface = self.interface.unwrap_or("-");
        let interface = match self.came_in {
            Some(came_in) => format!("{came_in} -> {interface}"),
            None => interface.to_owned(),
        };
        let packet = self.packet();
        let line = format!("{time}  {verdict:<6}  {rule:<12}  {interface:<6}  {packet}");
        text.extend_from_slice(harmless(&line).as_bytes());
        if let Some(sample) = self.sample {
            let _ = write!(text, "  1/{}", sample.one_in);
        }
        if let Some(log) = self.log().filter(|log| !log.is_empty()) {
            let _ = write!(text, "  {}", quoted(log));
        }
    }

    fn row(&self) -> Row<'_> {
        let (record, counter) = (self.record, self.counter);
        let packet = record.packet.as_ref();
        Row {
            format: "sockc.monitor/1",
            event: match self.sample {
                Some(_) => "drop",
                None => "packet",
            },
            seconds: self.clock.day(record) as f64 / SECOND as f64,
            monotonic: record.time,
            generation: self.generation,
            verdict: self.verb(),
            audit: counter.audit,
            rule: counter.label.as_deref().unwrap_or(&counter.location.text),
            label: counter.label.as_deref(),
            file: &counter.location.file,
            line: counter.location.line,
            hook: record.hook.name(),
            direction: record.hook.direction().word(),
            interface: self.interface,
            came_in: self.came_in,
            packet: packet.map(|_| self.packet_words()),
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
            mark: record.mark(),
            log: self.log(),
            sampled: self.sample.map(|sample| sample.one_in),
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
