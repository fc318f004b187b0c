//! `sockc monitor`: what rules with `log` write, as it comes.
//!
//! Waits for the ring of the policy in force, and for what comes and goes in its folder: after an apply the ring of the next one is
//! read too, and the one before until it is gone. Records are told in the order of their rings, each once; how many found
//! no room is told as the kernel counted it. Where that is asked for, a sample of what is dropped is told beside them, and what is told
//! is recorded, too. Not here: what a record says, and what a filter means.

mod dropped;
mod filter;
mod recorded;
mod shown;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use sockc_compiler::log::LogRecord;
use sockc_runtime::{Error, LogReader, LogWatch, log_clock};

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;
use crate::verbs::counters::names_counter;
use dropped::{Drops, Told, may_be_sampled};
use filter::Filter;
use recorded::Recorded;
use shown::{Clock, Shown};

/// How many records are written at once.
const BATCH: usize = 256;
/// After a few records so long nobody asks for the next ones: at many a second each would wake this, and whoever sent it would spend
/// that time too. Meanwhile records wait in the ring; what finds no room there is counted, and told as lost.
const NAP: Duration = Duration::from_millis(1);
/// How long is waited at most until it is looked whether another policy is in force, and whether records were lost: a trial that ends
/// moves nothing in the folder.
const TICK: Duration = Duration::from_millis(500);

/// Something else than a packet, as JSON.
#[derive(Serialize)]
struct Said {
    format: &'static str,
    event: &'static str,
    /// The generation that it is about; null where none is in force.
    generation: Option<u32>,
    /// Records that were lost.
    records: Option<u64>,
    /// Whether that was before this command began.
    earlier: Option<bool>,
    /// Whether it is about drops that were sampled, and not about what a log writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<bool>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Records of logs, before this command began.
    Before,
    /// Others.
    Now,
    /// Drops that were chosen for the sample.
    Drops,
}

/// Shows them.
pub(crate) fn run(arguments: &cli::Monitor, output: &mut Output) -> Exit {
    if output.is_json() && records_to_stdout(arguments) {
        output.error(
            "`--pcap-out -` and `--json` both write to standard output; name a file, as in `--pcap-out log.pcapng`",
        );
        return Exit::Usage;
    }
    let filter = match arguments.filter.is_empty() {
        true => None,
        false => match Filter::read(&arguments.filter.join(" "), output) {
            Ok(filter) => Some(filter),
            Err(exit) => return exit,
        },
    };
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => {
            output.error(format!("cannot hear of interrupts: {error}"));
            return Exit::Refused;
        }
    };
    let watch = match LogWatch::begin(&options(&arguments.place)) {
        Ok(watch) => watch,
        Err(error) => return refused(&error, output),
    };
    let mut monitor = Monitor {
        arguments,
        filter,
        end,
        watch,
        drops: None,
        recorded: None,
        rings: Vec::new(),
        in_force: None,
        interfaces: BTreeMap::new(),
        shown: 0,
        taken: 0,
        text: Vec::new(),
        followed: Instant::now(),
        moved: false,
        until: None,
        deadline: arguments
            .time
            .and_then(|time| Instant::now().checked_add(time)),
    };
    match monitor.run(output) {
        Ok(exit) | Err(Stop::Exit(exit)) => exit,
        Err(Stop::Refused(error)) => refused(&error, output),
    }
}

/// Whether packets are recorded on standard output, in place of lines.
fn records_to_stdout(arguments: &cli::Monitor) -> bool {
    arguments.pcap_out.as_deref() == Some(Path::new(recorded::STDOUT))
}

