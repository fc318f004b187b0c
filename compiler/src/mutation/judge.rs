//! What becomes of a change: whether it means something else, and whether a line breaks.
//!
//! Only lines that may share a packet with the rule, as it was or as it is, are asked: a packet that neither matches is
//! decided as before. Not here: which line would notice it.

use sockc_grammar::source::SourceId;

use super::Options;
use super::site::Mutation;
use super::subject::{Resolved, Statements, Subject, scope};
use crate::beside::{beside, is_much};
use crate::diagram::Store;
use crate::diff::report::{Change, Fate, Report};
use crate::diff::{self, Options as Comparison};
use crate::expect::{self, Standing, region};
use crate::observer::{Observer, Silent};
use crate::pipeline;
use crate::policy::{Direction, Expect, Policy, Rule};

/// So few changes are tried in no time.
const FEW: usize = 16;

/// Changes of one mutant that are told, the largest first.
const TOLD: usize = 8;

/// What became of a change.
pub(super) struct Judged<'m> {
    pub(super) mutation: &'m Mutation,
    pub(super) became: Became,
}

/// What a change is.
pub(super) enum Became {
    /// It means the same.
    Same,
    /// It is no policy.
    Refused,
    /// A line breaks.
    Noticed,
    /// No line breaks, and none could.
    Beyond(Box<Change>),
    /// No line breaks.
    Unnoticed(Box<Change>),
    /// It is not known; why.
    Unknown(String),
}

/// Judges all, in their order.
pub(super) fn all<'m>(
    subject: &Subject,
    mutations: &[&'m Mutation],
    options: Options,
    observer: &mut dyn Observer,
) -> Vec<Judged<'m>> {
    let every_second = |first: usize| mutations.iter().skip(first).step_by(2).copied();
    let judge = |mutation: &'m Mutation| Judged {
        mutation,
        became: became(subject, mutation, options),
    };
    let (odd, even): (Vec<_>, Vec<_>) = beside(
        is_much(mutations.len(), FEW),
        || every_second(1).map(judge).collect(),
        || {
            let judged = every_second(0).enumerate().map(|(done, mutation)| {
                observer.progress(2 * done as u64, mutations.len() as u64);
                judge(mutation)
            });
            judged.collect()
        },
    );
    let mut odd: std::vec::IntoIter<Judged<'m>> = odd.into_iter();
    let pairs = even.into_iter().flat_map(|one: Judged<'m>| {
        let next = odd.next();
        std::iter::once(one).chain(next)
    });
    pairs.collect()
}

fn became(subject: &Subject, mutation: &Mutation, options: Options) -> Became {
    let statements = mutation.done(subject.statements());
    let mutant = match subject.resolve(&statements) {
        Resolved::Whole(mutant) => mutant,
        Resolved::LineWrong => return Became::Noticed,
        Resolved::Refused => return Became::Refused,
    };
    let comparison = Comparison {
        work: options.work,
        most: Some(TOLD),
        ..Comparison::default()
    };
    let report = diff::compare(&subject.policy, &mutant, comparison, &mut Silent);
    let settings = report.scopes.iter().flat_map(|scope| &scope.settings);
    let mut settings = settings.map(|one| format!("no line is about what it changes: {one}"));
    let unknown = why(&report).or_else(|| settings.next());
    if is_same(&report) {
        return unknown.map_or(Became::Same, Became::Unknown);
    }
    let is_whole = unknown.is_none() && report.scopes.iter().all(|scope| scope.untold == 0);
    let asking = Asking {
        subject,
        mutation,
        mutant: &mutant,
        statements: &statements,
        work: options.work,
    };
    match asking.notices() {
        Err(why) => return Became::Unknown(why),
        Ok(true) => return Became::Noticed,
        Ok(false) => {}
    }
    if !pipeline::is_placed(&mutant) {
        return Became::Refused;
    }
    let mut changes: Vec<Change> = report
        .scopes
        .into_iter()
        .flat_map(|one| one.changes)
        .collect();
    // What words say whole is worth more to a reader.
    changes.sort_by_key(|change| (!is_sayable(change), change.unsaid.is_some()));
    match changes.into_iter().next() {
        Some(change) if is_sayable(&change) => Became::Unnoticed(Box::new(change)),
        Some(change) if is_whole => Became::Beyond(Box::new(change)),
        Some(_) => Became::Unknown(
            unknown.unwrap_or_else(|| "it changes more than was looked at".to_owned()),
        ),
        None => Became::Unknown("it was not found out what changes".to_owned()),
    }
}

