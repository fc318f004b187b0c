//! Syntax tree to policy: names to ids, addresses to ranges, and every mistake in one run.
//!
//! Takes a parsed file with its sources; gives a [`Policy`] if nothing is wrong, and the diagnostics. Every construct of
//! the language either gets its meaning here or was refused by the grammar. Not here: what a rule decides (`decide`), and
//! how rules of a list hinder each other at a hook (placement).

mod addresses;
mod ahead;
mod blocks;
mod clauses;
pub(crate) mod codes;
mod conditions;
mod declared;
mod effects;
mod expects;
pub(crate) mod globs;
mod groups;
mod hooks;
mod interfaces;
mod live;
mod maps;
mod matchable;
mod members;
mod mentions;
mod overlaps;
mod pairs;
mod places;
mod ports;
mod protocols;
mod rates;
mod report;
mod rules;
mod sets;
mod sides;
mod sockets;
mod statements;
mod targets;
#[cfg(test)]
mod tests;
mod through;

pub(crate) use live::prefixes_of_list;

use std::collections::BTreeMap;
use std::rc::Rc;

use sockc_grammar::ast::{File, OWN, Statement};
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceMap, Span, Spanned};

use crate::policy::{Direction, GroupId, PairsId, Policy, SocketId};
use crate::reading::{Lists, Reading};
use crate::values::codes as values;
use declared::Declared;
use interfaces::{Block, Interfaces};
use maps::Maps;
use mentions::Mentions;
use places::Places;
use report::Report;
use sets::Sets;

/// The policy that a file and the files it names describe, with everything that is wrong with it; the policy only if no
/// error is among that and nothing was left out in reading.
#[must_use]
pub(crate) fn resolve_reading(
    reading: &Reading,
    sources: &SourceMap,
    stem: &str,
) -> (Option<Policy>, Vec<Diagnostic>) {
    let mut resolver = Resolver::new(sources, &reading.lists, stem);
    resolver.report.incomplete = !reading.whole;
    let (policy, diagnostics) = run(resolver, &reading.file);
    (policy.filter(|_| reading.whole), diagnostics)
}

/// The policy that statements describe, wherever they were written, with everything that is wrong with it.
#[must_use]
pub(crate) fn resolve_statements<'a>(
    statements: &[&'a Spanned<Statement>],
    lists: &'a Lists,
    sources: &'a SourceMap,
    stem: &str,
) -> (Option<Policy>, Vec<Diagnostic>) {
    resolved(Resolver::new(sources, lists, stem), statements)
}

fn run<'a>(resolver: Resolver<'a>, file: &'a File) -> (Option<Policy>, Vec<Diagnostic>) {
    resolved(resolver, &file.statements.iter().collect::<Vec<_>>())
}

fn resolved<'a>(
    mut resolver: Resolver<'a>,
    statements: &[&'a Spanned<Statement>],
) -> (Option<Policy>, Vec<Diagnostic>) {
    resolver.run(statements);
    let diagnostics = resolver.report.finish();
    let sound = diagnostics
        .iter()
        .all(|found| found.severity != Severity::Error);
    (sound.then_some(resolver.policy), diagnostics)
}

/// One run.
struct Resolver<'a> {
    places: Rc<Places<'a>>,
    report: Report,
    policy: Policy,
    sets: Sets<'a>,
    /// `None` for those that are wrong, so that their uses are silent.
    sockets: Declared<Option<SocketId>>,
    groups: Declared<Option<GroupId>>,
    pairs: Declared<Option<PairsId>>,
    maps: Maps,
    interfaces: Interfaces,
    /// Whether it is the policy of a `for netns` block.
    inside: bool,
    /// The block for a zone or an interface that the rules stand in.
    block: Option<Block>,
    labels: BTreeMap<String, Span>,
    /// For each direction, the verb of the first rule that needs a default there.
    needs_default: Vec<(Direction, Span)>,
    /// Directions with a `default` line that is wrong: they are not missing one.
    wrong_defaults: Vec<Direction>,
}

