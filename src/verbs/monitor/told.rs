//! What is told of events: which of them somebody wants, each as its line, and in the recording where there is one.
//!
//! Takes events with their sources; gives lines to standard output. Names of interfaces are asked for where one comes first, and kept:
//! one that is gone keeps its name. Not here: how a line looks, and where events come from.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use sockc_compiler::artifact::Counter;
use sockc_runtime::{Error, LogReader, LogWatch};

use super::dropped::may_be_sampled;
use super::filter::Filter;
use super::recorded::Recorded;

use super::shown::{Clock, Shown, verb_of_sample};
use super::source::{Event, Source};
use super::{Stop, records_to_stdout};
use crate::cli;
use crate::exit::Exit;
use crate::output::Output;
use crate::verbs::counters::names_counter;

/// That what is wanted is nothing that can come.
const NOTHING: &str = "nothing that the policy in force shows is of such a rule, verdict and direction, so nothing is shown until another one is in force";

/// Tells them.
pub(super) struct Teller<'a> {
    arguments: &'a cli::Monitor,
    filter: Option<Filter>,
    /// Where what is told is recorded, if that is asked for.
    recorded: Option<Recorded>,
    interfaces: BTreeMap<u32, String>,
    /// How many packets were told.
    shown: u64,
    /// Lines that are to be printed; kept, so that it need not grow again.
    text: Vec<u8>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(arguments: &'a cli::Monitor, filter: Option<Filter>) -> Self {
        Self {
            arguments,
            filter,
            recorded: None,
            interfaces: BTreeMap::new(),
            shown: 0,
            text: Vec::new(),
        }
    }

    /// Refuses rules that are not there, or log nothing where nothing else is shown; says where all that is asked is of none of them.
    pub(super) fn know_rules(
        &self,
        reader: Option<&LogReader>,
        watch: &LogWatch,
        output: &mut Output,
    ) -> Result<(), Stop> {
        let samples = self.arguments.drops.is_some();
        let manifest = watch.manifest()?.filter(|_| samples);
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
        let mut shown = counters
            .iter()
            .filter(|one| self.is_about(one))
            .filter(|one| self.may_be_logged(one) || (samples && self.may_be_dropped(one)));
        if shown.next().is_none() {
            output.note(NOTHING);
        }
        Ok(())
    }

    /// Whether a statement is of a rule and of a direction that are wanted.
    fn is_about(&self, counter: &Counter) -> bool {
        let direction = &counter.direction;
        let filter = self.filter.as_ref();
        self.wants_rule(counter) && filter.is_none_or(|filter| filter.is_about(direction))
    }

    fn may_be_logged(&self, counter: &Counter) -> bool {
        counter.log.is_some() && self.wants_verb(&counter.verdict)
    }

    fn may_be_dropped(&self, counter: &Counter) -> bool {
        may_be_sampled(counter) && self.wants_verb(verb_of_sample(&counter.verdict))
    }

    fn wants_rule(&self, counter: &Counter) -> bool {
        let rules = &self.arguments.rules;
        rules.is_empty() || rules.iter().any(|rule| names_counter(counter, rule))
    }

    fn wants_verb(&self, verb: &str) -> bool {
        let verdicts = &self.arguments.verdicts;
        verdicts.is_empty() || verdicts.iter().any(|verdict| verdict.word() == verb)
    }

    /// Begins the recording, if one is asked for.
    pub(super) fn record(&mut self, end: &OwnedFd, output: &mut Output) -> Result<(), Exit> {
        let Some(path) = &self.arguments.pcap_out else {
            return Ok(());
        };
        self.recorded = Some(Recorded::begin(path, output)?);
        self.write(end, output)
    }

    /// Whether so many were told as are wanted.
    pub(super) fn has_enough(&self) -> bool {
        self.arguments.count.is_some_and(|most| self.shown >= most)
    }

    /// Tells an event, if somebody wants it.
    pub(super) fn tell(
        &mut self,
        event: &Event,
        (source, watch): (&dyn Source, &LogWatch),
        clock: Clock,
        json: bool,
    ) -> Result<(), Error> {
        let record = &event.record;
        for interface in [record.interface, record.came_in] {
            self.know_interface(interface, watch)?;
        }
        let slot = usize::try_from(record.counter).ok();
        let Some(counter) = slot.and_then(|slot| source.counters().get(slot)) else {
            return Ok(());
        };
        let shown = Shown {
            record,
            counter,
            sample: event.sample.as_ref(),
            interface: self.interfaces.get(&record.interface).map(String::as_str),
            came_in: self.interfaces.get(&record.came_in).map(String::as_str),
            generation: source.which().0,
            clock,
        };
        if self.wants(&shown) {
            self.shown += 1;
            shown.line(json, &mut self.text);
            if let Some(recorded) = &mut self.recorded {
                recorded.add(&shown);
            }
        }
        Ok(())
    }

    /// Writes the lines, and before them what was recorded of these. What the recording has no room for is shown all the same.
    pub(super) fn write(&mut self, end: &OwnedFd, output: &mut Output) -> Result<(), Exit> {
        let recorded = match &mut self.recorded {
            Some(recorded) => recorded.write(end, output),
            None => Ok(()),
        };
        if !records_to_stdout(self.arguments) {
            output.stream(&self.text, end);
        }
        self.text.clear();
        recorded
    }

    /// Learns the name of an interface of a record; 0 is none.
    fn know_interface(&mut self, interface: u32, watch: &LogWatch) -> Result<(), Error> {
        let known = interface == 0 || self.interfaces.contains_key(&interface);
        if !known {
            self.interfaces.extend(watch.interfaces()?);
            // One that is gone keeps its number.
            let number = || format!("#{interface}");
            self.interfaces.entry(interface).or_insert_with(number);
        }
        Ok(())
    }

    /// Whether somebody wants it.
    fn wants(&self, shown: &Shown<'_>) -> bool {
        let filter = self.filter.as_ref();
        let header = shown.sample.and_then(|sample| sample.header.as_ref());
        self.wants_rule(shown.counter)
            && self.wants_verb(shown.verb())
            && filter.is_none_or(|one| {
                one.holds((shown.record, header), [shown.interface, shown.came_in])
            })
    }
}
