//! What else `status` knows of the policy in force: where it was written, when it was applied, how many rules it has, its
//! rates, live sets and live maps, pairs, sockets that escaped their group, and redirects that nothing can come to.
//!
//! Takes what the runtime says; reads the policy's own text from the object in force, with that of its `for netns` blocks. Not
//! here: hooks and interfaces.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sockc_compiler::artifact::{CounterKind, GroupPlan, Manifest};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::object;
use sockc_compiler::policy::{Policy, Verb};
use sockc_runtime::{CounterValue, Error, MapSummary, Options, PairsStatus, SetSummary, Status};

use crate::machine::cards;
use crate::machine::clock::utc;
use crate::machine::counted::{is_left_out, rules};
use crate::machine::local;
use crate::machine::passing;
use crate::output::Output;
use crate::output::count;

/// All of it; the fields stand next to the others of `status --json`.
#[derive(Default, Serialize)]
pub(crate) struct Facts {
    file: Option<String>,
    digest: Option<String>,
    /// Seconds since 1970; null for a policy of an older sockc.
    applied: Option<u64>,
    rules: usize,
    /// Whether rules count.
    counters: bool,
    rates: Vec<String>,
    sets: Vec<Live>,
    maps: Vec<Live>,
    pairs: Vec<Pairs>,
    /// Sockets that could not be taken in, of each group that had some.
    escaped: Vec<Escaped>,
    /// Records of logs that were lost since nobody read them in time; null where nothing logs, and where that is not known.
    log_lost: Option<u64>,
    /// What a person should know of it.
    notes: Vec<String>,
    /// The interfaces whose packets that arrive it meets.
    #[serde(skip)]
    on: Vec<String>,
    /// Those whose packets that leave it meets.
    #[serde(skip)]
    leaves: Vec<String>,
    /// Those of which it is told that it does not hold on them.
    #[serde(skip)]
    open: Vec<String>,
    /// Whether the command that applied it named its interfaces.
    #[serde(skip)]
    given: bool,
    /// Whether its list is at TC because of them.
    #[serde(skip)]
    costly: bool,
    /// At which hooks they do.
    #[serde(skip)]
    at: Option<cards::At>,
    /// What is not as sockc left it.
    #[serde(skip)]
    losses: Vec<String>,
    /// The same of its `for netns` blocks, by the names of their namespaces.
    #[serde(skip)]
    blocks: BTreeMap<String, Facts>,
}

/// A live set or a live map.
#[derive(Serialize)]
struct Live {
    name: String,
    elements: usize,
    max: u32,
}

/// So many rates are told one by one.
const SHOWN: usize = 8;

/// Pairs that are spliced.
#[derive(Serialize)]
struct Pairs {
    name: String,
    /// How many are joined.
    joined: usize,
    max: u32,
    /// Whether a `sockc socket pair` keeps them.
    kept: bool,
}

/// Sockets of a group that the rules do not hold for.
#[derive(Serialize)]
struct Escaped {
    /// Which, as `counters` names them.
    what: String,
    sockets: u64,
    /// Whether they may write nothing, as the default says; else they go by TCP undecided.
    refused: bool,
}

/// The interfaces with programs on one of these hooks, as they are called now.
fn with_hooks(status: &Status, wanted: &[&str]) -> Vec<String> {
    let hooks = status.hooks.iter();
    let ours = hooks.filter(|hook| wanted.contains(&&*hook.hook));
    let names = ours.map(|hook| hook.now.as_ref().unwrap_or(&hook.target).clone());
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect()
}

/// Where they meet them.
fn met_at(status: &Status) -> cards::At {
    let has = |hook| status.hooks.iter().any(|one| one.hook == hook);
    cards::At {
        xdp: has("xdp"),
        tc: has("tc-in"),
    }
}

impl Facts {
    /// Looks at the policy in force.
    pub(crate) fn look(status: &Status, options: &Options) -> Self {
        let manifest = &status.manifest;
        let mut facts = Self::of(status, options);
        facts.file = manifest.sources.first().map(|(name, _)| name.clone());
        for (netns, inner) in &status.netns {
            if let Some(inner) = inner.status() {
                let place = status.path_of(netns).unwrap_or(netns);
                let of_block = Self::of(inner, &local::within(options, place));
                facts.blocks.insert(netns.clone(), of_block);
            }
        }
        facts.text(manifest, options);
        facts
    }

    /// What the kernel alone says.
    fn of(status: &Status, options: &Options) -> Self {
        let manifest = &status.manifest;
        let mut facts = Self {
            applied: status.applied,
            rules: rules(manifest),
            counters: !manifest.counters.iter().any(is_left_out),
            pairs: status.pairs.iter().map(Pairs::of).collect(),
            on: with_hooks(status, &["xdp", "tc-in"]),
            leaves: with_hooks(status, &["tc-out"]),
            open: status.coverage.open.clone(),
            given: status.coverage.given,
            costly: manifest.made.costly.iter().any(String::is_empty),
            at: Some(met_at(status)),
            ..Self::default()
        };
        facts.live(manifest, options);
        facts.counted(manifest, options);
        facts
    }

