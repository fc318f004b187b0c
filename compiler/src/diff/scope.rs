//! The comparison of the policies of one network namespace: the order of its steps.
//!
//! Takes two policies; gives a [`Scope`]. Not here: any step's own work.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::data::{data, settings};
use super::draw::{Covers, Owner};
use super::edits::Edits;
use super::joint::Joint;
use super::lists::{List, Lists};
use super::malformed::malformed;
use super::reasons::reasons;
use super::region::Names;
use super::report::{About, Change, Edit, EditKind, Impact, Incomplete, Moved, Scope};
use super::space::Space;
use super::tell::{Telling, Untold};
use super::topic::Topic;
use super::weigh::{Finding, Found, Weighing};
use crate::observer::Observer;
use crate::policy::{Direction, Policy};

/// The maximum number of regions that change hands without another fate, for each topic.
const MAX_MOVED: usize = 20;

/// The part of all steps that one change may take to be told.
const MOST_OF_ALL: u64 = 16;

/// Why a comparison that ended early is not complete.
const TOO_LONG: &str = "so much is not the same that comparing it would take too long";

/// Compares two policies without those inside them.
pub(super) fn compare(
    old: &Policy,
    new: &Policy,
    netns: Option<&str>,
    options: Options,
    observer: &mut dyn Observer,
) -> Scope {
    let scope = Scope {
        netns: netns.map(str::to_owned),
        data: data(old, new),
        settings: settings(old, new),
        ..Scope::default()
    };
    let Ok(joint) = Joint::new(old, new, netns) else {
        let why = "the interfaces of both policies make too many kinds to tell apart";
        return Scope {
            incomplete: Some(Incomplete {
                why: why.into(),
                unknown_edits: 0,
            }),
            ..scope
        };
    };
    let lists = Lists::of(&joint);
    let edits = Edits::of(&joint, &lists);
    let mut comparing = Comparing {
        joint: &joint,
        covers: Covers::of(&joint),
        names: Names::of(old, new),
        lists: &lists,
        edits: &edits,
        options,
        told: Told::default(),
    };
    for topic in Topic::all(&joint) {
        comparing.topic(topic, observer);
    }
    comparing.told.finish(&joint, &edits, scope)
}

/// What was told so far.
#[derive(Default)]
struct Told {
    changes: Vec<Change>,
    moved: Vec<Moved>,
    untold: usize,
    undescribed: usize,
    /// Edits that have to do with a change.
    telling: BTreeSet<usize>,
    /// Edits of which nobody knows what they do.
    unknown: BTreeSet<usize>,
    /// Why edits change nothing, for each of the groups that they are about.
    reasons: BTreeMap<usize, BTreeSet<String>>,
    /// Deciders of arriving packets whose fate changes.
    arriving: BTreeSet<(Owner, Owner)>,
    incomplete: Option<String>,
}

struct Comparing<'j, 'p> {
    joint: &'j Joint<'p>,
    covers: Covers,
    names: Names,
    lists: &'j Lists,
    edits: &'j Edits,
    options: Options,
    told: Told,
}

impl<'j, 'p> Comparing<'j, 'p> {
    fn topic(&mut self, topic: Topic, observer: &mut dyn Observer) {
        let mut lists = Direction::ALL.into_iter().zip(&self.lists.all);
        let Some((_, list)) = lists.find(|(direction, _)| *direction == topic.direction()) else {
            return;
        };
        let comes_or_goes = topic.comes_or_goes(self.joint);
        let deltas = self.edits.deltas_of(topic, self.joint, list);
        let default = self.edits.of_default(topic.direction());
        if deltas.is_empty() && default.is_none() && !comes_or_goes {
            return;
        }
        let mut space = Space::new(self.joint, &self.lists.meters, self.options.budget);
        let mut weighing = Weighing {
            space: &mut space,
            covers: &self.covers,
            list,
            deltas: &deltas,
            default,
            topic,
            work: self.options.work,
        };
        match weighing.all(observer) {
            Ok(found) => self.tell(&mut space, topic, list, &found),
            Err(exceeded) => {
                let edits = deltas.iter().filter_map(|delta| delta.edit);
                self.told.unknown.extend(edits.chain(default));
                self.told.incomplete = Some(exceeded.to_string());
            }
        }
    }

