//! Reads what is in force, once, by what `status`, `counters` and `set list` read, and makes numbers of it.
//!
//! Takes the options of each network namespace; gives the numbers, and why some could not be read. A namespace that cannot be
//! read is a number too ([`catalog::UP`]). Not here: the form in which numbers are shown.

use std::time::{Duration, Instant};

use sockc_compiler::destination::Ending;
use sockc_compiler::object;
use sockc_compiler::policy::Family as Protocol;
use sockc_runtime::{Error, Fill, Options, SlotKind, Status};

use super::catalog;
use super::counted;
use super::family::{Labels, Metrics};
use crate::machine::is_changed;
use crate::machine::local::within;
use crate::policies::ready::digest;
use crate::verbs::status::faults;

/// How long other commands are waited for, in all: an apply of 100,000 rules holds the lock for less, and Prometheus waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) metrics: Metrics,
    /// What could not be read.
    pub(super) errors: Vec<Error>,
}

/// Which rules get a series of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those with a label.
    Labelled,
    /// All of them.
    All,
}

/// Reads all namespaces.
pub(super) fn gather(places: &[Options], which: Which) -> Gathered {
    let began = Instant::now();
    let until = began + PATIENCE;
    let mut gathered = Gathered::default();
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    gathered.metrics.add(&catalog::BUILD, version, 1);
    let named: Vec<&str> = places
        .iter()
        .filter_map(|one| one.netns.as_deref())
        .collect();
    for place in places {
        let mut space = Space {
            netns: place.netns.clone().unwrap_or_default(),
            options: place.clone(),
            until,
            late: None,
            known: &named,
            sha256: String::new(),
            faults: 0,
            metrics: &mut gathered.metrics,
        };
        let read = space.read(which);
        let read = read.and_then(|()| space.late.take().map_or(Ok(()), Err));
        let up = u64::from(read.is_ok());
        // What is damaged is a fault even where it cannot be looked at.
        let damaged = read.as_ref().is_err_and(is_changed);
        if damaged {
            let labels = space.labels([]);
            space.metrics.add(&catalog::FAULTS, labels, 1);
        }
        let labels = space.labels([]);
        space.metrics.add(&catalog::UP, labels, up);
        gathered.errors.extend(read.err());
    }
    let took = began.elapsed().as_secs_f64();
    gathered.metrics.seconds(&catalog::TOOK, Vec::new(), took);
    gathered
}

/// A network namespace that is being read.
struct Space<'a> {
    /// As the label says it: the name that was asked for, or that of a `for netns` block; empty for the caller's own.
    netns: String,
    options: Options,
    /// Until when other commands are waited for.
    until: Instant,
    /// What another command did not let be read until then; the rest is shown all the same.
    late: Option<Error>,
    /// The namespaces that are read by themselves.
    known: &'a [&'a str],
    /// The digest of the text.
    sha256: String,
    /// What is damaged and is not told by [`faults`].
    faults: u64,
    metrics: &'a mut Metrics,
}

