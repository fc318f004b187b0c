//! The lists of two policies side by side.
//!
//! Takes two joined policies; gives for each direction which rule of one is which of the other. Not here: what follows
//! from it.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use cranelift_entity::PrimaryMap;

use super::align::{self, align};
use super::block::Cover;
use super::draw::Covers;
use super::joint::{Joint, Version, Which};
use super::near::Near;
use crate::policy::{Action, Direction, Match, Rate, RuleId};

/// A rule of one policy or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The same rule.
    Same(RuleId, RuleId),
    /// Two that belong together: what became of a rule.
    Changed(RuleId, RuleId),
    /// Only in the old policy.
    Old(RuleId),
    /// Only in the new policy.
    New(RuleId),
}

impl Pair {
    /// The rule of one policy.
    pub(super) fn of(self, which: Which) -> Option<RuleId> {
        match (self, which) {
            (Self::Same(old, _) | Self::Changed(old, _) | Self::Old(old), Which::Old) => Some(old),
            (Self::Same(_, new) | Self::Changed(_, new) | Self::New(new), Which::New) => Some(new),
            (Self::Old(_), Which::New) | (Self::New(_), Which::Old) => None,
        }
    }
}

/// The rules of a direction, in an order that is that of both policies.
pub(super) struct List {
    pub(super) pairs: Vec<Pair>,
    /// How those are found that meet something, once that is worth while.
    near: OnceLock<Near>,
}

impl List {
    /// Gets ready for so many regions that are looked at.
    pub(super) fn prepare(&self, regions: usize, covers: &Covers) {
        if Near::is_worth(self.pairs.len(), regions) {
            self.near.get_or_init(|| Near::of(covers, &self.pairs));
        }
    }

    /// The pairs that may meet a cover, with their places; others may be among them.
    pub(super) fn near(&self, cover: &Cover) -> impl Iterator<Item = (usize, Pair)> {
        let places = self.near.get().and_then(|near| near.places(cover));
        let all = places
            .is_none()
            .then(|| self.pairs.iter().copied().enumerate());
        let near = places.into_iter().flatten();
        let near = near.map(|place| (place, self.pairs[place]));
        near.chain(all.into_iter().flatten())
    }
}

/// Every list.
pub(super) struct Lists {
    pub(super) all: Vec<List>,
    /// For each rule of the new policy the number by which its rate is known: that of the old rule whose rate is the same
    /// question.
    pub(super) meters: PrimaryMap<RuleId, RuleId>,
}

/// What makes two rules the same, for whoever is matched by them.
#[derive(PartialEq, Eq, Hash)]
struct Sense<'a> {
    action: Action,
    matches: &'a Match,
    new_flows_only: bool,
    rate: Option<Rate>,
    mark: Option<u32>,
}

impl Lists {
    pub(super) fn of(joint: &Joint<'_>) -> Self {
        let all: Vec<List> = Direction::ALL
            .into_iter()
            .map(|direction| list(joint, direction))
            .collect();
        let meters = meters(joint, &all);
        Self { all, meters }
    }
}

fn list(joint: &Joint<'_>, direction: Direction) -> List {
    let [old, new] = Which::BOTH.map(|which| {
        let rules = joint.side(which).policy.rules_of(direction);
        rules.map(|(id, _)| id).collect::<Vec<RuleId>>()
    });
    let senses = |which: Which, ids: &[RuleId]| -> Vec<Sense<'_>> {
        let side = joint.side(which);
        ids.iter().map(|&id| sense(side, id)).collect()
    };
    let (left, right) = (senses(Which::Old, &old), senses(Which::New, &new));
    // A rule that stands unchanged elsewhere in the other list became nothing else.
    let [elsewhere_left, elsewhere_right] =
        [(&left, &right), (&right, &left)].map(|(own, other)| {
            let other: HashSet<&Sense<'_>> = other.iter().collect();
            own.iter()
                .map(|sense| other.contains(sense))
                .collect::<Vec<_>>()
        });
    let labels = Labels::of(joint, [&old, &new]);
    let aligned = align(&left, &right, |left, right| {
        if elsewhere_left[left] || elsewhere_right[right] {
            return 0;
        }
        // Nor did one whose label another rule has there.
        if !labels.may_belong_together(joint, old[left], new[right]) {
            return 0;
        }
        likeness(joint, old[left], new[right])
    });
    let pairs = aligned.into_iter().map(|pair| match pair {
        align::Pair::Same(left, right) => Pair::Same(old[left], new[right]),
        align::Pair::Changed(left, right) => Pair::Changed(old[left], new[right]),
        align::Pair::Old(left) => Pair::Old(old[left]),
        align::Pair::New(right) => Pair::New(new[right]),
    });
    List {
        pairs: pairs.collect(),
        near: OnceLock::new(),
    }
}

/// The labels that a single rule of each list has.
struct Labels<'a>(HashMap<&'a str, (RuleId, RuleId)>);

impl<'a> Labels<'a> {
    fn of(joint: &'a Joint<'_>, [old, new]: [&[RuleId]; 2]) -> Self {
        let [left, right] = [(Which::Old, old), (Which::New, new)].map(|(which, ids)| {
            let mut found: HashMap<&str, Option<RuleId>> = HashMap::new();
            for &id in ids {
                if let Some(label) = &joint.side(which).rule(id).label {
                    let seen = found.entry(label);
                    seen.and_modify(|one| *one = None).or_insert(Some(id));
                }
            }
            found
        });
        let both = left.into_iter().filter_map(|(label, old)| {
            let new = right.get(label).copied().flatten()?;
            Some((label, (old?, new)))
        });
        Self(both.collect())
    }

