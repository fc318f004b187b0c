//! `sockc apply`: puts a policy, an object made from one, or a saved plan in force.

mod boot;
mod cut_off;
mod running;
mod streams;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sockc_compiler::artifact::Manifest;
use sockc_compiler::guard::Guarded;
use sockc_compiler::observer::Observer;
use sockc_runtime::{After, Applied, Author, Confirm, Error, Options};

use crate::cli::{self, StartFrom};
use crate::exit::Exit;
use crate::machine::author;
use crate::machine::cards;
use crate::machine::local;
use crate::machine::otherwise;
use crate::machine::passing;
use crate::machine::slots::{End, Slot, ends, slots, tell, tell_ends};
use crate::machine::{means, place, refused, remote, waiting};
use crate::output::{Output, count};
use crate::policies::guards::{self, judge};
use crate::policies::ready::{Origin, Ready};
use crate::verbs::plan::preview;

/// The format's name.
const FORMAT: &str = "sockc.apply/1";

/// How long a policy waits to be confirmed where nobody says.
const BY_ITSELF: Duration = Duration::from_secs(60);

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    policy: &'a str,
    generation: u32,
    /// Until when it waits to be confirmed; left out where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<waiting::Row>,
    /// The generation that it is again, of a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<u32>,
    /// Which policy it is, at the start of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<cli::StartFrom>,
    guards: Vec<guards::Row<'a>>,
    interfaces: Vec<Attached<'a>>,
    hooks: Vec<Hook<'a>>,
    sockets: Vec<Slot<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<End<'a>>,
    escaped: Vec<Escaped<'a>>,
    refused: Vec<Escaped<'a>>,
    unseen: Vec<Escaped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<otherwise::Row<'a>>,
    notes: &'a [String],
    netns: Vec<Inner<'a>>,
}

/// The policy of a `for netns` block in JSON.
#[derive(Serialize)]
struct Inner<'a> {
    netns: &'a str,
    /// Its path, if it lost its name.
    path: Option<&'a str>,
    generation: u32,
    interfaces: Vec<Attached<'a>>,
    hooks: Vec<Hook<'a>>,
    sockets: Vec<Slot<'a>>,
    escaped: Vec<Escaped<'a>>,
    refused: Vec<Escaped<'a>>,
    unseen: Vec<Escaped<'a>>,
    notes: &'a [String],
}

/// A hook on an interface in JSON.
#[derive(Serialize)]
struct Attached<'a> {
    interface: &'a str,
    hook: &'a str,
    means: &'static str,
}

/// A hook whose program decides no packets of an interface, in JSON.
#[derive(Serialize)]
struct Hook<'a> {
    hook: &'a str,
    /// The folder of the control group, or the interface; empty for the network namespace.
    target: &'a str,
    /// The control group that it hangs on, if that is not the target.
    on: Option<&'a str>,
    means: &'static str,
}

/// Connections of a group that its rules do not hold for, in JSON.
#[derive(Serialize)]
struct Escaped<'a> {
    group: &'a str,
    connections: usize,
}

/// Why nothing was put in force.
enum Failure {
    /// It has been said.
    Told(Exit),
    /// The runtime refused.
    Refused(Error),
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        Self::Told(exit)
    }
}

/// Compiles if need be, shows and asks if somebody is there to answer, and applies.
pub(crate) fn run(arguments: &cli::Apply, output: &mut Output) -> Exit {
    if arguments.boot.boot {
        return boot::apply_boot(arguments, output);
    }
    let applied = match &arguments.file {
        Some(file) => of_file(file, arguments, output),
        // It begins with the same, and waits where nothing is in force, or nothing can be changed now.
        None if arguments.watch => Ok(()),
        None => running::apply_running(arguments, output),
    };
    match ended(applied, output) {
        Exit::Done if arguments.watch => watch::stay(arguments, output),
        exit => exit,
    }
}

/// Applies what is ready.
pub(crate) fn once(ready: &Ready, arguments: &cli::Apply, output: &mut Output) -> Exit {
    let applied = apply(ready, arguments, output);
    ended(applied, output)
}

fn ended(applied: Result<(), Failure>, output: &mut Output) -> Exit {
    match applied {
        Ok(()) => Exit::Done,
        Err(Failure::Told(exit)) => exit,
        Err(Failure::Refused(error)) => refused(&error, output),
    }
}

fn of_file(file: &Path, arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let ready = Ready::read(file, &arguments.subject, output)?;
    let applied = apply(&ready, arguments, output);
    // The command ends here, and taking a policy of 100,000 rules apart takes its time.
    std::mem::forget(ready);
    applied
}

