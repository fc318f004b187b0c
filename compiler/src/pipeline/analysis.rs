//! What is known of a policy before code is made of it: where its rules run, and what is wrong with it.
//!
//! Takes a policy and those inside it; gives an [`Analysis`] of each, or all mistakes. Not here: code.

use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap};

use super::options::{Expects, Options};
use super::reduced::reduced;
use super::{Stop, start, too_much};
use crate::bulk::{Bulk, Shape};
use crate::diagram::{BudgetExceeded, Store};
use crate::expect::{self, Whereabouts};
use crate::lint::{self, Care};
use crate::observer::Observer;
use crate::chain::Chain;
use crate::place;
use crate::policy::Policy;

/// What is known of a policy before code is made of it.
pub(super) struct Analysis {
    /// With bulk rules as groups, where there are many.
    pub(super) bulk: Option<Bulk>,
    /// The diagrams so far.
    pub(super) store: Store,
    /// The chains, of the reduced policy if there is one.
    pub(super) chains: Vec<Chain>,
    /// What placement said of the groups that are no groups because of it: why plain rules for packets that arrive are
    /// not in tables.
    pub(super) refused: Option<Diagnostic>,
}

/// A policy and those inside it, in order.
pub(super) fn with_inner(policy: &Policy) -> impl Iterator<Item = &Policy> {
    let inner = policy.netns.iter().map(|inner| &inner.policy);
    std::iter::once(policy).chain(inner)
}

/// What is asked of a policy.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The file that is compiled.
    id: SourceId,
    file: &'a str,
    shape: Shape,
    care: Option<Care>,
    expects: Expects,
}

impl<'a> Asked<'a> {
    /// What a compile asks.
    pub(super) fn of(
        options: Options<'_>,
        sources: &'a SourceMap,
        id: SourceId,
        care: Option<Care>,
    ) -> Self {
        Self {
            shape: options.shape,
            care,
            expects: options.expects,
            ..Self::thorough(sources, id)
        }
    }

    /// What `check` asks.
    pub(super) fn thorough(sources: &'a SourceMap, id: SourceId) -> Self {
        Self {
            id,
            file: &sources.get(id).name,
            shape: Shape::default(),
            care: Some(Care::Thorough),
            expects: Expects::Asked,
        }
    }
}

/// Analyses a policy and those inside it; gives the mistakes of all of them, or the warnings.
pub(super) fn analyse_all(
    policy: &Policy,
    asked: Asked<'_>,
    observer: &mut dyn Observer,
) -> Result<(Vec<Analysis>, Vec<Diagnostic>), Stop> {
    let mut analyses = Vec::new();
    let mut found = Vec::new();
    let blocks = policy.netns.iter().map(|block| Some(block.name.as_str()));
    let names = std::iter::once(None).chain(blocks);
    for (netns, policy) in names.zip(with_inner(policy)) {
        match analyse(policy, netns, asked, observer) {
            Ok((analysis, warnings)) => {
                analyses.push(analysis);
                found.extend(warnings);
            }
            Err(Stop::Diagnostics(wrong)) => found.extend(wrong),
            Err(bug) => return Err(bug),
        }
    }
    if analyses.len() == 1 + policy.netns.len() {
        Ok((analyses, found))
    } else {
        Err(Stop::Diagnostics(found))
    }
}

/// Places the rules, decides the `expect` lines and, with as much care as is asked for, looks for what is probably not
/// meant; gives the warnings.
fn analyse(
    policy: &Policy,
    netns: Option<&str>,
    asked: Asked<'_>,
    observer: &mut dyn Observer,
) -> Result<(Analysis, Vec<Diagnostic>), Stop> {
    observer.stage("place");
    let budget =
        |exceeded: BudgetExceeded| Stop::Diagnostics(vec![too_much(&exceeded, start(asked.id))]);
    let mut analysis = reduced(policy, asked.shape)?;
    let mut found = expectations(policy, netns, asked, &mut analysis, observer).map_err(budget)?;
    if found.iter().any(|one| one.severity == Severity::Error) {
        return Err(Stop::Diagnostics(found));
    }
    if let Some(care) = asked.care {
        observer.stage("lint");
        found.extend(lint::policy(policy, asked.id, care));
    }
    Ok((analysis, found))
}

/// What is wrong with the `expect` lines, if they are asked.
fn expectations(
    policy: &Policy,
    netns: Option<&str>,
    asked: Asked<'_>,
    analysis: &mut Analysis,
    observer: &mut dyn Observer,
) -> Result<Vec<Diagnostic>, BudgetExceeded> {
    if asked.expects == Expects::LeftOut {
        return Ok(Vec::new());
    }
    observer.stage("expect");
    let place = Whereabouts {
        file: asked.file,
        netns,
    };
    match &analysis.bulk {
        None => expect::check(policy, place, &mut analysis.store),
        Some(_) => expect::check(policy, place, &mut Store::of(policy)),
    }
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
    })
}
