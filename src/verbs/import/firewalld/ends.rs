//! Senders and receivers of firewalld: addresses, hardware addresses, and sets.
//!
//! Takes them as they are written; gives what a rule asks of one side of a packet. Not here: what sets hold, and which zone has which
//! senders.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use crate::verbs::import::addresses;
use crate::verbs::import::hardware;
use crate::verbs::import::ipset::{Match, Set, Sets, Within};
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Of, What, last};

/// Who sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Addresses of a family.
    Addresses(Family, (u128, u128)),
    /// A hardware address.
    Hardware(String),
    /// A set.
    Set(String),
}

/// Reads an address, a prefix, or a hardware address.
pub(super) fn read(text: &str) -> Result<End, String> {
    if hardware::is_one(text) {
        return Ok(End::Hardware(text.to_owned()));
    }
    match addresses::prefix(text) {
        Some((family, range)) => Ok(End::Addresses(family, range)),
        None => Err(format!(
            "`{text}` is no address, no prefix and no hardware address; write one such as 192.0.2.0/24"
        )),
    }
}

/// What one of these, or none of them, asks of a side; no case where it is of the other family.
pub(super) fn asks(
    end: &End,
    negated: bool,
    of: Of,
    (sets, family, list): (&Sets, Family, List),
) -> Result<Asks, String> {
    match end {
        End::Addresses(own, _) if *own != family => Ok(Asks::default()),
        End::Addresses(_, range) => {
            Ok(
                What::addressed(RangeSet::from_ranges([*range]), negated, None, (of, family))
                    .into(),
            )
        }
        End::Hardware(address) => hardware::asks(of.word(), &[address], negated, family, list),
        End::Set(name) => in_set(name, negated, of, (sets, family, list)),
    }
}

fn in_set(
    name: &str,
    negated: bool,
    of: Of,
    (sets, family, list): (&Sets, Family, List),
) -> Result<Asks, String> {
    let set = sets.of(name);
    if set
        .and_then(|set| set.family)
        .is_some_and(|own| own != family)
    {
        return Ok(Asks::default());
    }
    let parts = set.map_or(1, Set::parts);
    if negated && parts > 1 {
        return Err(format!(
            "all are meant whose address, protocol and port are not together in the set {name}; a rule names those that it is about"
        ));
    }
    let asked = Match {
        sides: vec![of; parts],
        negated,
        returned: false,
        within: Within::of(&[What::any(family)]),
    };
    sets.asks(name, &asked, (family, list))
}

/// Whether these are all addresses of a family, which no set of firewalld holds.
pub(super) fn is_every(family: Family, (low, high): (u128, u128)) -> bool {
    low == 0 && high == last(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_is_an_address_or_a_hardware_address() {
        assert!(matches!(read("02:42:ac:11:00:02"), Ok(End::Hardware(_))));
        assert!(matches!(
            read("10.0.0.0/8"),
            Ok(End::Addresses(Family::V4, _))
        ));
        assert!(read("lan").is_err());
    }
}