    fn tell(&mut self, space: &mut Space<'j, 'p>, topic: Topic, list: &List, found: &Found) {
        let told = &mut self.told;
        let mut telling = Telling {
            space,
            meters: &self.lists.meters,
            covers: &self.covers,
            list,
            edits: self.edits,
            names: &self.names,
            shadows: self.options.shadows,
        };
        told.unknown.extend(found.unknown.iter().flatten());
        if !found.unknown.is_empty() {
            let why = match found.spent {
                true => TOO_LONG,
                false => "a region grew past the budget of diagrams",
            };
            told.incomplete = Some(why.into());
        }
        let changed = told.new_ones(topic, &found.changed);
        for finding in &changed {
            told.telling.extend(telling.involved(finding));
        }
        let chosen = chosen(&telling, changed, self.options.most);
        told.untold += chosen.left_out;
        // To tell what was found may take as long as to find it, and no region takes that from the others.
        let (mut left, each) = (self.options.work, self.options.work / MOST_OF_ALL);
        for finding in chosen.findings {
            let given = left.min(each);
            telling.space.store.limit_work(given);
            match telling.change(finding, found.base) {
                Ok(change) => told.changes.push(change),
                // What was found is known, whether or not it is described.
                Err(Untold::Budget) => {
                    told.untold += 1;
                    told.undescribed += 1;
                }
                Err(Untold::Bug(what)) => {
                    told.untold += 1;
                    told.bug(&what);
                }
            }
            left -= given - telling.space.store.steps_left();
        }
        telling.space.store.limit_work(left);
        let same: &[Finding] = match topic.about {
            // Lookups count by the same rules as the packets that they are made for.
            About::Lookup => &[],
            _ => &found.same,
        };
        // What no rule is about any more, or was about before, is counted by no other.
        let moved = match topic.comes_or_goes(self.joint) {
            true => &[],
            false => same,
        };
        for finding in handed_over(moved) {
            match telling.moved(finding) {
                Ok(moved) => told.moved.extend(moved),
                // What is not known of counters is left out; it changes no fate.
                Err(Untold::Budget) => {}
                Err(Untold::Bug(what)) => told.bug(&what),
            }
        }
        for (edit, reason) in reasons(&mut telling, same) {
            told.reasons.entry(edit).or_default().insert(reason);
        }
    }
}

/// Findings that are told in full, and how many are not.
struct Chosen<'f> {
    findings: Vec<&'f Finding>,
    left_out: usize,
}

