//! Among which rules a chain asks for the first match.

use cranelift_entity::SecondaryMap;

use super::{Bulk, Group, is_terminal};
use crate::chain::Chain;
use crate::classifier::{Member, Metered, question};
use crate::field::{Field, FieldSet};
use crate::lower::{CounterSlots, Meters};
use crate::place::fields_of_match;
use crate::policy::{Policy, RateUnit, Rule, RuleId};

impl Bulk {
    /// The bulk rules among which a chain of the reduced policy asks for the first match, in order; none if it does not ask.
    #[must_use]
    pub fn members<'p>(
        &self,
        whole: &'p Policy,
        chain: &Chain,
        counters: &CounterSlots,
    ) -> Vec<Member<'p>> {
        let direction = chain.hook.direction();
        let groups = || {
            self.groups
                .iter()
                .filter(move |group| group.direction == direction)
        };
        let mut stands = SecondaryMap::with_default(false);
        for entry in &chain.entries {
            stands[entry.rule] = true;
        }
        let standing = groups().filter(|group| stands[group.rule]);
        let Some(last) = standing.filter_map(Group::last).max() else {
            return Vec::new();
        };
        let mut numbers = SecondaryMap::with_default(0);
        for group in groups() {
            for &rule in &group.members {
                numbers[rule] = group.number;
            }
        }
        let meters = Meters::new(whole, 0);
        whole
            .rules_of(direction)
            .filter(|(id, rule)| numbers[*id] > 0 && holds(chain, rule))
            .take_while(|(id, _)| !chain.hook.is_lookup() || *id <= last)
            .map(|(id, rule)| Member {
                matches: &rule.matches,
                group: numbers[id],
                slot: counters.rules[id],
                rate: rule.rate.and_then(|rate| {
                    Some(Metered {
                        rate,
                        bucket: meters.rule(id)?,
                        level: self.levels[id],
                    })
                }),
            })
            .collect()
    }
}

impl Bulk {
    /// What the rules in groups ask beside the header.
    pub(crate) fn questions(&self, whole: &Policy) -> FieldSet {
        let members = || self.groups.iter().flat_map(|group| &group.members);
        let questions = members().filter_map(|id| question(&whole.rules[*id].matches));
        let mut fields: FieldSet = questions.flat_map(|one| fields_of_match(&one)).collect();
        let mut rates = members().filter_map(|id| whole.rules[*id].rate);
        // Which packets begin a connection is asked of sockets.
        if rates.any(|rate| rate.unit == RateUnit::Connections) {
            fields.extend([Field::Socket]);
        }
        fields
    }
}

impl Group {
    fn last(&self) -> Option<RuleId> {
        self.members.last().copied()
    }
}

/// Whether a bulk rule takes part at a hook: at packet hooks if it speaks of the interface, at lookups if it does not take
/// packets away, at those of a group if it is about that. What stands after the last rule of a lookup cannot change what it
/// finds.
fn holds(chain: &Chain, rule: &Rule) -> bool {
    if let Some(group) = chain.group {
        return rule.is_for(group);
    }
    match (rule.matches.held_on(rule.direction), chain.class) {
        _ if chain.hook.is_lookup() => !is_terminal(rule.action),
        (Some(classes), Some(class)) => classes.contains(&class),
        _ => true,
    }
}
