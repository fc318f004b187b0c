//! Who decides what changes, found from the rules that are not the same in both lists.
//!
//! The first rule of both lists that matches a packet decides it in each list that has it. If that rule is the same in
//! both, so is the fate. So of what changes one decider is among the few rules that are not the same. The other one is
//! that of the same pair, or stands behind it, or is the default, and does something else: all that do the same are not looked at. Not here: what changes.

use super::{Decided, Drawing, Fates, Owner, Region};
use crate::diagram::{BudgetExceeded, Node};
use crate::diff::joint::Which;
use crate::diff::lists::Pair;

/// How many rules are looked at behind those that are not the same. Beyond that, one walk through each list is cheaper.
const MAX_LOOKS: usize = 10_000_000;

/// Packets by their fates, which share nothing.
pub(in crate::diff) struct Changing {
    pub(in crate::diff) parts: Vec<(Fates, Node)>,
    /// What no rule that is not the same matches, and what was not looked at any more. Mostly nothing.
    pub(in crate::diff) rest: Node,
}

/// A pair that is not the same, and the others that may meet the region, with their places.
struct Turn<'t> {
    place: usize,
    pair: Pair,
    behind: &'t [(usize, Pair)],
}

impl Drawing<'_, '_, '_> {
    /// The deciders of a region all of whose packets change.
    pub(in crate::diff) fn changing(
        &mut self,
        region: &Region,
    ) -> Result<Changing, BudgetExceeded> {
        let pairs = self.meeting(region);
        let mut changing = Changing {
            parts: Vec::new(),
            rest: region.packets,
        };
        let mut looks = 0;
        for (index, &(place, pair)) in pairs.iter().enumerate() {
            if changing.rest == Node::FALSE || looks > MAX_LOOKS {
                break;
            }
            if !matches!(pair, Pair::Same(..)) {
                let behind = &pairs[index + 1..];
                let before = changing.rest;
                let turn = Turn {
                    place,
                    pair,
                    behind,
                };
                self.turn(&turn, region, &mut changing)?;
                if changing.rest != before {
                    looks += behind.len();
                }
            }
        }
        Ok(changing)
    }

    /// What is left of the region and matched by a pair.
    fn turn(
        &mut self,
        turn: &Turn<'_>,
        region: &Region,
        changing: &mut Changing,
    ) -> Result<(), BudgetExceeded> {
        let mut hits = [Node::FALSE; 2];
        for (hit, which) in hits.iter_mut().zip(Which::BOTH) {
            if let Some(id) = turn.pair.of(which) {
                let matched = self.matched(which, id, region)?;
                *hit = self.space.store.and(changing.rest, matched)?;
            }
        }
        let [old, new] = hits;
        let both = self.space.store.and(old, new)?;
        self.by_both(turn, both, changing)?;
        for (hit, which) in hits.into_iter().zip(Which::BOTH) {
            let alone = self.space.without(hit, both)?;
            self.by_one(turn, which, alone, changing)?;
            changing.rest = self.space.without(changing.rest, hit)?;
        }
        Ok(())
    }

    /// Both rules of the pair decide.
    fn by_both(
        &mut self,
        turn: &Turn<'_>,
        packets: Node,
        changing: &mut Changing,
    ) -> Result<(), BudgetExceeded> {
        for (old, packets) in self.decided_by(turn, Which::Old, packets)? {
            for (new, packets) in self.decided_by(turn, Which::New, packets)? {
                changing.parts.push((Fates { old, new }, packets));
            }
        }
        Ok(())
    }

    /// One rule of the pair decides in its list, and some rule behind it in the other.
    fn by_one(
        &mut self,
        turn: &Turn<'_>,
        which: Which,
        packets: Node,
        changing: &mut Changing,
    ) -> Result<(), BudgetExceeded> {
        for (own, packets) in self.decided_by(turn, which, packets)? {
            let region = Region {
                packets,
                cover: self.covers.pair(turn.pair),
            };
            let others = self.otherwise(which.other(), turn.behind, own.1, &region)?;
            changing
                .parts
                .extend(others.into_iter().map(|(other, packets)| {
                    let fates = match which {
                        Which::Old => Fates {
                            old: own,
                            new: other,
                        },
                        Which::New => Fates {
                            old: other,
                            new: own,
                        },
                    };
                    (fates, packets)
                }));
        }
        Ok(())
    }

    /// What a rule of the pair makes of packets that it decides.
    fn decided_by(
        &mut self,
        turn: &Turn<'_>,
        which: Which,
        packets: Node,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        let id = turn.pair.of(which).filter(|_| packets != Node::FALSE);
        let Some(id) = id else {
            return Ok(Vec::new());
        };
        self.by_own(which, id, turn.place, packets)
    }

    /// Who decides a region whose packets all get something else than `but`.
    fn otherwise(
        &mut self,
        which: Which,
        behind: &[(usize, Pair)],
        but: u32,
        region: &Region,
    ) -> Result<Vec<(Decided, Node)>, BudgetExceeded> {
        let mut left = region.packets;
        let mut found = Vec::new();
        for &(place, pair) in behind {
            if left == Node::FALSE {
                return Ok(found);
            }
            let Some(id) = pair.of(which) else { continue };
            // Asked first: it takes least, and most rules are elsewhere.
            if !self.covers.rule(which, id).meets(&region.cover) {
                continue;
            }
            let outcome = self.space.outcome(self.topic, which, id)?;
            // What it matches is decided ahead of it, or would not change.
            if self.space.store.terminal_of(outcome) == Some(but) {
                continue;
            }
            found.extend(self.taken((which, id), place, region, &mut left)?);
        }
        if left != Node::FALSE {
            let number = self.space.default(self.topic, which);
            found.push(((Owner::Default, number), left));
        }
        Ok(found)
    }
}
