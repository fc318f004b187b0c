//! Packets that are all taken somewhere by rules of the list, so that no rule behind these is written for them.
//!
//! What stands in a list once more, for some packets alone, is often about packets of which none is left. A rule that its own chain leaves
//! nothing for is written all the same: that is how the file has it. Takes what rules took; says whether packets are none any more. Not here:
//! what rules behind a rule still get (`apart`).

use super::*;

/// Packets of which none is left.
pub(super) struct Gone {
    what: What,
    /// The chain that took them, whose own rules are written all the same; nothing where that holds for every rule.
    chain: Option<String>,
}

impl Flattening<'_> {
    /// Keeps in mind what a rule took, where rules would be written for the same. `is_apart` is whether it was about all interfaces but some.
    #[inline(never)]
    pub(super) fn keep_gone(
        &mut self,
        (taken, goal): (What, &Goal),
        is_apart: bool,
        place: &Place<'_>,
    ) {
        let is_whole = taken.asks_interfaces_alone();
        let chain = match goal {
            _ if is_apart && self.ends_list(goal) => None,
            // What one of the chains that the kernel asks accepts has met all others.
            Goal::Accept if self.is_asked_again() => Some(place.chain.to_owned()),
            Goal::Accept | Goal::Drop | Goal::Reject(_) if self.accepted > 0 => {
                Some(place.chain.to_owned())
            }
            Goal::Drop | Goal::Reject(_) if self.is_asked_again() && is_whole => {
                Some(place.chain.to_owned())
            }
            _ => return,
        };
        self.keep(taken, chain);
    }

    /// Keeps in mind what met all that stands behind a rule ahead of it.
    pub(super) fn keep_others(&mut self, others: Vec<What>) {
        for other in others {
            self.keep(other, None);
        }
    }

    fn keep(&mut self, what: What, chain: Option<String>) {
        if what.rate.is_none() && what.unsaid().is_none() {
            self.gone.push(Gone { what, chain });
        }
    }

    /// Whether such packets are none any more for a rule of a chain, or for a policy.
    pub(super) fn is_gone(&self, what: &What, chain: Option<&str>) -> bool {
        let is_own = |gone: &Gone| gone.chain.is_some() && gone.chain.as_deref() == chain;
        let mut gone = self.gone.iter();
        gone.any(|gone| !is_own(gone) && gone.what.holds(what))
    }
}
