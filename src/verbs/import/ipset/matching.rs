//! What a rule asks that names a set.
//!
//! Takes the set's name and the sides of a packet that its parts are about; gives the packets, or why no rule can say them. What is looked
//! for in no set, as it is of another family, is as in `ip_set_test` (net/netfilter/ipset/ip_set_core.c). Not here: what a set holds.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::members::Members;
use super::packets::both;
use super::{Holds, Set, Sets};
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Named, Of, What};

/// How a rule asks for a set.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) struct Match {
    /// The side that each part of an entry is about.
    pub(in crate::verbs::import) sides: Vec<Of>,
    /// Whether all is meant that is not in the set.
    pub(in crate::verbs::import) negated: bool,
    /// Whether what is in the set is what entries say not to be (`--return-nomatch`).
    pub(in crate::verbs::import) returned: bool,
    /// What else the rule asks, as far as ports depend on it.
    pub(in crate::verbs::import) within: Within,
}

/// The packets of which ports of a set are asked.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) struct Within {
    /// Their protocols.
    pub(in crate::verbs::import) protocols: RangeSet<u8>,
    /// Whether all of them have ports.
    pub(in crate::verbs::import) have_ports: bool,
}

impl Within {
    /// The packets of these cases.
    pub(in crate::verbs::import) fn of(cases: &[What]) -> Self {
        let protocols = cases
            .iter()
            .flat_map(|case| case.protocols.ranges().iter().copied());
        let has_ports = |case: &What| case.from.ports.is_some() || case.to.ports.is_some();
        Self {
            protocols: RangeSet::from_ranges(protocols),
            have_ports: cases.iter().all(has_ports),
        }
    }
}

impl Match {
    /// The side of a part.
    pub(super) fn of(&self, at: usize) -> Of {
        self.sides.get(at).copied().unwrap_or(Of::From)
    }

    fn positive(&self) -> Self {
        Self {
            negated: false,
            ..self.clone()
        }
    }

    fn negative(&self) -> Self {
        Self {
            negated: true,
            ..self.clone()
        }
    }
}

impl Sets {
    /// What a rule asks: all of it, or why a part of that cannot be said.
    pub(in crate::verbs::import) fn asks(
        &self,
        name: &str,
        asked: &Match,
        at: (Family, List),
    ) -> Result<Asks, String> {
        let asks = self.whole(name, asked, at)?;
        let unsaid = asks.cases.iter().find_map(What::unsaid);
        unsaid.map_or(Ok(asks), Err)
    }

    /// All of it, also what cannot be said.
    fn whole(&self, name: &str, asked: &Match, at: (Family, List)) -> Result<Asks, String> {
        let set = self.of(name);
        let set = set.ok_or_else(|| {
            format!(
                "what the set {name} holds does not stand there; {}",
                self.remedy
            )
        })?;
        if let Some(why) = set.is_never(asked, at.0) {
            return Ok(never(name, why, asked, at.0));
        }
        let called = self.name_of(name);
        match &set.holds {
            Holds::Unsaid(why) => Err(format!("the set {name}: {why}")),
            Holds::Filled(filled) => filled.asks(called, asked, at.0),
            Holds::Members(members) if members.is_empty() => Err(empty(name)),
            Holds::Members(members) => members.asks(called, asked, at),
            Holds::Sets(names) => {
                let named: Vec<&str> = self.asked(names, asked, at.0).collect();
                match (named.is_empty(), self.union(&named, asked, at.0)) {
                    (true, _) => Err(empty(name)),
                    (false, Some(held)) => Ok(self.of_union(name, held, asked, at.0).into()),
                    (false, None) => self.of_any(&named, asked, at),
                }
            }
        }
    }

