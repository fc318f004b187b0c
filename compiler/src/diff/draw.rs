//! Both lists as diagrams, for the packets of one region.
//!
//! Takes a region and the aligned lists; gives for each policy what becomes of the region, and on request by which rule.
//! Rules that cannot meet the region are left out, and what is the same in both lists is drawn once. Not here: where the
//! region comes from.

mod changing;

use cranelift_entity::PrimaryMap;

use super::block::{Block, Cover, Span};
use super::joint::{Joint, Which};
use super::lists::{List, Pair};
use super::space::{Built, Space};
use super::topic::Topic;
use crate::diagram::{BudgetExceeded, Node};
use crate::policy::RuleId;

/// What is inside of what, for the rules of both policies.
pub(super) struct Covers {
    sides: [PrimaryMap<RuleId, Cover>; 2],
    spans: [PrimaryMap<RuleId, Span>; 2],
}

impl Covers {
    pub(super) fn of(joint: &Joint<'_>) -> Self {
        let sides: [PrimaryMap<RuleId, Cover>; 2] = Which::BOTH.map(|which| {
            let side = joint.side(which);
            let covers = side.policy.rules.iter().map(|(id, rule)| {
                let cover = Cover::of(&joint.tables, &side.matches[id]);
                let exact = cover.exact && rule.rate.is_none() && rule.at.is_none();
                Cover { exact, ..cover }
            });
            covers.collect()
        });
        let spans =
            Which::BOTH.map(|which| sides[which as usize].values().map(Cover::span).collect());
        Self { sides, spans }
    }

    /// Whether a rule may share packets with a cover whose span is known.
    fn meets(&self, which: Which, id: RuleId, cover: &Cover, span: &Span) -> bool {
        self.spans[which as usize][id].meets(span) && self.rule(which, id).meets(cover)
    }

    pub(super) fn rule(&self, which: Which, id: RuleId) -> &Cover {
        &self.sides[which as usize][id]
    }

    /// Whether a rule of a pair may share packets with a cover, which has this span.
    pub(super) fn meet(&self, pair: Pair, cover: &Cover, span: &Span) -> bool {
        let meets = |id: RuleId, which: Which| self.meets(which, id, cover, span);
        let mut rules = Which::BOTH.into_iter();
        rules.any(|which| pair.of(which).is_some_and(|id| meets(id, which)))
    }

    /// What the rules of a pair are inside of.
    pub(super) fn pair(&self, pair: Pair) -> Cover {
        let of = |which: Which| Some(self.rule(which, pair.of(which)?));
        match (of(Which::Old), of(Which::New)) {
            (Some(old), Some(new)) if old == new => old.clone(),
            (Some(old), Some(new)) => old.clone().with(new),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => Cover {
                blocks: Vec::new(),
                exact: true,
            },
        }
    }
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The rule of a pair, by its place among the pairs of the list.
    Pair(usize),
    Default,
}

/// What becomes of something, and by whom.
pub(super) type Decided = (Owner, u32);

/// What a region's packets get in both policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fates {
    pub(super) old: Decided,
    pub(super) new: Decided,
}

impl Fates {
    /// What one of the policies says.
    pub(super) fn of(self, which: Which) -> Decided {
        match which {
            Which::Old => self.old,
            Which::New => self.new,
        }
    }
}

/// The packets that are looked at.
pub(super) struct Region {
    /// 1 for each of them.
    pub(super) packets: Node,
    /// Blocks that they are inside of.
    pub(super) cover: Cover,
}

/// Draws the lists of a topic.
pub(super) struct Drawing<'a, 'j, 'p> {
    pub(super) space: &'a mut Space<'j, 'p>,
    pub(super) topic: Topic,
    pub(super) covers: &'a Covers,
    pub(super) list: &'a List,
}

/// How what a rule matches is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Within the blocks of the region: quick to draw for plain rules.
    Blocks,
    /// Within the region itself: smaller.
    Region,
}