impl Space<'_> {
    /// Labels, with that of the namespace.
    fn labels<const N: usize>(&self, more: [(&'static str, &str); N]) -> Labels {
        let netns = [("netns", self.netns.as_str())].into_iter();
        let all = netns.chain(more);
        all.map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// How the namespace is read from now on.
    fn options(&self) -> Options {
        Options {
            lock_wait: self.until.saturating_duration_since(Instant::now()),
            ..self.options.clone()
        }
    }

    fn read(&mut self, which: Which) -> Result<(), Error> {
        // First what waits for other commands, so that the other look finds them at an end.
        let counts = sockc_runtime::counts(&self.options());
        let counts = self.in_time(counts)?;
        let Some(status) = sockc_runtime::status(&self.options())? else {
            let none = [("policy", ""), ("sha256", ""), ("generation", "")];
            let labels = self.labels(none);
            self.metrics.add(&catalog::POLICY, labels, 0);
            let labels = self.labels([]);
            self.metrics.add(&catalog::FAULTS, labels, 0);
            return Ok(());
        };
        // Totals that are not those of the policy before would jump when the trial ends.
        if let Some(counts) = counts.filter(|counts| !counts.trial) {
            counted::tell(&counts, which, &self.netns, self.known, self.metrics);
        }
        self.sha256 = self.digest(&status)?;
        self.status(&status)?;
        for (netns, block) in &status.netns {
            let Some(inner) = block
                .status()
                .filter(|_| !self.known.contains(&netns.as_str()))
            else {
                continue;
            };
            let place = status.path_of(netns).unwrap_or(netns);
            let mut space = Space {
                netns: netns.clone(),
                options: within(&self.options, place),
                until: self.until,
                late: None,
                known: self.known,
                sha256: self.sha256.clone(),
                faults: 0,
                metrics: &mut *self.metrics,
            };
            space.status(inner)?;
            let Space { faults, late, .. } = space;
            self.faults += faults;
            self.late = self.late.take().or(late);
        }
        // Those of blocks are told with the policy that has them.
        if !status.busy && !status.partial {
            let labels = self.labels([]);
            let faults = self.faults + faults(&status);
            self.metrics.add(&catalog::FAULTS, labels, faults);
        }
        Ok(())
    }

    /// What was read; nothing where another command is at work for too long.
    fn in_time<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Err(error @ Error::Locked { .. }) => {
                self.late.get_or_insert(error);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    fn digest(&self, status: &Status) -> Result<String, Error> {
        let object = sockc_runtime::object(&self.options())?.unwrap_or_default();
        let lists = object::read_lists(&object).unwrap_or_default();
        Ok(digest(&status.manifest, &lists))
    }

    /// Everything but counters and faults.
    fn status(&mut self, status: &Status) -> Result<(), Error> {
        self.policy(status);
        if !status.partial {
            self.live(status)?;
        }
        self.sockets(status);
        // Nor those that another command may be carrying over just now.
        if status.trial.is_none() && !status.busy {
            self.given(status);
        }
        for one in &status.pairs {
            let labels = self.labels([("pairs", &one.name)]);
            let joined = u64::try_from(one.count).unwrap_or(u64::MAX);
            self.metrics.add(&catalog::PAIRS, labels.clone(), joined);
            self.metrics
                .add(&catalog::PAIRS_CAPACITY, labels.clone(), one.max.into());
            self.metrics
                .add(&catalog::PAIRS_KEPT, labels, one.kept.into());
        }
        for group in &status.groups {
            for table in &group.tables {
                let labels = self.labels([("group", &group.group), ("direction", table.direction)]);
                let connections = table.connections.into();
                self.metrics
                    .add(&catalog::CONNECTIONS, labels.clone(), connections);
                self.metrics
                    .add(&catalog::PLACES, labels, table.places.into());
            }
        }
        self.hooks(status);
        Ok(())
    }

    fn policy(&mut self, status: &Status) {
        let generation = status.generation.to_string();
        let labels = self.labels([
            ("policy", &status.policy),
            ("sha256", &self.sha256),
            ("generation", &generation),
        ]);
        self.metrics.add(&catalog::POLICY, labels, 1);
        let none = self.labels([]);
        if let Some(applied) = status.applied {
            self.metrics.add(&catalog::APPLIED, none.clone(), applied);
        }
        let confirmed = status.trial.is_none().into();
        self.metrics
            .add(&catalog::CONFIRMED, none.clone(), confirmed);
        let (rules, counting) = counted::rules(&status.manifest);
        self.metrics.add(&catalog::RULES, none.clone(), rules);
        self.metrics
            .add(&catalog::COUNTED, none.clone(), counting.into());
        if !status.busy && !status.partial {
            let drift = u64::try_from(status.drift.len()).unwrap_or(u64::MAX);
            self.metrics.add(&catalog::DRIFT, none, drift);
        }
    }

    fn live(&mut self, status: &Status) -> Result<(), Error> {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        if !status.manifest.sets.is_empty() {
            let sets = sockc_runtime::set_names(&self.options());
            for set in self.whole(sets)?.unwrap_or_default() {
                let labels = self.labels([("set", &set.name)]);
                let elements = number(set.elements);
                self.metrics
                    .add(&catalog::SET_ELEMENTS, labels.clone(), elements);
                self.metrics
                    .add(&catalog::SET_CAPACITY, labels, set.max.into());
            }
        }
        if !status.manifest.maps.is_empty() {
            let maps = sockc_runtime::map_names(&self.options());
            for map in self.whole(maps)?.unwrap_or_default() {
                let labels = self.labels([("map", &map.name)]);
                let entries = number(map.entries);
                self.metrics
                    .add(&catalog::MAP_ENTRIES, labels.clone(), entries);
                self.metrics
                    .add(&catalog::MAP_CAPACITY, labels, map.max.into());
            }
        }
        Ok(())
    }

    /// What was read; nothing where it is damaged, which is a fault as it is for `status`.
    fn whole<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Err(error) if error.is_damage() => {
                self.faults += 1;
                Ok(None)
            }
            read => self.in_time(read),
        }
    }

    /// Labels of a name's slots of a kind.
    fn of_slot(&self, socket: &str, kind: SlotKind) -> Labels {
        let family = match kind.family {
            Protocol::V4 => "ipv4",
            Protocol::V6 => "ipv6",
        };
        self.labels([
            ("socket", socket),
            ("family", family),
            ("protocol", &kind.protocol.words()),
        ])
    }

    fn sockets(&mut self, status: &Status) {
        for state in &status.sockets {
            let labels = self.of_slot(&state.socket, SlotKind::of(&state.slot));
            let there = status.sockets.iter().filter(|other| {
                other.state == Fill::Filled
                    && other.socket == state.socket
                    && other.slot.is_of_kind(&state.slot)
            });
            let there = u64::try_from(there.count()).unwrap_or(u64::MAX);
            self.metrics
                .add(&catalog::PRESENT, labels.clone(), there.min(1));
            self.metrics.add(&catalog::MEMBERS, labels, there);
        }
    }

    fn given(&mut self, status: &Status) {
        for one in &status.destinations {
            let labels = self.of_slot(&one.socket, SlotKind::of(&one.slot));
            let ended = |ending| one.endings.of(ending);
            let metrics = &mut self.metrics;
            metrics.add(&catalog::LOOKUPS, labels.clone(), one.endings.all());
            metrics.add(&catalog::GIVEN, labels.clone(), ended(Ending::Given));
            metrics.add(&catalog::MISSES, labels.clone(), ended(Ending::Missed));
            for (reason, ending) in [
                ("idle", Ending::Idle),
                ("unsuited", Ending::Unsuited),
                ("chosen", Ending::Chosen),
                ("refused", Ending::Refused),
            ] {
                let mut labels = labels.clone();
                labels.push(("reason", reason.to_owned()));
                metrics.add(&catalog::ERRORS, labels, ended(ending));
            }
        }
    }

    fn hooks(&mut self, status: &Status) {
        for hook in &status.hooks {
            let target = hook.now.as_ref().unwrap_or(&hook.target);
            let labels = self.labels([("hook", &hook.hook), ("target", target)]);
            let attached = hook.alive && hook.program.is_some();
            self.metrics
                .add(&catalog::ATTACHED, labels.clone(), attached.into());
            let ran = hook.ran.filter(|_| status.trial.is_none());
            if let Some(ran) = ran.filter(|ran| ran.counting) {
                let time = Duration::from_nanos(ran.nanoseconds);
                let seconds = time.as_secs_f64();
                self.metrics.seconds(&catalog::RUN, labels.clone(), seconds);
                self.metrics.add(&catalog::RUNS, labels, ran.runs);
            }
        }
    }
}
