//! Why an edit changes nothing: who decides its packets before, or the same without it.
//!
//! "Without it" is asked of the policy that has the rule, so that nobody deletes a rule that is needed: where others
//! decide the same only in the other policy, the reason names them as that one's.

use std::collections::{BTreeMap, BTreeSet};

use super::block::Cover;
use super::draw::{Drawing, Owner, Region};
use super::joint::Which;
use super::lists::Pair;
use super::report::{Decider, EditKind, Line};
use super::tell::Telling;
use super::weigh::Finding;
use crate::location::Location;
use crate::policy::Policy;

/// Which packets were looked at for an edit: what is said holds of these alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looked {
    /// All that its rule matches.
    #[default]
    Whole,
    /// What only one of its two rules matches: the rest gets the same from both.
    Difference,
    /// What no other edit was looked at for.
    Rest,
}

/// What was found of an edit.
#[derive(Default)]
struct Known {
    looked: Looked,
    /// Whether the edit's own rule decides anything, in the policy that has it.
    decides: bool,
    /// Who decides in its place, in the policy that has it.
    before: Vec<Decider>,
    /// Whether it decides the same from another place in the other policy.
    itself: bool,
    /// Who decides in the other policy what it decides.
    instead: Vec<Instead>,
    /// Whether the policy that has it needs it: without it others than in the other policy would decide.
    needed: bool,
    /// The policy that was asked who decides instead.
    other: Option<Which>,
}

/// Who decides in the other policy what a rule decides.
struct Instead {
    /// As that policy has it.
    other: Decider,
    /// As the new policy has it, for what both have.
    new: Decider,
}

/// For each edit in whose region nothing changes, why, as far as it is known.
pub(super) fn reasons(telling: &mut Telling<'_, '_, '_>, same: &[Finding]) -> Vec<(usize, String)> {
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let pairs = telling.edits.pairs();
    let mut said: BTreeSet<(usize, bool, Owner)> = BTreeSet::new();
    for finding in same {
        // Where the new policy has the rule, it is asked for; else the old one.
        let Some(edit) = finding.edit else {
            continue;
        };
        let has_new = telling.edits.edits[edit].new.is_some();
        let (own, other) = match has_new {
            true => (Which::New, Which::Old),
            false => (Which::Old, Which::New),
        };
        let entry = known.entry(edit).or_insert_with(|| Known {
            looked: looked(telling, edit, pairs.get(edit).map_or(&[], Vec::as_slice)),
            ..Known::default()
        });
        let (is_own, asked) = match telling.edit_by(finding, own) == Some(edit) {
            true => (true, other),
            false => (false, own),
        };
        entry.decides |= is_own;
        if is_own && telling.edit_by(finding, asked) == Some(edit) {
            entry.itself = true;
            continue;
        }
        let (owner, _) = finding.fates.of(asked);
        let first = said.insert((edit, is_own, owner));
        if !is_own {
            entry
                .before
                .extend(first.then(|| telling.decider(finding, asked)));
            continue;
        }
        entry.needed = entry.needed || is_needed(telling, finding, edit, own);
        entry.other = Some(other);
        entry.instead.extend(first.then(|| Instead {
            other: telling.decider(finding, other),
            new: telling.decider_of(finding.topic, owner, Which::New),
        }));
    }
    let joint = telling.space.joint;
    let one_file = joint.policies().into_iter().all(is_one_file);
    let words = Naming { one_file };
    known
        .into_iter()
        .map(|(edit, known)| (edit, known.words(words)))
        .collect()
}

/// Whether a policy without its rules of an edit has another decider than the other policy for anything of a finding. What
/// grows past the budget counts as needed, which is said in words that are true in either case.
fn is_needed(
    telling: &mut Telling<'_, '_, '_>,
    finding: &Finding,
    edit: usize,
    own: Which,
) -> bool {
    let expected = finding.fates.of(match own {
        Which::Old => Which::New,
        Which::New => Which::Old,
    });
    let Ok(packets) = telling.packets(finding) else {
        return true;
    };
    let region = Region {
        packets,
        cover: telling.cover(finding.fates),
    };
    let edits = telling.edits;
    let mut drawing = Drawing {
        space: telling.space,
        topic: finding.topic,
        covers: telling.covers,
        list: telling.list,
    };
    let of_edit = |id| edits.of_rule(own, id) == Some(edit);
    let without = drawing.decided_without(own, &region, &of_edit);
    !without.is_ok_and(|all| all.iter().all(|(decided, _)| *decided == expected))
}