/// Whether no fate was found to change.
fn is_same(report: &Report) -> bool {
    let mut scopes = report.scopes.iter();
    scopes.all(|scope| scope.changes.is_empty() && scope.untold == 0)
}

/// Why a comparison is not complete.
fn why(report: &Report) -> Option<String> {
    let mut incomplete = report
        .scopes
        .iter()
        .filter_map(|one| one.incomplete.as_ref());
    incomplete.next().map(|one| one.why.clone())
}

/// Whether a line can tell the two fates apart: none speaks of marks, or of which interface.
fn is_sayable(change: &Change) -> bool {
    said(&change.from) != said(&change.to)
}

/// What a line can say of a fate.
pub(super) fn said(fate: &Fate) -> String {
    match &fate.target {
        Some(target) if fate.verdict == "redirect" && !target.starts_with("interface ") => {
            format!("redirect to {target}")
        }
        _ => fate.verdict.to_owned(),
    }
}

/// A mutant, and the lines that it is asked about.
struct Asking<'a> {
    subject: &'a Subject,
    mutation: &'a Mutation,
    mutant: &'a Policy,
    statements: &'a Statements,
    work: u64,
}

impl Asking<'_> {
    /// Whether a line breaks.
    fn notices(&self) -> Result<bool, String> {
        let concern = Concern::of(self.mutation, [&self.subject.policy, self.mutant]);
        let own = |_: &Expect| true;
        if breaks(self.mutant, self.mutation, &concern, own, self.work)? {
            return Ok(true);
        }
        for guard in &self.subject.guards {
            let is_its = |expect: &Expect| is_from(expect, guard.source);
            let known = scope(&guard.policy, self.mutation.change.netns.as_deref());
            let mut lines = known.iter().flat_map(|one| &one.expects);
            if !lines.any(|expect| is_its(expect) && concern.holds(expect)) {
                continue;
            }
            // What the guard cannot be asked of any more is said as a mistake of it.
            let Some(guarded) = self.subject.guarded(self.statements, guard) else {
                return Ok(true);
            };
            if breaks(&guarded, self.mutation, &concern, is_its, self.work)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a line stands in this source.
pub(super) fn is_from(expect: &Expect, source: SourceId) -> bool {
    expect.place.span.source == source
}

/// Whether a line of the changed list breaks, of those that the change concerns and that are chosen.
fn breaks(
    policy: &Policy,
    mutation: &Mutation,
    concern: &Concern<'_>,
    chosen: impl Fn(&Expect) -> bool,
    work: u64,
) -> Result<bool, String> {
    let Some(policy) = scope(policy, mutation.change.netns.as_deref()) else {
        return Ok(false);
    };
    let mut store = Store::of(policy);
    store.limit_work(work);
    let lines = policy.expects.iter();
    for expect in lines.filter(|expect| chosen(expect) && concern.holds(expect)) {
        match expect::standing(policy, expect, &mut store) {
            Ok(Standing::Holds) => {}
            Ok(Standing::Broken(_) | Standing::Empty) => return Ok(true),
            Err(exceeded) => {
                return Err(format!(
                    "line {} of {} was not decided: {exceeded}",
                    expect.place.line, expect.place.file
                ));
            }
        }
    }
    Ok(false)
}

/// Which lines a change can concern.
pub(super) struct Concern<'p> {
    direction: Option<Direction>,
    /// The rule as it was and as it is, which may be several; none of a default.
    rules: Vec<&'p Rule>,
}

impl<'p> Concern<'p> {
    pub(super) fn of(mutation: &Mutation, policies: [&'p Policy; 2]) -> Self {
        let netns = mutation.change.netns.as_deref();
        let scopes = policies.map(|policy| scope(policy, netns));
        let scopes = || scopes.into_iter().flatten();
        let rules = scopes().flat_map(|policy| policy.rules.values());
        let rules: Vec<&Rule> = rules
            .filter(|rule| rule.place.span == mutation.span)
            .collect();
        let defaults = scopes().flat_map(|policy| &policy.defaults);
        let mut defaults = defaults.filter(|line| line.place.span == mutation.span);
        let default = defaults.next().map(|line| line.direction);
        Self {
            direction: rules.first().map(|rule| rule.direction).or(default),
            rules,
        }
    }

    /// Whether it can be that a line holds of one and not of the other.
    pub(super) fn holds(&self, expect: &Expect) -> bool {
        let mut rules = self.rules.iter();
        let list = expect.region.direction;
        // The list of `in` sets marks that what passes through goes on with.
        let marks = list.passes() && self.direction == Some(Direction::In);
        (self.direction == Some(list) || marks)
            && (self.rules.is_empty() || rules.any(|rule| !region::disjoint(rule, expect)))
    }
}
