//! What is known of a policy before code is made of it: where its rules run, and what is wrong with it.
//!
//! Each stage takes a policy; gives more of its [`Analysis`], or what is wrong. Not here: code.

use sockc_grammar::diagnostic::{Diagnostic, Severity};

use super::compilation::{Stop, too_much};
use super::options::{Expects, Job};
use super::outside;
use crate::bulk::Bulk;
use crate::chain::Chain;
use crate::compose::{self, Fault};
use crate::diagram::{BudgetExceeded, Store};
use crate::expect::{self, Whereabouts};
use crate::lower::Meters;
use crate::observer::Observer;
use crate::place;
use crate::policy::{Direction, Policy};

/// What is known of a policy before code is made of it.
pub(super) struct Analysis {
    /// With bulk rules as groups, where there are many.
    pub(super) bulk: Option<Bulk>,
    /// The diagrams so far.
    pub(super) store: Store,
    /// The chains, of the reduced policy if there is one.
    pub(super) chains: Vec<Chain>,
    /// Why plain rules for packets that arrive are not in tables: what placement said of the groups that are no groups
    /// because of it, or why no tables hold them.
    pub(super) refused: Option<Diagnostic>,
    /// Why rules of a list are in no tables whatever the others are.
    pub(super) outside: Vec<(Direction, Diagnostic)>,
}

impl Analysis {
    /// The same, where `why` says why rules are not in tables.
    pub(super) fn because(self, why: Diagnostic) -> Self {
        Self {
            refused: Some(why),
            ..self
        }
    }

    /// The policy that the chains speak of: the whole one, or the reduced one.
    pub(super) fn placed<'a>(&'a self, whole: &'a Policy) -> &'a Policy {
        self.bulk.as_ref().map_or(whole, |bulk| &bulk.policy)
    }

    /// The numbers of the whole policy's rates, for the rules of the placed one; with those of so many kinds of answers.
    pub(super) fn meters(&self, whole: &Policy, kinds: u32) -> Meters {
        let meters = Meters::new(whole, kinds);
        match &self.bulk {
            Some(bulk) => meters.placed(&bulk.policy, |rule| bulk.origin(rule)),
            None => meters,
        }
    }

    /// The same refusal, of a list if it is of one, with why rules are not in tables, where that is why.
    pub(super) fn without_tables(&self, of: Option<Direction>, refusal: Diagnostic) -> Diagnostic {
        let arriving = self
            .refused
            .iter()
            .filter(|_| of.is_none_or(|of| of == Direction::In));
        let outside = self.outside.iter();
        let outside = outside.filter(|(list, _)| of.is_none_or(|of| of == *list));
        let why = arriving.chain(outside.map(|(_, why)| why));
        why.fold(refusal, |told, why| {
            with_reason(told, why, self.bulk.is_some())
        })
    }

    /// Why there is no more.
    pub(super) fn beyond_budget(
        &self,
        policy: &Policy,
        exceeded: &BudgetExceeded,
        job: Job<'_>,
    ) -> Stop {
        let refusal = too_much(policy, exceeded, job.whole());
        Stop::Diagnostics(vec![self.without_tables(None, refusal)])
    }
}

impl Stop {
    /// The same, where it is a refusal, with why there are no tables.
    pub(super) fn without_tables(self, why: &Diagnostic) -> Self {
        let Self::Diagnostics(mut found) = self else {
            return self;
        };
        if let Some(first) = found.first_mut() {
            *first = with_reason(first.clone(), why, false);
        }
        Self::Diagnostics(found)
    }
}

/// A refusal with why rules are not in tables: these, where others are.
fn with_reason(refusal: Diagnostic, why: &Diagnostic, others: bool) -> Diagnostic {
    let text = match others {
        true => format!("tables were not possible for these: {}", why.message),
        false => format!("tables were not possible: {}", why.message),
    };
    let mut refusal = refusal.also(why.primary.span, text);
    refusal.secondary.extend(why.secondary.iter().cloned());
    refusal
}

/// A policy and those inside it, in order.
pub(super) fn with_inner(policy: &Policy) -> impl Iterator<Item = &Policy> {
    let inner = policy.netns.iter().map(|inner| &inner.policy);
    std::iter::once(policy).chain(inner)
}

/// Places the rules as they are; says what is wrong if that cannot be done.
pub(super) fn as_it_is(policy: &Policy) -> Result<Analysis, Stop> {
    let mut store = Store::of(policy);
    let chains = place::place(policy, &mut store).map_err(Stop::Diagnostics)?;
    Ok(Analysis {
        bulk: None,
        store,
        chains,
        refused: None,
        outside: outside::of(policy, None),
    })
}

/// Decides the `expect` lines, if they are asked; gives warnings.
pub(super) fn expect(
    policy: &Policy,
    netns: Option<&str>,
    job: Job<'_>,
    analysis: &mut Analysis,
    observer: &mut dyn Observer,
) -> Result<Vec<Diagnostic>, Stop> {
    if job.options.expects == Expects::LeftOut {
        return Ok(Vec::new());
    }
    observer.stage("expect");
    let place = Whereabouts {
        file: &job.sources.get(job.id).name,
        netns,
    };
    let found = match &analysis.bulk {
        None => expect::check(policy, place, &mut analysis.store),
        Some(_) => expect::check(policy, place, &mut Store::of(policy)),
    };
    let found = found
        .map_err(|exceeded| Stop::Diagnostics(vec![too_much(policy, &exceeded, job.whole())]))?;
    match found.iter().any(|one| one.severity == Severity::Error) {
        true => Err(Stop::Diagnostics(found)),
        false => Ok(found),
    }
}

/// Proves that the chains together mean what the list means. Those of a policy in groups were placed with that proof.
pub(super) fn compose(policy: &Policy, analysis: &mut Analysis, job: Job<'_>) -> Result<(), Stop> {
    if analysis.bulk.is_some() {
        return Ok(());
    }
    match compose::check(policy, &analysis.chains, &mut analysis.store) {
        Ok(()) => Ok(()),
        Err(Fault::TooLarge(exceeded)) => Err(analysis.beyond_budget(policy, &exceeded, job)),
        Err(bug) => Err(Stop::Bug(bug.to_string())),
    }
}
