//! Findings as a report: who decided, what it is called, and one packet that both policies were asked about.
//!
//! Takes what was found of a topic; gives changes and what changes hands. A finding that the reference meaning does not
//! confirm is a bug in sockc, and reported as one. Not here: layout.

use std::collections::BTreeSet;

use cranelift_entity::PrimaryMap;

use super::block::Cover;
use super::case::Case;
use super::draw::{Covers, Decided, Fates, Owner, Region};
use super::edits::{Edits, default_line, rule_line};
use super::example::plainest;
use super::groups;
use super::joint::{Joint, Which};
use super::lists::{List, Pair};
use super::region::{Describing, Names};
use super::report::{About, Change, Decider, EditKind, Fate, Moved, Spans, Unsaid, Words};
use super::shadow::shadow;
use super::space::Space;
use super::spans::spans;
use super::topic::Topic;
use super::weigh::Finding;
use crate::diagram::{BudgetExceeded, FieldValues, Node};
use crate::event::{self, Decision, Verdict};
use crate::policy::{Direction, Match, RuleId, Socket, SocketId};

/// Tells of the findings of one list.
pub(super) struct Telling<'a, 'j, 'p> {
    pub(super) space: &'a mut Space<'j, 'p>,
    pub(super) meters: &'j PrimaryMap<RuleId, RuleId>,
    pub(super) covers: &'a Covers,
    pub(super) list: &'a List,
    pub(super) edits: &'a Edits,
    pub(super) names: &'a Names,
    /// Whether regions are drawn.
    pub(super) shadows: bool,
}

/// Why nothing can be told.
#[derive(Debug)]
pub(super) enum Untold {
    /// It would take too much room, or too long.
    Budget,
    /// The reference meaning says something else: a bug in sockc.
    Bug(String),
}

impl From<BudgetExceeded> for Untold {
    fn from(_: BudgetExceeded) -> Self {
        Self::Budget
    }
}