/// Why it does not go on.
enum Stop {
    /// The command ends so.
    Exit(Exit),
    /// The runtime refused.
    Refused(Box<Error>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// A ring that is read.
struct Ring {
    reader: LogReader,
    /// How many records had found no room when that was told last.
    lost: u64,
    /// Whether its generation is gone: it is read once more then.
    gone: bool,
}

struct Monitor<'a> {
    arguments: &'a cli::Monitor,
    filter: Option<Filter>,
    end: OwnedFd,
    watch: LogWatch,
    /// The sample of what is dropped, if it is asked for.
    drops: Option<Drops>,
    /// Where what is told is recorded, if that is asked for.
    recorded: Option<Recorded>,
    /// Those of the generation in force and of others that are kept, the oldest first.
    rings: Vec<Ring>,
    in_force: Option<(u32, u64)>,
    interfaces: BTreeMap<u32, String>,
    /// How many packets were told.
    shown: u64,
    /// How many records were taken since it was waited last.
    taken: usize,
    /// Lines that are to be printed; kept, so that it need not grow again.
    text: Vec<u8>,
    /// When it was looked last whether another policy is in force, and whether something moved in the folder since.
    followed: Instant,
    moved: bool,
    /// When the command was asked to end, on the clock of records: later ones are not waited for.
    until: Option<u64>,
    deadline: Option<Instant>,
}

impl Monitor<'_> {
    fn run(&mut self, output: &mut Output) -> Result<Exit, Stop> {
        self.begin(output)?;
        loop {
            self.drain(output)?;
            if self.until.is_some() || output.is_broken() {
                return Ok(Exit::Done);
            }
            self.wait(output);
            if self.is_asked_to_end() {
                self.until = Some(log_clock());
                continue;
            }
            let looks = self.moved || self.followed.elapsed() >= TICK;
            if looks && !self.follow(output)? {
                return Ok(Exit::Done);
            }
        }
    }

    /// Opens the ring of the policy in force, and says what is not to be seen.
    fn begin(&mut self, output: &mut Output) -> Result<(), Stop> {
        self.in_force = self.watch.in_force()?;
        if self.in_force.is_none() {
            self.say_gone(output);
            return Err(Stop::Exit(Exit::Done));
        }
        let reader = self.watch.open()?;
        self.know(reader.as_ref(), output)?;
        if let Some(one_in) = self.arguments.drops {
            self.drops = Some(Drops::begin(one_in.get(), &self.watch, output)?);
        }
        if let Some(path) = &self.arguments.pcap_out {
            // Only now: what is refused before leaves a recording that is there as it is.
            let recorded = Recorded::begin(path, output).map_err(Stop::Exit)?;
            self.recorded = Some(recorded);
            self.write(&[], output)?;
        }
        match reader {
            Some(reader) => {
                self.in_force = Some(reader.which());
                self.add(reader, output)?;
            }
            None if self.drops.is_some() => {}
            None => output.note(
                "no rule of the policy in force has a `log`, nor has a default; waiting for a policy that logs, until interrupted",
            ),
        }
        for block in self.watch.blocks()? {
            output.note(format!(
                "what the policy of the `for netns` block \"{block}\" logs is read by `sockc monitor --netns {block}`"
            ));
        }
        Ok(())
    }

    /// Refuses rules that are not there, or log nothing where nothing else is shown.
    fn know(&self, reader: Option<&LogReader>, output: &mut Output) -> Result<(), Stop> {
        let samples = self.arguments.drops.is_some();
        let manifest = self.watch.manifest()?.filter(|_| samples);
        let counters = match (&manifest, reader) {
            (Some(manifest), _) => manifest.counters.as_slice(),
            (None, Some(reader)) => reader.counters(),
            (None, None) => return Ok(()),
        };
        for rule in &self.arguments.rules {
            let named = counters.iter().filter(|one| names_counter(one, rule));
            let logs: Vec<bool> = named
                .map(|one| one.log.is_some() || (samples && may_be_sampled(one)))
                .collect();
            let why = match logs.is_empty() {
                _ if logs.contains(&true) => continue,
                true => {
                    "is not in force: no rule has this label or stands on such a line; `sockc counters` shows all of them"
                }
                false => "logs nothing; write `log` behind it, and apply the policy",
            };
            output.error(format!("the rule `{rule}` {why}"));
            return Err(Stop::Exit(Exit::Usage));
        }
        Ok(())
    }

    fn add(&mut self, reader: LogReader, output: &mut Output) -> Result<(), Stop> {
        let lost = reader.lost()?;
        match lost {
            None => output.note(
                "an older sockc made the programs in force: what finds no room in the ring is not counted, until the policy is applied again",
            ),
            Some(0) => {}
            Some(lost) => self.say_lost(reader.generation(), lost, Lost::Before, output),
        }
        self.rings.push(Ring {
            lost: lost.unwrap_or(0),
            gone: false,
            reader,
        });
        self.rings.sort_by_key(|ring| ring.reader.generation());
        Ok(())
    }