    /// Whether no label says that one of the two is another rule.
    fn may_belong_together(&self, joint: &Joint<'_>, old: RuleId, new: RuleId) -> bool {
        [(Which::Old, old), (Which::New, new)]
            .into_iter()
            .all(|(which, id)| {
                let label = joint.side(which).rule(id).label.as_deref();
                let both = label.and_then(|label| self.0.get(label));
                both.is_none_or(|both| *both == (old, new))
            })
    }
}

/// For each rule that stands alone in one list and did not move, and whose label such a rule has in the other, that one.
pub(super) fn called_alike(
    joint: &Joint<'_>,
    list: &List,
    moved: &HashMap<(Which, RuleId), RuleId>,
) -> HashMap<(Which, RuleId), RuleId> {
    let alone = |which: Which| -> Vec<RuleId> {
        let alone = list
            .pairs
            .iter()
            .filter_map(move |pair| match (pair, which) {
                (Pair::Old(id), Which::Old) | (Pair::New(id), Which::New) => Some(*id),
                _ => None,
            });
        let of_a_map = |id: &RuleId| joint.side(which).rule(*id).head.is_some();
        let stayed = alone.filter(|id| !moved.contains_key(&(which, *id)));
        stayed.filter(|id| !of_a_map(id)).collect()
    };
    let labels = Labels::of(joint, [&alone(Which::Old), &alone(Which::New)]);
    let both = labels.0.into_values();
    both.flat_map(|(old, new)| [((Which::Old, old), new), ((Which::New, new), old)])
        .collect()
}

fn sense<'a>(side: &'a Version<'_>, id: RuleId) -> Sense<'a> {
    let rule = side.rule(id);
    Sense {
        action: side.actions[id],
        matches: &side.matches[id],
        new_flows_only: rule.in_lookup(),
        rate: rule.rate,
        mark: rule.mark,
    }
}

/// Likeness of less than this is chance.
const ALIKE: u32 = 5;

/// How much of two rules is alike; a label, or the same words about another set, say that it is the same rule.
fn likeness(joint: &Joint<'_>, old: RuleId, new: RuleId) -> u32 {
    let (left, right) = (joint.side(Which::Old), joint.side(Which::New));
    let (one, other) = (left.rule(old), right.rule(new));
    if one.label.is_some() && one.label == other.label {
        return 30;
    }
    if one.place.text == other.place.text {
        return 20;
    }
    let (a, b) = (&left.matches[old], &right.matches[new]);
    let parts = [
        (3, left.actions[old] == right.actions[new]),
        (1, a.protocols == b.protocols),
        (2, a.from == b.from),
        (3, a.to == b.to),
        (1, a.conditions == b.conditions),
        (
            1,
            (&a.on, &a.leaves) == (&b.on, &b.leaves) && one.rate == other.rate,
        ),
    ];
    let alike = parts.into_iter().filter(|(_, same)| *same);
    let sum: u32 = alike.map(|(weight, _)| weight).sum();
    if sum < ALIKE { 0 } else { sum }
}

/// For each rule that stands alone in one list and at another place in the other, that one.
pub(super) fn moved(joint: &Joint<'_>, list: &List) -> HashMap<(Which, RuleId), RuleId> {
    let mut left: HashMap<Sense<'_>, Vec<RuleId>> = HashMap::new();
    for pair in list.pairs.iter().rev() {
        if let Pair::New(new) = *pair {
            let sense = sense(joint.side(Which::New), new);
            left.entry(sense).or_default().push(new);
        }
    }
    let mut moved = HashMap::new();
    for pair in &list.pairs {
        let Pair::Old(old) = *pair else { continue };
        let same = left.get_mut(&sense(joint.side(Which::Old), old));
        if let Some(new) = same.and_then(Vec::pop) {
            moved.insert((Which::Old, old), new);
            moved.insert((Which::New, new), old);
        }
    }
    moved
}

/// Whether the tokens of two rates are one question: they ask alike, whatever their numbers are.
fn asks_alike(one: Option<&Rate>, other: Option<&Rate>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.above == other.above && one.unit == other.unit,
        _ => false,
    }
}

/// Whether two rules give what they match the same fate, so that only what they match tells them apart.
pub(super) fn same_outcome(joint: &Joint<'_>, old: RuleId, new: RuleId) -> bool {
    let (left, right) = (joint.side(Which::Old), joint.side(Which::New));
    let (one, other) = (left.rule(old), right.rule(new));
    left.actions[old] == right.actions[new]
        && one.mark == other.mark
        && one.in_lookup() == other.in_lookup()
        && asks_alike(one.rate.as_ref(), other.rate.as_ref())
}

fn meters(joint: &Joint<'_>, lists: &[List]) -> PrimaryMap<RuleId, RuleId> {
    let first = joint.side(Which::Old).policy.rules.len() as u32;
    let new = joint.side(Which::New);
    let own = new
        .policy
        .rules
        .keys()
        .map(|id| RuleId::from_u32(first + id.as_u32()));
    let mut meters: PrimaryMap<RuleId, RuleId> = own.collect();
    for list in lists {
        // A rule that moved in its list asks the same question at another place.
        for ((which, id), other) in moved(joint, list) {
            if which == Which::New {
                meters[id] = other;
            }
        }
    }
    for pair in lists.iter().flat_map(|list| &list.pairs) {
        match *pair {
            Pair::Same(old, own) => meters[own] = old,
            Pair::Changed(old, own) if same_outcome(joint, old, own) => meters[own] = old,
            Pair::Changed(..) | Pair::Old(_) | Pair::New(_) => {}
        }
    }
    meters
}