impl Telling<'_, '_, '_> {
    /// A region whose fate changes, in full.
    pub(super) fn change(&mut self, finding: &Finding, base: Node) -> Result<Change, Untold> {
        let packets = self.packets(finding)?;
        let values = plainest(self.space, self.meters, packets)?;
        let values = values.unwrap_or_else(|| finding.values.clone());
        let (example, unsaid) = self.example(finding, &values)?;
        let region = Region {
            packets,
            cover: self.cover(finding.fates),
        };
        let pairs = self.around(&region, finding.fates);
        let mut describing = Describing {
            space: self.space,
            topic: finding.topic,
            base,
            names: self.names,
            pairs: &pairs,
        };
        let (mut words, at_most) =
            match finding.fates.old.0 == Owner::Default && finding.fates.new.0 == Owner::Default {
                true => (undecided(self.space.joint, finding.topic), packets != base),
                false => describing.words(&region)?,
            };
        words.except.extend(self.other_groups(finding.topic));
        let shadow = match self.shadows {
            true => shadow(&mut self.space.store, packets)?,
            false => Vec::new(),
        };
        let Fates { old, new } = finding.fates;
        Ok(Change {
            about: finding.topic.about,
            group: self.group(finding.topic),
            from: self.fate(Which::Old, old, new),
            to: self.fate(Which::New, new, old),
            was: self.decider(finding, Which::Old),
            will_be: self.decider(finding, Which::New),
            edit: self.edit_of(finding),
            region: words,
            example,
            unsaid,
            share: finding.share,
            spans: Some(Spans {
                at_most,
                ..spans(&self.space.store, finding.topic.direction(), packets)
            }),
            shadow,
        })
    }

    /// The name of the group that a topic is about, by the policy that has it.
    fn group(&self, topic: Topic) -> Option<String> {
        let joint = self.space.joint;
        let own = |which| {
            let own = topic.own_group(joint, which)?;
            joint.side(which).policy.groups.get(own)
        };
        let group = own(Which::New).or_else(|| own(Which::Old));
        group.map(|group| group.name.clone())
    }

    /// What of a group is not meant, since it is another group's.
    fn other_groups(&self, topic: Topic) -> Vec<String> {
        let joint = self.space.joint;
        let path = topic.group.map(|group| &joint.tables.groups[group].cgroup);
        let inside = path.map(|path| groups::inside(joint.policies(), path));
        let inside = inside.into_iter().flatten();
        inside.map(|path| groups::but(&path)).collect()
    }

    /// What changes hands without changing its fate; `None` where the counter is the same all the same.
    pub(super) fn moved(&mut self, finding: &Finding) -> Result<Option<Moved>, Untold> {
        if self.counter(finding.fates.old.0, Which::Old)
            == self.counter(finding.fates.new.0, Which::New)
        {
            return Ok(None);
        }
        let packets = self.packets(finding)?;
        let values = plainest(self.space, self.meters, packets)?;
        let values = values.unwrap_or_else(|| finding.values.clone());
        Ok(Some(Moved {
            about: finding.topic.about,
            was: self.decider(finding, Which::Old),
            will_be: self.decider(finding, Which::New),
            example: self.example(finding, &values)?.0,
        }))
    }

    /// The edits that have to do with a finding.
    pub(super) fn involved(&self, finding: &Finding) -> BTreeSet<usize> {
        let mut edits: BTreeSet<usize> = Which::BOTH
            .into_iter()
            .filter_map(|which| self.edit_by(finding, which))
            .collect();
        if edits.is_empty() {
            edits.extend(finding.edit);
        }
        edits
    }

    /// The edit that a finding is told under: that of its new decider, else of its old one, else the one whose region it
    /// was found in, if there is one.
    pub(super) fn edit_of(&self, finding: &Finding) -> Option<usize> {
        let by = |which| self.edit_by(finding, which);
        let edit = by(Which::New).or_else(|| by(Which::Old));
        edit.or(finding.edit)
    }

    /// The edit that a decider of a finding belongs to.
    pub(super) fn edit_by(&self, finding: &Finding, which: Which) -> Option<usize> {
        match owner(finding, which) {
            Owner::Default if !finding.topic.is_met(self.space.joint, which) => None,
            Owner::Default => self.edits.of_default(finding.topic.direction()),
            Owner::Pair(place) => self.edits.of_rule(which, self.list.pairs[place].of(which)?),
        }
    }

    pub(super) fn packets(&mut self, finding: &Finding) -> Result<Node, BudgetExceeded> {
        let (node, number) = finding.within;
        self.space.store.preimage(node, number)
    }

    /// What the packets are inside of.
    pub(super) fn cover(&self, fates: Fates) -> Cover {
        let pair = |owner: Owner| match owner {
            Owner::Pair(place) => Some(self.list.pairs[place]),
            Owner::Default => None,
        };
        let pairs = [pair(fates.new.0), pair(fates.old.0)];
        match pairs.into_iter().flatten().next() {
            Some(narrow) => self.covers.pair(narrow),
            // Both defaults: they decide whatever no rule does.
            None => Cover::of(&self.space.joint.tables, &Match::default()),
        }
    }

    /// The rules that may explain what is not in a region: those ahead of its deciders.
    fn around(&self, region: &Region, fates: Fates) -> Vec<Pair> {
        let place = |owner: Owner| match owner {
            Owner::Pair(place) => place,
            Owner::Default => self.list.pairs.len(),
        };
        let end = place(fates.old.0).max(place(fates.new.0));
        let near = self.list.near(&region.cover);
        let ahead = near.take_while(|(place, _)| *place < end);
        let pairs = ahead.map(|(_, pair)| pair);
        let span = region.cover.span();
        let meets = |pair: &Pair| self.covers.meet(*pair, &region.cover, &span);
        pairs.filter(meets).take(MAX_CONTEXT).collect()
    }

    /// Whose counter a decider's is: a label, or the rule itself.
    fn counter(&self, owner: Owner, which: Which) -> Counter {
        let Owner::Pair(place) = owner else {
            return Counter::Default;
        };
        let pair = self.list.pairs[place];
        let label = pair
            .of(which)
            .and_then(|id| self.space.joint.side(which).rule(id).label.clone());
        let edit = pair.of(which).and_then(|id| self.edits.of_rule(which, id));
        let moved = edit.filter(|&edit| self.edits.edits[edit].kind == EditKind::Moved);
        match (pair, label, moved) {
            (Pair::Same(..), ..) => Counter::Place(place),
            // What moves in its list means the same.
            (.., Some(edit)) => Counter::Moved(edit),
            (_, Some(label), _) => Counter::Label(label),
            _ => Counter::Alone(which, place),
        }
    }

    /// The packet in words, once both policies have said what the diagrams say of it.
    fn example(
        &self,
        finding: &Finding,
        values: &FieldValues,
    ) -> Result<(String, Option<Unsaid>), Untold> {
        let case = Case::new(self.space.joint, self.meters, finding.topic, values);
        for which in Which::BOTH {
            let decision = case.decide(which);
            if !decision
                .as_ref()
                .is_none_or(|found| self.confirms(finding, which, found, &case))
            {
                return Err(Untold::Bug(format!(
                    "the rules say {decision:?} of {values:?}, the comparison {:?}",
                    finding.fates
                )));
            }
        }
        case.text()
            .ok_or_else(|| Untold::Bug(format!("no words for {values:?}")))
    }

    fn confirms(
        &self,
        finding: &Finding,
        which: Which,
        found: &Decision,
        case: &Case<'_, '_>,
    ) -> bool {
        let (owner, number) = finding.fates.of(which);
        let Some(outcome) = self.space.outcomes.value(number) else {
            return false;
        };
        let by = match owner {
            Owner::Default => matches!(
                found.decider,
                event::Decider::Default | event::Decider::Unmatched
            ),
            Owner::Pair(place) => {
                self.list.pairs[place].of(which).map(event::Decider::Rule) == Some(found.decider)
            }
        };
        by && case.shared(which, found) == outcome
    }

    /// What becomes of it in one of the policies, beside what the other one says.
    fn fate(&self, which: Which, (_, own): Decided, (_, other): Decided) -> Fate {
        let [own, other] = [own, other].map(|number| self.space.outcomes.value(number));
        let verdict = own.map_or(Verdict::Allow, |outcome| outcome.verdict);
        let tables = &self.space.joint.tables;
        let elsewhere = other.and_then(|outcome| to_socket(outcome.verdict));
        Fate::of(
            verdict,
            own.and_then(|outcome| outcome.mark),
            |socket| self.socket_words(which, socket, elsewhere),
            |interface| tables.out_interfaces[interface].clone(),
            |group| tables.groups[group].name.clone(),
        )
    }

    /// A socket by its name; with where it comes from, if the other policy gives to another of this name.
    fn socket_words(&self, which: Which, to: SocketId, elsewhere: Option<SocketId>) -> String {
        let joint = self.space.joint;
        let name = |id: SocketId| &joint.tables.sockets[id].name;
        let moves = elsewhere.is_some_and(|other| other != to && name(other) == name(to));
        let mut declared = joint.side(which).policy.sockets.values();
        let declared = declared.find(|socket| socket.name == *name(to) && moves);
        declared.map_or_else(|| joint.tables.sockets[to].words(), Socket::words_in_full)
    }

    /// Who decides in one of the policies.
    pub(super) fn decider(&self, finding: &Finding, which: Which) -> Decider {
        self.decider_of(finding.topic, owner(finding, which), which)
    }

    /// Who an owner is in one of the policies.
    pub(super) fn decider_of(&self, topic: Topic, owner: Owner, which: Which) -> Decider {
        let joint = self.space.joint;
        match owner {
            Owner::Pair(place) => match self.list.pairs[place].of(which) {
                Some(id) => Decider::Line(rule_line(joint, which, id)),
                None => Decider::Nobody,
            },
            Owner::Default if !topic.is_met(joint, which) => Decider::NoGroup,
            // What no redirect takes gets the kernel's ordinary lookup.
            Owner::Default if topic.about == About::Lookup => Decider::Nobody,
            Owner::Default => {
                let policy = joint.side(which).policy;
                let line = policy.default_of(topic.direction());
                line.map_or(Decider::Nobody, |line| Decider::Line(default_line(line)))
            }
        }
    }
}