/// Asks the guards, then whoever is there, and puts it in force.
fn apply(ready: &Ready, arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let guarded = match arguments.boot.from {
        // Where this one is, all others were refused, and the next one is none.
        Some(StartFrom::BuiltIn) => None,
        _ => ready.guarded(&arguments.subject, output)?,
    };
    if let Some(guarded) = &guarded {
        judge(guarded, output)?;
    }
    let options = Options {
        confirm: on_trial(ready, arguments, output),
        author: Some(author_of(ready, arguments)),
        ..options_of(ready, arguments)
    };
    let manifest = &ready.manifest;
    output.watch().clear();
    cut_off::refuse(ready, &options, arguments.lock_me_out, output)?;
    if let Origin::Plan(about) = &ready.origin {
        output.note(format!("the plan: {}", about.summary));
    }
    if !arguments.yes && output.can_ask() {
        ask(ready, &options, output)?;
    }
    output.watch().stage("put in force");
    let mut applied =
        sockc_runtime::apply_object(&ready.object, manifest, &options).map_err(Failure::Refused)?;
    if let Origin::Policy(_, features) = &ready.origin {
        sockc_runtime::keep_features(*features);
    }
    suggest(&mut applied, output);
    if options.confirm.is_some() && applied.trial.is_none() {
        output.error("the time to confirm it was over before `apply` was done, and what was in force before is again; give it longer");
        return Err(Failure::Told(Exit::Guard));
    }
    report(
        ready,
        &applied,
        (guarded.as_ref(), arguments.boot.from),
        output,
    );
    if !output.is_json()
        && let Some(trial) = &applied.trial
    {
        for line in waiting::words(trial) {
            output.line(output.suggested(&line));
        }
    }
    if let Ok(policy) = ready.policy() {
        for note in cards::notes(&policy, (ready.object.bytes(), manifest), &options) {
            output.note(note);
        }
        for note in local::notes(&policy, &options) {
            output.note(note);
        }
        for note in passing::notes(&policy, &options) {
            output.note(note);
        }
    }
    Ok(())
}

/// Where it is to be put in force, and what is left out there. What is in force once more, or at the start of the machine, is kept
/// on disk already, or is only instead of what is.
fn options_of(ready: &Ready, arguments: &cli::Apply) -> Options {
    let options = ready.options(&arguments.subject);
    let starts = arguments.boot.boot;
    match starts || arguments.running {
        true => Options {
            leave_out_missing: starts || options.leave_out_missing,
            leave_out_unknown: starts,
            kept_in: None,
            only_after: match starts {
                true => After::Nothing,
                false => options.only_after,
            },
            ..options
        },
        false => options,
    }
}

/// Within which time it is to be confirmed, if it is: by itself where somebody is there who may be shut out.
fn on_trial(ready: &Ready, arguments: &cli::Apply, output: &Output) -> Option<Confirm> {
    let connection = remote::connection();
    let is_plan = matches!(ready.origin, Origin::Plan(_));
    let by_itself = connection.is_some()
        && output.is_on_terminal()
        && !(arguments.no_confirm || arguments.yes || is_plan);
    let within = arguments.confirm.or(by_itself.then_some(BY_ITSELF));
    within.map(|within| Confirm {
        within,
        connection: connection.map(|connection| connection.ends),
        streams: streams::compared(ready, &options_of(ready, arguments)),
    })
}

/// Who applies, and which file it is.
fn author_of(ready: &Ready, arguments: &cli::Apply) -> Arc<Author> {
    match (&arguments.file, &ready.origin) {
        (Some(file), _) => author::of_file(file, &arguments.why),
        (None, Origin::Kept(_, about)) => {
            let kept = about.author.as_ref();
            Arc::new(Author {
                file: kept.and_then(|author| author.file.clone()),
                again: Some(about.generation),
                ..author::author(&arguments.why)
            })
        }
        (None, Origin::Running(_, _, file)) => Arc::new(Author {
            file: file.clone(),
            ..author::author(&arguments.why)
        }),
        (None, Origin::AtStart(about)) => Arc::new(Author {
            file: about.author.as_ref().and_then(|author| author.file.clone()),
            ..author::author(&arguments.why)
        }),
        (None, _) => Arc::new(author::author(&arguments.why)),
    }
}

/// The generation that something is again.
fn again(ready: &Ready) -> Option<u32> {
    match &ready.origin {
        Origin::Kept(_, about) => Some(about.generation),
        _ => None,
    }
}

/// Has the notes suggest commands as they have to be written.
fn suggest(applied: &mut Applied, output: &Output) {
    for note in &mut applied.notes {
        *note = output.suggested(note);
    }
    for (_, inner) in &mut applied.netns {
        suggest(inner, output);
    }
}

/// Shows what would be done, and asks. A "no" ends the command with 1, so that nothing goes on as if it was done.
fn ask(ready: &Ready, options: &Options, output: &mut Output) -> Result<(), Failure> {
    let forecast = sockc_runtime::forecast_object(&ready.object, &ready.manifest, options)
        .map_err(Failure::Refused)?;
    preview(ready, &forecast, options, output);
    let policy = &ready.manifest.policy;
    let instead = match &forecast.running {
        Some(running) if running.policy != *policy => {
            format!(" instead of \"{}\"", running.policy)
        }
        _ => String::new(),
    };
    if output.consent(
        false,
        format!("Put the policy \"{policy}\" in force{instead}?"),
    ) {
        return Ok(());
    }
    output.note("nothing was changed");
    Err(Failure::Told(Exit::Policy))
}