    /// Those of some sets in which something is looked for and may be found.
    fn asked<'a>(
        &'a self,
        names: &'a [String],
        asked: &'a Match,
        family: Family,
    ) -> impl Iterator<Item = &'a str> {
        let is_asked = move |name: &&str| {
            let Some(set) = self.of(name) else {
                return false;
            };
            let is_empty = matches!(&set.holds, Holds::Members(members) if members.is_empty());
            !is_empty && set.is_never(asked, family).is_none()
        };
        names.iter().map(String::as_str).filter(is_asked)
    }

    /// The addresses of several sets together, if they hold nothing else.
    fn union(&self, names: &[&str], asked: &Match, family: Family) -> Option<RangeSet<u128>> {
        let held = names.iter().map(|name| match &self.of(name)?.holds {
            Holds::Members(members) if members.is_of_addresses() => {
                Some(members.addresses(asked.returned, family))
            }
            _ => None,
        });
        let held: Vec<RangeSet<u128>> = held.collect::<Option<_>>()?;
        let ranges = held.iter().flat_map(|one| one.ranges().iter().copied());
        Some(RangeSet::from_ranges(ranges))
    }

    /// Packets with an address of these, which the set of the policy has. A set that holds sets of
    /// both families has no name, as what a rule names is of both.
    fn of_union(&self, name: &str, held: RangeSet<u128>, asked: &Match, family: Family) -> What {
        let is_named = !asked.returned && !held.is_empty() && self.is_of_one_family(name);
        let named = Named::new(self.name_of(name).to_owned(), asked.negated);
        let named = Some(named).filter(|_| is_named);
        What::addressed(held, asked.negated, named, (asked.of(0), family))
    }

    /// Whether all sets that a set holds are of one family.
    fn is_of_one_family(&self, name: &str) -> bool {
        let Some(Holds::Sets(names)) = self.of(name).map(|set| &set.holds) else {
            return true;
        };
        let mut families = names.iter().filter_map(|one| self.of(one)?.family);
        let first = families.next();
        families.all(|family| Some(family) == first)
    }

    /// What is in any of several sets, or in none of them. One after the other is asked about what is in none ahead of it, so that cases share
    /// no packet.
    fn of_any(&self, names: &[&str], asked: &Match, at: (Family, List)) -> Result<Asks, String> {
        let mut all = Asks::default();
        let mut rest = vec![What::any(at.0)];
        for (number, name) in names.iter().enumerate() {
            if !asked.negated {
                let inside = self.asks(name, &asked.positive(), at)?;
                all.cases.extend(both(&rest, &inside.cases)?);
                all.said(inside);
            }
            if asked.negated || number + 1 < names.len() {
                let outside = self.asks(name, &asked.negative(), at)?;
                rest = both(&rest, &outside.cases)?;
                all.said(outside);
            }
        }
        if asked.negated {
            all.cases = rest;
        }
        Ok(all)
    }
}

impl Asks {
    /// Keeps what is said of something that is asked besides.
    fn said(&mut self, other: Self) {
        self.changed = self.changed.take().or(other.changed);
        self.note = self.note.take().or(other.note);
    }
}

impl Set {
    /// Of how many parts its entries are.
    pub(in crate::verbs::import) fn parts(&self) -> usize {
        match &self.holds {
            Holds::Members(Members { parts, .. }) => parts.len(),
            Holds::Filled(_) | Holds::Sets(_) | Holds::Unsaid(_) => 1,
        }
    }

    /// Why nothing is ever found in it, if so: it is of another family, or a rule names fewer sides than its entries have parts.
    fn is_never(&self, asked: &Match, family: Family) -> Option<&'static str> {
        if self.family.is_some_and(|own| own != family) {
            return Some("is of the other family");
        }
        (asked.sides.len() < self.parts())
            .then_some("has entries of more parts than the rule names sides")
    }
}

/// A rule about a set in which nothing is found.
fn never(name: &str, why: &str, asked: &Match, family: Family) -> Asks {
    let (cases, so) = match asked.negated {
        true => (vec![What::any(family)], "so every packet is outside of it"),
        false => (
            Vec::new(),
            "so no packet is in it, and nothing is written for the rule",
        ),
    };
    Asks {
        cases,
        note: Some(format!("the set {name} {why}, {so}")),
        changed: None,
    }
}

/// What is said of a set that holds nothing.
fn empty(name: &str) -> String {
    format!(
        "the set {name} holds nothing that stands there; where a program fills it, declare `live set NAME max N`, write the rule with `from @NAME`, and have that program call `sockc set add`"
    )
}