/// So many rules are looked at to explain what is not in a region.
const MAX_CONTEXT: usize = 200;

/// Whose counter counts.
#[derive(PartialEq, Eq)]
enum Counter {
    Default,
    Place(usize),
    Moved(usize),
    Label(String),
    Alone(Which, usize),
}

fn owner(finding: &Finding, which: Which) -> Owner {
    finding.fates.of(which).0
}

/// What no rule of either policy decides.
fn undecided(joint: &Joint<'_>, topic: Topic) -> Words {
    let mut words = match topic.direction() {
        Direction::In => Vec::new(),
        other => vec![other.word().to_owned()],
    };
    let side = match topic.direction().deed() {
        Some(deed) if deed.to_group => "to",
        _ => "from",
    };
    words.push("everything".into());
    words.extend(
        topic
            .group
            .map(|group| format!("{side} {}", joint.group_words(group))),
    );
    words.push("that no rule decides".into());
    Words {
        within: words.join(" "),
        except: Vec::new(),
        and_more: false,
    }
}

/// Which named socket it is given to.
fn to_socket(verdict: Verdict) -> Option<SocketId> {
    match verdict {
        Verdict::Redirect(socket) => Some(socket),
        Verdict::Feed(feed) => Some(feed.socket),
        Verdict::Allow
        | Verdict::Drop
        | Verdict::Reject
        | Verdict::Forward(_)
        | Verdict::Shortcut(_) => None,
    }
}
