//! Lines that would notice what no line notices: made of what the comparison says, kept if the engine of `check` says so.
//!
//! A line says what becomes of the region that changes, or of the packet; what must be known besides (no socket, no rate
//! exceeded, nothing in a live set) is added only where the line does not hold without it. A line that was offered
//! before is offered again where it does. Not here: whether anything is noticed already.

use std::collections::BTreeSet;

use sockc_grammar::ast::Statement;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceId, SourceMap, Spanned};

use super::Offered;
use super::judge::{Concern, is_from, said};
use super::site::Mutation;
use super::subject::{Resolved, Subject, scope};
use super::table::DEFAULT;
use crate::diagram::Store;
use crate::diff::report::Change;
use crate::expect::{self, Standing};
use crate::policy::{Condition, Direction, Expect, Policy, Set, SetKind};

/// Facts that are tried by themselves; what there is more of is added as one.
const FACTS: usize = 4;

/// The length of a short packet, which every header fits into.
const SHORT: u64 = 100;

/// How often lines that are mistakes are taken out.
const TRIES: usize = 4;

/// The lines that are offered.
pub(super) struct Offers<'s> {
    subject: &'s Subject,
    work: u64,
    /// Each with what it means on the policy.
    offered: Vec<(Offered, Expect)>,
}

impl<'s> Offers<'s> {
    pub(super) fn new(subject: &'s Subject, work: u64) -> Self {
        Self {
            subject,
            work,
            offered: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Offered> {
        let offered = self.offered.into_iter();
        offered.map(|(one, _)| one).collect()
    }

    /// A line that holds on the policy and breaks on a mutant.
    pub(super) fn line(&mut self, mutation: &Mutation, change: &Change) -> Option<String> {
        let netns = mutation.change.netns.as_deref();
        let mutated = mutation.done(self.subject.statements());
        let Resolved::Whole(mutant) = self.subject.resolve(&mutated) else {
            return None;
        };
        let concern = Concern::of(mutation, [&self.subject.policy, &mutant]);
        let known = self.offered.iter();
        let known =
            known.filter(|(one, expect)| one.netns.as_deref() == netns && concern.holds(expect));
        let known: Vec<String> = known.map(|(one, _)| one.line.clone()).collect();
        if let Some((line, _)) = self.first(mutation, &mutated, &known) {
            return Some(line);
        }
        let policy = scope(&self.subject.policy, netns)?;
        let lines = candidates(policy, mutation, change);
        let (line, expect) = self.first(mutation, &mutated, &lines)?;
        let offered = Offered {
            netns: netns.map(str::to_owned),
            line: line.clone(),
        };
        self.offered.push((offered, expect));
        Some(line)
    }

    /// The first of these lines that does it.
    fn first(
        &self,
        mutation: &Mutation,
        mutated: &[Spanned<Statement>],
        lines: &[String],
    ) -> Option<(String, Expect)> {
        if lines.is_empty() {
            return None;
        }
        let written = Written::new(self.subject, lines, mutation);
        let old = written.resolve(self.subject.statements())?;
        let new = written.resolve(mutated)?;
        let netns = mutation.change.netns.as_deref();
        let concern = Concern::of(mutation, [&old, &new]);
        let (old, new) = (scope(&old, netns)?, scope(&new, netns)?);
        let mut stores = [old, new].map(|policy| {
            let mut store = Store::of(policy);
            store.limit_work(self.work);
            store
        });
        let found = written.lines_of(old).find(|expect| {
            if !concern.holds(expect) {
                return false;
            }
            let same = |other: &&Expect| other.place.span == expect.place.span;
            let Some(other) = written.lines_of(new).find(same) else {
                return false;
            };
            let [left, right] = &mut stores;
            matches!(expect::standing(old, expect, left), Ok(Standing::Holds))
                && matches!(expect::standing(new, other, right), Ok(Standing::Broken(_)))
        })?;
        Some((found.place.text.to_string(), found.clone()))
    }
}

/// Lines in a text of their own, next to the policy's.
struct Written<'a> {
    subject: &'a Subject,
    sources: SourceMap,
    id: SourceId,
    statements: Vec<Spanned<Statement>>,
}

impl<'a> Written<'a> {
    /// What of the lines can be read.
    fn new(subject: &'a Subject, lines: &[String], mutation: &Mutation) -> Self {
        let mut sources = subject.sources.clone();
        let id = sources.add("offered", text(lines, mutation.change.netns.as_deref()));
        let (file, _) = sockc_grammar::parse(&sources, id);
        Self {
            subject,
            sources,
            id,
            statements: file.statements,
        }
    }

    /// The policy of statements with those of the lines that mean something there.
    fn resolve(&self, statements: &[Spanned<Statement>]) -> Option<Policy> {
        let mut lines = self.statements.clone();
        for _ in 0..TRIES {
            match self.subject.with_lines(statements, &lines, &self.sources) {
                Ok(policy) => return Some(policy),
                Err(found) => self.leave_out(&mut lines, &found)?,
            }
        }
        None
    }

    /// Takes the lines out that are mistakes; `None` if nothing is wrong with any.
    fn leave_out(&self, lines: &mut Vec<Spanned<Statement>>, found: &[Diagnostic]) -> Option<()> {
        let own = found.iter().map(|one| one.primary.span);
        let own = own.filter(|span| span.source == self.id);
        let wrong: BTreeSet<u32> = own.map(|span| self.sources.place(span).0).collect();
        let sound = |one: &Spanned<Statement>| !wrong.contains(&self.sources.place(one.span).0);
        for line in lines.iter_mut() {
            if let Statement::For(block) = &mut line.value {
                block.statements.retain(sound);
            }
        }
        lines.retain(sound);
        (!wrong.is_empty()).then_some(())
    }