fn report(
    ready: &Ready,
    applied: &Applied,
    (guarded, start): (Option<&Guarded>, Option<StartFrom>),
    output: &mut Output,
) {
    let manifest = &ready.manifest;
    if output.is_json() {
        output.value(&Report {
            again: again(ready),
            start,
            ..in_json(manifest, applied, guarded)
        });
        return;
    }
    output.line(format!(
        "policy \"{}\" is in force, generation {}",
        manifest.policy, applied.generation
    ));
    if let Some(again) = again(ready) {
        output.line(format!(
            "generation {} is what generation {again} was",
            applied.generation
        ));
    }
    if let Some(guarded) = guarded {
        let lines = guarded.lines.len();
        let hold = if lines == 1 { "holds" } else { "hold" };
        output.line(format!("  guards  {} {hold}", count::of(lines, "line")));
    }
    details(applied, output);
    for (netns, inner) in &applied.netns {
        let place = local::of_block(netns, inner.entered.as_deref());
        output.line(format!("{place}, generation {}", inner.generation));
        output.about(place, |output| details(inner, output));
    }
}

/// Hooks, slots and notes of one policy.
fn details(applied: &Applied, output: &mut Output) {
    let mut table = Vec::new();
    for hook in &applied.interfaces {
        let means = means(hook.means).to_owned();
        table.push(vec![
            format!("  {}", hook.interface),
            hook.hook.clone(),
            means,
        ]);
    }
    for hook in &applied.hooks {
        let means = means(hook.means).to_owned();
        table.push(vec![
            format!("  {}", place(&hook.target, hook.on.as_deref()))
                .trim_end()
                .to_owned(),
            hook.hook.clone(),
            means,
        ]);
    }
    output.table(&table);
    tell(&applied.sockets, output);
    tell_ends(&applied.ends, output);
    otherwise::tell(&applied.faults, output);
    for (group, connections) in applied.escaped.iter().filter(|(_, count)| *count > 0) {
        output.note(match connections {
            1 => format!(
                "1 connection of group \"{group}\" could not be taken in, as one of MPTCP or one made before; no rule is asked about what it writes"
            ),
            many => format!(
                "{many} connections of group \"{group}\" could not be taken in, as those of MPTCP or some made before; no rule is asked about what they write"
            ),
        });
    }
    for (group, connections) in applied.refused.iter().filter(|(_, count)| *count > 0) {
        output.note(match connections {
            1 => format!(
                "1 connection of group \"{group}\" cannot be taken in; as `default send` says, what it writes is dropped"
            ),
            many => format!(
                "{many} connections of group \"{group}\" cannot be taken in; as `default send` says, what they write is dropped"
            ),
        });
    }
    for (group, connections) in applied.unseen.iter().filter(|(_, count)| *count > 0) {
        output.note(match connections {
            1 => format!(
                "1 connection of group \"{group}\" was made before; what arrives on it is not decided"
            ),
            many => format!(
                "{many} connections of group \"{group}\" were made before; what arrives on them is not decided"
            ),
        });
    }
    for note in &applied.notes {
        output.note(note);
    }
}

fn in_json<'a>(
    manifest: &'a Manifest,
    applied: &'a Applied,
    guarded: Option<&'a Guarded>,
) -> Report<'a> {
    let inner = applied.netns.iter().map(|(netns, inner)| Inner {
        netns,
        path: inner.entered.as_deref(),
        generation: inner.generation,
        interfaces: attached(inner),
        hooks: others(inner),
        sockets: slots(&inner.sockets),
        escaped: escaped(&inner.escaped),
        refused: escaped(&inner.refused),
        unseen: escaped(&inner.unseen),
        notes: &inner.notes,
    });
    Report {
        format: FORMAT,
        policy: &manifest.policy,
        generation: applied.generation,
        trial: applied.trial.as_ref().map(waiting::row),
        again: None,
        start: None,
        guards: guarded.map(guards::rows).unwrap_or_default(),
        interfaces: attached(applied),
        hooks: others(applied),
        sockets: slots(&applied.sockets),
        ends: ends(&applied.ends),
        escaped: escaped(&applied.escaped),
        refused: escaped(&applied.refused),
        unseen: escaped(&applied.unseen),
        otherwise: otherwise::rows(&applied.faults),
        notes: &applied.notes,
        netns: inner.collect(),
    }
}

fn attached(applied: &Applied) -> Vec<Attached<'_>> {
    let hooks = applied.interfaces.iter();
    hooks
        .map(|hook| Attached {
            interface: &hook.interface,
            hook: &hook.hook,
            means: means(hook.means),
        })
        .collect()
}

fn others(applied: &Applied) -> Vec<Hook<'_>> {
    let hooks = applied.hooks.iter();
    hooks
        .map(|hook| Hook {
            hook: &hook.hook,
            target: &hook.target,
            on: hook.on.as_deref(),
            means: means(hook.means),
        })
        .collect()
}

fn escaped(groups: &[(String, usize)]) -> Vec<Escaped<'_>> {
    let groups = groups.iter();
    groups
        .map(|(group, connections)| Escaped {
            group,
            connections: *connections,
        })
        .collect()
}
