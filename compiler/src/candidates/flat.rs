//! The rules that may match a packet, without trees: made in one pass over the rules, and asked in another.
//!
//! For those who ask about some packets only, where trees would take longer to make than all answers together.

use super::{Dimensions, meet, place, shape};
use crate::event::Header;
use crate::policy::{Family, Match, Policy, RuleId};

/// The rules of a list, in order.
pub(crate) struct Flat {
    /// By family, IPv4 first.
    families: [Vec<(RuleId, Dimensions)>; 2],
}

impl Flat {
    /// Takes the rules of a list, in order.
    pub(crate) fn new<'a>(
        policy: &Policy,
        rules: impl Iterator<Item = (RuleId, &'a Match)> + Clone,
    ) -> Self {
        let of = |family| {
            let shaped = rules.clone();
            let shaped = shaped.filter_map(|(id, one)| Some((id, shape(policy, one, family)?)));
            shaped.collect()
        };
        Self {
            families: [of(Family::V4), of(Family::V6)],
        }
    }

    /// The rules that may match a packet, in order; every other one does not.
    pub(crate) fn around(&self, header: &Header) -> Vec<RuleId> {
        let point = place(header);
        let rules = self.families[usize::from(header.to.is_ipv6())].iter();
        let near = rules.filter(|(_, shape)| meet(shape, &point));
        near.map(|(id, _)| *id).collect()
    }
}
