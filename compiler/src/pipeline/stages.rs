//! The stages in their order.
//!
//! ```text
//! a file:     read ─▶ resolve ─▶ lint text
//! a policy:   place ─▶ expect
//!     ─▶ decide ─▶ compose ─▶ tables ─▶ lower ─▶ optimise ─▶ check limits ─▶ emit ─▶ manifest
//!             lint, beside all of that
//! ```
//!
//! A file is a policy and those of its `for netns` blocks; mistakes of all of them are said before code is made of any.
//! Where no tables hold the rules, the way goes back to `decide` once. Not here: any stage's own work.

use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap};

use super::analysis::{self, Analysis, as_it_is, with_inner};
use super::compilation::{Built, Done, NO_INTERFACE, Stop};
use super::linted::linted;
use super::options::{Job, Options, Passes};
use super::{decided, emitted, emptiness, limits, lowered, manifest, reduced, size, tabled};
use crate::artifact::Artifact;
use crate::beside::{beside, is_much};
use crate::bulk::Conditions;
use crate::files::Files;
use crate::lint;
use crate::observer::Observer;
use crate::opt;
use crate::policy::Policy;
use crate::reading;
use crate::resolve::resolve_reading;
use crate::target::Target;
use crate::values::codes::MATCHES_NOTHING;

/// So few statements are gone through in no time.
const FEW: usize = 4096;

/// What a file says.
pub(super) struct Text {
    pub(super) policy: Policy,
    /// What is odd about it.
    pub(super) found: Vec<Diagnostic>,
    /// Whether it says too little to be a policy.
    pub(super) emptiness: Option<Diagnostic>,
}

