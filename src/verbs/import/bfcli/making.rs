//! Chains of bpfilter as those of a list, for one family.
//!
//! Takes the chains that the kernel asks; gives what it has them do one after another. A chain of an interface is called for packets of
//! that interface. What one accepts meets the next; of several at TC on one interface, only NEXT goes on to the next of them. Not here: how chains
//! become a list.

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;

use super::chain::{Known, Scope};
use super::hook::HOOKS;
use super::read::{Chain as Given, Part, Policy};
use super::rule;
use crate::verbs::import::chains::Chain;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::line::Line;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::what::{Asked, Pattern, What};

/// A chain that becomes part of a list.
pub(super) struct Carried<'a> {
    pub(super) chain: &'a Given<'a>,
    pub(super) known: Known<'a>,
    pub(super) scope: Scope,
}

/// The chains of a list, and the rules that their lines are.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) chains: BTreeMap<String, Chain>,
    /// Those that the kernel asks, in its order.
    pub(super) bases: Vec<String>,
    /// Each with its line in the file, by the number of its line here.
    pub(super) rules: Vec<(usize, Rule)>,
}

/// The chains of a list.
pub(super) fn made(all: &[&Carried<'_>], (family, list): (Family, List)) -> Made {
    let mut made = Made::default();
    for hook in HOOKS.iter().filter(|hook| hook.list == Some(list)) {
        let mut here: Vec<&Carried<'_>> = Vec::new();
        here.extend(all.iter().filter(|one| one.chain.hook == hook));
        while let Some(first) = here.first().copied() {
            let is_asked_after = |one: &&&Carried<'_>| is_one_place(first, one);
            let place: Vec<&Carried<'_>> = here.iter().filter(is_asked_after).copied().collect();
            here.retain(|one| !is_one_place(first, one));
            made.place(&place, (family, list));
        }
    }
    made
}

/// Whether chains stand one after another at TC of one interface; every other one stands alone.
fn is_one_place(first: &Carried<'_>, other: &Carried<'_>) -> bool {
    let is_shared = first.chain.hook.has_next && first.scope != Scope::All;
    std::ptr::eq(first, other) || is_shared && first.scope == other.scope
}

impl Made {
    /// The chains of one place, of which each but the last may leave packets to the next.
    fn place(&mut self, place: &[&Carried<'_>], of: (Family, List)) {
        if let [only] = place
            && only.scope == Scope::All
        {
            let key = only.known.chain.to_owned();
            let drops = only.chain.policy == Policy::Drop;
            self.body(only, &Goal::Accept, of);
            let chain = self.chains.entry(key.clone()).or_default();
            chain.drops = drops;
            self.bases.push(key);
            return;
        }
        let Some(first) = place.first() else {
            return;
        };
        // No chain has a blank in its name.
        let base = format!("{} {}", first.chain.hook.name, first.known.chain);
        for (number, one) in place.iter().enumerate() {
            let next = match number + 1 < place.len() {
                true => Goal::Return,
                false => Goal::Accept,
            };
            let mut rule = Rule::any(of.0);
            rule.goal = Some(Goal::Jump(one.known.chain.to_owned()));
            rule.cases = vec![scoped(&one.scope, of)];
            self.line(&base, &one.chain.head, rule);
            self.body(one, &next, of);
            self.policy(one, number + 1 == place.len(), of.0);
        }
        self.bases.push(base);
    }

    /// The rules of a chain.
    fn body(&mut self, one: &Carried<'_>, next: &Goal, of: (Family, List)) {
        let key = one.known.chain;
        self.chains.entry(key.to_owned()).or_default();
        for part in &one.chain.rules {
            let rule = rule::read(&part.words, &one.known, next, of);
            self.line(key, part, rule);
        }
    }

    /// What becomes of the rest, in a chain that is called.
    fn policy(&mut self, one: &Carried<'_>, is_last: bool, family: Family) {
        let goal = match one.chain.policy {
            Policy::Drop => Goal::Drop,
            Policy::Accept if !is_last => Goal::Accept,
            Policy::Accept | Policy::Next => return,
        };
        let mut rule = Rule::any(family);
        rule.goal = Some(goal);
        rule.comment = Some(format!("policy of {}", one.chain.name));
        self.line(one.known.chain, &one.chain.head, rule);
    }

    fn line(&mut self, chain: &str, part: &Part<'_>, rule: Rule) {
        let place = format!("line {}", part.line);
        let line = Line::placed(self.rules.len(), part.text.clone(), place);
        self.rules.push((part.line, rule));
        let chain = self.chains.entry(chain.to_owned()).or_default();
        chain.rules.push(line);
    }
}

/// The packets that a chain is asked about.
fn scoped(scope: &Scope, (family, list): (Family, List)) -> What {
    let mut what = What::any(family);
    match scope {
        Scope::All => {}
        Scope::Interface(name) => {
            let pattern = Some(Pattern::One(name.clone()));
            match list {
                List::Out => what.leaves = pattern,
                List::In | List::Forward => what.on = pattern,
            }
        }
        Scope::Sockets => what.conditions.push(Asked {
            text: "socket exists".to_owned(),
            with: Some("socket established".to_owned()),
        }),
    }
    what
}
