//! `sockc monitor`: what rules with `log` write, as it comes.
//!
//! Waits for the sources of the policy in force (its log, and where that is asked for a sample of what it drops), and for what comes and
//! goes in its folder: after an apply those of the next one are read too, and those of the one before until it is gone; its drops are
//! sampled ahead of the switch. Events are told in the order of their source, each once; how many found no room is told as the kernel
//! counted it. Not here: what an event says, which of them somebody wants, and what a filter means.

mod dropped;
mod filter;
mod logs;
mod recorded;
mod said;
mod shown;
mod source;
mod told;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_runtime::{Error, LogReader, LogWatch, Options, Which, log_clock};

use crate::cli;
use crate::exit::Exit;
use crate::machine::losses::Losses;
use crate::machine::{options, refused};
use crate::output::Output;
use dropped::Sampling;
use filter::Filter;
use said::{Beside, Lost};
use shown::Clock;
use source::{Kind, Sources};
use told::Teller;

/// How many records are written at once.
const BATCH: usize = 256;
/// After a few records so long nobody asks for the next ones: at many a second each would wake this, and whoever sent it would spend
/// that time too. Meanwhile records wait in the ring; what finds no room there is counted, and told as lost.
const NAP: Duration = Duration::from_millis(1);
/// How long is waited at most until it is looked whether another policy is in force, and whether records were lost: a trial that ends
/// moves nothing in the folder.
const TICK: Duration = Duration::from_millis(500);

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
        false => match Filter::read(
            &arguments.filter.join(" "),
            arguments.drops.is_some(),
            output,
        ) {
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
    let place = options(&arguments.place);
    let watch = match LogWatch::begin(&place) {
        Ok(watch) => watch,
        Err(error) => return refused(&error, output),
    };
    let is_recorded = records_to_stdout(arguments);
    let mut monitor = Monitor {
        watch,
        beside: Beside {
            end: &end,
            is_recorded,
        },
        teller: Teller::new(arguments, filter),
        sampling: arguments.drops.map(|one_in| Sampling::new(one_in.get())),
        sources: Sources::default(),
        in_force: None,
        place,
        losses: Losses::default(),
        taken: 0,
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

/// That a gate closed while somebody asked.
const NO_RING: &str = "some drops were not looked at: a program found nobody to write to, as on a processor that came meanwhile";

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

struct Monitor<'a> {
    watch: LogWatch,
    beside: Beside<'a>,
    teller: Teller<'a>,
    /// The sample of what is dropped, if it is asked for.
    sampling: Option<Sampling>,
    sources: Sources,
    in_force: Option<Which>,
    /// Where, and what the policy had lost of its places when that was looked at last.
    place: Options,
    losses: Losses,
    /// How many events were taken since it was waited last.
    taken: usize,
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
                return Ok(output.end_of_stream());
            }
            self.wait(output);
            if self.is_asked_to_end() {
                self.until = Some(log_clock());
                continue;
            }
            // What a generation writes that is to come tells that it is in force.
            let ahead = self.sampling.as_ref().is_some_and(Sampling::looks_ahead);
            let is_time = self.followed.elapsed() >= TICK;
            let looks = self.moved || ahead || is_time;
            if looks && !self.follow(output)? {
                return Ok(Exit::Done);
            }
            if is_time {
                self.say_losses(output);
            }
        }
    }

    /// Opens the ring of the policy in force, and says what is not to be seen.
    fn begin(&mut self, output: &mut Output) -> Result<(), Stop> {
        let Some(now) = self.watch.in_force()? else {
            self.beside.gone(output);
            return Err(Stop::Exit(Exit::Done));
        };
        self.in_force = Some(now);
        let reader = self.watch.open()?;
        self.teller
            .know_rules(reader.as_ref(), &self.watch, output)?;
        self.sample(now, output)?;
        // Only now: what is refused before leaves a recording that is there as it is.
        let end = self.beside.end;
        self.teller.record(end, output).map_err(Stop::Exit)?;
        match reader {
            Some(reader) => {
                self.in_force = Some(reader.which());
                logs::add(reader, &mut self.sources, self.beside, output)?;
            }
            None if self.sampling.is_some() => {}
            None => output.note(
                "no rule of the policy in force has a `log`, nor has a default; waiting for a policy that logs",
            ),
        }
        self.say_losses(output);
        for block in self.watch.blocks()? {
            output.note(format!(
                "what the policy of the `for netns` block \"{block}\" logs is read by `sockc monitor --netns {block}`"
            ));
        }
        Ok(())
    }

    /// Says what the policy lost of its places since that was said last: maybe nothing comes from there any more.
    fn say_losses(&mut self, output: &mut Output) {
        let now = Losses::look(&self.place);
        now.note_since(&self.losses, output);
        self.losses = now;
    }

    /// Follows what is dropped, if that is asked for; whether some of it was dropped before.
    fn sample(&mut self, now: Which, output: &mut Output) -> Result<bool, Error> {
        let place = (&self.watch, &mut self.sources);
        match &mut self.sampling {
            Some(sampling) => sampling.follow(now, place, output),
            None => Ok(false),
        }
    }

    /// Reads what another policy that came into force writes; `false` if none is any more.
    fn follow(&mut self, output: &mut Output) -> Result<bool, Stop> {
        self.followed = Instant::now();
        let now = self.watch.in_force()?;
        self.sources.part(now, &self.watch);
        let Some(which) = now else {
            if let Some(sampling) = &mut self.sampling {
                sampling.end();
            }
            self.drain(output)?;
            self.beside.gone(output);
            return Ok(false);
        };
        let is_late = self.sample(which, output)?;
        if now != self.in_force {
            self.come(which, output)?;
        }
        if is_late {
            self.beside
                .gap(which.0, &dropped::before_it(which.0), output);
        }
        Ok(true)
    }

    /// Says what came into force, and reads its log.
    fn come(&mut self, which: Which, output: &mut Output) -> Result<(), Stop> {
        let before = self.in_force.replace(which);
        let reader = self.log_of(which)?;
        let logs = reader.is_some() || self.sources.has(Kind::Logs, which);
        self.say_in_force(before, which, logs, output);
        if let Some(reader) = reader {
            // Another one may have come since.
            self.in_force = Some(reader.which());
            logs::add(reader, &mut self.sources, self.beside, output)?;
        }
        Ok(())
    }

    /// The log of what came into force, unless it is read here.
    fn log_of(&self, which: Which) -> Result<Option<LogReader>, Error> {
        if self.sources.has(Kind::Logs, which) {
            return Ok(None);
        }
        match self.watch.open() {
            // The one before is in force again, and its ring is read here.
            Err(Error::LogTaken) if self.is_read_here()? => Ok(None),
            opened => opened,
        }
    }

    /// Whether the log of what is in force now is read by this command.
    fn is_read_here(&self) -> Result<bool, Error> {
        let now = self.watch.in_force()?;
        Ok(now.is_some_and(|now| self.sources.has(Kind::Logs, now)))
    }

    /// Says what came into force, and what came and went between two looks.
    fn say_in_force(&self, before: Option<Which>, now: Which, logs: bool, output: &mut Output) {
        let generation = now.0;
        let before = before.map_or(generation, |(before, _)| before);
        if generation > before.saturating_add(1) {
            let mut between = before.saturating_add(1)..generation;
            let read = between.all(|one| self.sources.has_number(Kind::Drops, one));
            let what = match self.sampling.is_some() && !read {
                true => "logged or dropped",
                false => "logged",
            };
            output.note(format!(
                "what was {what} between generation {before} and generation {generation}, if one was in force for a moment, was not read"
            ));
        }
        let silent = match logs || self.sampling.is_some() {
            true => "",
            false => ", and logs nothing",
        };
        let words = format!("generation {generation} is in force{silent}");
        self.beside.policy(Some(generation), &words, output);
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
            PollFd::new(self.beside.end.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
        ];
        let sources = self.sources.fds().filter(|_| wanted);
        all.extend(sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
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
        let mut end = [PollFd::new(self.beside.end.as_fd(), PollFlags::POLLIN)];
        poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            || self.deadline.is_some_and(|end| end <= Instant::now())
    }

    /// Tells all that is there. Drops are looked at between the records of logs, however many of these there are.
    fn drain(&mut self, output: &mut Output) -> Result<(), Stop> {
        for at in self.sources.of(Kind::Logs) {
            while self.batch(at, output)? {
                if self.until.is_none() && self.is_asked_to_end() {
                    self.until = Some(log_clock());
                }
                self.drain_drops(output)?;
            }
        }
        self.drain_drops(output)
    }

    /// Tells what was sampled by now.
    fn drain_drops(&mut self, output: &mut Output) -> Result<(), Stop> {
        for at in self.sources.of(Kind::Drops) {
            if let Some(followed) = self.sources.get(at) {
                // That it came into force is told ahead of what it drops.
                let sampling = self.sampling.as_ref();
                let is_ahead = sampling.is_some_and(|one| one.is_ahead(followed.source.which()));
                if is_ahead && self.until.is_none() {
                    continue;
                }
                followed.source.fetch();
            }
            while self.batch(at, output)? {}
        }
        Ok(())
    }

    /// Tells some events of a source; whether there may be more.
    fn batch(&mut self, at: usize, output: &mut Output) -> Result<bool, Stop> {
        let more = self.tell(at, output.is_json())?;
        let end = self.beside.end;
        self.teller.write(end, output).map_err(Stop::Exit)?;
        // While much comes, what is lost stands between the records next to which it was.
        self.say_unseen(at, output)?;
        match output.is_broken() || self.teller.has_enough() {
            true => Err(Stop::Exit(output.end_of_stream())),
            false => Ok(more),
        }
    }

    /// The same, without writing it.
    fn tell(&mut self, at: usize, json: bool) -> Result<bool, Error> {
        let Some(followed) = self.sources.get(at) else {
            return Ok(false);
        };
        let (clock, source) = (Clock::now(), followed.source.as_mut());
        for _ in 0..BATCH {
            if self.teller.has_enough() {
                break;
            }
            let Some(event) = source.next() else {
                return Ok(false);
            };
            self.taken += 1;
            self.teller
                .tell(&event, (&*source, &self.watch), clock, json)?;
            if self.until.is_some_and(|until| event.record.time > until) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says what nobody sees of a source since that was said last.
    fn say_unseen(&mut self, at: usize, output: &mut Output) -> Result<(), Error> {
        let Some(followed) = self.sources.get(at) else {
            return Ok(());
        };
        let unseen = followed.unseen()?;
        let (generation, _) = followed.source.which();
        let kind = followed.source.kind();
        if unseen.gap {
            self.beside.gap(generation, NO_RING, output);
        }
        if unseen.lost > 0 {
            self.beside
                .lost(generation, unseen.lost, Lost::Now(kind), output);
        }
        Ok(())
    }
}