/// The largest of each kind first, so that no kind is missed, then of each edit, so that every edit has its say.
fn chosen<'f>(
    telling: &Telling<'_, '_, '_>,
    mut findings: Vec<&'f Finding>,
    most: Option<usize>,
) -> Chosen<'f> {
    findings.sort_by(|one, other| other.share.total_cmp(&one.share));
    let mut kinds = BTreeSet::new();
    let mut ranks: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &Finding)> = findings
        .into_iter()
        .map(|finding| {
            let rank = ranks.entry(telling.edit_of(finding)).or_default();
            *rank += 1;
            let is_first = kinds.insert((finding.fates.old.1, finding.fates.new.1));
            (if is_first { 0 } else { *rank }, finding)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let most = most.unwrap_or(usize::MAX);
    let left_out = ranked.len().saturating_sub(most);
    ranked.truncate(most);
    Chosen {
        findings: ranked.into_iter().map(|(_, finding)| finding).collect(),
        left_out,
    }
}

/// One finding for each pair of deciders, the largest, of those that are not the same.
fn handed_over(same: &[Finding]) -> Vec<&Finding> {
    let mut largest: BTreeMap<(Owner, Owner), &Finding> = BTreeMap::new();
    for finding in same {
        let owners = (finding.fates.old.0, finding.fates.new.0);
        if owners.0 == owners.1 {
            continue;
        }
        let known = largest.entry(owners).or_insert(finding);
        if known.share < finding.share {
            *known = finding;
        }
    }
    largest.into_values().take(MAX_MOVED).collect()
}

impl Told {
    /// Those that no change of arriving packets says already: lookups follow the same rules.
    fn new_ones<'f>(&mut self, topic: Topic, changed: &'f [Finding]) -> Vec<&'f Finding> {
        let owners = |finding: &Finding| (finding.fates.old.0, finding.fates.new.0);
        if topic.about == About::In {
            self.arriving.extend(changed.iter().map(owners));
        }
        let is_new = |finding: &&Finding| {
            topic.about != About::Lookup || !self.arriving.contains(&owners(finding))
        };
        changed.iter().filter(is_new).collect()
    }

    /// The reference meaning does not confirm what was found.
    fn bug(&mut self, what: &str) {
        self.incomplete = Some(format!("this is a bug in sockc: {what}"));
    }

    fn finish(mut self, joint: &Joint<'_>, edits: &Edits, mut scope: Scope) -> Scope {
        scope.edits.clone_from(&edits.edits);
        for (number, edit) in scope.edits.iter_mut().enumerate() {
            edit.impact = if self.telling.contains(&number) {
                Impact::Some
            } else if self.unknown.contains(&number) {
                Impact::Unknown
            } else {
                let reasons = self.reasons.remove(&number);
                let all = reasons.map(|all| all.into_iter().collect::<Vec<_>>());
                let reason = all.map(|all| all.join("; for another group: "));
                match &mut edit.impact {
                    Impact::None(known) => Impact::None(reason.or(known.take())),
                    _ => Impact::None(reason),
                }
            };
        }
        for &number in &edits.rates {
            let is_quiet = |edit: &Edit| matches!(edit.impact, Impact::None(_));
            if let Some(edit) = scope.edits.get_mut(number).filter(|edit| is_quiet(edit)) {
                edit.impact = Impact::Rate;
            }
        }
        let changes = malformed(joint, edits);
        for change in &changes {
            if let Some(edit) = change.edit.and_then(|edit| scope.edits.get_mut(edit)) {
                edit.impact = Impact::Some;
            }
        }
        self.changes.extend(changes);
        scope.changes = self.changes;
        sort(&mut scope);
        scope.moved = self.moved;
        scope.untold = self.untold;
        scope.undescribed = self.undescribed;
        scope.incomplete = self.incomplete.map(|why| Incomplete {
            why,
            unknown_edits: self.unknown.len(),
        });
        scope.edits.iter_mut().for_each(only_counting);
        scope
    }
}

/// Puts changes in order: those of the weightiest edit first, and of regions of about one size the plainer one.
fn sort(scope: &mut Scope) {
    let mut ranks = vec![0; scope.edits.len()];
    for (rank, (place, _)) in scope.by_weight().enumerate() {
        ranks[place] = rank;
    }
    scope.changes.sort_by_cached_key(|one| {
        let rank = one.edit.map_or(usize::MAX, |edit| ranks[edit]);
        let size = (one.share.log2() * 16.0).round() as i64;
        let example = one.example.clone();
        (rank, one.about, Reverse(size), example.len(), example)
    });
}

/// A word on edits that no comparison of fates is about.
fn only_counting(edit: &mut super::report::Edit) {
    let verb = |line: &Option<super::report::Line>| {
        line.as_ref().is_none_or(|line| {
            let words = line.location.text.split_whitespace();
            let mut words = words.skip_while(|word| word.ends_with(':'));
            matches!(words.next(), Some("count" | "audit"))
        })
    };
    if edit.impact == Impact::None(None)
        && edit.kind != EditKind::Relabelled
        && verb(&edit.old)
        && verb(&edit.new)
    {
        edit.impact = Impact::None(Some("it only counts".into()));
    }
}
