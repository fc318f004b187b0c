//! How far a region reaches: how many senders, receivers and ports some packet of it has.
//!
//! A share of all packets is a product over all fields, so that a hole of one port looks like nothing; what a reader wants to
//! know is who gets in and where to. Takes a diagram of 0 and 1; gives counts. Not here: words.

use super::report::{Addresses, Count, End, Spans};
use crate::diagram::{Node, Store};
use crate::field::{FROM, Field, TO};
use crate::policy::{AddressSet, Direction, Family};
use crate::ranges::{Bound, RangeSet};
use crate::values::addresses::never_reached;

/// The spans of a region, as if it were all that they make together; what has too many ranges to be counted is left out.
pub(super) fn spans(store: &Store, direction: Direction, packets: Node) -> Spans {
    Spans {
        senders: match direction.has_sender() {
            true => end(addresses(store, direction, packets, &FROM)),
            false => End::Unknown,
        },
        receivers: end(addresses(store, direction, packets, &TO)),
        ports: ports(store, packets),
        at_most: false,
    }
}

fn end(addresses: Option<Addresses>) -> End {
    addresses.map_or(End::Parts, End::Of)
}

fn addresses(
    store: &Store,
    direction: Direction,
    packets: Node,
    words: &[Field],
) -> Option<Addresses> {
    let first = *words.first()?;
    // What a process reaches has every address but those that stand for others.
    let never = match direction.of_processes() {
        true => never_reached(direction),
        false => AddressSet::default(),
    };
    let (of_v4, of_v6) = (size(&never.v4), size(&never.v6));
    let [v4, v6] = store.by_family(packets);
    let of = |family: Family, node: Node| match (node, family) {
        (Node::FALSE, _) => Some(Count::Some(0)),
        (node, Family::V4) => Some(count(
            &store.values_of(node, first)?,
            u128::from(u32::MAX) - of_v4,
            u32::MAX.into(),
        )),
        (node, Family::V6) => Some(count(
            &store.addresses_of(node, first)?,
            u128::MAX - of_v6,
            u128::MAX,
        )),
    };
    Some(Addresses {
        v4: of(Family::V4, v4)?,
        v6: of(Family::V6, v6)?,
    })
}

/// The receivers' ports; `None` where packets without ports are in the region too.
fn ports(store: &Store, packets: Node) -> Option<Count> {
    let protocols = store.values_of(packets, Field::Protocol)?;
    let fragments = store.values_of(packets, Field::Fragment)?;
    let mut numbers = protocols.iter().flat_map(|&(low, high)| low..=high);
    let all_have = numbers.all(|number| u8::try_from(number).is_ok_and(Field::has_ports));
    let whole = fragments.iter().all(|(_, high)| *high < 2);
    let values = store.values_of(packets, Field::ToPort)?;
    (all_have && whole).then(|| count(&values, u16::MAX.into(), u16::MAX.into()))
}

fn size<T: Bound + Into<u128>>(set: &RangeSet<T>) -> u128 {
    let ranges = set.ranges().iter();
    ranges
        .map(|&(low, high)| high.into() - low.into() + 1)
        .sum()
}

/// How many numbers up to `last` there are in these ranges; more than `most` is every one there can be.
fn count(ranges: &[(u128, u128)], most: u128, last: u128) -> Count {
    let inside = ranges.iter().filter(|(low, _)| *low <= last);
    let mut sum = 0u128;
    for &(low, high) in inside {
        // Only every number there is has more than fits.
        let Some(more) = (high.min(last) - low)
            .checked_add(1)
            .and_then(|one| sum.checked_add(one))
        else {
            return Count::All;
        };
        sum = more;
    }
    if sum > most {
        Count::All
    } else {
        Count::Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact() {
        assert_eq!(count(&[(0, 255)], 255, 255), Count::All);
        assert_eq!(count(&[(0, 9), (20, 20)], 255, 255), Count::Some(11));
        assert_eq!(count(&[(0, u128::MAX)], u128::MAX, u128::MAX), Count::All);
        assert_eq!(count(&[], 255, 255), Count::Some(0));
        // All but one that there cannot be.
        assert_eq!(count(&[(1, 255)], 254, 255), Count::All);
        assert_eq!(count(&[(2, 255)], 254, 255), Count::Some(254));
    }

    #[test]
    fn a_region_of_one_port_has_all_senders() {
        let mut store = Store::new();
        let of = (Node::TRUE, Node::FALSE);
        let port = store.range(Field::ToPort, 22, 22, of.0, of.1).unwrap();
        let whole = store.range(Field::Fragment, 0, 1, port, of.1).unwrap();
        let tcp = store.range(Field::Protocol, 6, 6, whole, of.1).unwrap();
        let to = store.range(Field::To0, 256, 511, tcp, of.1).unwrap();
        let v4 = store.range(Field::Family, 0, 0, to, of.1).unwrap();
        let spans = spans(&store, Direction::In, v4);
        assert_eq!(spans.ports, Some(Count::Some(1)));
        let only_v4 = |v4| {
            End::Of(Addresses {
                v4,
                v6: Count::Some(0),
            })
        };
        assert_eq!(spans.senders, only_v4(Count::All));
        assert_eq!(spans.receivers, only_v4(Count::Some(256)));
        // Later fragments have no ports, and so the region has packets without.
        let tcp = store.range(Field::Protocol, 6, 6, port, of.1).unwrap();
        assert_eq!(super::spans(&store, Direction::In, tcp).ports, None);
        let later = store.range(Field::Fragment, 2, 2, port, of.1).unwrap();
        let tcp = store.range(Field::Protocol, 6, 6, later, of.1).unwrap();
        assert_eq!(super::spans(&store, Direction::In, tcp).ports, None);
    }
}