    fn lines_of<'p>(&self, policy: &'p Policy) -> impl Iterator<Item = &'p Expect> {
        let id = self.id;
        let lines = policy.expects.iter();
        lines.filter(move |expect| is_from(expect, id))
    }
}

/// Lines as a file has them, in the block of a namespace.
pub(super) fn text(lines: &[String], netns: Option<&str>) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match netns {
        None => lines,
        Some(name) => {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("for netns \"{name}\" {{\n{lines}}}\n")
        }
    }
}

/// Lines that may do it, those first that say more, then those that take less for given.
fn candidates(policy: &Policy, mutation: &Mutation, change: &Change) -> Vec<String> {
    let packet = without_netns(&change.example, mutation.change.netns.as_deref());
    let region = match change.region.within.as_str() {
        "everything" => "from any to any".to_owned(),
        within => as_packets(within),
    };
    let facts = facts(policy, change);
    let mut bases = vec![region, packet];
    if mutation.change.kind == DEFAULT {
        let direction = match change.about.name() {
            "in" => String::new(),
            other => format!("{other} "),
        };
        bases.insert(0, format!("{direction}from any to any"));
    }
    let mut lines = Vec::new();
    for base in bases {
        for facts in &facts {
            let mut line = format!("expect {} {base}", said(&change.from));
            for fact in facts {
                let is_first = !line.contains(" with ");
                line.push_str(if is_first { " with " } else { ", " });
                line.push_str(fact);
            }
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// A region in the words of a line: what rules say after `if` stands after `with` there.
fn as_packets(within: &str) -> String {
    let Some((packets, conditions)) = within.split_once(" if ") else {
        return within.to_owned();
    };
    let conditions = conditions.replace("no socket exists", "no socket");
    format!("{packets} with {}", conditions.replace(" and ", ", "))
}

/// A packet without the namespace that `explain` needs, and a line in its block does not.
fn without_netns(packet: &str, netns: Option<&str>) -> String {
    let Some(name) = netns else {
        return packet.to_owned();
    };
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    let said = format!("with in netns \"{name}\"");
    let rest = packet.replacen(&format!("{said}, "), "with ", 1);
    rest.replacen(&format!(" {said}"), "", 1)
}

/// What may have to be known besides a packet: every choice of it, fewer first.
fn facts(policy: &Policy, change: &Change) -> Vec<Vec<String>> {
    let direction = Direction::ALL.into_iter();
    let is_packet = direction
        .filter(|one| !one.of_processes())
        .any(|one| one.word() == change.about.name());
    let said = |words: &str| change.example.contains(words);
    let mut facts = Vec::new();
    if is_packet && !said("socket ") {
        facts.push("no socket".to_owned());
    }
    if policy.rules.values().any(|rule| rule.rate.is_some()) && !said("rate exceeded") {
        facts.push("no rate exceeded".to_owned());
    }
    let live = policy.sets.values();
    let live = live.filter(|set| matches!(set.kind, SetKind::Live { .. }));
    let live = live.map(Set::words);
    let maps = policy.live_maps.values();
    let held = live.chain(maps.map(|map| format!("@{}", map.name)));
    let empty = held.map(|words| format!("{words} {{"));
    facts.extend(
        empty
            .filter(|words| !said(words))
            .map(|words| format!("{words} }}")),
    );
    facts.extend(header_facts(policy, change));
    choices(&facts)
}

/// Fields that rules ask for, with what is plain.
fn header_facts(policy: &Policy, change: &Change) -> Vec<String> {
    use crate::header_field::{self, Plain};
    let mut asked = Vec::new();
    let rules = policy.rules.values();
    for condition in rules.flat_map(|rule| &rule.matches.conditions) {
        fields(condition, &mut asked);
    }
    let rows = header_field::rows().filter(|row| asked.contains(&row.field));
    let plain = rows.filter_map(|row| match row.plain {
        _ if change.example.contains(row.word()) => None,
        Plain::Value(value) => Some(crate::packet::text::field_words(row, value)),
        Plain::Shortest => Some(crate::packet::text::field_words(row, SHORT)),
        Plain::Absent => None,
    });
    plain.collect()
}

fn fields(condition: &Condition, found: &mut Vec<crate::header_field::HeaderField>) {
    match condition {
        Condition::Header { field, .. } => found.push(*field),
        Condition::No(inner) => fields(inner, found),
        Condition::AnyOf(all) => all.iter().for_each(|one| fields(one, found)),
        _ => {}
    }
}

/// Every choice of some, fewer first; the last ones are one.
fn choices(facts: &[String]) -> Vec<Vec<String>> {
    let (alone, rest) = facts.split_at(facts.len().min(FACTS));
    let mut parts: Vec<Vec<String>> = alone.iter().map(|one| vec![one.clone()]).collect();
    if !rest.is_empty() {
        parts.push(rest.to_vec());
    }
    let mut masks: Vec<u32> = (0..1 << parts.len()).collect();
    masks.sort_by_key(|mask| mask.count_ones());
    let chosen = |mask: u32| {
        let parts = parts.iter().enumerate();
        let parts = parts.filter(move |(place, _)| mask >> place & 1 == 1);
        parts.flat_map(|(_, part)| part.clone()).collect()
    };
    masks.into_iter().map(chosen).collect()
}