/// Which packets were looked at for an edit of these pairs.
fn looked(telling: &Telling<'_, '_, '_>, edit: usize, pairs: &[Pair]) -> Looked {
    let own = || pairs.iter().copied();
    if own().any(|pair| matches!(pair, Pair::Changed(..))) {
        return Looked::Difference;
    }
    // Two rules of one label at different places: what each of them matches was looked at, and they may differ in it.
    if telling.edits.edits[edit].kind == EditKind::Changed {
        return Looked::Rest;
    }
    let is_other = |pair: Pair| telling.edits.of_pair(pair).is_some_and(|one| one != edit);
    let meets = |cover: &Cover| {
        let span = cover.span();
        let mut near = telling.list.near(cover).map(|(_, pair)| pair);
        near.any(|pair| telling.covers.meet(pair, cover, &span) && is_other(pair))
    };
    if own().any(|pair| meets(&telling.covers.pair(pair))) {
        Looked::Rest
    } else {
        Looked::Whole
    }
}

/// Whether all rules stand in one file, so that a line's number says which is meant.
fn is_one_file(policy: &Policy) -> bool {
    let mut files = policy.rules.values().map(|rule| &rule.place.file);
    let first = files.next();
    files.all(|file| Some(file) == first)
}

/// How lines are named.
#[derive(Clone, Copy)]
struct Naming {
    one_file: bool,
}

impl Naming {
    fn line(self, line: &Line) -> String {
        let Location { file, line, .. } = &line.location;
        match self.one_file {
            true => format!("line {line}"),
            false => format!("line {line} of {file}"),
        }
    }

    /// Several deciders.
    fn whom(self, deciders: &[Decider]) -> String {
        match deciders {
            [one] => self.who(one),
            [one, two] => format!("{} and {}", self.who(one), self.who(two)),
            all => format!("{} rules", all.len()),
        }
    }

    fn who(self, decider: &Decider) -> String {
        match decider {
            Decider::Line(Line {
                is_default: true, ..
            }) => "the default".into(),
            Decider::Line(line) => self.line(line),
            Decider::Nobody | Decider::NotAttached | Decider::NoGroup => {
                "what no rule matches".into()
            }
        }
    }
}

impl Known {
    fn words(&self, naming: Naming) -> String {
        if !self.decides {
            return match (self.looked, self.before.as_slice()) {
                (Looked::Whole, [one]) => format!("{} decides all of it before", naming.who(one)),
                (Looked::Whole, [one, two]) => {
                    format!(
                        "{} and {} decide all of it before",
                        naming.who(one),
                        naming.who(two)
                    )
                }
                (Looked::Whole, all) => format!("{} rules decide all of it before", all.len()),
                (Looked::Difference, all) => {
                    format!(
                        "what only one of the two matches gets the same from {}",
                        naming.whom(all)
                    )
                }
                (Looked::Rest, all) => {
                    format!(
                        "what no other edit is about gets the same from {}",
                        naming.whom(all)
                    )
                }
            };
        }
        if self.instead.is_empty() {
            return "it decides the same from its new place".into();
        }
        if self.itself {
            return "what it decides elsewhere now is decided the same".into();
        }
        match (self.needed, self.other) {
            (true, Some(Which::Old)) => self.kept(naming),
            (true, _) => self.same("new ", naming),
            (false, _) => self.same("", naming),
        }
    }

    /// That a rule keeps what the old policy decided, which the new one without it would not.
    fn kept(&self, naming: Naming) -> String {
        let by = |one: &Instead| match &one.other {
            Decider::Line(line) if line.is_default => "the old default".to_owned(),
            Decider::Line(line) => format!("old {}", naming.line(line)),
            Decider::Nobody | Decider::NotAttached | Decider::NoGroup => "no old rule".to_owned(),
        };
        match self.instead.as_slice() {
            [one] if !matches!(one.other, Decider::Line(_)) => {
                "it keeps allowed what no old rule decided".into()
            }
            [one] => format!("it keeps what {} decided", by(one)),
            [one, two] => format!("it keeps what {} and {} decided", by(one), by(two)),
            all => format!("it keeps what {} old rules decided", all.len()),
        }
    }

    /// That others decide the same; `new` where they do so in the new policy alone.
    fn same(&self, new: &str, naming: Naming) -> String {
        let by = |one: &Instead| match &one.new {
            Decider::Line(line) if line.is_default => format!("the {new}default"),
            Decider::Line(line) => format!("{new}{}", naming.line(line)),
            Decider::Nobody | Decider::NotAttached | Decider::NoGroup => {
                format!("what no {new}rule matches")
            }
        };
        let anyway = if new.is_empty() { " anyway" } else { "" };
        match self.instead.as_slice() {
            [one] if !matches!(one.new, Decider::Line(_)) => {
                format!("what no {new}rule decides is allowed{anyway}")
            }
            [one] => format!("{} does the same", by(one)),
            [one, two] => format!("{} and {} do the same", by(one), by(two)),
            all => format!("{} {new}rules do the same", all.len()),
        }
    }
}
