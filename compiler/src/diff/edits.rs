//! Which rules and defaults are not the same in both policies, as people speak of them.
//!
//! Takes the aligned lists; gives edits, and the pairs of rules by which the fate of something may change. A redirect
//! through a map is several rules and one edit. Not here: what an edit does.

use std::collections::{BTreeMap, HashMap};

use super::joint::{Joint, Which};
use super::lists::{List, Lists, Pair, called_alike, moved, same_outcome};
use super::report::{Edit, EditKind, Impact, Line};
use super::topic::Topic;
use crate::policy::{self, DefaultVerdict, Direction, RuleId, SourceLocation};

/// Rules by which the fate of something may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta {
    pub(super) direction: Direction,
    pub(super) pair: Pair,
    /// The edit; nothing of a rule that is the same in both.
    pub(super) edit: Option<usize>,
}

/// The edits of two policies.
#[derive(Default)]
pub(super) struct Edits {
    pub(super) edits: Vec<Edit>,
    pub(super) deltas: Vec<Delta>,
    /// Edits by which a rate has other numbers.
    pub(super) rates: Vec<usize>,
    of_rule: HashMap<(Which, RuleId), usize>,
    of_default: HashMap<Direction, usize>,
}

impl Edits {
    pub(super) fn of(joint: &Joint<'_>, lists: &Lists) -> Self {
        let mut edits = Self::default();
        for (list, direction) in lists.all.iter().zip(Direction::ALL) {
            let moved = moved(joint, list);
            let mut making = Making {
                joint,
                called_alike: called_alike(joint, list, &moved),
                moved,
                heads: heads(joint, list),
                known: BTreeMap::new(),
                edits: &mut edits,
            };
            for &pair in &list.pairs {
                making.pair(direction, pair);
            }
            edits.compare_defaults(joint, direction);
        }
        edits
    }

    /// The edit that a rule belongs to, if it is not the same in both.
    pub(super) fn of_rule(&self, which: Which, id: RuleId) -> Option<usize> {
        self.of_rule.get(&(which, id)).copied()
    }

    /// The edit that a pair belongs to, if its rules are not the same.
    pub(super) fn of_pair(&self, pair: Pair) -> Option<usize> {
        let of = |which| self.of_rule(which, pair.of(which)?);
        of(Which::New).or_else(|| of(Which::Old))
    }

    /// The pairs of each edit that are not the same.
    pub(super) fn pairs(&self) -> Vec<Vec<Pair>> {
        let mut pairs = vec![Vec::new(); self.edits.len()];
        for delta in &self.deltas {
            if let Some(edit) = delta.edit {
                pairs[edit].push(delta.pair);
            }
        }
        pairs
    }

    /// The rules by which something of a topic may change: all, where one of the policies has none for it.
    pub(super) fn deltas_of(&self, topic: Topic, joint: &Joint<'_>, list: &List) -> Vec<Delta> {
        let direction = topic.direction();
        if !topic.comes_or_goes(joint) {
            let deltas = self.deltas.iter().copied();
            return deltas.filter(|one| one.direction == direction).collect();
        }
        let asked = list
            .pairs
            .iter()
            .filter(|pair| topic.asked(joint, **pair).is_some());
        let deltas = asked.map(|&pair| Delta {
            direction,
            pair,
            edit: self.of_pair(pair),
        });
        deltas.collect()
    }

    /// The edit of the default of a direction.
    pub(super) fn of_default(&self, direction: Direction) -> Option<usize> {
        self.of_default.get(&direction).copied()
    }

    fn compare_defaults(&mut self, joint: &Joint<'_>, direction: Direction) {
        let [old, new] = Which::BOTH.map(|which| joint.side(which).policy.default_of(direction));
        let allows = |line: &&policy::Default| line.verdict == DefaultVerdict::Allow;
        let without = match old.iter().chain(&new).all(allows) {
            true => "what no rule decides is allowed anyway",
            false => "nothing that it decides gets another fate",
        };
        // Holds of a default of which no change is told.
        let quiet = Impact::None(Some(without.into()));
        let (kind, impact) = match (old, new) {
            (None, None) => return,
            (Some(old), Some(new)) if old.verdict == new.verdict => {
                if old.log == new.log && old.place.text == new.place.text {
                    return;
                }
                (EditKind::Relabelled, Impact::None(None))
            }
            (Some(_), Some(_)) => (EditKind::Changed, quiet),
            (None, Some(_)) => (EditKind::Added, quiet),
            (Some(_), None) => (EditKind::Removed, quiet),
        };
        self.of_default.insert(direction, self.edits.len());
        self.edits.push(Edit {
            kind,
            direction,
            old: old.map(default_line),
            new: new.map(default_line),
            impact,
        });
    }
}

/// A `default` line.
pub(super) fn default_line(line: &policy::Default) -> Line {
    Line {
        is_default: true,
        ..line_at(&line.place, None)
    }
}

/// A rule of one of the policies.
pub(super) fn rule_line(joint: &Joint<'_>, which: Which, id: RuleId) -> Line {
    let rule = joint.side(which).rule(id);
    line_at(&rule.place, rule.label.clone())
}

fn line_at(place: &SourceLocation, label: Option<String>) -> Line {
    Line {
        location: place.location.clone(),
        label,
        is_default: false,
    }
}

