//! Kinds of addresses: those of many, and those of this machine.
//!
//! Takes the name of a kind; gives its addresses as far as they are known without the machine. Not here: how a tool asks for them.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::what::{both, every};

/// What is said of kinds that are not exact.
pub(super) const SUBNETS: &str = "the broadcast addresses of subnets are not known here and taken for addresses of the machine; name them ahead";

/// The addresses of a kind.
pub(super) struct Kinds {
    /// Which they are.
    pub(super) addresses: RangeSet<u128>,
    /// Whether these are all, and no others.
    pub(super) is_exact: bool,
}

impl Kinds {
    /// Those of a name, in capitals. Of what arrives for this machine (`is_received`) an address is its own where it is none of many;
    /// all else only the machine knows.
    pub(super) fn named(kind: &str, is_received: bool, family: Family) -> Option<Self> {
        let many = many(family);
        let (addresses, is_exact) = match kind {
            "MULTICAST" => (multicast(family), true),
            "BROADCAST" if is_received && family == Family::V4 => {
                (both(&many, &broadcast()), false)
            }
            "LOCAL" if is_received => (every(family).minus(&many), family == Family::V6),
            _ => return None,
        };
        Some(Self {
            addresses,
            is_exact,
        })
    }
}

/// Addresses of many.
fn many(family: Family) -> RangeSet<u128> {
    let all = multicast(family);
    match family {
        Family::V4 => {
            RangeSet::from_ranges(all.ranges().iter().chain(broadcast().ranges()).copied())
        }
        Family::V6 => all,
    }
}

fn multicast(family: Family) -> RangeSet<u128> {
    RangeSet::from_ranges([match family {
        Family::V4 => (0xe000_0000, 0xefff_ffff),
        Family::V6 => (0xff << 120, u128::MAX),
    }])
}

/// The broadcast address of every link.
fn broadcast() -> RangeSet<u128> {
    let all: u128 = u32::MAX.into();
    RangeSet::from_ranges([(all, all)])
}