impl Drawing<'_, '_, '_> {
    /// 1 for the packets of the region whose fate is not the same.
    pub(super) fn changed(&mut self, region: &Region) -> Built {
        let kept = match region.cover.exact {
            true => Kept::Blocks,
            false => Kept::Region,
        };
        let pairs = self.meeting(region);
        let drawn = self.list(&pairs, region, kept)?;
        let [old, new] = self.with_defaults(drawn)?;
        let differs = self.space.differs(old, new)?;
        self.space.store.and(differs, region.packets)
    }

    /// What the packets of the region get in one of the policies, and by whom: regions that share nothing and make up
    /// all of it. Rule by rule, since most rules that may meet it share nothing with what those ahead of them left of it.
    pub(super) fn decided(
        &mut self,
        which: Which,
        region: &Region,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        self.decided_without(which, region, &|_| false)
    }

    /// The same, as if some rules were not in the list.
    pub(super) fn decided_without(
        &mut self,
        which: Which,
        region: &Region,
        left_out: &dyn Fn(RuleId) -> bool,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        let mut left = region.packets;
        let mut found = Vec::new();
        for (place, pair) in self.meeting(region) {
            let Some(id) = pair.of(which).filter(|id| !left_out(*id)) else {
                continue;
            };
            found.extend(self.taken((which, id), place, region, &mut left)?);
            if left == Node::FALSE {
                return Ok(found);
            }
        }
        let number = self.space.default(self.topic, which);
        found.push(((Owner::Default, number), left));
        Ok(found)
    }

    /// What a rule decides of a region; `place` is where it stands.
    pub(super) fn own(&mut self, which: Which, id: RuleId, place: usize, region: &Region) -> Built {
        let matched = self.matched(which, id, region)?;
        let mut left = self.space.store.and(region.packets, matched)?;
        for (ahead, pair) in self.meeting(region) {
            if ahead >= place || left == Node::FALSE {
                break;
            }
            if let Some(other) = pair.of(which) {
                let matched = self.matched(which, other, region)?;
                if self.space.store.intersects_unbuilt(left, matched) {
                    left = self.space.without(left, matched)?;
                }
            }
        }
        Ok(left)
    }

    /// What a rule makes of packets that it decides.
    pub(super) fn by_own(
        &mut self,
        which: Which,
        id: RuleId,
        place: usize,
        packets: Node,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        let outcome = self.space.outcome(self.topic, which, id)?;
        let by = self.by_outcome(outcome, packets)?.into_iter();
        let owner = Owner::Pair(place);
        Ok(by
            .map(|(number, packets)| ((owner, number), packets))
            .collect())
    }

    /// What a rule decides of what those ahead of it left of a region; nothing is left of that then.
    fn taken(
        &mut self,
        (which, id): (Which, RuleId),
        place: usize,
        region: &Region,
        left: &mut Node,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        let matched = self.matched(which, id, region)?;
        if !self.space.store.intersects_unbuilt(*left, matched) {
            return Ok(Vec::new());
        }
        let hit = self.space.store.and(*left, matched)?;
        *left = self.space.without(*left, matched)?;
        self.by_own(which, id, place, hit)
    }

    /// The packets by what becomes of them.
    fn by_outcome(
        &mut self,
        outcome: Node,
        packets: Node,
    ) -> Result<Vec<(u32, Node)>, BudgetExceeded> {
        if let Some(number) = self.space.store.terminal_of(outcome) {
            return Ok(vec![(number, packets)]);
        }
        let mut found = Vec::new();
        for number in self.space.store.terminals(outcome) {
            let only = self.space.store.preimage(outcome, number)?;
            let part = self.space.store.and(packets, only)?;
            if part != Node::FALSE {
                found.push((number, part));
            }
        }
        Ok(found)
    }

    /// 1 for what a rule matches of the blocks around the region.
    fn matched(&mut self, which: Which, id: RuleId, region: &Region) -> Built {
        let cover = self.covers.rule(which, id);
        if !cover.exact {
            return self.space.matched(self.topic, which, id);
        }
        let parts = cover.clipped(&region.cover);
        self.blocks(&parts)
    }

    /// The pairs that take part and may meet the region, with their places.
    pub(super) fn meeting(&self, region: &Region) -> Vec<(usize, Pair)> {
        let joint = self.space.joint;
        let span = region.cover.span();
        let asked = |which: Which, pair: Pair| {
            let id = pair.of(which)?;
            let meets = self.covers.meets(which, id, &region.cover, &span);
            (meets && self.topic.asks(joint, which, id)).then_some(id)
        };
        let pairs = self.list.near(&region.cover).filter_map(|(place, pair)| {
            let asked = match (asked(Which::Old, pair), asked(Which::New, pair)) {
                (Some(_), Some(_)) => pair,
                (Some(old), None) => Pair::Old(old),
                (None, Some(new)) => Pair::New(new),
                (None, None) => return None,
            };
            Some((place, asked))
        });
        pairs.collect()
    }

    /// Both lists without their defaults, the first rules on top; halves are merged.
    fn list(
        &mut self,
        pairs: &[(usize, Pair)],
        region: &Region,
        kept: Kept,
    ) -> Result<[Node; 2], BudgetExceeded> {
        match pairs {
            [] => Ok([Node::NOMATCH; 2]),
            [(_, pair)] => self.leaves(*pair, region, kept),
            _ => {
                let (first, second) = pairs.split_at(pairs.len() / 2);
                let [f_old, f_new] = self.list(first, region, kept)?;
                let [g_old, g_new] = self.list(second, region, kept)?;
                let old = self.space.store.merge(f_old, g_old)?;
                if (f_old, g_old) == (f_new, g_new) {
                    return Ok([old, old]);
                }
                Ok([old, self.space.store.merge(f_new, g_new)?])
            }
        }
    }

    fn leaves(
        &mut self,
        pair: Pair,
        region: &Region,
        kept: Kept,
    ) -> Result<[Node; 2], BudgetExceeded> {
        let mut leaves = [Node::NOMATCH; 2];
        for (leaf, which) in leaves.iter_mut().zip(Which::BOTH) {
            if let Some(id) = pair.of(which) {
                *leaf = self.leaf(which, id, region, kept)?;
            }
            if matches!(pair, Pair::Same(..)) {
                return Ok([*leaf; 2]);
            }
        }
        Ok(leaves)
    }

    /// What a rule says where it matches.
    fn leaf(&mut self, which: Which, id: RuleId, region: &Region, kept: Kept) -> Built {
        let outcome = self.space.outcome(self.topic, which, id)?;
        let cover = self.covers.rule(which, id);
        let is_terminal = self.space.store.terminal_of(outcome).is_some();
        if cover.exact {
            let parts = cover.clipped(&region.cover);
            if let ([part], Kept::Blocks, true) = (parts.as_slice(), kept, is_terminal) {
                return part.draw(&mut self.space.store, outcome, Node::NOMATCH);
            }
            let matched = self.blocks(&parts)?;
            return self.placed(matched, outcome, region, kept);
        }
        let matched = self.space.matched(self.topic, which, id)?;
        self.placed(matched, outcome, region, kept)
    }

    fn blocks(&mut self, blocks: &[Block]) -> Built {
        let mut any = Node::FALSE;
        for block in blocks {
            let one = block.draw(&mut self.space.store, Node::TRUE, Node::FALSE)?;
            any = self.space.store.or(any, one)?;
        }
        Ok(any)
    }

    fn placed(&mut self, matched: Node, outcome: Node, region: &Region, kept: Kept) -> Built {
        let matched = match kept {
            Kept::Blocks => matched,
            Kept::Region => self.space.store.and(matched, region.packets)?,
        };
        self.space.store.ite(matched, outcome, Node::NOMATCH)
    }

    /// The lists with what no rule decides.
    fn with_defaults(&mut self, drawn: [Node; 2]) -> Result<[Node; 2], BudgetExceeded> {
        let mut whole = drawn;
        for (node, which) in whole.iter_mut().zip(Which::BOTH) {
            let number = self.space.default(self.topic, which);
            let default = self.space.store.terminal(number)?;
            *node = self.space.store.merge(*node, default)?;
        }
        Ok(whole)
    }
}