    /// Reads the ring of another policy that came into force; `false` if none is any more.
    fn follow(&mut self, output: &mut Output) -> Result<bool, Stop> {
        self.followed = Instant::now();
        // What is gone was read since that was seen.
        self.rings.retain(|ring| !ring.gone);
        let now = self.watch.in_force()?;
        if let (Some(drops), Some(which)) = (&mut self.drops, now) {
            drops.follow(which, &self.watch, output)?;
        }
        for ring in &mut self.rings {
            let which = ring.reader.which();
            ring.gone = now != Some(which) && !self.watch.is_kept(which);
        }
        if now == self.in_force {
            return Ok(true);
        }
        let Some(which) = now else {
            self.drain(output)?;
            self.say_gone(output);
            return Ok(false);
        };
        let generation = which.0;
        let before = self.in_force.replace(which);
        let before = before.map_or(generation, |(before, _)| before);
        let has = |ring: &Ring| ring.reader.which() == which;
        let reader = match self.rings.iter().any(has) {
            true => None,
            false => match self.watch.open() {
                // The one before is in force again, and its ring is read here.
                Err(Error::LogTaken) if self.is_read_here()? => None,
                opened => opened?,
            },
        };
        let logs = reader.is_some() || self.rings.iter().any(has);
        // Those that came and went between two looks.
        if generation > before.saturating_add(1) {
            output.note(format!(
                "what was logged between generation {before} and generation {generation}, if one was in force for a moment, was not read"
            ));
        }
        let silent = match logs || self.drops.is_some() {
            true => "",
            false => ", and logs nothing",
        };
        let words = format!("generation {generation} is in force{silent}");
        self.say_policy(Some(generation), &words, output);
        if let Some(reader) = reader {
            // Another one may have come since.
            self.in_force = Some(reader.which());
            self.add(reader, output)?;
        }
        Ok(true)
    }

    /// Whether what is in force now is read by this command.
    fn is_read_here(&self) -> Result<bool, Error> {
        let now = self.watch.in_force()?;
        let mut rings = self.rings.iter();
        Ok(rings.any(|ring| Some(ring.reader.which()) == now))
    }

