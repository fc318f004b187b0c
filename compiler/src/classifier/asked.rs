//! Questions of rules: what the header does not tell, and what is left of a rule without it.
//!
//! A rule that asks for a socket, for a live set or whether a named socket is absent is in the tables with the rest of what it
//! matches, and its records have the number of its question. Where such a record matches, the rule matches if the question is
//! answered with yes; so records behind it are looked at too, up to the first that asks nothing. What is asked is a match of its own, so
//! that equal questions are one.
//!
//! ```text
//! drop tcp from @blocked to any:22 if socket exists, ttl < 5
//!     header:    tcp to any:22 if ttl < 5        boxes, classes
//!     question:  from @blocked if socket exists      a small diagram
//! ```
//!
//! Takes a [`Match`]; gives both parts. Not here: which rules may ask (`bulk`), and the code that does (`lower::answers::walk`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Member, Unfit};
use crate::diagram::classify::{Scope, match_diagram};
use crate::diagram::flatten::{Flat, flatten_within};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::place::fields_of_match;
use crate::policy::{AddressSet, Addresses, Condition, Endpoint, Match, Side};

/// The maximum number of questions of a classifier: code remembers the first match of each.
pub(crate) const MAX_QUESTIONS: usize = 4;

/// The maximum number of levels of rates: code remembers a match of each.
pub(crate) const MAX_LEVELS: usize = 3;

/// Nodes that the diagram of a question may have.
const MAX_NODES: usize = 100_000;

/// Arms of the flat diagram of a question.
const MAX_ARMS: usize = 64;

/// The questions of a classifier's members.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    /// They themselves; the number of the first is 1.
    list: Vec<Match>,
    /// How many levels of rates there are, whose numbers come after those.
    levels: usize,
    /// For each member the number of its question, or of its rate's level; 0 for none.
    of: Vec<u8>,
}

