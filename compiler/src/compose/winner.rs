//! What a socket lookup says of a packet whose winner the packet hooks know.
//!
//! Packet hooks ask for the first of all bulk rules that matches, a lookup for the first of those that do not take
//! packets away. Where the packet hooks' winner takes none away, it is the lookup's too. Where it does, the packet may
//! still get to a lookup, past a rule ahead of it; the lookup then has another winner, which stands behind that one in the
//! list, or none. A lookup that says the same for all of them says that; otherwise what it says is not known.

use super::BROKEN;
use crate::bulk::takes;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::policy::{Direction, Policy};

/// A lookup's diagram, of its own winner, as one of the packet hooks' winner.
pub(super) fn behind_packet_hooks(
    store: &mut Store,
    policy: &Policy,
    lookup: Node,
) -> Result<Node, BudgetExceeded> {
    let none = store.fix(lookup, Field::Winner, 0)?;
    let mut whole = lookup;
    let mut others = none;
    // From the last rule to the first: `others` is what the lookup says for every winner from there on.
    for run in runs(policy).iter().rev() {
        for &(group, _) in run.iter().filter(|(_, takes)| !takes) {
            let known = store.fix(lookup, Field::Winner, group)?;
            others = store.apply2(others, known, &mut |a, b| if a == b { a } else { BROKEN })?;
        }
        for &(group, _) in run.iter().filter(|(_, takes)| *takes) {
            whole = store.range(Field::Winner, group, group, others, whole)?;
        }
    }
    Ok(whole)
}

/// The groups of arriving packets, and whether they take packets away, by runs: within one, either of two groups may have
/// a rule behind one of the other.
fn runs(policy: &Policy) -> Vec<Vec<(u32, bool)>> {
    let mut runs = vec![Vec::new()];
    for (_, rule) in policy.rules_of(Direction::In) {
        match (rule.winner(), runs.last_mut()) {
            (Some(group), Some(run)) => run.push((group, takes(rule.action))),
            _ => runs.push(Vec::new()),
        }
    }
    runs
}
