//! Which classes of interfaces are one interface, and what that means for what passes through.
//!
//! Takes a policy's zones and the patterns of its rules; gives whether a packet can come in by an interface of one class and
//! leave by another one of a second class. Not here: which interfaces there are.

use super::{ClassId, Match, Policy};
use crate::glob;

impl Policy {
    /// Whether a packet can come in by an interface of one class and leave by another interface, of the other class. What goes back
    /// out of the interface by which it came does not pass through, so one of a class that is a single interface cannot.
    #[must_use]
    pub fn lead_through(&self, came_in: ClassId, leaves: ClassId) -> bool {
        came_in != leaves || !self.is_one_interface(came_in)
    }

    /// Whether a class is one interface: a name without `*` and `?` that rules name, or the only such name of a zone that is in it.
    #[must_use]
    pub(crate) fn is_one_interface(&self, class: ClassId) -> bool {
        let Some(known) = self.classes.get(class) else {
            return false;
        };
        if known.patterns.iter().any(|one| !glob::is_pattern(one)) {
            return true;
        }
        let zone = known.zone.iter();
        let zone = zone.flat_map(|zone| &self.zones[*zone].patterns);
        let mut own = Vec::new();
        for name in zone.filter(|name| self.may_have(class, name)) {
            if glob::is_pattern(name) {
                return false;
            }
            own.push(name);
        }
        own.dedup();
        own.len() == 1
    }

    /// Whether an interface of a class may be one that a pattern of its zone covers: of a name it is known what else covers it.
    fn may_have(&self, class: ClassId, of_zone: &str) -> bool {
        let own = &self.classes[class].patterns;
        let mut all = self.classes.values().flat_map(|one| &one.patterns);
        glob::is_pattern(of_zone) || all.all(|one| glob::matches(one, of_zone) == own.contains(one))
    }
}

impl Match {
    /// Whether a packet can pass through as its two interfaces are named; what no interface is called says nothing of that.
    #[must_use]
    pub(crate) fn leads_through(&self, policy: &Policy) -> bool {
        let (Some(on), Some(leaves)) = (&self.on, &self.leaves) else {
            return true;
        };
        if on.is_empty() || leaves.is_empty() {
            return true;
        }
        let mut pairs = on
            .iter()
            .flat_map(|came_in| leaves.iter().map(move |leaves| (*came_in, *leaves)));
        pairs.any(|(came_in, leaves)| policy.lead_through(came_in, leaves))
    }
}
