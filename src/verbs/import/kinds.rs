//! Kinds of addresses: those of many, and those of this machine.
//!
//! Takes the name of a kind; gives its addresses as far as they are known without the machine. Not here: how a tool asks for them.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::what::{Named, OWN, both, every};

/// What is said of addresses for broadcast.
pub(super) const SUBNETS: &str =
    "the broadcast addresses of subnets are not known here; name them ahead";
/// What is said of addresses of the machine.
pub(super) const SELF: &str = "LOCAL is `self`; where the rule is about one family, or about given addresses besides, those of many are left out of these instead, and what passes through has such addresses, too";
/// What is said of kinds that nothing here is like.
pub(super) const UNKNOWN: &str = "which addresses are meant only the machine knows; those of the machine itself are `self`: write that rule by hand, or name them";

/// The addresses of a kind.
pub(super) struct Kinds {
    /// Which they are.
    pub(super) addresses: RangeSet<u128>,
    /// Whether they are those of the machine.
    pub(super) is_own: bool,
    /// Why these are not exactly those, if so.
    pub(super) changed: Option<&'static str>,
}

impl Kinds {
    /// Those of a name, in capitals. Of what arrives for this machine (`is_received`) an address is its own where it is none of many;
    /// all else only the machine knows.
    pub(super) fn named(kind: &str, is_received: bool, family: Family) -> Option<Self> {
        let many = many(family);
        let (addresses, changed) = match kind {
            "MULTICAST" => (multicast(family), None),
            "BROADCAST" if is_received && family == Family::V4 => {
                (both(&many, &broadcast()), Some(SUBNETS))
            }
            "LOCAL" if is_received => (every(family).minus(&many), Some(SELF)),
            _ => return None,
        };
        Some(Self {
            addresses,
            is_own: kind == "LOCAL",
            changed,
        })
    }
}

/// The name for the addresses of the machine, where only they are meant, or all others.
pub(super) fn own(negated: bool) -> Named {
    Named::new(OWN.to_owned(), negated)
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
