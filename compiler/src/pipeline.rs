//! The whole way from text to artifact, and how much of it each caller asks for.
//!
//! Takes a source map and the file to compile; gives every stage's result up to the first that refuses. The order of the
//! stages is one page: `stages`. Not here: any stage's own work.

mod analysis;
mod asked;
mod classifiers;
mod compilation;
mod costly;
mod decided;
mod emitted;
mod emptiness;
mod intercepted;
mod limits;
mod linted;
mod live;
mod loaded;
mod lowered;
mod manifest;
mod maps;
mod options;
mod outside;
mod passing;
mod program_names;
mod reduced;
mod size;
mod spliced;
mod stages;
mod tabled;
#[cfg(test)]
mod tests;

use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{SourceId, SourceMap};

use crate::bulk::Conditions;
use crate::files::Files;
use crate::lint;
use crate::observer::{Observer, Silent};
use crate::policy::Policy;
use crate::target::Target;

use compilation::{Done, Stop};
use options::Job;

pub(crate) use compilation::CODES;
pub(crate) use compilation::too_much;
pub use compilation::{Built, Compilation, Decision, NO_INTERFACE, SAYS_NOTHING, TOO_LARGE};
pub use costly::why_not as why_not_costly;
pub use limits::is_far;
pub use loaded::list_of_live_set;
pub use manifest::Slots;
pub use options::{AnyMachine, CostlyMachine, Counters, Expects, Lints, Machine, Options, Passes};
pub use size::MAX_TEXT;

/// Compiles a file for a target, with everything that it names. `stem` names a policy that has no name of its own.
#[must_use]
pub fn compile<'a>(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    options: impl Into<Options<'a>>,
    files: &mut dyn Files,
) -> Compilation {
    let options = options.into();
    from_text(sources, id, stem, files, |policy, sources, observer| {
        costly::arrange(policy, options.machine);
        with_room(policy, |policy| {
            stages::code(policy, Job::quick(sources, id, options), observer)
        })
    })
}

/// Says what is wrong with a file and with everything that it names, `expect` lines included. Makes no code.
#[must_use]
pub fn check(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Compilation {
    let oldest = Target::baseline();
    from_text(sources, id, stem, files, |policy, sources, files| {
        stages::check(policy, Job::thorough(sources, id, &oldest), files)
    })
}

/// Says what is wrong with a file and with everything that it names, and nothing of what may not be meant: no lint is asked
/// that searches.
#[must_use]
pub fn check_soundness(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Compilation {
    let oldest = Target::baseline();
    from_text(sources, id, stem, files, |policy, sources, files| {
        let job = Job {
            care: None,
            ..Job::thorough(sources, id, &oldest)
        };
        stages::check(policy, job, files)
    })
}

/// The same as [`check`], and says what `compile` would refuse for its size, for kernels from the oldest on.
#[must_use]
pub(crate) fn check_size(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Compilation {
    let oldest = Target::baseline();
    from_text(sources, id, stem, files, |policy, sources, files| {
        with_room(policy, |policy| {
            stages::check_size(policy, Job::thorough(sources, id, &oldest), files)
        })
    })
}

/// The same as `check_size`, and what the lints say only if they are asked: `also` are some of [`lint::OPTIONAL`].
#[must_use]
pub fn check_also(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
    also: &[Code],
) -> Compilation {
    let mut outcome = check_size(sources, id, stem, files);
    if let Some(policy) = outcome.policy.as_ref().filter(|_| !outcome.failed()) {
        files.stage("lint");
        let known = |one: &Diagnostic| outcome.diagnostics.iter().any(|old| old.code == one.code);
        let mut found = lint::also(policy, id, also);
        found.retain(|one| !known(one));
        outcome.diagnostics.extend(found);
    }
    outcome
}

/// Says what a file means, with everything that it names; whether its rules can be placed, or whether it says anything, is
/// not asked.
#[must_use]
pub fn resolve(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Compilation {
    match stages::meaning(sources, id, stem, files) {
        Ok(text) => Compilation::of(text.policy, text.found, Ok(Done::without_code(Vec::new()))),
        Err(found) => Compilation::refused(found),
    }
}

/// Whether the rules of a policy, and of those inside it, can be placed.
pub(crate) fn is_placed(policy: &Policy) -> bool {
    let structure = Options::from(&Target::baseline()).structure;
    let inner = policy.netns.iter().map(|one| &one.policy);
    let mut all = std::iter::once(policy).chain(inner);
    all.all(|one| reduced::place(one, structure, Conditions::All).is_ok())
}

/// Compiles a policy that was resolved from a file.
#[must_use]
pub fn compile_policy<'a>(
    mut policy: Policy,
    sources: &SourceMap,
    id: SourceId,
    options: impl Into<Options<'a>>,
) -> Compilation {
    let options = options.into();
    costly::arrange(&mut policy, options.machine);
    let job = Job::quick(sources, id, options);
    let done = with_room(&mut policy, |policy| stages::code(policy, job, &mut Silent));
    Compilation::of(policy, Vec::new(), done)
}

/// Does it with tables for live sets, and without where those make a program too large: their search is much code.
fn with_room(
    policy: &mut Policy,
    mut work: impl FnMut(&Policy) -> Result<Done, Stop>,
) -> Result<Done, Stop> {
    live::settle_tables(policy, true);
    let done = work(policy);
    let said = match &done {
        Ok(done) => &done.warnings,
        Err(Stop::Diagnostics(found)) => found,
        Err(_) => return done,
    };
    // As a warning it is about older kernels, where there would be no tables.
    if !policy.member_tables || said.iter().all(|one| one.code != TOO_LARGE) {
        return done;
    }
    live::settle_tables(policy, false);
    work(policy)
}

/// Does with the policies of a text what is to be done.
fn from_text(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
    then: impl FnOnce(&mut Policy, &SourceMap, &mut dyn Observer) -> Result<Done, Stop>,
) -> Compilation {
    let mut text = match stages::meaning(sources, id, stem, files) {
        Ok(text) => text,
        Err(found) => return Compilation::refused(found),
    };
    let done = emptiness::refuse(text.emptiness).and_then(|said| {
        let mut done = then(&mut text.policy, sources, files)?;
        done.warnings.extend(said);
        Ok(done)
    });
    Compilation::of(text.policy, text.found, done)
}
