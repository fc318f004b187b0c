//! The rule sets by name: one table.
//!
//! Takes a name, a size and nothing else; gives the same rules every time. What is in a family stands in `generate` and
//! `hostile`; the sets of ClassBench have names of their own and are read, not made.

use sockc_testing::Rng;

use super::generate::{ACL, DUAL, FIREWALL, IPC, from_mix};
use super::{Rule, RuleSet, generate, hostile};

/// A family of rule sets.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// What is in it, for people.
    pub(crate) about: &'static str,
    make: fn(&mut Rng, usize) -> Vec<Rule>,
}

/// Every family that is made here.
pub(crate) const FAMILIES: [Family; 10] = [
    Family {
        name: "exact",
        about: "udp to one address and one port",
        make: generate::exact,
    },
    Family {
        name: "hosts",
        about: "tcp to one address and one port, some addresses with several",
        make: generate::hosts,
    },
    Family {
        name: "interval",
        about: "udp from a prefix to a prefix and a port range",
        make: generate::intervals,
    },
    Family {
        name: "acl",
        about: "access lists: long destinations, mostly one port",
        make: |rng, size| from_mix(&ACL, rng, size),
    },
    Family {
        name: "firewall",
        about: "firewalls: many wild addresses and port ranges",
        make: |rng, size| from_mix(&FIREWALL, rng, size),
    },
    Family {
        name: "ipc",
        about: "both: long pairs of addresses, ports on both sides",
        make: |rng, size| from_mix(&IPC, rng, size),
    },
    Family {
        name: "dual",
        about: "access lists, half of them IPv6",
        make: |rng, size| from_mix(&DUAL, rng, size),
    },
    Family {
        name: "ranges",
        about: "hostile: few addresses, many port ranges",
        make: hostile::ranges,
    },
    Family {
        name: "nested",
        about: "hostile: prefixes in prefixes, each with the other verdict",
        make: hostile::nested,
    },
    Family {
        name: "one-field",
        about: "hostile: everything wild but one field",
        make: hostile::one_field,
    },
];

impl Family {
    /// The family of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// About `size` rules; fewer where a family has no more different ones.
    pub(crate) fn rules(&self, size: usize) -> RuleSet {
        let mut rng = seed(self.name, size);
        RuleSet::new(self.name, (self.make)(&mut rng, size))
    }
}

/// The generator of a family and size. Other sizes are other sets, not beginnings of one.
pub(crate) fn seed(name: &str, size: usize) -> Rng {
    let start = 0xcbf2_9ce4_8422_2325 ^ size as u64;
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    Rng::new(name.bytes().fold(start, mix))
}
