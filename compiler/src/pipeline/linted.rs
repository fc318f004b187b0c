//! The lints of a policy, asked beside the work on it.
//!
//! Takes a policy and what is to be made of it; gives that and the warnings, those of each policy together: first what its
//! `expect` lines gave, then what the lints found. Lints and work read the policy and nothing of each other. Not here: what
//! is warned of.

use sockc_grammar::diagnostic::Diagnostic;

use super::analysis::{Analysis, with_inner};
use super::compilation::Stop;
use super::options::Job;
use super::stages::{Analysed, analyse_all};
use crate::beside::{beside, is_much};
use crate::lint::{self, Care};
use crate::observer::Observer;
use crate::policy::Policy;

/// Analyses a policy and those inside it, and does with all of them what is to be done if nothing is wrong; gives that and the
/// warnings.
pub(super) fn linted<T>(
    policy: &Policy,
    job: Job<'_>,
    observer: &mut dyn Observer,
    then: impl FnOnce(Vec<Analysis>, &mut dyn Observer) -> Result<T, Stop>,
) -> Result<(T, Vec<Diagnostic>), Stop> {
    let work = || {
        let Analysed { analyses, said } = analyse_all(policy, job, observer)?;
        let done = analyses.map(|analyses| then(analyses, observer));
        let done = done.transpose()?;
        if job.care.is_some() {
            observer.stage("lint");
        }
        Ok::<_, Stop>((done, said))
    };
    // The search is as long as the work without what is seen at a glance.
    let (searched, worked) = beside(
        is_much(usize::from(job.care.is_some()) * 2, 1),
        || each(policy, job, |one, care| lint::searched(one, job.id, care)),
        || work().map(|worked| (worked, each(policy, job, |one, _| lint::seen(one)))),
    );
    let ((done, said), seen) = worked?;
    let said = said.into_iter().zip(searched.into_iter().zip(seen));
    let said = said.flat_map(|(said, (searched, seen))| match said {
        Ok(warnings) => [warnings, searched, seen].concat(),
        Err(wrong) => wrong,
    });
    match done {
        Some(done) => Ok((done, said.collect())),
        None => Err(Stop::Diagnostics(said.collect())),
    }
}

/// What lints say of a policy and of those inside it, if they are asked.
fn each(
    policy: &Policy,
    job: Job<'_>,
    lint: impl Fn(&Policy, Care) -> Vec<Diagnostic>,
) -> Vec<Vec<Diagnostic>> {
    let asked = |policy| job.care.map(|care| lint(policy, care));
    with_inner(policy)
        .map(|policy| asked(policy).unwrap_or_default())
        .collect()
}
