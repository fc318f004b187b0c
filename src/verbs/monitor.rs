//! `sockc monitor`: what rules with `log` write, as it comes.
//!
//! Waits for the ring of the policy in force, and for what comes and goes in its folder: after an apply the ring of the next one is
//! read too, and the one before until it is gone. Records are told in the order of their rings, each once; how many found
//! no room is told as the kernel counted it. Where that is asked for, a sample of what is dropped is told beside them, and what is told
//! is recorded, too. Not here: what a record says, who dropped a packet, and what a filter means.

mod dropped;
mod filter;
mod judged;
mod recorded;
mod shown;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use sockc_compiler::artifact::Counter;
use sockc_compiler::log::LogRecord;
use sockc_runtime::{Error, LogReader, LogWatch, log_clock};

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;
use crate::verbs::counters::names_counter;
use dropped::Drops;
use filter::Filter;
use judged::By;
use recorded::Recorded;
use shown::{Clock, Shown};

/// How many records are written at once.
const BATCH: usize = 256;
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
    /// Whether it is about drops that were chosen, and not about what a log writes.
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
    if output.is_json() && arguments.pcap_out.as_deref().is_some_and(is_stdout) {
        output.error("`--pcap-out -` and `--json` both write to standard output; name a file for one of them, as in `--pcap-out drops.pcapng`");
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

/// Whether a recording goes to standard output.
fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

struct Monitor<'a> {
    arguments: &'a cli::Monitor,
    filter: Option<Filter>,
    end: OwnedFd,
    watch: LogWatch,
    /// The sample of what is dropped, if it is asked for.
    drops: Option<Drops>,
    /// Where what is shown is recorded, if that is asked for.
    recorded: Option<Recorded>,
    /// Those of the generation in force and of others that are kept, the oldest first.
    rings: Vec<Ring>,
    in_force: Option<(u32, u64)>,
    interfaces: BTreeMap<u32, String>,
    /// How many packets were told.
    shown: u64,
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
            if !self.follow(output)? {
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
        let reader = self.open(output)?;
        if let Some(one_in) = self.arguments.drops {
            let options = options(&self.arguments.place);
            self.drops = Some(Drops::begin(&options, one_in.get(), &self.watch, output)?);
        }
        self.know(reader.as_ref(), output)?;
        if let Some(path) = &self.arguments.pcap_out {
            self.recorded = Some(Recorded::begin(path, output).map_err(Stop::Exit)?);
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

    /// Opens the ring of what is in force. One that another process reads is in the way only where there is nothing else to show.
    fn open(&self, output: &mut Output) -> Result<Option<LogReader>, Stop> {
        match self.watch.open() {
            Err(Error::LogTaken) if self.arguments.drops.is_some() => {
                output.note("another `sockc monitor` reads what this policy logs, so only drops are shown here");
                Ok(None)
            }
            opened => Ok(opened?),
        }
    }

    /// Refuses rules that are not there, or log nothing where nothing else is shown.
    fn know(&self, reader: Option<&LogReader>, output: &mut Output) -> Result<(), Stop> {
        let judge = self.drops.as_ref().and_then(Drops::judge);
        let counters = match (judge, reader) {
            (Some(judge), _) => judge.counters(),
            (None, reader) => reader.map_or(&[][..], LogReader::counters),
        };
        for rule in &self.arguments.rules {
            let named = counters.iter().filter(|one| names_counter(one, rule));
            let logs: Vec<bool> = named.map(|one| one.log.is_some()).collect();
            let why = match logs.is_empty() {
                _ if judge.is_none() && reader.is_none() => continue,
                false if judge.is_some() || logs.contains(&true) => continue,
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
        // What is gone was read since that was seen.
        self.rings.retain(|ring| !ring.gone);
        let now = self.watch.in_force()?;
        if let Some(drops) = &mut self.drops
            && now.is_some()
        {
            drops.follow(now != self.in_force, &self.watch, output)?;
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
                _ if self.drops.is_some() => self.open(output)?,
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
        let silent = match logs {
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
        let stdout = io::stdout();
        let mut all = vec![
            // Nothing but that it cannot be written to any more.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(self.end.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
        ];
        let rings = self.rings.iter();
        all.extend(rings.map(|ring| PollFd::new(ring.reader.as_fd(), PollFlags::POLLIN)));
        let drops = self.drops.iter().flat_map(Drops::fds);
        all.extend(drops.map(|ring| PollFd::new(ring, PollFlags::POLLIN)));
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        // Interrupted or not, everything is looked at.
        let _ = poll(&mut all, time);
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let left = all.first().and_then(PollFd::revents);
        if left.is_some_and(|left| left.intersects(gone)) {
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
            }
            self.lost(at, output)?;
        }
        self.dropped(output)
    }

    /// Tells what was sampled of drops.
    fn dropped(&mut self, output: &mut Output) -> Result<(), Stop> {
        let Some(mut drops) = self.drops.take() else {
            return Ok(());
        };
        let told = self.tell_dropped(&mut drops, output);
        self.drops = Some(drops);
        told?;
        match output.is_broken() || self.has_enough() {
            true => Err(Stop::Exit(Exit::Done)),
            false => Ok(()),
        }
    }

    fn tell_dropped(&mut self, drops: &mut Drops, output: &mut Output) -> Result<(), Stop> {
        let clock = Clock::now();
        let sampled = Some(drops.one_in);
        let all = drops.take(&self.watch)?;
        for all in all.chunks(BATCH) {
            let mut text = String::new();
            for one in all {
                if self.has_enough() || self.until.is_some_and(|until| one.record.time > until) {
                    break;
                }
                let (by, generation) = drops.by(one);
                let interface = self.interface(&one.record)?;
                let shown = Shown {
                    record: &one.record,
                    by: &by,
                    sampled,
                    interface: interface.as_deref(),
                    generation,
                    clock,
                };
                if self.tells(&shown, output.is_json(), &mut text) {
                    self.record(&shown, Some((&one.sample.frame, one.sample.length)), output)?;
                }
            }
            self.written(&text, output)?;
        }
        let lost = drops.lost()?;
        if lost > 0 {
            let generation = self.in_force.map_or(0, |(generation, _)| generation);
            self.say_lost(generation, lost, Lost::Drops, output);
        }
        Ok(())
    }

    /// Tells some records of a ring; whether there may be more.
    fn batch(&mut self, at: usize, output: &mut Output) -> Result<bool, Stop> {
        let clock = Clock::now();
        let (mut text, mut taken, mut more) = (String::new(), 0, true);
        while taken < BATCH && !self.has_enough() {
            let Some(record) = self.rings.get_mut(at).and_then(|ring| ring.reader.take()) else {
                more = false;
                break;
            };
            taken += 1;
            self.tell(at, &record, clock, &mut text, output)?;
            if self.until.is_some_and(|until| record.time > until) {
                more = false;
                break;
            }
        }
        self.written(&text, output)?;
        // While much comes, what is lost stands between the records next to which it was.
        self.lost(at, output)?;
        match output.is_broken() || self.has_enough() {
            true => Err(Stop::Exit(Exit::Done)),
            false => Ok(more),
        }
    }

    /// Writes lines, and what was recorded of them.
    fn written(&mut self, text: &str, output: &mut Output) -> Result<(), Stop> {
        if let Some(recorded) = &mut self.recorded {
            recorded.write(&self.end, output).map_err(Stop::Exit)?;
        }
        if !self.is_recorded_to_stdout() {
            output.stream(text, &self.end);
        }
        Ok(())
    }

    fn is_recorded_to_stdout(&self) -> bool {
        self.arguments.pcap_out.as_deref().is_some_and(is_stdout)
    }

    fn has_enough(&self) -> bool {
        self.arguments.count.is_some_and(|most| self.shown >= most)
    }

    fn tell(
        &mut self,
        at: usize,
        record: &LogRecord,
        clock: Clock,
        text: &mut String,
        output: &mut Output,
    ) -> Result<(), Stop> {
        let interface = self.interface(record)?;
        let Some(ring) = self.rings.get(at) else {
            return Ok(());
        };
        let slot = usize::try_from(record.counter).ok();
        let counter = slot.and_then(|slot| ring.reader.counters().get(slot));
        let (Some(counter), generation) = (counter.cloned(), ring.reader.generation()) else {
            return Ok(());
        };
        let shown = Shown {
            record,
            by: &By::One(&counter),
            sampled: None,
            interface: interface.as_deref(),
            generation,
            clock,
        };
        if self.tells(&shown, output.is_json(), text) {
            self.record(&shown, None, output)?;
        }
        Ok(())
    }

    /// The name of a record's interface; one that is gone keeps its number.
    fn interface(&mut self, record: &LogRecord) -> Result<Option<String>, Stop> {
        let number = record.interface;
        if number != 0 && !self.interfaces.contains_key(&number) {
            self.interfaces.extend(self.watch.interfaces()?);
            let named = || format!("#{number}");
            self.interfaces.entry(number).or_insert_with(named);
        }
        Ok(self.interfaces.get(&number).cloned())
    }

    /// Adds the line of what is wanted; whether it is.
    fn tells(&mut self, shown: &Shown<'_>, json: bool, text: &mut String) -> bool {
        let arguments = self.arguments;
        let of_rule = |counter: &Counter| {
            let mut rules = arguments.rules.iter();
            arguments.rules.is_empty() || rules.any(|rule| names_counter(counter, rule))
        };
        let of_verdict = |verdict: &str| {
            let mut verdicts = arguments.verdicts.iter();
            arguments.verdicts.is_empty() || verdicts.any(|wanted| wanted.word() == verdict)
        };
        let is_of = |counter: &Counter| of_rule(counter) && of_verdict(&counter.verdict);
        let is_wanted = match shown.by {
            By::One(counter) => is_of(counter),
            By::OneOf(all) => all.iter().any(|counter| is_of(counter)),
            By::Unknown(_) => arguments.rules.is_empty() && of_verdict("drop"),
        };
        let filter = self.filter.as_ref();
        if !is_wanted || filter.is_some_and(|one| !one.holds(shown.record, shown.interface)) {
            return false;
        }
        self.shown += 1;
        shown.line(json, text);
        true
    }

    /// Records what was told: the frame that was dropped with its length, or one made from what a log says.
    fn record(
        &mut self,
        shown: &Shown<'_>,
        frame: Option<(&[u8], u32)>,
        output: &mut Output,
    ) -> Result<(), Stop> {
        match &mut self.recorded {
            None => Ok(()),
            Some(recorded) => recorded.add(shown, frame, output).map_err(Stop::Exit),
        }
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
        let line = format!("{records} lost{what}: they came faster than they were read");
        match self.is_recorded_to_stdout() {
            true => output.note(line),
            false => output.stream(&format!("... {line}\n"), &self.end),
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
        output.stream(&format!("{text}\n"), &self.end);
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