/// For each redirect through a map in the old list the one in the new list that it became.
fn heads(joint: &Joint<'_>, list: &List) -> HashMap<RuleId, RuleId> {
    let pairs = list.pairs.iter().filter_map(|pair| {
        let old = joint.side(Which::Old).rule(pair.of(Which::Old)?).head?;
        let new = joint.side(Which::New).rule(pair.of(Which::New)?).head?;
        Some((old, new))
    });
    pairs.collect()
}

struct Making<'a, 'p> {
    joint: &'a Joint<'p>,
    moved: HashMap<(Which, RuleId), RuleId>,
    /// Rules that stand elsewhere in the other list with the same label and another meaning.
    called_alike: HashMap<(Which, RuleId), RuleId>,
    heads: HashMap<RuleId, RuleId>,
    /// Edits by the rules that they are of, redirects through a map by their first.
    known: BTreeMap<(Option<RuleId>, Option<RuleId>), usize>,
    edits: &'a mut Edits,
}

impl Making<'_, '_> {
    fn pair(&mut self, direction: Direction, pair: Pair) {
        if let Pair::Same(old, new) = pair {
            if self.is_relabelled(old, new) {
                self.edit(direction, EditKind::Relabelled, pair);
            }
            return;
        }
        let kind = self.kind(pair);
        let edit = self.edit(direction, kind, pair);
        for which in Which::BOTH {
            if let Some(id) = pair.of(which) {
                self.edits.of_rule.insert((which, id), edit);
            }
        }
        if let Pair::Changed(old, new) = pair
            && same_outcome(self.joint, old, new)
        {
            let [one, other] = self.rules(old, new);
            let alike = match (&one.rate, &other.rate) {
                (Some(one), Some(other)) => one.is_as(other),
                (one, other) => one == other,
            };
            let differs = !alike;
            self.edits.rates.extend(differs.then_some(edit));
        }
        self.edits.deltas.push(Delta {
            direction,
            pair,
            edit: Some(edit),
        });
    }

    fn is_relabelled(&self, old: RuleId, new: RuleId) -> bool {
        let [one, other] = self.rules(old, new);
        let same = one.label == other.label && one.place.text == other.place.text;
        !same && [one, other].iter().all(|rule| rule.head.is_none())
    }

    fn rules(&self, old: RuleId, new: RuleId) -> [&policy::Rule; 2] {
        let old = self.joint.side(Which::Old).rule(old);
        [old, self.joint.side(Which::New).rule(new)]
    }

    fn kind(&self, pair: Pair) -> EditKind {
        match pair {
            Pair::Same(..) => EditKind::Relabelled,
            Pair::Changed(old, new) => {
                let [one, other] = self.rules(old, new);
                if one.place.text == other.place.text {
                    EditKind::Named
                } else {
                    EditKind::Changed
                }
            }
            Pair::Old(old) if self.moved.contains_key(&(Which::Old, old)) => EditKind::Moved,
            Pair::New(new) if self.moved.contains_key(&(Which::New, new)) => EditKind::Moved,
            Pair::Old(old) if self.other_head(Which::Old, old).is_some() => EditKind::Named,
            Pair::New(new) if self.other_head(Which::New, new).is_some() => EditKind::Named,
            Pair::Old(old) if self.called_alike.contains_key(&(Which::Old, old)) => {
                EditKind::Changed
            }
            Pair::New(new) if self.called_alike.contains_key(&(Which::New, new)) => {
                EditKind::Changed
            }
            Pair::Old(_) => EditKind::Removed,
            Pair::New(_) => EditKind::Added,
        }
    }

    /// For a rule of a redirect through a map: the first of that redirect in the other list.
    fn other_head(&self, which: Which, id: RuleId) -> Option<RuleId> {
        let head = self.joint.side(which).rule(id).head?;
        match which {
            Which::Old => self.heads.get(&head).copied(),
            Which::New => {
                let found = self.heads.iter().filter(|(_, new)| **new == head);
                found.map(|(old, _)| *old).min()
            }
        }
    }

    /// The rules that an edit is of.
    fn key(&self, pair: Pair) -> (Option<RuleId>, Option<RuleId>) {
        let head = |which: Which, id: RuleId| self.joint.side(which).rule(id).head.unwrap_or(id);
        let other = |which: Which, id: RuleId| {
            let elsewhere = [&self.moved, &self.called_alike];
            let mut found = elsewhere.iter().filter_map(|map| map.get(&(which, id)));
            self.other_head(which, id).or(found.next().copied())
        };
        match pair {
            Pair::Same(old, new) | Pair::Changed(old, new) => {
                (Some(head(Which::Old, old)), Some(head(Which::New, new)))
            }
            Pair::Old(old) => (Some(head(Which::Old, old)), other(Which::Old, old)),
            Pair::New(new) => (other(Which::New, new), Some(head(Which::New, new))),
        }
    }

    /// The edit of a pair, made if it is not there yet.
    fn edit(&mut self, direction: Direction, kind: EditKind, pair: Pair) -> usize {
        let key = self.key(pair);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let number = self.edits.edits.len();
        self.known.insert(key, number);
        self.edits.edits.push(Edit {
            kind,
            direction,
            old: key.0.map(|id| rule_line(self.joint, Which::Old, id)),
            new: key.1.map(|id| rule_line(self.joint, Which::New, id)),
            impact: Impact::None(None),
        });
        number
    }
}
