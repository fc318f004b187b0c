//! Marks of packets, as tools ask for them.
//!
//! Takes marks with their masks; gives what a rule asks. Not here: who sets them.

use sockc_compiler::policy::Family;

use super::list::List;
use super::rule::Asks;
use super::what::{Asked, What, any_of};

/// A mark: these bits of it, of those in the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// The bits that are set.
    pub(super) wanted: u32,
    /// The bits that are looked at.
    pub(super) mask: u32,
}

impl Mark {
    fn text(self) -> String {
        match self.mask {
            u32::MAX => format!("mark {:#x}", self.wanted),
            mask => format!("mark {:#x}/{mask:#x}", self.wanted),
        }
    }
}

/// Packets with one of these marks, or with none of them.
pub(super) fn asks(marks: &[Mark], negated: bool, family: Family, list: List) -> Asks {
    let with = marks.first().map(|one| format!("mark {:#x}", one.wanted));
    let texts = marks.iter().map(|one| one.text()).collect();
    let asked = Asked::unless(negated, any_of(texts), with);
    let changed = "marks that netfilter sets on what arrives are set later than the policy decides";
    Asks {
        changed: (list == List::In).then(|| changed.to_owned()),
        ..What::asked(family, asked).into()
    }
}

/// A number as C writes it.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
