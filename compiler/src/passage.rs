//! What passes through, as its list is asked about it: with the mark that it has after the list of `in`.
//!
//! Takes a packet as words tell it, whose mark is the one with which it arrives; gives it as `forward` is asked, and, in diagrams,
//! which packets are among given ones by then. Not here: what becomes of it where it leaves (`decide::next`).

use std::collections::BTreeSet;

use crate::coverage::Coverage;
use crate::decide::{before, decide};
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::values::values_of;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::{Decision, Event, Header, Parsed, SocketAnswer, World};
use crate::field::Field;
use crate::header_field::{HeaderField, row};
use crate::policy::{Condition, Direction, FieldTest, Policy, Rule};

/// What the list of an event is asked about: of what passes through, the packet with the mark that it has after `in`, if the policy is
/// where it came in; of all else, the event.
#[must_use]
pub fn asked(policy: &Policy, event: &Event, world: &dyn World) -> Event {
    let (Event::Passing { came_in, .. }, true) = (event, marks(policy)) else {
        return event.clone();
    };
    match before(event) {
        Some(arrived) if Coverage::of(policy).covers(*came_in) => {
            after(event, &decide(policy, &arrived, world))
        }
        _ => event.clone(),
    }
}

/// What passes through as its list is asked about it, where this was decided of it as it came in.
#[must_use]
pub fn after(event: &Event, arrived: &Decision) -> Event {
    let (
        Event::Passing {
            came_in,
            leaves,
            packet: Parsed::Ip(header),
        },
        Some(mark),
    ) = (event, arrived.mark)
    else {
        return event.clone();
    };
    Event::Passing {
        came_in: *came_in,
        leaves: *leaves,
        packet: Parsed::Ip(Header {
            mark,
            ..header.clone()
        }),
    }
}

/// Whether a rule of `in` sets a mark. In most policies none does, and what is asked is what arrived.
fn marks(policy: &Policy) -> bool {
    let mut rules = policy.rules_of(Direction::In);
    rules.any(|(_, rule)| rule.mark.is_some())
}

/// Which packets get which marks of `in`, as diagrams over packets that pass through.
#[derive(Debug, Default)]
pub struct Marking {
    /// The packets that a rule decides, of which no two have one in common, and the mark that it sets.
    set: Vec<(Node, u32)>,
}

impl Marking {
    /// That of a policy, for packets of this direction: none but what passes through meets two lists.
    ///
    /// # Errors
    /// The list of `in` is too large for the store.
    pub fn of(
        store: &mut Store,
        policy: &Policy,
        direction: Direction,
    ) -> Result<Self, BudgetExceeded> {
        let rules = || policy.rules_of(Direction::In);
        let setting: BTreeSet<_> = rules()
            .filter(|(_, rule)| rule.mark.is_some())
            .map(|(id, _)| id)
            .collect();
        let (true, Some(last)) = (direction.passes(), setting.last()) else {
            return Ok(Self::default());
        };
        let classes = Coverage::of(policy).numbers(policy);
        let mut left = store.ranges(Field::Interface, &classes, Node::TRUE, Node::FALSE)?;
        let mut set = Vec::new();
        for (id, rule) in rules().take_while(|(id, _)| id <= last) {
            if !rule.action.decides() {
                continue;
            }
            let matched = rule_diagram(store, id, &seen_routed(rule), Scope::default())?;
            if let Some(mark) = rule.mark {
                set.push((store.and(left, matched)?, mark));
            }
            left = store.minus(left, matched)?;
        }
        Ok(Self { set })
    }

    /// The packets, with the marks with which they arrive, that are among these when their list is asked.
    ///
    /// # Errors
    /// There are too many cases for the store.
    pub fn arriving(&self, store: &mut Store, asked: Node) -> Result<Node, BudgetExceeded> {
        let mut node = asked;
        for &(hit, mark) in &self.set {
            let marked = with_mark(store, asked, mark)?;
            node = store.ite(hit, marked, node)?;
        }
        Ok(node)
    }
}

/// A diagram of what it says where packets have this mark.
fn with_mark(store: &mut Store, asked: Node, mark: u32) -> Result<Node, BudgetExceeded> {
    let header = Header {
        mark,
        ..Header::PLAIN
    };
    let values = values_of(&header, SocketAnswer::None);
    let mut node = asked;
    for &field in row(HeaderField::Mark).variables {
        node = store.restrict(node, field, values.get(field))?;
    }
    Ok(node)
}

/// A rule of `in` as a match of the packet that was routed since, as [`before`] has it: its time to live was one higher.
fn seen_routed(rule: &Rule) -> Rule {
    let mut rule = rule.clone();
    rule.matches.conditions.iter_mut().for_each(counted_down);
    rule
}

fn counted_down(condition: &mut Condition) {
    match condition {
        Condition::No(inner) => counted_down(inner),
        Condition::AnyOf(any) => any.iter_mut().for_each(counted_down),
        Condition::Header {
            field: HeaderField::Ttl,
            test,
        } => *test = lower_by_one(*test),
        _ => {}
    }
}

/// A test that holds of a time to live if the test holds of one more, of which there is none above the largest.
fn lower_by_one(test: FieldTest) -> FieldTest {
    match test {
        FieldTest::Range { high: 0, .. } => FieldTest::Range { low: 1, high: 0 },
        FieldTest::Range { low, high } => FieldTest::Range {
            low: low.saturating_sub(1),
            high: match high >= u64::from(u8::MAX) {
                true => high,
                false => high - 1,
            },
        },
        masked @ FieldTest::Masked { .. } => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the test says of a packet that was routed is what the rule's says of it as it came in.
    #[test]
    fn a_time_to_live_is_asked_as_it_was_before_routing() {
        for low in [0, 1, 2, 64, 254, 255] {
            for high in [0, 1, 2, 64, 254, 255, u32::MAX.into()] {
                let test = FieldTest::Range { low, high };
                for routed in 0..=u8::MAX {
                    let came = u64::from(routed.saturating_add(1));
                    let wanted = test.holds(came);
                    let found = lower_by_one(test).holds(routed.into());
                    assert_eq!(found, wanted, "{test:?} {routed}");
                }
            }
        }
    }
}
