//! Who is asked about what, in the reference's own words: the kernel's lookups, and the sockets of a group.
//!
//! Everything else asks [`Header`], [`Rule`] and `Lookups`; a test holds both together. Not here: what a rule matches.

use crate::event::{Fragment, Header, SocketAnswer};
use crate::hook::Hook;
use crate::policy::{Action, GroupId, Rule, Side};

/// Whether the kernel looks for a socket of this packet: for TCP and UDP, except in later fragments.
pub(super) fn has_socket(header: &Header) -> bool {
    header.protocol.has_socket() && header.fragment != Fragment::Later
}

/// Whether the kernel would ask a lookup program about this packet.
pub(super) fn is_new_flow(header: &Header, answer: SocketAnswer) -> bool {
    has_socket(header) && answer != SocketAnswer::Established
}

/// Whether the rule says `at sk_lookup`: it is about new flows only.
pub(super) fn is_of_lookup(rule: &Rule) -> bool {
    rule.at.is_some_and(Hook::is_lookup)
}

/// Whether the rule is about what sockets of this group do, as the one side or the other.
pub(super) fn is_for(rule: &Rule, group: GroupId) -> bool {
    let within = match rule.action {
        Action::Shortcut(near) => near.from == group,
        _ => true,
    };
    let named = |side: &Option<Side>| match side {
        Some(Side::Group(named)) => *named == group,
        _ => true,
    };
    within && named(&rule.matches.from) && named(&rule.matches.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Direction, Match, Shortcut};
    use crate::tests::dice::Dice;
    use crate::tests::parts::place;

    #[test]
    fn everybody_else_asks_the_same() {
        let mut dice = Dice::new(12);
        let mut seen = [[0; 2]; 3];
        for _ in 0..10_000 {
            let (header, answer) = dice.packet();
            let asked = is_new_flow(&header, answer);
            assert_eq!(has_socket(&header), header.has_socket(), "{header:?}");
            assert_eq!(asked, header.is_looked_up(answer), "{header:?} {answer:?}");
            seen[0][usize::from(has_socket(&header))] += 1;
            seen[1][usize::from(asked)] += 1;
        }
        for group in [0, 1].map(GroupId::from_u32) {
            for rule in rules() {
                assert_eq!(is_for(&rule, group), rule.is_for(group), "{rule:?}");
                assert_eq!(is_of_lookup(&rule), rule.in_lookup(), "{rule:?}");
                seen[2][usize::from(is_for(&rule, group))] += 1;
            }
        }
        let both = |of: &[i32; 2]| of.iter().all(|&count| count > 2);
        assert!(seen.iter().all(both), "{seen:?}");
    }

    /// Every way to name a group or not, at every hook.
    fn rules() -> Vec<Rule> {
        let groups = [0, 1].map(GroupId::from_u32);
        let shortcuts = groups.map(|from| groups.map(|to| Shortcut { from, to }));
        let shortcuts = shortcuts.into_iter().flatten().map(Action::Shortcut);
        let actions = shortcuts.chain([Action::Allow]);
        let sides = groups.map(|group| Some(Side::Group(group)));
        let mut found = Vec::new();
        for action in actions {
            let none = [(None, None)];
            let named = sides.iter().cloned();
            let named = named.flat_map(|side| [(side.clone(), None), (None, side)]);
            for (from, to) in named.chain(none) {
                for at in [None, Some(Hook::SkMsg), Some(Hook::SkLookup)] {
                    let matches = Match {
                        from: from.clone(),
                        to: to.clone(),
                        ..Match::default()
                    };
                    let rule = Rule::plain(Direction::Send, action, matches, place());
                    found.push(Rule { at, ..rule });
                }
            }
        }
        found
    }
}
