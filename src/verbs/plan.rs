//! `sockc plan`: what putting a policy in force would change, for packets and in the kernel. Changes nothing.
//!
//! What runs is read from the kernel's own state, never from a file. The comparison is the one of `diff`, the steps are those
//! that the runtime's apply takes.

mod json;
mod notes;
mod preview;
mod reach;
mod text;

use std::borrow::Cow;
use std::path::Path;

use sockc_compiler::artifact::Manifest;
use sockc_compiler::diff::{self, Report};
use sockc_compiler::guard::Guarded;
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::policy::Policy;
use sockc_runtime::{
    Carried, Departing, Drift, Error, Forecast, LinkFate, Options, ProgramFate, Running,
    Standpoint, forecast_object, of_namespaces,
};

use crate::changes::text::Look;
use crate::changes::{MAX_CHANGES, Paint, summary};
use crate::cli;
use crate::exit::Exit;
use crate::files::input::is_stream;
use crate::files::saved::{About, Saved};
use crate::files::written;
use crate::machine::cards;
use crate::machine::counted::is_left_out;
use crate::machine::drift::{tell_drift, unverified};
use crate::machine::local;
use crate::machine::others::{self, Near};
use crate::machine::passing;
use crate::machine::refused;
use crate::output::Output;
use crate::policies::guards::{ending, judge};
use crate::policies::lockout::{self, Lockout};
use crate::policies::ready::{Origin, Ready, digest};
use crate::replay::Replayed;
pub(crate) use preview::preview;
use reach::{Reach, reach};

/// Everything that a plan says.
pub(crate) struct Planned<'a> {
    /// The file, as on the command line.
    file: String,
    ready: &'a Ready,
    /// The digests of what runs, and of the file.
    digests: (Option<String>, String),
    forecast: &'a Forecast,
    /// Where the policy comes to and goes from.
    reach: Vec<Reach>,
    report: Report,
    guarded: Option<Guarded>,
    /// What becomes of recorded packets, if that is asked for.
    replayed: Option<Replayed>,
    /// What becomes of the SSH connection that the command comes over.
    lockout: Lockout,
    /// Policies of other network namespaces that hold for groups: for those of both policies, and where nothing is in force in
    /// this one, for any; nothing where that is not known.
    others: Option<Vec<others::Row>>,
    /// What else a person should know.
    notes: Vec<String>,
}

/// Plans; says what others changed first, since nothing can be planned on that.
pub(crate) fn run(arguments: &cli::Plan, output: &mut Output) -> Exit {
    plan(arguments, output).unwrap_or_else(|failed| failed)
}

/// What is to be planned; refuses what no plan is made of.
fn asked(arguments: &cli::Plan, output: &mut Output) -> Result<Ready, Exit> {
    if arguments.output.as_deref().is_some_and(is_stream) {
        output.error("a plan is saved in a file: `-o FILE`");
        return Err(Exit::Usage);
    }
    let ready = Ready::read(&arguments.file, &arguments.subject, output)?;
    if let Origin::Plan(_) = ready.origin {
        output.error("this is a saved plan: `sockc apply` carries it out");
        return Err(Exit::Usage);
    }
    Ok(ready)
}

fn plan(arguments: &cli::Plan, output: &mut Output) -> Result<Exit, Exit> {
    let subject = &arguments.subject;
    let ready = asked(arguments, output)?;
    let options = ready.options(subject);
    output.watch().stage("look at what runs");
    let forecast = forecast_object(&ready.object, &ready.manifest, &options)
        .map_err(|error| refused(&error, output))?;
    check_drift(&forecast, output)?;
    note_unverified(&forecast, output);
    let guarded = ready.guarded(subject, output)?;
    let (old, new) = both(&forecast, &ready, &options).map_err(|(cause, exit)| {
        output.error(format!("{cause}, and nothing is planned"));
        exit
    })?;
    let most = (!arguments.all && !output.is_json()).then_some(MAX_CHANGES);
    let report = diff::compare(&old, &new, limits(most), output.watch());
    let replayed = Replayed::of(&arguments.replay, &old, &new, output)?;
    let lists = |object: &[u8]| object::read_lists(object).unwrap_or_default();
    let before = forecast.running.as_ref();
    let mut notes = notes::notes(&forecast, &ready.manifest);
    let others = match near(&forecast, &ready.manifest, &options) {
        Ok(Some(near)) => {
            notes.extend(near.words(&told(&forecast)));
            near.rows()
        }
        Ok(None) => others::tell(&options, output),
        Err(error) => return Err(refused(&error, output)),
    };
    let planned = Planned {
        file: arguments.file.display().to_string(),
        digests: (
            before.map(|one| digest(&one.manifest, &lists(&one.object))),
            digest(&ready.manifest, &lists(ready.object.bytes())),
        ),
        ready: &ready,
        forecast: &forecast,
        reach: reach(&forecast, [&old, &new]),
        report,
        guarded,
        replayed,
        lockout: lockout::look(&new, &options),
        others,
        notes: notes.iter().map(|note| output.suggested(note)).collect(),
    };
    for note in cards::notes(&new, (ready.object.bytes(), &ready.manifest), &options) {
        output.note(note);
    }
    for note in local::notes(&new, &options) {
        output.note(note);
    }
    for note in passing::notes(&new, &options) {
        output.note(note);
    }
    for note in planned.lockout.notes() {
        output.note(note);
    }
    finish(&planned, arguments, &options, output)
}