impl<'a> Resolver<'a> {
    fn new(sources: &'a SourceMap, lists: &'a Lists, stem: &str) -> Self {
        Self {
            places: Rc::new(Places::new(sources)),
            report: Report::default(),
            policy: Policy {
                name: stem.to_owned(),
                ..Policy::default()
            },
            sets: Sets::new(lists),
            sockets: Declared::new("socket"),
            groups: Declared::new("group"),
            pairs: Declared::new("pairs"),
            maps: Maps::default(),
            interfaces: Interfaces::new(),
            inside: false,
            block: None,
            labels: BTreeMap::new(),
            needs_default: Vec::new(),
            wrong_defaults: Vec::new(),
        }
    }

    /// A resolver of a policy inside this one, which knows the names that are declared here.
    fn inner(&mut self) -> Self {
        let mut around = self.policy.live_sets();
        // The namespace of the block has addresses of its own.
        around.retain(|name| name != OWN);
        let policy = Policy {
            name: self.policy.name.clone(),
            sockets: self.policy.sockets.clone(),
            around,
            ..Policy::default()
        };
        Self {
            places: Rc::clone(&self.places),
            report: std::mem::take(&mut self.report),
            policy,
            sets: self.sets.inherited(),
            sockets: self.sockets.clone(),
            groups: Declared::new("group"),
            pairs: Declared::new("pairs"),
            maps: self.maps.inherited(),
            interfaces: self.interfaces.inherited(),
            inside: true,
            block: None,
            labels: BTreeMap::new(),
            needs_default: Vec::new(),
            wrong_defaults: Vec::new(),
        }
    }

    /// Names first, since declarations may follow their use; then the rules; last the policies inside this one.
    fn run(&mut self, statements: &[&'a Spanned<Statement>]) {
        let mentions = Mentions::of(statements.iter().copied());
        self.settings(statements);
        let maps = self.declarations(statements);
        self.note_fed(&mentions);
        self.sets.evaluate(&mut self.report);
        self.sets
            .number(&mentions, &self.places, &mut self.policy.sets);
        self.policy.named = self.sets.named();
        self.maps(&maps);
        self.maps
            .inherit(&mentions.sets, &mut self.policy.live_maps);
        self.interfaces
            .inherit(&mentions, &mut self.policy.zones, &mut self.report);
        self.interfaces
            .classify(&mentions, &mut self.policy.classes, &mut self.report);
        if self.policy.interfaces.is_empty() {
            self.policy.interfaces = self.interfaces.of_zones();
        }
        self.rules(statements);
        self.expectations(statements);
        self.missing_defaults();
        self.idle_default();
        self.namespaces(statements);
    }

    /// Which sockets take data into their queues: rules say it, and nothing else may be said of those.
    fn note_fed(&mut self, mentions: &Mentions<'_>) {
        for name in &mentions.fed {
            if let Some(&Some(socket)) = self.sockets.get(name) {
                self.policy.sockets[socket].fed = true;
            }
        }
    }

    /// What processes do is done with groups' sockets: without a group a default for it decides nothing.
    fn idle_default(&mut self) {
        if self.report.incomplete || !self.groups.is_empty() {
            return;
        }
        for default in &self.policy.defaults {
            let Some(deed) = default.direction.deed() else {
                continue;
            };
            self.report.push(
                Diagnostic::warning(
                    values::MATCHES_NOTHING,
                    "the default decides nothing",
                    default.place.span,
                    deed.idle,
                )
                .help("declare a group, or leave the line out"),
            );
        }
    }

    /// A direction that has an allow, drop or reject rule says what becomes of the rest. Redirects and counts alone need
    /// not.
    fn missing_defaults(&mut self) {
        if self.report.incomplete {
            return;
        }
        for &(direction, span) in &self.needs_default {
            let given = self.policy.default_of(direction).is_some()
                || self.wrong_defaults.contains(&direction);
            if given {
                continue;
            }
            let word = direction.word();
            self.report.error(
                codes::MISSING_DEFAULT,
                format!("there is no `default {word}`"),
                span,
                format!("this rule decides `{word}`, so the rest must be decided too"),
                format!("write `default {word} drop` or `default {word} allow`"),
            );
        }
    }
}
