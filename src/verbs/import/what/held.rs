//! Whether all packets that one rule is about are those of another.
//!
//! It is asked of each rule that is written, for all that was taken before it, so it makes nothing. Where it says so, it is so; of live sets and
//! conditions, only where both ask for the same. Not here: the packets that are of both.

use sockc_compiler::ranges::{Bound, RangeSet};

use super::{Pattern, Side, What};

impl What {
    /// Whether all packets of another one are of this one.
    pub(in crate::verbs::import) fn holds(&self, other: &Self) -> bool {
        let is_by = |one: &Option<Pattern>, other: &Option<Pattern>| match (one, other) {
            (Some(one), Some(other)) => one.has(other),
            (one, _) => one.is_none(),
        };
        let is_not_by = |not: &[Pattern], others: &[Pattern], other: &Option<Pattern>| {
            let is_apart = |one: &Pattern| other.as_ref().is_some_and(|by| one.both(by).is_none());
            not.iter().all(|one| others.contains(one) || is_apart(one))
        };
        let types = |one: &super::Type, (kind, code): &super::Type| {
            one.0 == *kind && (one.1.is_none() || one.1 == *code)
        };
        let is_of_types = match (&self.icmp, &other.icmp) {
            (Some(own), Some(more)) => more.iter().all(|one| own.iter().any(|own| types(own, one))),
            (own, _) => own.is_none(),
        };
        self.family == other.family
            && is_by(&self.on, &other.on)
            && is_by(&self.leaves, &other.leaves)
            && (self.on_zone.is_none() || self.on_zone == other.on_zone)
            && (self.to_zone.is_none() || self.to_zone == other.to_zone)
            && is_not_by(&self.not_on, &other.not_on, &other.on)
            && is_not_by(&self.not_leaves, &other.not_leaves, &other.leaves)
            && is_of_types
            && has_all(&self.protocols, &other.protocols)
            && self.to.holds(&other.to)
            && self.from.holds(&other.from)
            && self
                .conditions
                .iter()
                .all(|one| other.conditions.contains(one))
            && self.rate.is_none()
    }

    /// Whether it asks for nothing but interfaces.
    pub(in crate::verbs::import) fn asks_interfaces_alone(&self) -> bool {
        let by = Self {
            on: self.on.clone(),
            leaves: self.leaves.clone(),
            ..Self::any(self.family)
        };
        by == *self
    }
}

impl Side {
    fn holds(&self, other: &Self) -> bool {
        let has_ports = match (&self.ports, &other.ports) {
            (Some(own), Some(more)) => has_all(own, more),
            (own, _) => own.is_none(),
        };
        has_ports
            && (self.live.is_none() || self.live == other.live)
            && has_all(&self.addresses, &other.addresses)
    }
}

/// Whether all values of another one are of this one, whose ranges stand apart and in order.
fn has_all<T: Bound>(own: &RangeSet<T>, other: &RangeSet<T>) -> bool {
    let mut ranges = own.ranges().iter().peekable();
    other.ranges().iter().all(|(low, high)| {
        while ranges.next_if(|(_, end)| end < low).is_some() {}
        ranges
            .peek()
            .is_some_and(|(begin, end)| begin <= low && end >= high)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sockc_compiler::policy::Family;

    use super::*;

    #[test]
    fn what_asks_for_more_is_held_by_what_asks_for_less() {
        let any = What::any(Family::V4);
        let on = |name: &str| What {
            on: Some(Pattern::One(name.to_owned())),
            ..any.clone()
        };
        let mut ports = What::protocol(Family::V4, 6);
        ports.to.ports = Some(RangeSet::from_ranges([(22, 25), (80, 80)]));
        let mut fewer = ports.clone();
        fewer.to.ports = Some(RangeSet::from_ranges([(23, 24), (80, 80)]));
        let mut begun = ports.clone();
        begun.to.ports = Some(RangeSet::from_ranges([(22, 24), (80, 80)]));
        let but = What {
            not_on: vec![Pattern::One("eth0".to_owned())],
            ..any.clone()
        };
        let begins = What {
            on: Some(Pattern::Begins("eth".to_owned())),
            ..any.clone()
        };
        let types = |all: &[super::super::Type]| What {
            icmp: Some(BTreeSet::from_iter(all.iter().copied())),
            ..What::protocol(Family::V4, 1)
        };
        let (three, coded) = (types(&[(3, None)]), types(&[(3, Some(4))]));
        for (own, other, holds) in [
            (&any, &ports, true),
            (&ports, &any, false),
            (&ports, &fewer, true),
            (&fewer, &ports, false),
            (&begun, &ports, false),
            (&begins, &on("eth0"), true),
            (&on("eth0"), &begins, false),
            (&but, &on("eth1"), true),
            (&but, &on("eth0"), false),
            (&but, &begins, false),
            (&three, &coded, true),
            (&coded, &three, false),
            (&any, &What::any(Family::V6), false),
        ] {
            assert_eq!(own.holds(other), holds, "{own:?} {other:?}");
        }
        assert!(on("eth0").asks_interfaces_alone() && !ports.asks_interfaces_alone());
    }
}