/// Steps that a comparison may take here, where somebody waits to go on: some seconds. `diff` has more.
const WORK: u64 = 20_000_000;

/// How much is found out of what a policy changes.
fn limits(most: Option<usize>) -> diff::Options {
    diff::Options {
        most,
        work: WORK,
        ..diff::Options::default()
    }
}

/// Shows the plan, saves it if that is asked for, and says how the command ends.
fn finish(
    planned: &Planned<'_>,
    arguments: &cli::Plan,
    options: &Options,
    output: &mut Output,
) -> Result<Exit, Exit> {
    output.watch().clear();
    let guards = planned.guarded.as_ref().map_or(Exit::Done, ending);
    if output.is_json() {
        let saved = arguments.output.as_deref().filter(|_| guards == Exit::Done);
        output.value(&json::Json::new(planned, saved));
    } else {
        let look = Look {
            paint: Paint(output.colors_results()),
            all: arguments.all,
            terminal: output.is_terminal(),
        };
        let page = text::text(planned, look, |words| output.suggested(words));
        output.bytes(page.as_bytes());
        if let Some(replayed) = &planned.replayed {
            output.line("");
            output.bytes(replayed.text().as_bytes());
        }
    }
    if let Some(guarded) = &planned.guarded {
        judge(guarded, output)?;
    }
    if let Some(path) = &arguments.output {
        save(planned, options, path, output)?;
        output.note(format!("saved: `sockc apply {}` does this", path.display()));
    }
    let played = planned.replayed.as_ref().map_or(Exit::Done, Replayed::exit);
    // A policy that comes where none runs is told by what it says: that it is long is no fault of it.
    let is_known = planned.report.is_complete() || planned.forecast.running.is_none();
    Ok(match (is_known, planned.differs()) {
        _ if played != Exit::Done => played,
        (false, _) => Exit::Policy,
        (true, true) if arguments.exit_code => Exit::Differs,
        (true, _) => Exit::Done,
    })
}

/// Ends the command if others changed what runs, here or in a namespace of a block.
fn check_drift(forecast: &Forecast, output: &mut Output) -> Result<(), Exit> {
    let drift = drift(forecast);
    if drift.is_empty() {
        return Ok(());
    }
    if output.is_json() {
        output.value(&json::Drifted::new(&drift));
    }
    tell_drift(&drift, output);
    Err(Exit::Changed)
}

/// What others changed, here and in the namespaces of blocks.
fn drift(forecast: &Forecast) -> Vec<Drift> {
    let inner = forecast.netns.iter().flat_map(|(_, inner)| &inner.drift);
    forecast.drift.iter().chain(inner).cloned().collect()
}

/// The policies of other network namespaces for the groups of what runs and of what comes; `None` where nothing runs.
fn near(
    forecast: &Forecast,
    manifest: &Manifest,
    options: &Options,
) -> Result<Option<Near>, Error> {
    let running = forecast.running.as_ref();
    let near = running.map(|running| Near::look(options, &[&running.manifest, manifest]));
    near.transpose()
}

/// The programs of other network namespaces that are told next to ours.
fn told(forecast: &Forecast) -> Vec<u32> {
    of_namespaces(forecast.hooks.iter().flat_map(|hook| &hook.foreign))
}

/// Says so if what runs is not known to be what its text says.
fn note_unverified(forecast: &Forecast, output: &mut Output) {
    let running = forecast.running.as_ref();
    if let Some(why) = running.and_then(|running| running.unverified.as_ref()) {
        output.note(unverified(why));
    }
}

/// The policy that runs and the one that comes, or why they cannot be compared and how that ends a command.
fn both<'a>(
    forecast: &Forecast,
    ready: &'a Ready,
    options: &Options,
) -> Result<(Policy, Cow<'a, Policy>), (String, Exit)> {
    let mut old = running(forecast.running.as_ref()).map_err(|cause| (cause, Exit::Refused))?;
    let new = next(ready, options).map_err(|cause| (cause, Exit::Policy))?;
    // What a block said changes nothing where it goes and its policy is not there any more.
    let departed = |name: &str| {
        let mut departing = forecast.departing.iter();
        departing.any(|one| one.name == name && !one.goes())
    };
    let stays = |name: &str| new.netns.iter().any(|block| block.name == name);
    old.netns
        .retain(|block| stays(&block.name) || !departed(&block.name));
    rename(&mut old, &forecast.renamed_netns);
    Ok((old, new))
}

