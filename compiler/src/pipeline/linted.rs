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
use crate::lint;
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
    let (lints, worked) = beside(
        is_much(usize::from(job.care.is_some()) * 2, 1),
        || lint(policy, job),
        work,
    );
    let (done, said) = worked?;
    let said = said.into_iter().zip(lints);
    let said = said.flat_map(|(said, lints)| match said {
        Ok(warnings) => warnings.into_iter().chain(lints).collect(),
        Err(wrong) => wrong,
    });
    match done {
        Some(done) => Ok((done, said.collect())),
        None => Err(Stop::Diagnostics(said.collect())),
    }
}

/// What is probably not meant in a policy and in those inside it, with as much care as is asked for.
fn lint(policy: &Policy, job: Job<'_>) -> Vec<Vec<Diagnostic>> {
    let of = |policy| {
        let care = job.care?;
        Some(lint::policy(policy, job.id, care))
    };
    with_inner(policy)
        .map(|policy| of(policy).unwrap_or_default())
        .collect()
}
