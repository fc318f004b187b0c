//! Which rule runs at which hook: the chains.
//!
//! Takes a [`Policy`]; gives one [`Chain`] for each hook that has something to do. Each rule has one home, the earliest
//! hook that can evaluate it and say its verdict; there it counts. At the hooks before it stands as a pass, and at the
//! later ones as what it is, so that every chain keeps the order of the list. That the chains together mean what the
//! list means is checked apart from this, in `crate::compose`. What one rule by itself cannot do at the hook it names
//! is the resolver's message; how rules stand to each other is said here.

pub(crate) mod codes;

mod arriving;
mod describe;
mod lookup;
mod needs;
#[cfg(test)]
mod tests;

pub(crate) use arriving::changes_on_the_way;
pub use describe::describe;
pub(crate) use lookup::has_lookup;
pub(crate) use needs::{fields, fields_of_match};

use sockc_grammar::diagnostic::Diagnostic;

use crate::chain::{Chain, ChainDefault, ChainRule, Effect, Part};
use crate::diagram::{BudgetExceeded, Store};
use crate::hook::Hook;
use crate::policy::{
    Action, ClassId, Default, DefaultVerdict, Direction, GroupId, Policy, Rule, RuleId,
};
use crate::protocol::IpProtocol;

/// The chains of a policy, in the order of [`Hook`], then of groups; or why no placement keeps its meaning.
pub(crate) fn place(policy: &Policy, store: &mut Store) -> Result<Vec<Chain>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    match place_all(policy, store, &mut errors) {
        Ok(chains) if errors.is_empty() => return Ok(chains),
        Ok(_) => {}
        Err(exceeded) => errors.extend(codes::too_large(policy, exceeded)),
    }
    Err(errors)
}

fn place_all(
    policy: &Policy,
    store: &mut Store,
    errors: &mut Vec<Diagnostic>,
) -> Result<Vec<Chain>, BudgetExceeded> {
    let mut chains = arriving::chains(policy, store, errors)?;
    for hook in [Hook::PASSING, Hook::LEAVING] {
        let classes = policy.classes.keys();
        chains.extend(classes.filter_map(|class| at_egress(policy, hook, class)));
    }
    chains.extend(lookup::chain(policy, store, errors)?);
    for hook in Hook::ALL.into_iter().filter(|hook| hook.is_process()) {
        let groups = policy.groups.keys();
        chains.extend(groups.filter_map(|group| of_group(policy, hook, group)));
    }
    Ok(chains)
}

/// The rules of a direction that programs on a class of interfaces hold, in order.
fn rules_on(
    policy: &Policy,
    direction: Direction,
    class: ClassId,
) -> impl Iterator<Item = (RuleId, &Rule)> {
    policy.rules_of(direction).filter(move |(_, rule)| {
        let held = rule.matches.held_on(direction);
        held.is_none_or(|classes| classes.contains(&class))
    })
}

/// The only hook of its direction, for packets that leave by a class of interfaces.
fn at_egress(policy: &Policy, hook: Hook, class: ClassId) -> Option<Chain> {
    let entries: Vec<ChainRule> = rules_on(policy, hook.direction(), class)
        .map(|(rule, data)| at_home(rule, data, hook.spec().reason))
        .collect();
    let chain = only_chain(policy, hook, None, entries)?;
    Some(Chain {
        class: Some(class),
        ..chain
    })
}

/// What holds for the sockets of a group at a hook: the rules that name it, and those that name none, as far as their
/// protocols come there.
fn of_group(policy: &Policy, hook: Hook, group: GroupId) -> Option<Chain> {
    let spec = hook.spec();
    let entries: Vec<ChainRule> = policy
        .rules_of(hook.direction())
        .filter(|(_, rule)| rule.is_for(group) && comes_to(rule, hook))
        .map(|(rule, data)| at_home(rule, data, spec.reason))
        .collect();
    only_chain(policy, hook, Some(group), entries)
}

/// The chain of a direction with one hook, if there is anything to do.
fn only_chain(
    policy: &Policy,
    hook: Hook,
    group: Option<GroupId>,
    entries: Vec<ChainRule>,
) -> Option<Chain> {
    let default = policy.default_of(hook.direction());
    let counts = !Hook::leave_alone(hook.direction()) || default.is_some_and(counts_in_send);
    if entries.is_empty() && (default.is_none() || !counts && is_idle(policy, hook)) {
        return None;
    }
    Some(Chain {
        hook,
        group,
        class: None,
        entries,
        default: ChainDefault {
            verdict: default.map_or(DefaultVerdict::Allow, |line| line.verdict),
            counts,
        },
    })
}

/// Whether a hook has nothing to do where the default lets go: its direction has others, to which all its rules come.
fn is_idle(policy: &Policy, hook: Hook) -> bool {
    let mut rules = policy.rules_of(hook.direction());
    let others = Hook::of(hook.direction()).any(|other| other != hook);
    others && !rules.any(|(_, rule)| comes_to(rule, hook))
}

/// Whether anything that a rule is about comes to a hook of processes.
fn comes_to(rule: &Rule, hook: Hook) -> bool {
    let named = rule.matches.protocols.iter();
    let named: Vec<IpProtocol> = named.map(|one| one.number).collect();
    hook.sees_some(&named)
}

/// Whether a default counts of a direction whose sockets are in a map. One that only allows does not: connections that no
/// rule concerns are left alone, so nothing sees what is done with them. Of datagrams it does not, either, so that it means one thing.
#[must_use]
pub fn counts_in_send(default: &Default) -> bool {
    default.verdict != DefaultVerdict::Allow || default.log.is_some()
}

/// A rule at its home.
fn at_home(rule: RuleId, data: &Rule, reason: &'static str) -> ChainRule {
    ChainRule {
        rule,
        effect: match data.action {
            Action::Allow => Effect::Allow,
            Action::Drop => Effect::Drop,
            Action::Reject => Effect::Reject,
            Action::Forward(_) => Effect::Forward,
            Action::Count => Effect::Count,
            Action::Redirect(_) => Effect::Redirect,
            Action::Intercept(_) => Effect::Intercept,
            Action::Shortcut(_) => Effect::Shortcut,
            Action::Feed(_) => Effect::Feed,
        },
        counts: true,
        part: match data.in_lookup() {
            true => Part::NewFlows,
            false => Part::All,
        },
        reason,
    }
}