/// What a file means; or what is wrong with its text.
pub(super) fn meaning(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Result<Text, Vec<Diagnostic>> {
    size::check_text(sources, id)?;
    let (reading, mut found) = reading::read(sources, id, files);
    files.stage("resolve");
    let (odd, (policy, wrong)) = beside(
        is_much(reading.file.statements.len(), FEW),
        || lint::text(&reading, sources),
        || resolve_reading(&reading, sources, stem),
    );
    found.extend(wrong);
    let policy = sound(policy, id, &mut found)?;
    files.stage("lint");
    found.extend(odd);
    Ok(Text {
        policy,
        found,
        emptiness: emptiness::of(&reading.file),
    })
}

/// What is known of a policy before code is made of it, with warnings; or what is wrong with it.
fn analyse(
    policy: &Policy,
    netns: Option<&str>,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<(Analysis, Vec<Diagnostic>), Stop> {
    observer.stage("place");
    let mut analysis = reduced::place(policy, job.options.structure, Conditions::All)?;
    let warnings = analysis::expect(policy, netns, job, &mut analysis, observer)?;
    Ok((analysis, warnings))
}

/// The programs of a policy; or why there are none.
fn build(
    policy: &Policy,
    mut analysis: Analysis,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Built, Stop> {
    let (decided, tabled) = loop {
        observer.stage("decide");
        let decided = decided::decide(policy, &mut analysis, job)?;
        observer.stage("compose");
        analysis::compose(policy, &mut analysis, job)?;
        observer.stage("tables");
        match tabled::tables(policy, &analysis, &decided, job)? {
            Ok(tabled) => break (decided, tabled),
            // A compare tree may hold what no tables do.
            Err(why) => {
                let less = with_less(policy, &analysis, job);
                analysis = less.map_err(|stop| stop.without_tables(&why))?.because(why);
            }
        }
    };
    observer.stage("lower");
    let mut lowered = lowered::lower(policy, &analysis, &decided, &tabled, job)?;
    if job.options.passes == Passes::Run {
        observer.stage("optimise");
        lowered.functions.iter_mut().for_each(opt::optimise);
    }
    observer.stage("check limits");
    emitted::check_limits(policy, &analysis, &tabled, &lowered, job)?;
    observer.stage("emit");
    let programs = emitted::emit(policy, &analysis, &tabled, &lowered, job)?;
    let manifest = manifest::manifest(
        policy,
        &analysis.chains,
        tabled.slots,
        &tabled.maps,
        lowered.attach,
        job,
    );
    let classifiers = tabled.classifiers.into_iter();
    Ok(Built {
        bulk: analysis.bulk,
        chains: analysis.chains,
        decisions: decided.decisions,
        classifiers: classifiers.map(|one| Some(one?.summary)).collect(),
        functions: lowered.functions,
        of_chains: lowered.of_chains,
        tables: tabled.tables,
        artifact: Artifact {
            programs,
            maps: tabled.specs,
            manifest,
            lists: Vec::new(),
            netns: Vec::new(),
        },
        netns: Vec::new(),
    })
}

/// Places the rules again where no tables hold them: only plain ones in tables if there were others, else none.
fn with_less(policy: &Policy, analysis: &Analysis, job: Job<'_>) -> Result<Analysis, Stop> {
    let bulk = analysis.bulk.as_ref();
    match bulk.is_some_and(|bulk| bulk.asks_more(policy)) {
        true => reduced::place(policy, job.options.structure, Conditions::Nothing),
        false => as_it_is(policy),
    }
}

/// Everything of a policy and those inside it.
pub(super) fn code(
    policy: &Policy,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Done, Stop> {
    let (built, warnings) = linted(policy, job, observer, |analyses, observer| {
        build_all(policy, analyses, job, observer)
    })?;
    Ok(Done {
        built: Some(built),
        warnings,
    })
}

/// What is wrong with a policy and those inside it, and what is said of them. Makes no code.
pub(super) fn check(
    policy: &Policy,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Done, Stop> {
    let ((), warnings) = linted(policy, job, observer, |_, _| Ok(()))?;
    Ok(Done::without_code(warnings))
}

/// The same, and what `compile` would refuse for its size, for kernels from the oldest on.
pub(super) fn check_size(
    policy: &Policy,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Done, Stop> {
    let (beyond, mut warnings) = linted(policy, job, observer, |analyses, observer| {
        beyond(policy, analyses, job, observer)
    })?;
    warnings.extend(beyond);
    Ok(Done::without_code(warnings))
}

/// What is known of a policy and those inside it.
pub(super) struct Analysed {
    /// Of each, if nothing is wrong with any.
    pub(super) analyses: Option<Vec<Analysis>>,
    /// Of each: what was warned of, or what is wrong.
    pub(super) said: Vec<Result<Vec<Diagnostic>, Vec<Diagnostic>>>,
}

/// Analyses a policy and those inside it.
pub(super) fn analyse_all(
    policy: &Policy,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Analysed, Stop> {
    let mut analyses = Vec::new();
    let mut said = Vec::new();
    let blocks = policy.netns.iter().map(|block| Some(block.name.as_str()));
    let names = std::iter::once(None).chain(blocks);
    for (netns, policy) in names.zip(with_inner(policy)) {
        said.push(match analyse(policy, netns, job, observer) {
            Ok((analysis, warnings)) => {
                analyses.push(analysis);
                Ok(warnings)
            }
            Err(Stop::Diagnostics(wrong)) => Err(wrong),
            Err(bug) => return Err(bug),
        });
    }
    let sound = analyses.len() == said.len();
    Ok(Analysed {
        analyses: sound.then_some(analyses),
        said,
    })
}

/// Builds a policy and those inside it.
fn build_all(
    policy: &Policy,
    analyses: Vec<Analysis>,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Built, Stop> {
    let mut all = with_inner(policy)
        .zip(analyses)
        .map(|(policy, analysis)| build(policy, analysis, job, observer));
    let mut built = match all.next() {
        Some(built) => built?,
        None => return Err(Stop::Bug("a policy that is not analysed".into())),
    };
    built.netns = all.collect::<Result<_, _>>()?;
    let inner = policy.netns.iter().zip(&built.netns);
    built.artifact.netns = inner
        .map(|(netns, built)| (netns.name.clone(), built.artifact.clone()))
        .collect();
    let lists = job.sources.iter().filter(|(_, source)| source.is_list);
    built.artifact.lists = lists
        .map(|(_, list)| (list.name.clone(), list.text.clone()))
        .collect();
    Ok(built)
}

/// What no kernel's limits allow; as warnings, what those of older kernels do not.
fn beyond(
    policy: &Policy,
    analyses: Vec<Analysis>,
    job: Job<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<Diagnostic>, Stop> {
    let refused = match build_all(policy, analyses, job, observer) {
        Ok(_) => return Ok(Vec::new()),
        Err(Stop::Diagnostics(refused)) => refused,
        Err(bug) => return Err(bug),
    };
    let newer = |one: &Diagnostic| one.code == NO_INTERFACE || limits::is_far(one);
    if !refused.iter().any(newer) {
        return Err(Stop::Diagnostics(refused));
    }
    let newest = Target::newest();
    let job = Job {
        options: Options::from(&newest),
        care: None,
        ..job
    };
    code(policy, job, observer)?;
    let warned = refused.into_iter().filter(|one| one.code != NO_INTERFACE);
    Ok(warned
        .map(|one| Diagnostic {
            severity: Severity::Warning,
            ..one
        })
        .collect())
}

/// The policy that was resolved, unless something is wrong. A mistake may leave a rule without anything to match: that is
/// said once, as the mistake.
fn sound(
    policy: Option<Policy>,
    id: SourceId,
    found: &mut Vec<Diagnostic>,
) -> Result<Policy, Vec<Diagnostic>> {
    found.extend(
        policy
            .as_ref()
            .and_then(|policy| size::of_rules(policy, id)),
    );
    let mistake = |one: &Diagnostic| one.severity == Severity::Error;
    match policy.filter(|_| !found.iter().any(mistake)) {
        Some(policy) => Ok(policy),
        None => {
            found.retain(|one| one.code != MATCHES_NOTHING);
            Err(std::mem::take(found))
        }
    }
}
