//! The programs of a policy's functions, within the limits of the target.
//!
//! Takes functions; gives programs, or says what is beyond a limit. Not here: how code is made (`emit`), and what is said of
//! a limit (`limits`).

use super::analysis::Analysis;
use super::compilation::Stop;
use super::limits::Limited;
use super::lowered::Lowered;
use super::options::Job;
use super::tabled::Tabled;
use crate::artifact::Program;
use crate::emit;
use crate::ir::Function;
use crate::policy::Policy;

/// Refuses what would be beyond a limit, as far as can be said before code is made of it.
pub(super) fn check_limits(
    whole: &Policy,
    analysis: &Analysis,
    tabled: &Tabled,
    lowered: &Lowered,
    job: Job<'_>,
) -> Result<(), Stop> {
    let limited = limited(whole, analysis, tabled, job);
    each(analysis, lowered, |function| limited.check(function)).collect()
}

/// Makes the programs.
pub(super) fn emit(
    whole: &Policy,
    analysis: &Analysis,
    tabled: &Tabled,
    lowered: &Lowered,
    job: Job<'_>,
) -> Result<Vec<Program>, Stop> {
    let limited = limited(whole, analysis, tabled, job);
    let made = each(analysis, lowered, |function| {
        let made = emit::emit(function, job.options.target);
        let program = made.map_err(|error| limited.told(function, &error))?;
        limited.check_program(&program)?;
        Ok(program)
    });
    made.collect()
}

fn limited<'a>(
    whole: &'a Policy,
    analysis: &'a Analysis,
    tabled: &'a Tabled,
    job: Job<'a>,
) -> Limited<'a> {
    Limited {
        policy: analysis.placed(whole),
        maps: &tabled.maps,
        target: job.options.target,
        whole: job.whole(),
    }
}

/// Does something with each function. What is refused of a list may be so for want of tables.
fn each<'a, T>(
    analysis: &'a Analysis,
    lowered: &'a Lowered,
    work: impl Fn(&Function) -> Result<T, Stop> + 'a,
) -> impl Iterator<Item = Result<T, Stop>> + 'a {
    let functions = lowered.functions.iter().enumerate();
    functions.map(move |(number, function)| {
        // Of two that are one program the last: it stands behind.
        let chain = lowered.of_chains.iter().rposition(|&of| of == number);
        let chain = chain.and_then(|chain| analysis.chains.get(chain));
        work(function).map_err(|stop| match (stop, chain) {
            (Stop::Diagnostics(found), Some(chain)) => {
                let of = Some(chain.hook.direction());
                let found = found
                    .into_iter()
                    .map(|one| analysis.without_tables(of, one));
                Stop::Diagnostics(found.collect())
            }
            (other, _) => other,
        })
    })
}
