//! What table `main` routes elsewhere inside a prefix of table `local`.
//!
//! As long as nobody ever added a rule of routing for IPv4 the kernel keeps both tables as one trie (`fib_trie_unmerge` in
//! `net/ipv4/fib_trie.c`, which `fib_unmerge` calls), and the longest prefix of both wins; of two of one length that of `local`. Once
//! a rule was added, also where it is gone again, all of `local` is asked ahead of `main`. Nothing tells which of both it is, so the
//! kernel is asked how it delivers one address of each route in question. IPv6 asks `local` first at any time.
//!
//! Takes the entries of both tables and whom to ask; gives the prefixes that are not delivered here. Not here: the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::prefix::Prefix;

/// The entries of table `local`, of which each prefix has one: the first, which the kernel asks.
#[derive(Debug, Default)]
pub(super) struct Local(BTreeMap<Prefix, bool>);

impl Local {
    pub(super) fn of(entries: &[(Prefix, bool)]) -> Self {
        let mut local = BTreeMap::new();
        let v4 = entries.iter().filter(|(one, _)| one.address().is_ipv4());
        for (prefix, is_local) in v4 {
            local.entry(*prefix).or_insert(*is_local);
        }
        Self(local)
    }

    /// Whether a route of table `main` lies inside what table `local` delivers here.
    pub(super) fn is_around(&self, route: Prefix) -> bool {
        let mut lengths = (0..route.length()).rev();
        let nearest = lengths.find_map(|length| {
            let outer = Prefix::truncate(route.address(), length)?;
            self.0.get(&outer)
        });
        nearest == Some(&true) && !self.0.contains_key(&route)
    }

    /// Those of these routes, all inside, by which the kernel delivers elsewhere.
    pub(super) fn elsewhere<E>(
        &self,
        routes: &[Prefix],
        mut is_delivered: impl FnMut(IpAddr) -> Result<bool, E>,
    ) -> Result<Vec<Prefix>, E> {
        let all: BTreeSet<Prefix> = self.0.keys().chain(routes).copied().collect();
        let mut found = Vec::new();
        for route in routes {
            // What lies inside it is asked by itself.
            let Some(address) = own_address(*route, &all) else {
                continue;
            };
            if !is_delivered(address)? {
                found.push(*route);
            }
        }
        Ok(found)
    }
}

/// The first address for which this prefix is the longest of all of them, if there is one.
fn own_address(prefix: Prefix, all: &BTreeSet<Prefix>) -> Option<IpAddr> {
    let (mut bits, end) = span(prefix)?;
    while bits < end {
        let address = IpAddr::from(Ipv4Addr::from_bits(u32::try_from(bits).ok()?));
        let mut longer = (prefix.length() + 1..=32).rev();
        let inner = longer.find_map(|length| {
            let inner = Prefix::truncate(address, length)?;
            all.contains(&inner).then_some(inner)
        });
        match inner {
            None => return Some(address),
            Some(inner) => bits = span(inner)?.1,
        }
    }
    None
}

/// The first address, and the one behind the last.
fn span(prefix: Prefix) -> Option<(u64, u64)> {
    let IpAddr::V4(low) = prefix.address() else {
        return None;
    };
    let low = u64::from(low.to_bits());
    let size = 1_u64.checked_shl(32_u32.checked_sub(prefix.length().into())?)?;
    Some((low, low + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn local() -> Local {
        Local::of(&[
            (prefix("10.0.0.0/8"), true),
            (prefix("10.0.0.0/32"), false),
            (prefix("10.9.0.0/16"), false),
            (prefix("192.0.2.1/32"), true),
            (prefix("192.0.2.1/32"), false),
            (prefix("::/0"), true),
        ])
    }

    #[test]
    fn routes_inside_what_is_delivered_here_are_in_question() {
        for (route, is_around) in [
            ("10.1.0.0/16", true),
            ("10.0.0.0/24", true),
            ("10.0.0.0/8", false),
            ("10.9.1.0/24", false),
            ("10.0.0.0/32", false),
            ("192.0.2.1/32", false),
            ("192.0.2.0/24", false),
            ("0.0.0.0/0", false),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(local().is_around(prefix(route)), is_around, "{route}");
        }
    }

    /// The address that is asked is one that this route decides about, and no other entry.
    #[test]
    fn the_kernel_is_asked_for_an_address_that_the_route_is_for() {
        let routes = [
            "10.0.0.0/24",
            "10.1.0.0/30",
            "10.1.0.0/31",
            "10.1.0.2/32",
            "10.1.0.3/32",
        ]
        .map(prefix);
        let mut asked = Vec::new();
        let found = local().elsewhere(&routes, |address| {
            asked.push(address.to_string());
            Ok::<bool, ()>(address.to_string() == "10.1.0.2")
        });
        assert_eq!(asked, ["10.0.0.1", "10.1.0.0", "10.1.0.2", "10.1.0.3"]);
        let left = ["10.0.0.0/24", "10.1.0.0/31", "10.1.0.3/32"];
        assert_eq!(found.unwrap(), left.map(prefix));
    }
}
