//! What the pairs that are not the same do to a topic.
//!
//! Takes the aligned lists and a topic; gives the regions whose fate changes, each with the deciders of both policies, its
//! share and one case; and what changes hands without changing its fate. The pairs are looked at one by one, the largest
//! first, each within what it matches and none before it that was looked at to its end. Not here: words.

mod deciders;

use std::collections::BTreeSet;

use super::block::Cover;
use super::draw::{Covers, Decided, Drawing, Fates, Owner, Region};
use super::edits::Delta;
use super::joint::Which;
use super::lists::{List, Pair, same_outcome};
use super::report::About;
use super::space::{Built, Space};
use super::topic::Topic;
use crate::diagram::share::Share;
use crate::diagram::{BudgetExceeded, FieldValues, Node};
use crate::observer::Observer;

/// So many rules may meet a region for what keeps its fate there to be told apart by rule; more where nothing changes,
/// to say why.
const MAX_TOLD: [usize; 2] = [100, 300];

/// From so many pairs on that are not the same, and that few others meet, they are looked at decider by decider.
const MAX_PARTS: usize = 500;

/// So many times the budget of nodes may be made for a topic: beyond, what is left is unknown.
const WORK: usize = 4;

/// From so many nodes on, those that nobody needs any more are forgotten now and then.
const MAX_GARBAGE: usize = 300_000;

/// A region with its fates.
pub(super) struct Finding {
    pub(super) topic: Topic,
    /// The edit whose region it was found in, if it comes from one.
    pub(super) edit: Option<usize>,
    pub(super) fates: Fates,
    /// A diagram, and its terminal for the packets of the region.
    pub(super) within: (Node, u32),
    /// The part of what the topic is about.
    pub(super) share: f64,
    /// One case.
    pub(super) values: FieldValues,
}

/// What was found of a topic.
pub(super) struct Found {
    /// 1 for what the topic is about.
    pub(super) base: Node,
    /// What gets another fate.
    pub(super) changed: Vec<Finding>,
    /// What gets the same fate; empty where too many rules meet a region.
    pub(super) same: Vec<Finding>,
    /// Edits whose regions grew past the budget.
    pub(super) unknown: Vec<Option<usize>>,
}

/// A pair that is not the same, and where it matters.
struct Differing {
    edit: Option<usize>,
    region: Region,
    share: f64,
}

/// What is known while the parts are looked at.
struct State {
    found: Found,
    /// The part of everything that the topic is about.
    whole: f64,
    /// 1 for the packets of the parts before.
    done: Node,
    left: Vec<Differing>,
    /// Nodes from which on what no longer matters is forgotten.
    room: usize,
}

/// Weighs the edits of a topic.
pub(super) struct Weighing<'a, 'j, 'p> {
    pub(super) space: &'a mut Space<'j, 'p>,
    pub(super) covers: &'a Covers,
    pub(super) list: &'a List,
    pub(super) deltas: &'a [Delta],
    /// The edit of the default.
    pub(super) default: Option<usize>,
    pub(super) topic: Topic,
}

