//! Why an edit changes nothing: who decides its packets before, or the same without it.

use std::collections::{BTreeMap, BTreeSet};

use super::block::Cover;
use super::draw::Owner;
use super::joint::Which;
use super::lists::Pair;
use super::report::{Decider, EditKind, Line};
use super::tell::Telling;
use super::weigh::Finding;

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
    instead: Vec<Decider>,
}

/// For each edit in whose region nothing changes, why, as far as it is known.
pub(super) fn reasons(telling: &Telling<'_, '_, '_>, same: &[Finding]) -> Vec<(usize, String)> {
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
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
            looked: looked(telling, edit),
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
        let owner = match asked {
            Which::Old => finding.fates.old.0,
            Which::New => finding.fates.new.0,
        };
        if said.insert((edit, is_own, owner)) {
            let decider = telling.decider(finding, asked);
            if is_own {
                entry.instead.push(decider);
            } else {
                entry.before.push(decider);
            }
        }
    }
    known
        .into_iter()
        .map(|(edit, known)| (edit, known.words()))
        .collect()
}

/// Which packets were looked at for an edit.
fn looked(telling: &Telling<'_, '_, '_>, edit: usize) -> Looked {
    let deltas = || telling.edits.deltas.iter();
    let own = || deltas().filter(move |delta| delta.edit == Some(edit));
    if own().any(|delta| matches!(delta.pair, Pair::Changed(..))) {
        return Looked::Difference;
    }
    // Two rules of one label at different places: what each of them matches was looked at, and they may differ in it.
    if telling.edits.edits[edit].kind == EditKind::Changed {
        return Looked::Rest;
    }
    let direction = telling.edits.edits[edit].direction;
    let others =
        || deltas().filter(move |one| one.edit != Some(edit) && one.direction == direction);
    let meets = |cover: &Cover| others().any(|other| telling.covers.meet(other.pair, cover));
    if own().any(|delta| meets(&telling.covers.pair(delta.pair))) {
        Looked::Rest
    } else {
        Looked::Whole
    }
}

impl Known {
    fn words(&self) -> String {
        if !self.decides {
            return match (self.looked, self.before.as_slice()) {
                (Looked::Whole, [one]) => format!("{} decides all of it before", who(one)),
                (Looked::Whole, [one, two]) => {
                    format!("{} and {} decide all of it before", who(one), who(two))
                }
                (Looked::Whole, all) => format!("{} rules decide all of it before", all.len()),
                (Looked::Difference, all) => {
                    format!(
                        "what only one of the two matches gets the same from {}",
                        whom(all)
                    )
                }
                (Looked::Rest, all) => {
                    format!(
                        "what no other edit is about gets the same from {}",
                        whom(all)
                    )
                }
            };
        }
        match self.instead.as_slice() {
            [] => "it decides the same from its new place".into(),
            _ if self.itself => "what it decides elsewhere now is decided the same".into(),
            [Decider::Nobody | Decider::NoGroup] => "what no rule decides is allowed anyway".into(),
            [one] => format!("{} does the same", who(one)),
            [one, two] => format!("{} and {} do the same", who(one), who(two)),
            all => format!("{} rules do the same", all.len()),
        }
    }
}

/// Several deciders.
fn whom(deciders: &[Decider]) -> String {
    match deciders {
        [one] => who(one),
        [one, two] => format!("{} and {}", who(one), who(two)),
        all => format!("{} rules", all.len()),
    }
}

fn who(decider: &Decider) -> String {
    match decider {
        Decider::Line(Line {
            is_default: true, ..
        }) => "the default".into(),
        Decider::Line(line) => format!("line {}", line.location.line),
        Decider::Nobody | Decider::NotAttached | Decider::NoGroup => "what no rule matches".into(),
    }
}
