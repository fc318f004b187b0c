//! Rules that ufw writes several times for one command, as one.
//!
//! Takes the steps of a list; joins rules next to each other that came of one command and differ in their protocol alone, as those of `ufw allow
//! 53`. First match is the same: nothing stands between them, and they do the same. Not here: what a command says.

use std::rc::Rc;

use sockc_compiler::ranges::RangeSet;

use crate::verbs::import::chains::{Flat, Step};

/// Joins what is one rule, and calls the chains of IPv6 as those of IPv4.
pub(super) fn join(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for mut step in steps {
        if let Step::Rule(flat) = &mut step
            && let Some(rest) = flat.chain.strip_prefix("ufw6-")
        {
            flat.chain = format!("ufw-{rest}");
        }
        match (joined.last_mut(), &step) {
            (Some(Step::Rule(before)), Step::Rule(flat)) if is_one(before, flat) => {
                let protocols = [&before.what, &flat.what].map(|what| what.protocols.ranges());
                before.what.protocols = RangeSet::from_ranges(protocols.concat());
            }
            _ => joined.push(step),
        }
    }
    joined
}

/// Whether two rules are one but for their protocols.
fn is_one(before: &Flat, flat: &Flat) -> bool {
    let is_of_one = match (&before.origin, &flat.origin) {
        (Some(one), Some(other)) => Rc::ptr_eq(one, other),
        _ => false,
    };
    let mut what = flat.what.clone();
    what.protocols = before.what.protocols.clone();
    is_of_one
        && before.end == flat.end
        && before.chain == flat.chain
        && before.log.is_none()
        && flat.log.is_none()
        && what.rate.is_none()
        && what.icmp.is_none()
        && what == before.what
}
