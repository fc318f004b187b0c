//! A region in the language's own words.
//!
//! Takes the packets of a region; gives what they lie in, as the values that each field has among them, shortened as far
//! as that changes nothing; and what of it is not in the region. The words are drawn again and compared, so that they say
//! what the region is, or that they do not say all of it. Not here: how values are written.

mod addresses;
mod constraint;
mod values;
mod write;

pub(super) use addresses::{Names, items};

use self::constraint::Constraint;
use super::draw::Region;
use super::joint::{Which, kinds};
use super::lists::Pair;
use super::report::Words;
use super::space::{Built, Space};
use super::topic::Topic;
use crate::diagram::{BudgetExceeded, Node};
use crate::policy::SocketId;

/// The maximum number of rules that are named one by one as exceptions.
const MAX_EXCEPT: usize = 3;

/// Says whether a region with these constraints is still as it has to be.
type Still<'s> =
    dyn FnMut(&mut Describing<'_, '_, '_>, &[Constraint]) -> Result<bool, BudgetExceeded> + 's;

/// A region of more nodes is said in part only.
const MAX_NODES: usize = 30_000;

/// Describes regions of a topic.
pub(super) struct Describing<'a, 'j, 'p> {
    pub(super) space: &'a mut Space<'j, 'p>,
    pub(super) topic: Topic,
    /// 1 for what the topic is about.
    pub(super) base: Node,
    pub(super) names: &'a Names,
    /// Pairs whose rules may explain what is not in a region, as the places in the list.
    pub(super) pairs: &'a [Pair],
}

