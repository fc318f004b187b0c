//! The plainest packet of a region: one that a person would write down.
//!
//! Where a field is free it gets the value that `docs/packets.md#what-is-not-said` calls plain, or a documentation address. Preferences
//! are tried one after the other; one that would leave nothing is left out.

use std::net::IpAddr;

use super::classify::{sides, within};
use super::{BudgetExceeded, FieldValues, Node, Store};
use crate::field::{FROM, Field, TO};
use crate::header_field;
use crate::policy::{AddressSet, Policy};

/// What all else depends on: a whole packet of IPv4, of TCP or else of UDP.
const SHAPE: [(Field, u32, u32); 4] = [
    (Field::Fragment, 0, 0),
    (Field::Family, 0, 0),
    (Field::Protocol, 6, 6),
    (Field::Protocol, 17, 17),
];

/// Other fields and the value that is plain, after those of the header: ports are those of a client of a web server.
/// Values that come later are tried where earlier ones of the same field are not to be had.
const PLAIN: [(Field, u32, u32); 9] = [
    (Field::Socket, 0, 0),
    (Field::FromPort, 40_000, 40_000),
    (Field::FromPort, 1024, 65_535),
    (Field::ToPort, 80, 80),
    (Field::ToPort, 8080, 8080),
    (Field::ToPort, 1, 65_535),
    (Field::Icmp, 0x0800, 0x0800),
    (Field::Interface, 0, 0),
    (Field::Leaving, 0, 0),
];

/// Documentation addresses (RFC 5737, RFC 3849) by side: the sender's, then the receiver's; what comes first is tried
/// first.
const ADDRESSES: [[[&str; 2]; 2]; 2] = [
    [
        ["198.51.100.7", "2001:db8:7::7"],
        ["203.0.113.7", "2001:db8:9::7"],
    ],
    [
        ["192.0.2.1", "2001:db8:2::1"],
        ["203.0.113.1", "2001:db8:9::1"],
    ],
];

/// The first words of addresses that machines have: neither the lowest nor multicast.
const USUAL: (u32, u32) = (0x0100_0000, 0xdfff_ffff);

/// The values of the plainest packet for which the diagram is 1; `None` if there is none.
pub(crate) fn plainest(
    store: &mut Store,
    policy: &Policy,
    region: Node,
) -> Result<Option<FieldValues>, BudgetExceeded> {
    let mut node = plain_headers(store, region)?;
    let rates = Field::of(policy)
        .into_iter()
        .filter(|field| matches!(field, Field::Conforms(_)));
    for field in rates {
        let conforms = store.range(field, 1, 1, Node::TRUE, Node::FALSE)?;
        node = preferred(store, node, conforms)?;
    }
    Ok(store.satisfy(node, 1))
}

/// From so many nodes on, addresses are chosen before everything else.
const LARGE: usize = 4_000;

/// Those of the packets whose headers are plainest.
pub(crate) fn plain_headers(store: &mut Store, region: Node) -> Result<Node, BudgetExceeded> {
    let mut node = region;
    if store.count(region) > LARGE {
        node = of_one_pair(store, region)?;
    }
    let fields = header_field::rows().filter(|row| !row.shapes());
    let fields = fields.filter_map(|row| Some(row.parts(row.plain_code()?)));
    let fields = fields.flatten().map(|(field, part)| (field, part, part));
    for (field, low, high) in SHAPE.into_iter().chain(fields).chain(PLAIN) {
        let plain = store.range(field, low, high, Node::TRUE, Node::FALSE)?;
        node = preferred(store, node, plain)?;
    }
    node = of_documentation(store, node)?;
    for (v4, v6) in [(TO[0], TO[3]), (FROM[0], FROM[3])] {
        // The first host of a network, as long as that is one.
        let short = store.masked(v4, 0xff, 1)?;
        let long = store.masked(v6, 0xffff, 1)?;
        let host = store.range(Field::Family, 0, 0, short, long)?;
        node = preferred(store, node, host)?;
    }
    Ok(node)
}

/// Those between documentation addresses, if there are any.
fn of_documentation(store: &mut Store, packets: Node) -> Result<Node, BudgetExceeded> {
    let mut node = packets;
    for (side, choices) in sides().into_iter().zip(ADDRESSES) {
        for texts in choices {
            let addresses = texts
                .into_iter()
                .filter_map(|text| text.parse::<IpAddr>().ok());
            let plain = within(store, &AddressSet::of(addresses), &side)?;
            node = preferred(store, node, plain)?;
        }
    }
    for word in [TO[0], FROM[0]] {
        let usual = store.range(word, USUAL.0, USUAL.1, Node::TRUE, Node::FALSE)?;
        node = preferred(store, node, usual)?;
    }
    Ok(node)
}

/// The packets of one sender and one receiver among them: what comes after addresses in a diagram is slow to ask about
/// where there are many.
fn of_one_pair(store: &mut Store, region: Node) -> Result<Node, BudgetExceeded> {
    let mut node = region;
    for (field, value) in [
        // Ports are of no use to a later fragment, so this is asked for ahead of them.
        (Field::Fragment, 0),
        (Field::Family, 0),
        (Field::Protocol, 6),
        (Field::ToPort, 80),
    ] {
        let plain = store.range(field, value, value, Node::TRUE, Node::FALSE)?;
        node = preferred(store, node, plain)?;
    }
    node = of_documentation(store, node)?;
    let Some(values) = store.satisfy(node, 1) else {
        return Ok(node);
    };
    for field in TO.into_iter().chain(FROM) {
        let value = values.get(field);
        let own = store.range(field, value, value, Node::TRUE, Node::FALSE)?;
        node = preferred(store, node, own)?;
    }
    Ok(node)
}

/// Those of the packets that are plain, if there are any; else all of them.
pub(crate) fn preferred(
    store: &mut Store,
    packets: Node,
    plain: Node,
) -> Result<Node, BudgetExceeded> {
    let some = store.and(packets, plain)?;
    Ok(if some == Node::FALSE { packets } else { some })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_packet_has_something_plain() {
        let rows = header_field::rows();
        let (shortest, rows): (Vec<_>, Vec<_>) = rows.partition(|row| row.plain_code().is_none());
        let told = SHAPE.into_iter().chain(PLAIN).map(|(field, ..)| field);
        let mut told: Vec<Field> = told.chain(TO).chain(FROM).collect();
        told.extend(rows.iter().flat_map(|row| row.variables));
        let mut left = Field::FIXED.iter().filter(|field| !told.contains(field));
        // How long it is follows from the rest, and which bulk rule matches is no part of a packet.
        assert_eq!((shortest.len(), left.next()), (1, Some(&Field::Length)));
        assert_eq!(left.collect::<Vec<_>>(), [&Field::FirstMatch]);
    }

    #[test]
    fn what_is_free_is_plain_and_what_is_not_is_kept() {
        let policy = Policy::default();
        let mut store = Store::of(&policy);
        let udp = store
            .range(Field::Protocol, 17, 17, Node::TRUE, Node::FALSE)
            .unwrap();
        let far = store.range(Field::Ttl, 0, 9, udp, Node::FALSE).unwrap();
        let values = plainest(&mut store, &policy, far).unwrap().unwrap();
        let of = |field| values.get(field);
        assert_eq!(
            (of(Field::Protocol), of(Field::Ttl), of(Field::Dscp)),
            (17, 0, 0)
        );
        assert_eq!((of(Field::FromPort), of(Field::ToPort)), (40_000, 80));
        assert_eq!(of(Field::To0), 0xc000_0201);
        assert_eq!(plainest(&mut store, &policy, Node::FALSE).unwrap(), None);
    }
}
