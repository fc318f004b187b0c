//! Types of ICMP by the names of firewalld.
//!
//! Takes a name, and a file of `icmptypes` where one has that name; gives the type and code in each family. Not here: rules about them.

use sockc_compiler::policy::Family;

use super::xml::{self, File, Known, Mistake, known};
use crate::verbs::import::what::What;

/// A type, and a code where one is meant.
type Number = (u8, Option<u8>);

/// The names, with what they are in IPv4 and in IPv6, as firewalld hands them to nftables. Its files add only what they are called.
const TYPES: &[(&str, Option<Number>, Option<Number>)] = &[
    ("address-unreachable", None, Some((1, Some(3)))),
    ("bad-header", None, Some((4, Some(0)))),
    ("beyond-scope", None, Some((1, Some(2)))),
    (
        "communication-prohibited",
        Some((3, Some(13))),
        Some((1, Some(1))),
    ),
    ("destination-unreachable", Some((3, None)), Some((1, None))),
    ("echo-reply", Some((0, None)), Some((129, None))),
    ("echo-request", Some((8, None)), Some((128, None))),
    ("failed-policy", None, Some((1, Some(5)))),
    ("fragmentation-needed", Some((3, Some(4))), None),
    ("host-precedence-violation", Some((3, Some(14))), None),
    ("host-prohibited", Some((3, Some(10))), None),
    ("host-redirect", Some((5, Some(1))), None),
    ("host-unknown", Some((3, Some(7))), None),
    ("host-unreachable", Some((3, Some(1))), None),
    ("ip-header-bad", Some((12, Some(1))), None),
    ("mld-listener-done", None, Some((132, None))),
    ("mld-listener-query", None, Some((130, None))),
    ("mld-listener-report", None, Some((131, None))),
    ("mld2-listener-report", None, Some((143, None))),
    ("neighbour-advertisement", None, Some((136, None))),
    ("neighbour-solicitation", None, Some((135, None))),
    ("network-prohibited", Some((3, Some(8))), None),
    ("network-redirect", Some((5, Some(0))), None),
    ("network-unknown", Some((3, Some(6))), None),
    ("network-unreachable", Some((3, Some(0))), None),
    ("no-route", None, Some((1, Some(0)))),
    ("packet-too-big", None, Some((2, None))),
    ("parameter-problem", Some((12, None)), Some((4, None))),
    ("port-unreachable", Some((3, Some(3))), Some((1, Some(4)))),
    ("precedence-cutoff", Some((3, Some(15))), None),
    ("protocol-unreachable", Some((3, Some(2))), None),
    ("redirect", Some((5, None)), Some((137, None))),
    ("reject-route", None, Some((1, Some(6)))),
    ("required-option-missing", Some((12, Some(1))), None),
    ("router-advertisement", Some((9, None)), Some((134, None))),
    ("router-solicitation", Some((10, None)), Some((133, None))),
    ("source-quench", Some((4, None)), None),
    ("source-route-failed", Some((3, Some(5))), None),
    ("time-exceeded", Some((11, None)), Some((3, None))),
    ("timestamp-reply", Some((14, None)), None),
    ("timestamp-request", Some((13, None)), None),
    ("tos-host-redirect", Some((5, Some(3))), None),
    ("tos-host-unreachable", Some((3, Some(12))), None),
    ("tos-network-redirect", Some((5, Some(2))), None),
    ("tos-network-unreachable", Some((3, Some(11))), None),
    (
        "ttl-zero-during-reassembly",
        Some((11, Some(1))),
        Some((3, Some(1))),
    ),
    (
        "ttl-zero-during-transit",
        Some((11, Some(0))),
        Some((3, Some(0))),
    ),
    ("unknown-header-type", None, Some((4, Some(1)))),
    ("unknown-option", None, Some((4, Some(2)))),
];

const KNOWN: &[Known] = &[
    known("icmptype", &[], &[], &["name", "version"]),
    known("short", &["icmptype"], &[], &[]),
    known("description", &["icmptype"], &[], &[]),
    known("destination", &["icmptype"], &[], &["ipv4", "ipv6"]),
];

/// Reads for which families a file says that a type is; for both where it says nothing.
pub(super) fn read(file: &File) -> Result<Vec<Family>, Mistake> {
    xml::read(file, "icmptype", &[KNOWN], |root| {
        let said = root.children().filter(|one| one.name() == "destination");
        let families = said.flat_map(|one| {
            let all = [("ipv4", Family::V4), ("ipv6", Family::V6)];
            all.into_iter()
                .filter(move |(name, _)| one.is_yes(name))
                .map(|(_, family)| family)
        });
        let families: Vec<Family> = families.collect();
        Ok(match families.is_empty() {
            true => vec![Family::V4, Family::V6],
            false => families,
        })
    })
}

/// The packets of a type, if the family has it; an error where nobody knows it.
pub(super) fn of(name: &str, family: Family) -> Result<Option<What>, String> {
    let known = TYPES.iter().find(|(known, ..)| *known == name);
    let (_, v4, v6) = known.ok_or_else(|| {
        format!("firewalld has no number for the type of ICMP {name}; write a rule with its type, as `allow icmp 3/4`")
    })?;
    let number = match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    Ok(number.map(|(kind, code)| What::icmp(family, kind, code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_of_one_family_or_of_both() {
        let of = |name, family| of(name, family).map(|what| what.map(|what| what.icmp));
        assert_eq!(
            of("redirect", Family::V4),
            Ok(Some(Some([(5, None)].into())))
        );
        assert_eq!(
            of("redirect", Family::V6),
            Ok(Some(Some([(137, None)].into())))
        );
        assert_eq!(of("packet-too-big", Family::V4), Ok(None));
        assert!(of("nothing", Family::V4).is_err());
        assert!(TYPES.is_sorted_by_key(|(name, ..)| *name));
    }
}
