//! The configuration of firewalld as chains, for one family and one list.
//!
//! Takes the configuration; gives what firewalld has the kernel ask, as its source builds it for nftables (`core/nftables.py`). What is
//! asked ahead of zones stands once, ahead of all of them, since every packet is in one zone. Not here: what stands in a zone or a
//! policy, and how chains become a list.

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::conf::LogDenied;
use super::config::Config;
use super::dispatch;
use super::xml::Spot;
use super::zones::{Policy, Reach, Target, Zone};
use super::{always, settings};
use crate::verbs::import::chains::Chain;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::line::Line;
use crate::verbs::import::list::List;
use crate::verbs::import::names::Names;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::what::{Of, What};

/// The chains, and the rules that their lines are.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) chains: BTreeMap<String, Chain>,
    /// Each with where it stands, by the number of its line.
    pub(super) rules: Vec<(Spot, Rule)>,
}

/// What is being made.
pub(super) struct Making<'a> {
    pub(super) config: &'a Config,
    /// What the policy calls zones; nothing where it cannot name them.
    pub(super) zones: Option<&'a Names>,
    pub(super) family: Family,
    pub(super) list: List,
    made: Made,
}

/// The chains of a list; none where firewalld lets all packets through.
pub(super) fn made(config: &Config, zones: Option<&Names>, (family, list): (Family, List)) -> Made {
    let mut making = Making {
        config,
        zones,
        family,
        list,
        made: Made::default(),
    };
    if list == List::Out && !making.policies().any(|_| true) {
        return making.made;
    }
    // Behind the default zone comes nothing, so what the chain itself would do matters for OUTPUT only.
    let chain = Chain {
        drops: list != List::Out,
        rules: Vec::new(),
    };
    making.made.chains.insert(list.built_in().to_owned(), chain);
    making.base();
    making.made
}

impl Making<'_> {
    /// Puts a rule at the end of a chain.
    pub(super) fn line(&mut self, chain: &str, spot: &Spot, mut rule: Rule) {
        rule.finish(self.list);
        let number = self.made.rules.len();
        for rate in rule.cases.iter_mut().filter_map(|case| case.rate.as_mut()) {
            rate.bucket = Some(format!("{} {number}", spot.place));
        }
        let chain = self.made.chains.entry(chain.to_owned()).or_default();
        let place = spot.place.clone();
        chain
            .rules
            .push(Line::placed(number, spot.text.clone(), place));
        self.made.rules.push((spot.clone(), rule));
    }

    /// A rule about some packets, of which none may be.
    pub(super) fn rule(&self, goal: Goal, cases: Vec<What>) -> Rule {
        let mut rule = Rule::any(self.family);
        rule.goal = Some(goal);
        rule.cases = cases;
        rule
    }

    fn base(&mut self) {
        let base = self.list.built_in();
        always::ahead(self, base);
        self.ask_policies(base, |policy| policy.priority < 0);
        match self.list {
            List::Out => self.ask_policies(base, |policy| policy.priority > 0),
            List::In | List::Forward => dispatch::zones(self, base),
        }
    }

    /// The policies that are about packets of this list.
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        let list = self.list;
        let policies = self.config.policies.iter();
        policies.filter(move |policy| list_of(policy) == list)
    }

    /// Calls policies from a chain.
    fn ask_policies(&mut self, chain: &str, which: fn(&Policy) -> bool) {
        let config = self.config;
        let list = self.list;
        let all = config.policies.iter();
        for policy in all.filter(|one| list_of(one) == list && which(one)) {
            let name = format!("policy {}", policy.name);
            self.policy(&name, policy);
            for rule in dispatch::of_policy(self, policy, &Goal::Jump(name.clone())) {
                self.line(chain, &policy.head, rule);
            }
        }
    }

    /// What stands in a policy.
    fn policy(&mut self, name: &str, policy: &Policy) {
        if self.made.chains.contains_key(name) {
            return;
        }
        self.made.chains.insert(name.to_owned(), Chain::default());
        settings::lines(self, name, &policy.settings, false);
        self.target(name, &policy.head, policy.target);
    }

    /// What stands in a zone. What passes through is not about the zone's services.
    pub(super) fn zone(&mut self, name: &str, zone: &Zone) {
        if self.made.chains.contains_key(name) {
            return;
        }
        self.made.chains.insert(name.to_owned(), Chain::default());
        match self.list {
            List::In => settings::lines(self, name, &zone.settings, zone.inverted.is_some()),
            List::Forward | List::Out => dispatch::within(self, name, zone),
        }
        self.ask_policies(name, |policy| policy.priority > 0);
        if self.list == List::In {
            always::icmp(self, name, zone);
        }
        self.target(name, &zone.head, zone.target);
    }

    /// What becomes of the rest.
    fn target(&mut self, name: &str, head: &Spot, target: Target) {
        let goal = match target {
            Target::Continue => return,
            Target::Accept => Goal::Accept,
            Target::Drop => Goal::Drop,
            Target::Default | Target::Reject => Goal::Reject(always::ANSWER.to_owned()),
        };
        let refused = goal != Goal::Accept && self.config.conf.log_denied == LogDenied::All;
        let mut rule = self.rule(goal, vec![What::any(self.family)]);
        rule.comment = Some(format!("target of {name}"));
        rule.log = refused.then(|| format!("{name}: ").into());
        self.line(name, head, rule);
    }

    /// Packets with one of some addresses at a side.
    pub(super) fn addressed(&self, held: RangeSet<u128>, of: Of) -> What {
        What::addressed(held, false, None, (of, self.family))
    }
}

/// The list that a policy is about.
fn list_of(policy: &Policy) -> List {
    match (&policy.from, &policy.to) {
        (Reach::Host, _) => List::Out,
        (_, Reach::Host) => List::In,
        _ => List::Forward,
    }
}