impl Describing<'_, '_, '_> {
    /// The region of these packets, and whether what its fields say each on its own is more than it.
    pub(super) fn words(&mut self, region: &Region) -> Result<(Words, bool), BudgetExceeded> {
        let packets = region.packets;
        let large = self.space.store.count(packets) > MAX_NODES;
        let mut parts = self.constraints(packets);
        let within = self.all(&parts)?;
        self.leave_out_what_is_asked_twice(&mut parts, within)?;
        let base = self.base_beside(&parts)?;
        let all = match base == self.base {
            true => within,
            false => self.all_in(base, &parts)?,
        };
        self.shorten(&mut parts, &mut |describing, shorter| {
            Ok(describing.all_in(base, shorter)? == all)
        })?;
        let (within_words, mut except) = write::words(self, &parts);
        let mut words = Words {
            within: within_words,
            except: Vec::new(),
            and_more: large,
        };
        if !large && within != packets {
            let rest = self.space.without(within, packets)?;
            words.and_more = !self.exceptions(region, rest, &mut except)?;
        }
        words.except = except;
        Ok((words, within != packets))
    }

    /// What the values of the fields say, one thing each.
    fn constraints(&self, packets: Node) -> Vec<Constraint> {
        values::constraints(self, packets)
    }

    /// Of two sockets of one name that are there together one is asked about: the one that may hold more, so that what is
    /// there says as little as it can about families and protocols.
    fn leave_out_what_is_asked_twice(
        &mut self,
        parts: &mut Vec<Constraint>,
        within: Node,
    ) -> Result<(), BudgetExceeded> {
        let joint = self.space.joint;
        let unlike = joint.sockets.unlike();
        let mut sockets: Vec<SocketId> = unlike.flat_map(|(one, other)| [one, other]).collect();
        sockets.sort_by_key(|id| kinds(&joint.tables.sockets[*id]));
        for socket in sockets {
            let asks = |part: &Constraint| part.presence() == Some(socket);
            if let Some(place) = parts.iter().position(asks) {
                self.leave_out(parts, place, &mut |describing, shorter| {
                    Ok(describing.all(shorter)? == within)
                })?;
            }
        }
        Ok(())
    }

    /// 1 for what the topic is about, as far as a reader knows it: of a name with two declarations nobody knows which one says
    /// what it may hold.
    fn base_beside(&mut self, parts: &[Constraint]) -> Built {
        let sockets = &self.space.joint.sockets;
        let of_two = |socket: SocketId| {
            let mut both = sockets.unlike();
            both.any(|(one, other)| one == socket || other == socket)
        };
        let asked = parts.iter().any(|part| part.presence().is_some_and(of_two));
        match asked {
            true => self.space.base_saying(self.topic, |socket| !of_two(socket)),
            false => Ok(self.base),
        }
    }

    /// 1 for everything of the topic for which all of it holds.
    fn all(&mut self, parts: &[Constraint]) -> Built {
        self.all_in(self.base, parts)
    }

    fn all_in(&mut self, base: Node, parts: &[Constraint]) -> Built {
        let mut node = base;
        for part in parts {
            let one = part.draw(self.space, self.topic)?;
            node = self.space.store.and(node, one)?;
        }
        Ok(node)
    }

    /// Leaves out the one at this place, if it can be left out.
    fn leave_out(
        &mut self,
        parts: &mut Vec<Constraint>,
        place: usize,
        still: &mut Still<'_>,
    ) -> Result<(), BudgetExceeded> {
        let left_out = parts.remove(place);
        if !still(self, parts)? {
            parts.insert(place, left_out);
        }
        Ok(())
    }

    /// Leaves out what can be left out, the least telling first.
    fn shorten(
        &mut self,
        parts: &mut Vec<Constraint>,
        still: &mut Still<'_>,
    ) -> Result<(), BudgetExceeded> {
        for place in (0..parts.len()).rev() {
            self.leave_out(parts, place, still)?;
        }
        Ok(())
    }

    /// Says what of the rest is not in the region; whether that is all of it.
    fn exceptions(
        &mut self,
        region: &Region,
        rest: Node,
        except: &mut Vec<String>,
    ) -> Result<bool, BudgetExceeded> {
        if let Some(words) = self.one_exception(region.packets, rest)? {
            except.push(words);
            return Ok(true);
        }
        let mut left = rest;
        let mut rules = Vec::new();
        for (pair, node) in self.outside(region, rest)? {
            if left == Node::FALSE {
                break;
            }
            if self.space.store.intersects_unbuilt(left, node) {
                left = self.space.without(left, node)?;
                rules.push(self.rule_name(pair));
            }
        }
        match rules.len() {
            0 => {}
            1..=MAX_EXCEPT => except.push(format!("what {} matches", listed(&rules))),
            count => {
                let first: Vec<String> = rules.into_iter().take(MAX_EXCEPT - 1).collect();
                let more = count - first.len();
                except.push(format!(
                    "what {} and {more} more rules match",
                    first.join(", ")
                ));
            }
        }
        Ok(left == Node::FALSE)
    }

    /// The rest as one exception that takes nothing from the region, if it is one.
    fn one_exception(
        &mut self,
        packets: Node,
        rest: Node,
    ) -> Result<Option<String>, BudgetExceeded> {
        let mut parts = self.constraints(rest);
        let takes_nothing: &mut Still<'_> = &mut |describing, parts| {
            let all = describing.all(parts)?;
            Ok(describing.space.store.and(all, packets)? == Node::FALSE)
        };
        if !takes_nothing(self, &parts)? {
            return Ok(None);
        }
        self.shorten(&mut parts, takes_nothing)?;
        let (words, except) = write::words(self, &parts);
        // "Except everything if …" would be a riddle.
        let words = match words.strip_prefix("everything if ") {
            Some(conditions) => format!("where {conditions}"),
            None => words,
        };
        Ok(except.is_empty().then_some(words))
    }

    /// The rules that share nothing with the region and something with what is around it, what takes most of that first.
    fn outside(
        &mut self,
        region: &Region,
        rest: Node,
    ) -> Result<Vec<(Pair, Node)>, BudgetExceeded> {
        let mut outside = Vec::new();
        for &pair in self.pairs {
            let Some(pair) = self.topic.asked(self.space.joint, pair) else {
                continue;
            };
            let which = match pair {
                Pair::Old(_) => Which::Old,
                _ => Which::New,
            };
            let Some(id) = pair.of(which) else { continue };
            let node = self.space.matched(self.topic, which, id)?;
            let apart = !self.space.store.intersects_unbuilt(node, region.packets);
            if apart && self.space.store.intersects_unbuilt(node, rest) {
                let taken = self.space.store.and(node, rest)?;
                outside.push((self.space.store.share_of(taken), pair, node));
            }
        }
        outside.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
        Ok(outside
            .into_iter()
            .map(|(_, pair, node)| (pair, node))
            .collect())
    }

    /// A rule by its label, else by its place; one that is gone is said to be.
    fn rule_name(&self, pair: Pair) -> String {
        let (which, of) = match pair {
            Pair::Old(_) => (Which::Old, " (old)"),
            _ => (Which::New, ""),
        };
        let name = pair.of(which).map(|id| {
            let rule = self.space.joint.side(which).rule(id);
            let place = || format!("{}:{}", rule.place.file, rule.place.line);
            rule.label.clone().unwrap_or_else(place)
        });
        format!("{}{of}", name.unwrap_or_default())
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(names: &[String]) -> String {
    match names {
        [ahead @ .., last] if !ahead.is_empty() => format!("{} or {last}", ahead.join(", ")),
        _ => names.concat(),
    }
}
