//! Lists of rules with verdicts, and edits of them that are drawn from a seed.
//!
//! Takes a rule set; gives the list before and after the edits, and what a linear scan already knows of the difference:
//! headers that get another verdict. Not here: policies that are compared.

use sockc_testing::Rng;

use super::rules::family::seed;
use super::rules::policy::written;
use super::rules::scan::Scan;
use super::rules::{Header, Rule, RuleSet, trace};

/// Of a hundred rules so many allow.
const ALLOWED: usize = 75;
/// Edits of a kind in [`Kind::Many`].
const OF_EACH: usize = 5;
/// Rules that are doubled in [`Kind::Without`].
const DOUBLED: usize = 20;
/// Headers that are drawn inside each rule that is edited.
const HEADERS: usize = 20;
/// Headers among which one is looked for that no rule but an edited one decides.
const TRIES: usize = 1000;

/// A rule with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) rule: Rule,
    pub(crate) allow: bool,
}

impl Line {
    fn flipped(self) -> Self {
        Self {
            allow: !self.allow,
            ..self
        }
    }
}

/// Which edits are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Five of each: a rule's match with the other verdict put somewhere ahead of it, a rule deleted, moved, its verdict
    /// flipped.
    Many,
    /// The verdict of one rule that decides something.
    One,
    /// Twenty rules doubled after themselves, every other one with the other verdict.
    Without,
}

impl Kind {
    /// As the table and JSON name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Many => "20",
            Self::One => "1",
            Self::Without => "20 without effect",
        }
    }
}

/// A list before and after.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) old: Vec<Line>,
    pub(crate) new: Vec<Line>,
    /// Headers that a linear scan gives another verdict in the new list.
    pub(crate) differing: usize,
}

/// The rules of a set with verdicts by its name and size.
pub(crate) fn list(set: &RuleSet) -> Vec<Line> {
    let mut rng = seed(&set.family, set.rules.len());
    let line = |rule: &Rule| Line {
        rule: *rule,
        allow: rng.chance(ALLOWED, 100),
    };
    set.rules.iter().map(line).collect()
}

/// A list as a policy that drops what no rule matches.
pub(crate) fn policy(list: &[Line]) -> String {
    written(false, list.iter().map(|line| (line.allow, &line.rule)), "")
}

impl Case {
    /// The edits of a kind, the same for the same set; `None` where a set has no rule that they could be made on.
    pub(crate) fn new(set: &RuleSet, kind: Kind) -> Option<Self> {
        let old = list(set);
        let mut rng = seed(kind.name(), old.len());
        let mut new = old.clone();
        let edited = match kind {
            Kind::Many => many(&mut new, &mut rng),
            Kind::One => vec![one(&mut new, set, &mut rng)?],
            Kind::Without => doubled(&mut new, &mut rng),
        };
        let headers: Vec<Header> = edited
            .iter()
            .flat_map(|rule| (0..HEADERS).map(|_| *rule))
            .map(|rule| trace::inside(&rule, &mut rng))
            .collect();
        let (before, after) = (verdicts(&old, &headers), verdicts(&new, &headers));
        let pairs = before.iter().zip(&after);
        let differing = pairs.filter(|(before, after)| before != after).count();
        Some(Self {
            old,
            new,
            differing,
        })
    }
}

/// What a linear scan says of each header.
fn verdicts(list: &[Line], headers: &[Header]) -> Vec<bool> {
    let rules: Vec<Rule> = list.iter().map(|line| line.rule).collect();
    let answers = Scan::new(&rules).all(headers);
    let allows = |answer: Option<usize>| answer.is_some_and(|place| list[place].allow);
    answers.into_iter().map(allows).collect()
}

/// Five edits of each kind, the kinds in turn; gives the rules that are edited.
fn many(list: &mut Vec<Line>, rng: &mut Rng) -> Vec<Rule> {
    let kinds: [fn(&mut Vec<Line>, &mut Rng) -> Rule; 4] =
        [insert, delete, shift, |list, rng| flip(list, rng)];
    let mut edited = Vec::new();
    for _ in 0..OF_EACH {
        for edit in kinds {
            if !list.is_empty() {
                edited.push(edit(list, rng));
            }
        }
    }
    edited
}

fn insert(list: &mut Vec<Line>, rng: &mut Rng) -> Rule {
    let from = rng.below(list.len());
    let line = list[from].flipped();
    list.insert(rng.below(from + 1), line);
    line.rule
}

fn delete(list: &mut Vec<Line>, rng: &mut Rng) -> Rule {
    list.remove(rng.below(list.len())).rule
}

fn shift(list: &mut Vec<Line>, rng: &mut Rng) -> Rule {
    let line = list.remove(rng.below(list.len()));
    list.insert(rng.below(list.len() + 1), line);
    line.rule
}

fn flip(list: &mut [Line], rng: &mut Rng) -> Rule {
    let place = rng.below(list.len());
    list[place] = list[place].flipped();
    list[place].rule
}

/// Flips a rule that is the first to match some header.
fn one(list: &mut [Line], set: &RuleSet, rng: &mut Rng) -> Option<Rule> {
    let scan = Scan::new(&set.rules);
    let mut headers = trace::hits(set, rng, TRIES).into_iter();
    let place = headers.find_map(|header| scan.first(&header))?;
    list[place] = list[place].flipped();
    Some(list[place].rule)
}

/// Doubles rules, from the end of the list so that places stay.
fn doubled(list: &mut Vec<Line>, rng: &mut Rng) -> Vec<Rule> {
    let mut places: Vec<usize> = (0..DOUBLED).map(|_| rng.below(list.len())).collect();
    places.sort_unstable();
    places.dedup();
    let mut edited = Vec::new();
    for (turn, &place) in places.iter().rev().enumerate() {
        let line = list[place];
        let twin = if turn % 2 == 0 { line } else { line.flipped() };
        list.insert(place + 1, twin);
        edited.push(line.rule);
    }
    edited
}