impl<'j, 'p> Weighing<'_, 'j, 'p> {
    /// Everything that the edits do.
    pub(super) fn all(&mut self, observer: &mut dyn Observer) -> Result<Found, BudgetExceeded> {
        self.list.expect(self.deltas.len(), self.covers);
        match self.deltas.len() > MAX_PARTS && self.are_narrow() {
            true => self.by_deciders(observer),
            false => self.by_parts(observer),
        }
    }

    /// Nothing found yet.
    fn begin(&mut self) -> Result<State, BudgetExceeded> {
        self.space.limit_work(WORK);
        let base = self.space.base(self.topic)?;
        Ok(State {
            whole: self.space.store.share_of(base),
            done: Node::FALSE,
            left: Vec::new(),
            room: MAX_GARBAGE,
            found: Found {
                base,
                changed: Vec::new(),
                same: Vec::new(),
                unknown: Vec::new(),
            },
        })
    }

    /// The same pair by pair, each within what it matches and none before it that was looked at.
    pub(super) fn by_parts(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<Found, BudgetExceeded> {
        let mut state = self.begin()?;
        state.left = self.parts(&mut state.found)?;
        // The largest comes last and is taken first.
        state
            .left
            .sort_by(|one, other| one.share.total_cmp(&other.share));
        let count = state.left.len() as u64;
        while let Some(part) = state.left.pop() {
            observer.progress(count - state.left.len() as u64, count);
            let edit = part.edit;
            let failed = self.part(part, &mut state).is_err();
            state.found.unknown.extend(failed.then_some(edit));
            if failed || self.space.store.len() >= state.room {
                self.tidy(&mut state);
            }
        }
        self.default(&mut state);
        Ok(state.found)
    }

    /// Forgets what no longer matters: small tables are quick, and what grew past the budget makes room.
    fn tidy(&mut self, state: &mut State) {
        let State {
            done,
            left,
            found,
            room,
            ..
        } = state;
        let findings = found.changed.iter_mut().chain(&mut found.same);
        let roots = findings
            .map(|finding| &mut finding.within.0)
            .chain(left.iter_mut().map(|part| &mut part.region.packets))
            .chain([done, &mut found.base]);
        self.space.keep_only(roots);
        // Where most of it matters still, going through it again after each part would take the square of the time.
        *room = MAX_GARBAGE.max(2 * self.space.store.len());
    }

    fn parts(&mut self, found: &mut Found) -> Result<Vec<Differing>, BudgetExceeded> {
        let base = found.base;
        let mut parts = Vec::new();
        for delta in self.deltas {
            match self.where_it_matters(delta.pair, base) {
                Ok(Node::FALSE) => {}
                Ok(packets) => parts.push(Differing {
                    edit: delta.edit,
                    share: self.space.store.share_of(packets),
                    region: Region {
                        packets,
                        cover: self.covers.pair(delta.pair),
                    },
                }),
                Err(_) => found.unknown.push(delta.edit),
            }
        }
        Ok(parts)
    }

    /// 1 for what meets other verdicts because of a pair: where only one of two that do the same matches, else where any
    /// of them does.
    fn where_it_matters(&mut self, pair: Pair, base: Node) -> Built {
        let mut matched = [Node::FALSE; 2];
        for (node, which) in matched.iter_mut().zip(Which::BOTH) {
            let asked = |id: &_| self.topic.asks(self.space.joint, which, *id);
            if let Some(id) = pair.of(which).filter(asked) {
                *node = self.space.matched(self.topic, which, id)?;
            }
        }
        let [old, new] = matched;
        let alike = match pair {
            Pair::Changed(old, new) => same_outcome(self.space.joint, old, new),
            _ => false,
        };
        let any = if alike {
            self.space.differs(old, new)?
        } else {
            self.space.store.or(old, new)?
        };
        self.space.store.and(any, base)
    }

    /// What a part does where none before it matters.
    fn part(&mut self, part: Differing, state: &mut State) -> Result<(), BudgetExceeded> {
        let packets = self.space.without(part.region.packets, state.done)?;
        if packets == Node::FALSE {
            return Ok(());
        }
        // Of a part that fails nothing is known: what lies in it is looked at again for the others.
        let done = self.space.store.or(state.done, part.region.packets)?;
        let region = Region {
            packets,
            cover: part.region.cover,
        };
        let changed = self.drawing().changed(&region)?;
        let mut changes = Vec::new();
        if changed != Node::FALSE {
            changes = self.changes(part.edit, &region, changed, state.whole)?;
        }
        state.done = done;
        let most = MAX_TOLD[usize::from(changes.is_empty())];
        state.found.changed.extend(changes);
        if self.topic.about != About::Lookup && self.is_met_by_few(&region, most) {
            // What is not known of counters is left out; it changes no fate.
            let same = self.unchanged(part.edit, &region, changed, state.whole);
            state.found.same.extend(same.into_iter().flatten());
        }
        Ok(())
    }

    /// Who decides what changes.
    fn changes(
        &mut self,
        edit: Option<usize>,
        region: &Region,
        changed: Node,
        whole: f64,
    ) -> Result<Vec<Finding>, BudgetExceeded> {
        let region = Region {
            packets: changed,
            cover: region.cover.clone(),
        };
        let mut changing = self.drawing().changing(&region)?;
        in_order(&mut changing.parts);
        let mut findings = Vec::new();
        for (fates, packets) in changing.parts {
            let share = self.space.store.shares(packets).remove(&1);
            findings.extend(share.map(|share| Finding {
                topic: self.topic,
                edit,
                fates,
                within: (packets, 1),
                share: share.part / whole,
                values: share.values,
            }));
        }
        if changing.rest != Node::FALSE {
            findings.extend(self.told_apart(edit, &region, changing.rest, whole)?);
        }
        Ok(findings)
    }

    /// Who decides what keeps its fate.
    fn unchanged(
        &mut self,
        edit: Option<usize>,
        region: &Region,
        changed: Node,
        whole: f64,
    ) -> Result<Vec<Finding>, BudgetExceeded> {
        let rest = self.space.without(region.packets, changed)?;
        match rest {
            Node::FALSE => Ok(Vec::new()),
            rest => self.told_apart(edit, region, rest, whole),
        }
    }

    fn drawing(&mut self) -> Drawing<'_, 'j, 'p> {
        Drawing {
            space: self.space,
            topic: self.topic,
            covers: self.covers,
            list: self.list,
        }
    }

    /// Whether at most so many rules may meet a region.
    fn is_met_by_few(&self, region: &Region, most: usize) -> bool {
        self.met_by(&region.cover, most + 1) <= most
    }

    /// Whether few rules meet each of those that are not the same: what many rules take a part of each is drawn with less
    /// where the largest comes first.
    fn are_narrow(&self) -> bool {
        let mut covers = self.deltas.iter().map(|delta| self.covers.pair(delta.pair));
        covers.all(|cover| self.met_by(&cover, MAX_TOLD[1] + 1) <= MAX_TOLD[1])
    }

    /// How many rules may meet a region; those beyond `most` are not looked for.
    fn met_by(&self, cover: &Cover, most: usize) -> usize {
        let span = cover.span();
        let near = self.list.near(cover);
        let meeting = near.filter(|(_, pair)| self.covers.meet(*pair, cover, &span));
        meeting.take(most).count()
    }

    /// The packets of a region, by their fates and deciders.
    fn told_apart(
        &mut self,
        edit: Option<usize>,
        region: &Region,
        packets: Node,
        whole: f64,
    ) -> Result<Vec<Finding>, BudgetExceeded> {
        let region = Region {
            packets,
            cover: region.cover.clone(),
        };
        let [old, new] = Which::BOTH.map(|which| self.drawing().decided(which, &region));
        let (old, new) = (old?, new?);
        // The fewer of both become terminals.
        let swapped = old.len() < new.len();
        let (many, few) = if swapped { (new, old) } else { (old, new) };
        let mut findings = Vec::new();
        let topic = self.topic;
        let mut tell = |decided, other, within: (Node, u32), share: Share| {
            let (old, new) = match swapped {
                true => (other, decided),
                false => (decided, other),
            };
            findings.push(Finding {
                topic,
                edit,
                fates: Fates { old, new },
                within,
                share: share.part / whole,
                values: share.values,
            });
        };
        if let [(only, _)] = *few.as_slice() {
            for (decided, packets) in many {
                if let Some(share) = self.space.store.shares(packets).remove(&1) {
                    tell(decided, only, (packets, 1), share);
                }
            }
            return Ok(findings);
        }
        let told = self.numbered(&few)?;
        for (decided, packets) in many {
            let node = self.space.store.ite(packets, told, Node::NOMATCH)?;
            for (number, share) in self.space.store.shares(node) {
                if let Some(&(other, _)) = few.get(number as usize) {
                    tell(decided, other, (node, number), share);
                }
            }
        }
        Ok(findings)
    }

    /// Regions that share nothing as terminals: their places.
    fn numbered(&mut self, regions: &[(Decided, Node)]) -> Built {
        let mut layers = Vec::with_capacity(regions.len());
        for (number, (_, packets)) in (0u32..).zip(regions) {
            let terminal = self.space.store.terminal(number)?;
            layers.push(self.space.store.ite(*packets, terminal, Node::NOMATCH)?);
        }
        self.space.store.merge_all(&layers)
    }

    /// What gets another default: where no rule decides, and none of the pairs matters. Where a pair matters has to be known
    /// for that.
    fn default(&mut self, state: &mut State) {
        let [old, new] = Which::BOTH.map(|which| self.space.default(self.topic, which));
        if old == new {
            return;
        }
        let edit = self.default;
        let State {
            found, whole, done, ..
        } = state;
        let packets = match self.undecided(found.base, *done) {
            Ok(packets) if found.unknown.is_empty() => packets,
            _ => {
                found.unknown.push(edit);
                return;
            }
        };
        if packets == Node::FALSE {
            return;
        }
        found.changed.push(Finding {
            topic: self.topic,
            edit,
            fates: Fates {
                old: (Owner::Default, old),
                new: (Owner::Default, new),
            },
            within: (packets, 1),
            share: self.space.store.share_of(packets) / *whole,
            values: self.space.store.satisfy(packets, 1).unwrap_or_default(),
        });
    }

    fn undecided(&mut self, base: Node, done: Node) -> Built {
        let mut nodes = vec![done];
        for pair in &self.list.pairs {
            let asked = |id: &_| self.topic.asks(self.space.joint, Which::Old, *id);
            if let Some(id) = pair.of(Which::Old).filter(asked) {
                nodes.push(self.space.matched(self.topic, Which::Old, id)?);
            }
        }
        let decided = self.space.store.any(&nodes)?;
        self.space.without(base, decided)
    }
}

/// Puts parts in the order of the list that decides by more rules, then in that of the other.
fn in_order(parts: &mut [(Fates, Node)]) {
    let deciders = |which| -> BTreeSet<Decided> {
        let all = parts.iter().map(|(fates, _)| fates.of(which));
        all.collect()
    };
    let first = match deciders(Which::Old).len() < deciders(Which::New).len() {
        true => Which::New,
        false => Which::Old,
    };
    parts.sort_unstable_by_key(|(fates, _)| (fates.of(first), fates.of(first.other())));
}