/// Has the policy that runs call the namespaces of its blocks as the next one does. What had such a name before is the block of
/// a namespace that lost it, of which is told apart from rules.
fn rename(old: &mut Policy, renamed: &[(String, String)]) {
    let next = |name: &str| {
        let mut renamed = renamed.iter();
        renamed.find_map(|(was, now)| (was == name).then(|| now.clone()))
    };
    let is_taken = |name: &str| renamed.iter().any(|(_, now)| now == name);
    old.netns
        .retain(|block| next(&block.name).is_some() || !is_taken(&block.name));
    for block in &mut old.netns {
        if let Some(now) = next(&block.name) {
            block.name = now;
        }
    }
}

/// The policy that runs; one of no rules if nothing does.
fn running(running: Option<&Running>) -> Result<Policy, String> {
    let Some(running) = running else {
        return Ok(Policy::default());
    };
    if let Some(policy) = &running.text {
        return Ok(attached(Cow::Borrowed(policy), &running.interfaces).into_owned());
    }
    let kept = KeptTexts::of_object(&running.object, &running.manifest);
    let kept = kept.and_then(|texts| texts.policy()).map_err(|error| {
        format!(
            "what runs cannot be compared: the policy \"{}\" was applied by another sockc, and {error}; put it in force again with this one first",
            running.policy
        )
    })?;
    Ok(attached(Cow::Owned(kept.policy), &running.interfaces).into_owned())
}

/// The policy that comes.
fn next<'a>(ready: &'a Ready, options: &Options) -> Result<Cow<'a, Policy>, String> {
    let policy = ready.policy().map_err(|error| {
        format!("what this object changes cannot be told: {error}; compile its policy again")
    })?;
    Ok(attached(policy, &options.interfaces))
}

/// A policy with the interfaces that were given instead of its own.
fn attached<'a>(mut policy: Cow<'a, Policy>, interfaces: &[String]) -> Cow<'a, Policy> {
    if !interfaces.is_empty() && policy.interfaces != interfaces {
        policy.to_mut().interfaces = interfaces.to_vec();
    }
    policy
}

impl Planned<'_> {
    /// Whether an apply would change anything but ids and counters of the same rules.
    fn differs(&self) -> bool {
        let reached = !self.reach.is_empty();
        self.report.differs() || reached || moves(self.forecast) || self.counting().is_some()
    }

    /// Whether the rules begin to count, `true`, or count no more; `None` if neither.
    fn counting(&self) -> Option<bool> {
        let counts = |manifest: &Manifest| !manifest.counters.iter().any(is_left_out);
        let before = counts(&self.forecast.running.as_ref()?.manifest);
        let after = counts(&self.ready.manifest);
        (before != after).then_some(after)
    }

    /// What it comes to, on one line.
    fn summary(&self) -> String {
        summary_of(&self.report, self.forecast, &self.reach)
    }
}

/// What a comparison with what runs comes to, on one line.
fn summary_of(report: &Report, forecast: &Forecast, reach: &[Reach]) -> String {
    let line = match forecast.running {
        Some(_) => summary::line(report),
        None => summary::first(report),
    };
    reach::summary(&line, reach)
}

/// Whether hooks come or go, or what a policy keeps while it runs does.
fn moves(forecast: &Forecast) -> bool {
    let hooks = forecast
        .hooks
        .iter()
        .any(|hook| hook.link != LinkFate::Kept);
    let data = forecast.data.iter().any(|one| one.fate != Carried::Kept);
    let inner = forecast.netns.iter().any(|(_, inner)| moves(inner));
    let ways = !forecast.ways.is_empty() || !forecast.spare_ways.is_empty();
    hooks || data || ways || inner || forecast.departing.iter().any(Departing::goes)
}

/// Whether other code comes into a hook.
fn has_other_code(forecast: &Forecast) -> bool {
    let mut hooks = forecast.hooks.iter();
    let mut inner = forecast.netns.iter();
    hooks.any(|hook| hook.program == ProgramFate::Changed)
        || inner.any(|(_, inner)| has_other_code(inner))
}

fn save(
    planned: &Planned<'_>,
    options: &Options,
    path: &Path,
    output: &mut Output,
) -> Result<(), Exit> {
    let inner = planned.forecast.netns.iter().map(|(_, inner)| inner);
    let all = std::iter::once(planned.forecast).chain(inner);
    let standpoints: Vec<Standpoint> = all.map(|one| one.standpoint.clone()).collect();
    let saved = Saved {
        about: About {
            interfaces: options.interfaces.clone(),
            add_routes: options.add_routes,
            standpoints,
            summary: planned.summary(),
        },
        object: planned.ready.object.bytes().to_vec(),
    };
    let bytes = saved.bytes().map_err(|error| {
        output.error(format!("this is a bug in sockc: {error}"));
        Exit::Bug
    })?;
    written::result(path, &bytes, Path::new(&planned.file), output)
}
