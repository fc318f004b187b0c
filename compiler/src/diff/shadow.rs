//! What a region is, drawn over the sender's address and the receiver's port.
//!
//! Takes a diagram of 0 and 1; gives areas: where a case of it has this address and this port, whatever else it has. Not
//! here: pictures.

use super::report::Shadow;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::policy::Family;

/// The maximum number of areas of one region. A picture of more tells nobody more.
const MAX_AREAS: usize = 4_096;

/// The areas of a region, IPv4 first; of very many the first.
pub(super) fn shadow(store: &mut Store, packets: Node) -> Result<Vec<Shadow>, BudgetExceeded> {
    let mut areas = Vec::new();
    for (part, family) in store
        .by_family(packets)
        .into_iter()
        .zip([Family::V4, Family::V6])
    {
        let any_protocol = store.exists(part, Field::Protocol)?;
        let any_part = store.exists(any_protocol, Field::Fragment)?;
        areas.extend(of_family(store, any_part, family));
    }
    areas.truncate(MAX_AREAS);
    Ok(areas)
}

/// Ports, and the addresses that packets to them come from.
type Column = ((u16, u16), Vec<(u128, u128)>);

/// The areas of one family, with neighbouring ports of the same addresses as one.
fn of_family(store: &Store, packets: Node, family: Family) -> Vec<Shadow> {
    let ipv6 = family == Family::V6;
    let mut columns: Vec<Column> = Vec::new();
    for (low, high, node) in store.arms(packets, Field::ToPort) {
        let addresses = match family {
            Family::V4 => store.values_of(node, Field::From0),
            Family::V6 => store.addresses_of(node, Field::From0),
        };
        let addresses = addresses.unwrap_or_else(|| vec![(0, last(family))]);
        let (low, high) = (low as u16, high as u16);
        match columns.last_mut() {
            Some((ports, known)) if ports.1.checked_add(1) == Some(low) && *known == addresses => {
                ports.1 = high;
            }
            _ => columns.push(((low, high), addresses)),
        }
    }
    let area = |ports, from| Shadow { ipv6, from, ports };
    let columns = columns.into_iter();
    let areas = columns.flat_map(|(ports, all)| all.into_iter().map(move |from| area(ports, from)));
    areas.take(MAX_AREAS).collect()
}

fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_all_that_some_case_has() {
        let mut store = Store::new();
        let of = (Node::TRUE, Node::FALSE);
        let near = store.range(Field::From0, 10, 19, of.0, of.1).unwrap();
        let web = store
            .ranges(Field::ToPort, &[(80, 80), (443, 443)], near, of.1)
            .unwrap();
        let tcp = store.range(Field::Protocol, 6, 6, web, of.1).unwrap();
        let from = [(5 << 96, (6 << 96) - 1)];
        let far = store
            .address_ranges(Field::From0, &from, of.0, of.1)
            .unwrap();
        let all = store.range(Field::Family, 0, 0, tcp, far).unwrap();
        let area = |ipv6, from, ports| Shadow { ipv6, from, ports };
        let expected = [
            area(false, (10, 19), (80, 80)),
            area(false, (10, 19), (443, 443)),
            area(true, from[0], (0, u16::MAX)),
        ];
        assert_eq!(shadow(&mut store, all).unwrap(), expected);
        assert_eq!(shadow(&mut store, Node::FALSE).unwrap(), []);
    }
}
