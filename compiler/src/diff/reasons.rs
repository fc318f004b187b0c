//! Why an edit changes nothing: who decides its packets before, or the same without it.

use std::collections::{BTreeMap, BTreeSet};

use super::draw::Owner;
use super::joint::Which;
use super::report::{Decider, Line};
use super::tell::Telling;
use super::weigh::Finding;

/// What was found of an edit.
#[derive(Default)]
struct Known {
    /// Whether the edit's own rule decides anything, in the policy that has it.
    decides: bool,
    /// Who decides in its place, in the policy that has it.
    before: Vec<Decider>,
    /// Who decides in the other policy what it decides.
    instead: Vec<Decider>,
}

/// For each edit in whose region nothing changes, why, as far as it is known.
pub(super) fn reasons(telling: &Telling<'_, '_, '_>, same: &[Finding]) -> Vec<(usize, String)> {
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let mut said: BTreeSet<(usize, bool, Owner)> = BTreeSet::new();
    for finding in same {
        // Where the new policy has the rule, it is asked for; else the old one.
        let edit = finding.edit;
        let has_new = telling.edits.edits[edit].new.is_some();
        let (own, other) = match has_new {
            true => (Which::New, Which::Old),
            false => (Which::Old, Which::New),
        };
        let entry = known.entry(edit).or_default();
        let (is_own, asked) = match telling.edit_by(finding, own) == Some(edit) {
            true => (true, other),
            false => (false, own),
        };
        entry.decides |= is_own;
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

impl Known {
    fn words(&self) -> String {
        if !self.decides {
            return match self.before.as_slice() {
                [one] => format!("{} decides all of it before", who(one)),
                [one, two] => format!("{} and {} decide all of it before", who(one), who(two)),
                all => format!("{} rules decide all of it before", all.len()),
            };
        }
        match self.instead.as_slice() {
            [Decider::Nobody] => "what no rule decides is allowed anyway".into(),
            [one] => format!("{} does the same", who(one)),
            [one, two] => format!("{} and {} do the same", who(one), who(two)),
            all => format!("{} rules do the same", all.len()),
        }
    }
}

fn who(decider: &Decider) -> String {
    match decider {
        Decider::Line(Line {
            is_default: true, ..
        }) => "the default".into(),
        Decider::Line(line) => format!("line {}", line.line),
        Decider::Nobody | Decider::NotAttached => "what no rule matches".into(),
    }
}