    /// Waits until something is there to read, or to be seen.
    fn wait(&mut self, output: &mut Output) {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()));
        let time = left.unwrap_or(TICK).min(TICK);
        let taken = std::mem::take(&mut self.taken);
        self.moved = false;
        // Whoever has much to do does it at once.
        if (1..BATCH).contains(&taken) {
            self.poll(time.min(NAP), false, output);
        }
        self.poll(time, true, output);
    }

    /// Waits until something is to be seen, or, if that is wanted, to be read.
    fn poll(&mut self, time: Duration, wanted: bool, output: &mut Output) {
        let stdout = io::stdout();
        let mut all = vec![
            // Nothing but that it cannot be written to any more.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(self.end.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
        ];
        let rings = self.rings.iter().filter(|_| wanted);
        all.extend(rings.map(|ring| PollFd::new(ring.reader.as_fd(), PollFlags::POLLIN)));
        let drops = self.drops.iter().filter(|_| wanted);
        all.extend(
            drops
                .flat_map(Drops::fds)
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN)),
        );
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        // Interrupted or not, everything is looked at.
        let _ = poll(&mut all, time);
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let seen = |at: usize| all.get(at).and_then(PollFd::revents);
        let left = seen(0).is_some_and(|left| left.intersects(gone));
        let moved = seen(2).is_some_and(|moved| !moved.is_empty());
        self.moved |= moved;
        if left {
            output.reader_left();
        }
    }

    fn is_asked_to_end(&self) -> bool {
        let mut end = [PollFd::new(self.end.as_fd(), PollFlags::POLLIN)];
        poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            || self.deadline.is_some_and(|end| end <= Instant::now())
    }

    /// Tells all that is in the rings.
    fn drain(&mut self, output: &mut Output) -> Result<(), Stop> {
        for at in 0..self.rings.len() {
            while self.batch(at, output)? {
                if self.until.is_none() && self.is_asked_to_end() {
                    self.until = Some(log_clock());
                }
                self.sampled(output)?;
            }
        }
        self.sampled(output)
    }

    /// Tells what was sampled, if that is asked for.
    fn sampled(&mut self, output: &mut Output) -> Result<(), Stop> {
        match self.drops.take() {
            None => Ok(()),
            Some(mut drops) => {
                let told = self.dropped(&mut drops, output);
                self.drops = Some(drops);
                told
            }
        }
    }

    /// Tells what was sampled of what is dropped, and what nobody sees of that.
    fn dropped(&mut self, drops: &mut Drops, output: &mut Output) -> Result<(), Stop> {
        let clock = Clock::now();
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        for told in drops.take() {
            if self.has_enough() || self.until.is_some_and(|until| told.record.time > until) {
                break;
            }
            self.taken += 1;
            self.tell_dropped(&told, clock, output.is_json(), &mut text)?;
        }
        let written = self.write(&text, output);
        self.text = text;
        written?;
        for unseen in drops.unseen()? {
            if unseen.gap {
                self.say_gap(unseen.generation, output);
            }
            if unseen.lost > 0 {
                self.say_lost(unseen.generation, unseen.lost, Lost::Drops, output);
            }
        }
        match output.is_broken() || self.has_enough() {
            true => Err(Stop::Exit(Exit::Done)),
            false => Ok(()),
        }
    }

    /// Tells some records of a ring; whether there may be more.
    fn batch(&mut self, at: usize, output: &mut Output) -> Result<bool, Stop> {
        let clock = Clock::now();
        let (mut text, mut taken, mut more) = (std::mem::take(&mut self.text), 0, true);
        text.clear();
        while taken < BATCH && !self.has_enough() {
            let Some(record) = self.rings.get_mut(at).and_then(|ring| ring.reader.take()) else {
                more = false;
                break;
            };
            taken += 1;
            self.tell(at, &record, clock, output.is_json(), &mut text)?;
            if self.until.is_some_and(|until| record.time > until) {
                more = false;
                break;
            }
        }
        let written = self.write(&text, output);
        self.text = text;
        written?;
        self.taken += taken;
        // While much comes, what is lost stands between the records next to which it was.
        self.lost(at, output)?;
        match output.is_broken() || self.has_enough() {
            true => Err(Stop::Exit(Exit::Done)),
            false => Ok(more),
        }
    }

    /// Writes lines, and before them what was recorded of these.
    fn write(&mut self, text: &[u8], output: &mut Output) -> Result<(), Stop> {
        if let Some(recorded) = &mut self.recorded {
            recorded.write(&self.end, output).map_err(Stop::Exit)?;
        }
        if !records_to_stdout(self.arguments) {
            output.stream(text, &self.end);
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        self.arguments.count.is_some_and(|most| self.shown >= most)
    }

    fn tell(
        &mut self,
        at: usize,
        record: &LogRecord,
        clock: Clock,
        json: bool,
        text: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        self.know_interface(record)?;
        let Some(ring) = self.rings.get(at) else {
            return Ok(());
        };
        let slot = usize::try_from(record.counter).ok();
        let counter = slot.and_then(|slot| ring.reader.counters().get(slot));
        let Some(counter) = counter else {
            return Ok(());
        };
        let shown = Shown {
            record,
            counter,
            sample: None,
            interface: self.interfaces.get(&record.interface).map(String::as_str),
            generation: ring.reader.generation(),
            clock,
        };
        if self.wants(&shown) {
            self.shown += 1;
            show(&shown, self.recorded.as_mut(), json, text);
        }
        Ok(())
    }

    fn tell_dropped(
        &mut self,
        told: &Told,
        clock: Clock,
        json: bool,
        text: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let record = &told.record;
        self.know_interface(record)?;
        let shown = Shown {
            record,
            counter: &told.counter,
            sample: Some(&told.sample),
            interface: self.interfaces.get(&record.interface).map(String::as_str),
            generation: told.generation,
            clock,
        };
        if self.wants(&shown) {
            self.shown += 1;
            show(&shown, self.recorded.as_mut(), json, text);
        }
        Ok(())
    }

    /// Learns the name of a record's interface.
    fn know_interface(&mut self, record: &LogRecord) -> Result<(), Error> {
        let known = record.interface == 0 || self.interfaces.contains_key(&record.interface);
        if !known {
            self.interfaces.extend(self.watch.interfaces()?);
            // One that is gone keeps its number.
            let number = || format!("#{}", record.interface);
            self.interfaces
                .entry(record.interface)
                .or_insert_with(number);
        }
        Ok(())
    }

    /// Whether somebody wants it.
    fn wants(&self, shown: &Shown<'_>) -> bool {
        let (arguments, counter) = (self.arguments, shown.counter);
        let of_rule = arguments.rules.is_empty()
            || arguments
                .rules
                .iter()
                .any(|rule| names_counter(counter, rule));
        let of_verdict = arguments.verdicts.is_empty()
            || arguments
                .verdicts
                .iter()
                .any(|verdict| verdict.word() == shown.verb());
        let filter = self.filter.as_ref();
        of_rule && of_verdict && filter.is_none_or(|one| one.holds(shown.record, shown.interface))
    }

    /// Says how many records more found no room.
    fn lost(&mut self, at: usize, output: &mut Output) -> Result<(), Stop> {
        let Some(ring) = self.rings.get_mut(at) else {
            return Ok(());
        };
        let lost = ring.reader.lost()?.unwrap_or(0);
        let more = lost.saturating_sub(ring.lost);
        ring.lost = lost;
        let generation = ring.reader.generation();
        if more > 0 {
            self.say_lost(generation, more, Lost::Now, output);
        }
        Ok(())
    }

    fn say_lost(&self, generation: u32, records: u64, lost: Lost, output: &mut Output) {
        if output.is_json() {
            return self.say(
                &Said {
                    records: Some(records),
                    earlier: Some(lost == Lost::Before),
                    sampled: (lost == Lost::Drops).then_some(true),
                    ..Said::of("lost", Some(generation))
                },
                output,
            );
        }
        let what = match lost {
            Lost::Before => {
                return output.note(format!(
                    "{records} lost before this began: nobody read them in time since generation {generation} was put in force"
                ));
            }
            Lost::Now => "",
            Lost::Drops => " of the drops that were chosen",
        };
        self.say_between(
            &format!("{records} lost{what}: they came faster than they were read"),
            output,
        );
    }

    /// Says that drops were not looked at for a moment; how many nobody knows.
    fn say_gap(&self, generation: u32, output: &mut Output) {
        if output.is_json() {
            return self.say(
                &Said {
                    earlier: Some(false),
                    sampled: Some(true),
                    ..Said::of("lost", Some(generation))
                },
                output,
            );
        }
        self.say_between(
            "some drops were not looked at: a program found nobody to write to, as on a processor that came meanwhile",
            output,
        );
    }

    /// Says something between packets.
    fn say_between(&self, line: &str, output: &mut Output) {
        match records_to_stdout(self.arguments) {
            true => output.note(line),
            false => output.stream(format!("... {line}\n").as_bytes(), &self.end),
        }
    }

    fn say_gone(&self, output: &mut Output) {
        let words = "the policy was taken out of force, and nothing is logged any more";
        self.say_policy(None, words, output);
    }

    fn say_policy(&self, generation: Option<u32>, words: &str, output: &mut Output) {
        if output.is_json() {
            self.say(&Said::of("policy", generation), output);
        }
        output.note(words);
    }

    fn say(&self, said: &Said, output: &mut Output) {
        let text = serde_json::to_string(said).unwrap_or_default();
        output.stream(format!("{text}\n").as_bytes(), &self.end);
    }
}

impl Said {
    fn of(event: &'static str, generation: Option<u32>) -> Self {
        Self {
            format: "sockc.monitor/1",
            event,
            generation,
            records: None,
            earlier: None,
            sampled: None,
        }
    }
}

/// Adds the line of a packet, and the packet to what is recorded.
fn show(shown: &Shown<'_>, recorded: Option<&mut Recorded>, json: bool, text: &mut Vec<u8>) {
    shown.line(json, text);
    if let Some(recorded) = recorded {
        recorded.add(shown);
    }
}
