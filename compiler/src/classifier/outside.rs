//! What a list with `not` matches, as endpoints that share no packet.
//!
//! Takes the endpoints of a list; gives those of all packets that none of them matches. A list in which ports are named
//! speaks of packets that have ports, so that what is left of it names ports too, be it all of them. Not here: prefixes, and
//! whether there are too many.

use super::boxes::MAX_BOXES;
use crate::policy::{AddressSet, Endpoint};
use crate::ranges::{Bound, RangeSet};

/// The maximum number of endpoints of a list in which ports are named. A rule with more stays in the diagram.
pub(super) const MAX_WITH_PORTS: usize = 64;

/// Parts of what is left after which nobody asks any more how many there are: in one family there are too many boxes.
const MAX_PARTS: usize = 2 * MAX_BOXES;

/// Addresses with ports.
struct Part {
    addresses: AddressSet,
    ports: RangeSet<u16>,
}

/// The endpoints that are outside all of these, whose addresses are constant.
pub(super) fn outside(endpoints: &[Endpoint]) -> Vec<Endpoint> {
    if endpoints.iter().all(|one| one.ports.is_none()) {
        let addresses = AddressSet::any().minus(&all(endpoints)).into();
        let ports = None;
        return vec![Endpoint { addresses, ports }];
    }
    let mut left = vec![Part {
        addresses: AddressSet::any(),
        ports: RangeSet::full(),
    }];
    for one in endpoints {
        if left.len() > MAX_PARTS {
            break;
        }
        left = left.iter().flat_map(|part| part.without(one)).collect();
    }
    let named = left.into_iter().map(|part| Endpoint {
        addresses: part.addresses.into(),
        ports: Some(part.ports),
    });
    named.collect()
}

/// The addresses of endpoints together.
fn all(endpoints: &[Endpoint]) -> AddressSet {
    let sets = || endpoints.iter().filter_map(|one| one.addresses.ranges());
    AddressSet {
        v4: RangeSet::from_ranges(sets().flat_map(|set| set.v4.ranges()).copied()),
        v6: RangeSet::from_ranges(sets().flat_map(|set| set.v6.ranges()).copied()),
    }
}

impl Part {
    /// What is outside an endpoint: other addresses with all ports, and its own with the ports that it does not name.
    fn without(&self, one: &Endpoint) -> impl Iterator<Item = Self> + use<> {
        let taken = one.addresses.ranges().cloned().unwrap_or_default();
        let other = Self {
            addresses: self.addresses.minus(&taken),
            ports: self.ports.clone(),
        };
        let ports = match &one.ports {
            None => RangeSet::default(),
            Some(ports) => self.ports.minus(ports),
        };
        let own = Self {
            addresses: shared(&self.addresses, &taken),
            ports,
        };
        [other, own].into_iter().filter(|part| !part.is_empty())
    }

    fn is_empty(&self) -> bool {
        let AddressSet { v4, v6 } = &self.addresses;
        self.ports.is_empty() || v4.is_empty() && v6.is_empty()
    }
}

/// The addresses that are in both.
fn shared(one: &AddressSet, other: &AddressSet) -> AddressSet {
    fn of<T: Bound>(one: &RangeSet<T>, other: &RangeSet<T>) -> RangeSet<T> {
        one.minus(&one.minus(other))
    }
    AddressSet {
        v4: of(&one.v4, &other.v4),
        v6: of(&one.v6, &other.v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    const VALUES: [u16; 6] = [0, 1, 80, 81, 443, u16::MAX];

    fn some<T: Bound>(dice: &mut Rng, value: fn(u16) -> T) -> RangeSet<T> {
        let [one, other] = [0, 1].map(|_| *dice.one_of(&VALUES));
        RangeSet::from_ranges([(value(one.min(other)), value(one.max(other)))])
    }

    fn holds(one: &Endpoint, address: u16, port: u16) -> bool {
        let addresses = one.addresses.ranges().unwrap();
        addresses.v4.contains(address.into())
            && one.ports.as_ref().is_none_or(|ports| ports.contains(port))
    }

    /// Every address with every port is in none of the list, and in one of what is outside of it; or the reverse.
    #[test]
    fn what_no_endpoint_holds_is_held_once() {
        let mut dice = Rng::new(1);
        for number in 0..300 {
            let count = 1 + dice.below(4);
            let endpoint = |_| Endpoint {
                addresses: AddressSet {
                    v4: some(&mut dice, u32::from),
                    ..AddressSet::default()
                }
                .into(),
                ports: (number % 3 > 0 && dice.chance(1, 2)).then(|| some(&mut dice, |port| port)),
            };
            let list: Vec<Endpoint> = (0..count).map(endpoint).collect();
            let outside = outside(&list);
            let named = list.iter().any(|one| one.ports.is_some());
            assert!(outside.iter().all(|one| one.ports.is_some() == named));
            for (address, port) in VALUES.into_iter().flat_map(|a| VALUES.map(|b| (a, b))) {
                let within = list.iter().any(|one| holds(one, address, port));
                let found = outside.iter().filter(|one| holds(one, address, port));
                assert_eq!(found.count(), usize::from(!within), "{list:?}");
            }
        }
    }
}