    /// That of a `for netns` block.
    pub(super) fn block(&self, netns: &str) -> Option<&Self> {
        self.blocks.get(netns)
    }

    fn live(&mut self, manifest: &Manifest, options: &Options) {
        if !manifest.sets.is_empty() {
            match sockc_runtime::set_names(options) {
                Ok(sets) => self.sets = sets.into_iter().map(Live::of_set).collect(),
                Err(error) => self.unread("the live sets cannot be read", &error),
            }
        }
        if !manifest.maps.is_empty() {
            match sockc_runtime::map_names(options) {
                Ok(maps) => self.maps = maps.into_iter().map(Live::of_map).collect(),
                Err(error) => self.unread("the live maps cannot be read", &error),
            }
        }
    }

    /// What is counted of what went past the rules, or past whoever reads logs.
    fn counted(&mut self, manifest: &Manifest, options: &Options) {
        let mut counters = manifest.counters.iter();
        let logs = counters.any(|one| one.kind == CounterKind::Lost);
        // Of groups whose calls alone are decided no sockets are taken in.
        let escape = manifest.groups.iter().any(GroupPlan::takes_in);
        if !logs && !escape {
            return;
        }
        let values = match sockc_runtime::counters(options) {
            Ok(values) => values,
            Err(error) if escape => {
                return self.unread("how many sockets escaped their group is not known", &error);
            }
            Err(error) => {
                return self.unread("how many log records were lost is not known", &error);
            }
        };
        let own =
            |one: &&CounterValue| one.netns.is_none() && one.counter.kind == CounterKind::Lost;
        let lost = values.iter().filter(own).map(|one| one.packets);
        self.log_lost = logs.then(|| lost.sum());
        self.escaped = values.into_iter().filter_map(Escaped::of).collect();
    }

    /// What could not be read: damage is a loss, what the machine refused is no more than a note.
    fn unread(&mut self, what: &str, error: &Error) {
        let told = format!("{what}: {error}");
        match error.is_damage() {
            true => self.losses.push(told),
            false => self.notes.push(told),
        }
    }

    /// What only the text says; nothing of it where the object does not tell.
    fn text(&mut self, manifest: &Manifest, options: &Options) {
        let object = match sockc_runtime::object(options) {
            Ok(Some(object)) => object,
            Ok(None) => return,
            Err(error) => {
                let note = format!("the policy's text cannot be read: {error}");
                return self.notes.push(note);
            }
        };
        let lists = object::read_lists(&object).unwrap_or_default();
        self.digest = Some(crate::policies::ready::digest(manifest, &lists));
        let kept = KeptTexts::of_object(&object, manifest).and_then(|texts| texts.policy());
        let Ok(kept) = kept else { return };
        if !is_of(&kept.policy, manifest) {
            // A block that is asked by itself has the whole file with it.
            let mut blocks = kept.policy.netns.iter();
            if let Some(block) = blocks.find(|one| is_of(&one.policy, manifest)) {
                self.text_of(&block.policy, options);
            }
            return;
        }
        self.text_of(&kept.policy, options);
        for inner in &kept.policy.netns {
            if let Some(block) = self.blocks.get_mut(&inner.name) {
                block.text_of(&inner.policy, &local::within(options, &inner.name));
            }
        }
    }

    fn text_of(&mut self, policy: &Policy, options: &Options) {
        self.rates = rates(policy);
        let card = self
            .at
            .and_then(|at| cards::own_note(policy, self.costly, at, &self.on, options));
        self.notes.extend(card);
        let met = passing::Met {
            on: &self.leaves,
            given: self.given,
            told: &self.open,
        };
        self.notes.extend(passing::own_notes(policy, met, options));
        let maps = self.maps.iter();
        let held: Result<Vec<_>, _> = maps
            .map(|map| sockc_runtime::map_list(options, &map.name))
            .collect();
        match held {
            Ok(held) => self.notes.extend(local::own_notes(policy, &held, options)),
            Err(error) => self.unread("the entries of live maps cannot be read", &error),
        }
    }