impl Questions {
    pub(super) fn of(members: &[Member<'_>]) -> Result<Self, Unfit> {
        let mut known: HashMap<Match, u8> = HashMap::new();
        let mut list = Vec::new();
        let mut of = Vec::with_capacity(members.len());
        for member in members {
            let Some(question) = question(member.matches) else {
                of.push(0);
                continue;
            };
            let next = u8::try_from(list.len() + 1).map_err(|_| Unfit::Questions)?;
            let number = *known.entry(question.clone()).or_insert(next);
            if number == next {
                list.push(question);
            }
            of.push(number);
        }
        if list.len() > MAX_QUESTIONS {
            return Err(Unfit::Questions);
        }
        let levels = levels(members)?;
        for (member, number) in members.iter().zip(&mut of) {
            if let Some(metered) = member.rate {
                let place = levels.binary_search(&metered.level);
                let place = place.map_err(|_| Unfit::Questions)?;
                *number = u8::try_from(list.len() + 1 + place).map_err(|_| Unfit::Questions)?;
            }
        }
        Ok(Self {
            levels: levels.len(),
            list,
            of,
        })
    }

    /// The number of a member's question; 0 for none.
    pub(super) fn number(&self, member: u32) -> u8 {
        self.of[member as usize]
    }

    /// Bits that a number takes.
    pub(super) fn bits(&self) -> u32 {
        usize::BITS - (self.list.len() + self.levels).leading_zeros()
    }

    /// The diagram of each, with the terminals 0 and 1.
    pub(super) fn diagrams(&self) -> Result<Vec<Flat>, Unfit> {
        let diagrams = self.list.iter().map(diagram);
        let diagrams: Result<_, BudgetExceeded> = diagrams.collect();
        diagrams.map_err(|_| Unfit::Questions)
    }
}

/// The levels of the members with rates, in order.
pub(super) fn levels(members: &[Member<'_>]) -> Result<Vec<u8>, Unfit> {
    let mut levels: Vec<u8> = members
        .iter()
        .filter_map(|member| Some(member.rate?.level))
        .collect();
    levels.sort_unstable();
    levels.dedup();
    match levels.len() > MAX_LEVELS {
        true => Err(Unfit::Questions),
        false => Ok(levels),
    }
}

/// Whether a question is small enough to be asked with the first match.
#[must_use]
pub(crate) fn is_short(question: &Match) -> bool {
    diagram(question).is_ok()
}

fn diagram(question: &Match) -> Result<Flat, BudgetExceeded> {
    flat_of((&fields_of_match(question), MAX_ARMS), |store| {
        match_diagram(store, question, Scope::default())
    })
}

/// A diagram of the fields that every policy has, and these, of so many arms.
pub(super) fn flat_of(
    (own, arms): (&[Field], usize),
    built: impl FnOnce(&mut Store) -> Result<Node, BudgetExceeded>,
) -> Result<Flat, BudgetExceeded> {
    let mut fields = Field::FIXED.to_vec();
    fields.extend(own);
    fields.sort_unstable();
    fields.dedup();
    let mut store = Store::with(MAX_NODES, &fields);
    let root = built(&mut store)?;
    flatten_within(&store, root, arms)
}

/// Whether a rule asks anything beside the header.
#[must_use]
pub(crate) fn asks(matches: &Match) -> bool {
    let sides = [&matches.from, &matches.to];
    matches.conditions.iter().any(is_asked) || sides.into_iter().any(|side| is_set(side.as_ref()))
}

/// What a rule asks beside the header, as a match that says nothing else; `None` if it asks nothing.
#[must_use]
pub(crate) fn question(matches: &Match) -> Option<Match> {
    if !asks(matches) {
        return None;
    }
    let side = |side: &Option<Side>| match side {
        Some(Side::Endpoints { negated, endpoints }) if is_set(side.as_ref()) => {
            let sets = endpoints.iter().map(|one| Endpoint {
                addresses: one.addresses.clone(),
                ports: None,
            });
            Some(Side::Endpoints {
                negated: *negated,
                endpoints: sets.collect(),
            })
        }
        _ => None,
    };
    let conditions = matches.conditions.iter().filter(|one| is_asked(one));
    let question = Match {
        from: side(&matches.from),
        to: side(&matches.to),
        conditions: conditions.cloned().collect(),
        ..Match::default()
    };
    (question != Match::default()).then_some(question)
}

/// What is left of a rule where its question is answered with yes.
#[must_use]
pub(crate) fn header_part(matches: &Match) -> Cow<'_, Match> {
    if !asks(matches) {
        return Cow::Borrowed(matches);
    }
    let side = |side: &Option<Side>| match side {
        Some(Side::Endpoints { endpoints, .. }) if is_set(side.as_ref()) => {
            let whole = endpoints.iter().map(|one| Endpoint {
                addresses: AddressSet::any().into(),
                ports: one.ports.clone(),
            });
            Some(Side::Endpoints {
                negated: false,
                endpoints: whole.collect(),
            })
        }
        other => other.clone(),
    };
    Cow::Owned(Match {
        protocols: matches.protocols.clone(),
        from: side(&matches.from),
        to: side(&matches.to),
        conditions: header_conditions(matches).into_owned(),
        on: matches.on.clone(),
        leaves: matches.leaves.clone(),
    })
}

/// The conditions of a rule that the header answers.
#[must_use]
pub(crate) fn header_conditions(matches: &Match) -> Cow<'_, [Condition]> {
    match matches.conditions.iter().any(is_asked) {
        false => Cow::Borrowed(&matches.conditions),
        true => {
            let others = matches.conditions.iter().filter(|one| !is_asked(one));
            Cow::Owned(others.cloned().collect())
        }
    }
}

/// Whether a side is one set, so that its ports can be told apart from it.
fn is_set(side: Option<&Side>) -> bool {
    match side {
        Some(Side::Endpoints { negated, endpoints }) => match endpoints.as_slice() {
            [one] => {
                matches!(one.addresses, Addresses::Set(_)) && !(*negated && one.ports.is_some())
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a condition is a question that tables may have.
fn is_asked(condition: &Condition) -> bool {
    fn has(condition: &Condition, wanted: fn(&Condition) -> bool) -> bool {
        match condition {
            Condition::No(inner) => has(inner, wanted),
            Condition::AnyOf(list) => list.iter().any(|one| has(one, wanted)),
            one => wanted(one),
        }
    }
    has(condition, |one| {
        matches!(one, Condition::Socket { .. } | Condition::SockAbsent(_))
    }) && !has(condition, |one| {
        matches!(one, Condition::Entry { .. } | Condition::FirstMatch(_))
    })
}
