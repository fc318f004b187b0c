//! What `sockc check` says beyond [`super::check`]: what a compile would refuse for its size, and optional lints.
//!
//! Takes a file as a compile does; gives what is wrong with it. Not here: the limits themselves (`limits`).

use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap};

use super::analysis::{Analysis, Asked, analyse_all};
use super::{NO_INTERFACE, Options, Outcome, Stop, build_all, limits, sense, work};
use crate::files::Files;
use crate::lint;
use crate::observer::Observer;
use crate::policy::Policy;
use crate::target::Target;

/// The same as [`super::check`], and says what `compile` would refuse for its size, for kernels from the oldest on.
#[must_use]
pub fn check_size(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Outcome {
    work(sources, id, stem, files, |policy, around, observer| {
        let said = sense(around.emptiness)?;
        let asked = Asked::thorough(around.sources, id);
        let (analyses, mut warnings) = analyse_all(policy, asked, observer)?;
        warnings.extend(said);
        warnings.extend(beyond(policy, analyses, around.sources, id, observer)?);
        Ok((None, warnings))
    })
}

/// What no kernel's limits allow; as warnings, what those of older kernels do not.
fn beyond(
    policy: &Policy,
    analyses: Vec<Analysis>,
    sources: &SourceMap,
    id: SourceId,
    observer: &mut dyn Observer,
) -> Result<Vec<Diagnostic>, Stop> {
    let oldest = Target::baseline();
    let built = build_all(policy, analyses, sources, id, (&oldest).into(), observer);
    let refused = match built {
        Ok(_) => return Ok(Vec::new()),
        Err(Stop::Diagnostics(refused)) => refused,
        Err(bug) => return Err(bug),
    };
    let newer = |one: &Diagnostic| one.code == NO_INTERFACE || limits::is_far(one);
    if !refused.iter().any(newer) {
        return Err(Stop::Diagnostics(refused));
    }
    let newest = Target::newest();
    let options = Options::from(&newest);
    let asked = Asked::of(options, sources, id, None);
    let (analyses, _) = analyse_all(policy, asked, observer)?;
    build_all(policy, analyses, sources, id, options, observer)?;
    let warned = refused.into_iter().filter(|one| one.code != NO_INTERFACE);
    Ok(warned
        .map(|one| Diagnostic {
            severity: Severity::Warning,
            ..one
        })
        .collect())
}

/// The same as [`check_size`], and what the lints say only if they are asked: `also` are some of [`lint::OPTIONAL`].
#[must_use]
pub fn check_also(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
    also: &[Code],
) -> Outcome {
    let mut outcome = check_size(sources, id, stem, files);
    if let Some(policy) = outcome.policy.as_ref().filter(|_| !outcome.failed()) {
        files.stage("lint");
        let known = |one: &Diagnostic| outcome.diagnostics.iter().any(|old| old.code == one.code);
        let found = lint::also(policy, id, also);
        let found: Vec<_> = found.into_iter().filter(|one| !known(one)).collect();
        outcome.diagnostics.extend(found);
    }
    outcome
}