    /// Shows it.
    pub(super) fn show(&self, output: &mut Output) {
        let mut rows = Vec::new();
        let mut row = |name: &str, text: String| rows.push(vec![format!("  {name}"), text]);
        let digest = self
            .digest
            .iter()
            .map(|digest| format!(", sha256 {digest}"));
        if let Some(file) = &self.file {
            row("file", format!("{file}{}", digest.collect::<String>()));
        }
        if let Some(seconds) = self.applied {
            row("applied", utc(seconds));
        }
        let counting = if self.counters {
            "counted"
        } else {
            "not counted"
        };
        row("rules", format!("{}, {counting}", self.rules));
        for rate in self.rates.iter().take(SHOWN) {
            row("rate", rate.clone());
        }
        match self.rates.len().saturating_sub(SHOWN) {
            0 => {}
            more => row("rate", format!("… and {more} more, which `--json` lists")),
        }
        for set in &self.sets {
            row("live set", set.words("element"));
        }
        for map in &self.maps {
            row("live map", map.words("entry"));
        }
        for pairs in &self.pairs {
            row("pairs", pairs.words());
        }
        for escaped in &self.escaped {
            row("escaped", escaped.words());
        }
        if let Some(lost) = self.log_lost.filter(|lost| *lost > 0) {
            let lost = count::of(usize::try_from(lost).unwrap_or(usize::MAX), "record");
            row(
                "log",
                format!("{lost} lost, since nobody read them in time"),
            );
        }
        output.table(&rows);
    }

    /// How many things are damaged.
    pub(crate) fn faults(&self) -> u64 {
        let blocks = self.blocks.values().map(|block| block.losses.len());
        (self.losses.len() + blocks.sum::<usize>()) as u64
    }

    /// Says what a person should know; `true` if nothing is damaged.
    pub(super) fn tell(&self, output: &mut Output) -> bool {
        for loss in &self.losses {
            output.error(loss);
        }
        for note in &self.notes {
            output.note(note);
        }
        let mut whole = self.losses.is_empty();
        for (netns, block) in &self.blocks {
            for loss in &block.losses {
                output.error(local::in_netns(netns, loss));
                whole = false;
            }
            for note in &block.notes {
                output.note(local::in_netns(netns, note));
            }
        }
        whole
    }
}

impl Pairs {
    fn of(status: &PairsStatus) -> Self {
        Self {
            name: status.name.clone(),
            joined: status.count,
            max: status.max,
            kept: status.kept,
        }
    }

    fn words(&self) -> String {
        let nobody = match self.kept {
            true => "",
            false => ", kept by no `sockc socket pair`",
        };
        let Self {
            name, joined, max, ..
        } = self;
        format!("{name}, {joined} joined, at most {max}{nobody}")
    }
}

impl Escaped {
    /// Of a counter of such sockets that counted any; those of blocks are told with the blocks.
    fn of(value: CounterValue) -> Option<Self> {
        let escaped = value.counter.kind == CounterKind::Escaped && value.packets > 0;
        (escaped && value.netns.is_none()).then_some(Self {
            what: value.counter.location.text.to_string(),
            sockets: value.packets,
            refused: value.counter.verdict == Verb::Drop.word(),
        })
    }

    fn words(&self) -> String {
        let fate = match self.refused {
            true => "; those that are not decided may write nothing",
            false => "",
        };
        format!("{} {}{fate}", self.sockets, self.what)
    }
}

impl Live {
    fn of_set(set: SetSummary) -> Self {
        Self {
            name: set.name,
            elements: set.elements,
            max: set.max,
        }
    }

    fn of_map(map: MapSummary) -> Self {
        Self {
            name: map.name,
            elements: map.entries,
            max: map.max,
        }
    }

    fn words(&self, what: &str) -> String {
        let what = match (what, self.elements) {
            ("entry", 1) => "1 entry".to_owned(),
            ("entry", many) => format!("{many} entries"),
            (what, many) => count::of(many, what),
        };
        format!("{}: {what} of {}", self.name, self.max)
    }
}

/// Whether a manifest is that of a policy. Rules stand at one place, so they tell whose they are; policies of the same rules
/// say the same here.
fn is_of(policy: &Policy, manifest: &Manifest) -> bool {
    let counters = manifest.counters.iter();
    let wanted: BTreeSet<_> = counters
        .filter(|one| one.kind == CounterKind::Rule)
        .map(|one| (&*one.location.file, one.location.line, &*one.location.text))
        .collect();
    let places = policy.rules.values().map(|rule| &rule.place);
    let found: BTreeSet<_> = places
        .map(|place| (&*place.file, place.line, &*place.text))
        .collect();
    found == wanted
}

/// The rules with a rate, by their places. A redirect by a map is one rule.
fn rates(policy: &Policy) -> Vec<String> {
    let rules = policy.rules.iter();
    let metered =
        rules.filter(|(id, rule)| rule.rate.is_some() && rule.head.is_none_or(|head| head == *id));
    metered
        .map(|(_, rule)| {
            format!(
                "{}:{} {}",
                rule.place.file, rule.place.line, rule.place.text
            )
        })
        .collect()
}
