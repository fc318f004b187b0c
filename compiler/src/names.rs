//! Names that the language knows by heart: services, DSCP code points, ICMP types, and the nearest of several names.
//!
//! Takes a name as written; gives its number. The tables are here and not read from the machine, so that a policy
//! means the same everywhere. Not here: names that a policy declares.

mod tables;

pub(crate) use tables::DSCP;

use crate::policy::{Family, IcmpMatch};

/// The port of a well-known service.
#[must_use]
pub fn service(name: &str) -> Option<u16> {
    tables::SERVICES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, port)| port)
}

/// The names of all services, in the table's order.
pub fn services() -> impl Iterator<Item = &'static str> {
    tables::SERVICES.iter().map(|&(name, _)| name)
}

/// The two kinds of ICMP, whose types have different names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// ICMP over IPv4.
    Icmp,
    /// ICMPv6 over IPv6.
    Icmp6,
}

impl IcmpKind {
    /// The family that carries it.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Icmp => Family::V4,
            Self::Icmp6 => Family::V6,
        }
    }

    fn table(self) -> &'static [(&'static str, u8, Option<u8>)] {
        match self {
            Self::Icmp => tables::ICMP,
            Self::Icmp6 => tables::ICMP6,
        }
    }

    /// The type (and code, if the name implies one) of a name, in any of its common spellings.
    #[must_use]
    pub fn named(self, name: &str) -> Option<IcmpMatch> {
        let plain = plain_spelling(name);
        self.table()
            .iter()
            .find(|(known, ..)| *known == plain)
            .map(|&(_, kind, code)| IcmpMatch { kind, code })
    }

    /// The name of a type, or of a type with a code, if there is one for just that.
    #[must_use]
    pub fn name_of(self, kind: IcmpMatch) -> Option<&'static str> {
        self.table()
            .iter()
            .find(|&&(_, number, code)| (number, code) == (kind.kind, kind.code))
            .map(|&(name, ..)| name)
    }

    /// The names of all types, in the table's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.table().iter().map(|&(name, ..)| name)
    }
}

/// The spelling that the tables use: British, short, without the `nd-` that nftables puts in front.
fn plain_spelling(name: &str) -> String {
    name.strip_prefix("nd-")
        .unwrap_or(name)
        .replace("neighbor", "neighbour")
        .replace("solicitation", "solicit")
        .replace("advertisement", "advert")
}

/// Names beyond this length were not mistyped by hand, and comparing them takes long.
const MAX_MISTYPED: usize = 64;

/// So many names of a fitting length are compared, and no more: a policy may declare any number.
const MAX_COMPARED: usize = 1000;

/// The candidate that `name` was most likely meant to be, if one is near enough: the first of the nearest.
///
/// Its time is bounded: a candidate whose length differs too much is not compared.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().take(MAX_MISTYPED + 1).count();
    if length > MAX_MISTYPED {
        return None;
    }
    let limit = (length / 3).max(1);
    let lengths = length.saturating_sub(limit)..=length + limit;
    candidates
        .into_iter()
        .filter(|candidate| {
            let most = candidate.chars().take(lengths.end() + 1);
            lengths.contains(&most.count())
        })
        .take(MAX_COMPARED)
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_stands_in_its_table_once() {
        for names in [
            services().collect::<Vec<_>>(),
            IcmpKind::Icmp.names().collect(),
            IcmpKind::Icmp6.names().collect(),
        ] {
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len());
        }
    }

    #[test]
    fn every_icmp_name_is_found_under_its_own_spelling() {
        for kind in [IcmpKind::Icmp, IcmpKind::Icmp6] {
            for name in kind.names() {
                assert!(kind.named(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn both_spellings_of_neighbour_are_one_type() {
        let solicit = Some(IcmpMatch {
            kind: 135,
            code: None,
        });
        for name in [
            "neighbour-solicit",
            "neighbor-solicit",
            "nd-neighbor-solicit",
            "neighbor-solicitation",
        ] {
            assert_eq!(IcmpKind::Icmp6.named(name), solicit, "{name}");
        }
        assert_eq!(IcmpKind::Icmp.named("neighbour-solicit"), None);
    }

    #[test]
    fn the_nearest_name_is_one_that_could_be_meant() {
        assert_eq!(nearest("offcie", ["lab", "office"]), Some("office"));
        assert_eq!(nearest("htps", services()), Some("https"));
        assert_eq!(nearest("zebra", ["office", "lab"]), None);
    }

    #[test]
    fn long_names_have_no_nearest() {
        let long = "a".repeat(64);
        let longer = "a".repeat(65);
        assert_eq!(nearest(&long, [longer.as_str()]), Some(longer.as_str()));
        assert_eq!(nearest(&longer, [longer.as_str()]), None);
        let endless = "a".repeat(1_000_000);
        assert_eq!(nearest("a", std::iter::repeat_n(&*endless, 100_000)), None);
    }
}
