//! What a socket lookup says of a packet whose first match the packet hooks know.
//!
//! Packet hooks ask for the first of all bulk rules that matches, a lookup for the first of those that do not take
//! packets away. Where the packet hooks' first match takes none away, it is the lookup's too. Where it does, the packet may
//! still get to a lookup, past a rule ahead of it; the lookup then has another first match, which stands after that one in the
//! list, or none. A lookup that says the same for all of them says that; otherwise what it says is not known.

use super::BROKEN;
use crate::bulk::is_terminal;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::policy::{Direction, Policy};

/// A lookup's diagram, of its own first match, as one of the packet hooks'.
pub(super) fn after_packet_hooks(
    store: &mut Store,
    policy: &Policy,
    lookup: Node,
) -> Result<Node, BudgetExceeded> {
    let none = store.restrict(lookup, Field::FirstMatch, 0)?;
    let mut whole = lookup;
    let mut others = none;
    // From the last rule to the first: `others` is what the lookup says for every first match from there on.
    for run in runs(policy).iter().rev() {
        for &(group, _) in run.iter().filter(|(_, terminal)| !terminal) {
            let known = store.restrict(lookup, Field::FirstMatch, group)?;
            others = store.apply2(others, known, &mut |a, b| if a == b { a } else { BROKEN })?;
        }
        for &(group, _) in run.iter().filter(|(_, terminal)| *terminal) {
            whole = store.range(Field::FirstMatch, group, group, others, whole)?;
        }
    }
    Ok(whole)
}

/// The groups of arriving packets, and whether they take packets away, by runs: within one, either of two groups may have
/// a rule after one of the other.
fn runs(policy: &Policy) -> Vec<Vec<(u32, bool)>> {
    let mut runs = vec![Vec::new()];
    for (_, rule) in policy.rules_of(Direction::In) {
        match (rule.first_match(), runs.last_mut()) {
            (Some(group), Some(run)) => run.push((group, is_terminal(rule.action))),
            _ => runs.push(Vec::new()),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, Condition, Rule, SocketId};
    use crate::tests::parts::rule;

    fn group(number: u32, action: Action) -> Rule {
        let mut group = rule(action);
        group.matches.conditions = vec![Condition::FirstMatch(number)];
        group
    }

    /// What is said at group 1, which takes packets away, of a lookup that says 7 at group 2.
    fn said(rules: impl IntoIterator<Item = Rule>) -> Vec<u32> {
        let mut policy = Policy::default();
        policy.rules.extend(rules);
        let mut store = Store::of(&policy);
        let seven = store.terminal(7).unwrap();
        let lookup = store
            .range(Field::FirstMatch, 2, 2, seven, Node::FALSE)
            .unwrap();
        let seen = after_packet_hooks(&mut store, &policy, lookup).unwrap();
        let at_one = store.restrict(seen, Field::FirstMatch, 1).unwrap();
        let at_two = store.restrict(seen, Field::FirstMatch, 2).unwrap();
        assert_eq!(
            at_two, seven,
            "what lets pass is the lookup's first match too"
        );
        store.terminals(at_one).into_iter().collect()
    }

    #[test]
    fn what_got_past_a_drop_may_have_any_first_match_after_it() {
        let redirect = || group(2, Action::Redirect(SocketId::from_u32(0)));
        let drop = || group(1, Action::Drop);
        assert_eq!(said([drop(), redirect()]), [BROKEN]);
        assert_eq!(said([redirect(), drop()]), [BROKEN]);
        assert_eq!(said([drop(), rule(Action::Count), redirect()]), [BROKEN]);
        assert_eq!(said([redirect(), rule(Action::Count), drop()]), [0]);
    }
}
