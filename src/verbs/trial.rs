//! `sockc try`: real packets through a policy in a throw-away lab, and whether they fare as the rules say.
//!
//! ```text
//! policy ─ choose (or the packets given) ─▶ cases ─ stage ─▶ seen ─┐
//!                                             └─ decide ─▶ verdict ─┴─ judge ─▶ rows, counters
//! ```
//!
//! Without the rights for a lab the emitted bytecode runs in the compiler's interpreter instead.

mod around;
mod cases;
mod choose;
pub(crate) mod frame;
mod interfaces;
mod judge;
mod lab_world;
mod offline;
mod real;
mod report;
mod spliced;
mod stage;
mod tokens;
pub(crate) mod words;

use sockc_compiler::artifact::Artifact;
use sockc_compiler::decide::decide;
use sockc_compiler::passage::asked;
use sockc_compiler::pipeline::{Expects, Options};
use sockc_compiler::policy::Policy;
use sockc_runtime::{lab, probe};

use crate::cli;
use crate::exit::Exit;
use crate::files::input::Text;
use crate::output::Output;
use crate::policies::compiled::Compiled;
use crate::policies::lints::Lints;

use cases::{Outside, Tried};
use choose::{Case, Owner};
use lab_world::LabWorld;
use report::Row;
use stage::Seen;

/// Compiles, plays, prints.
pub(crate) fn run(arguments: &cli::Try, output: &mut Output) -> Exit {
    trial(arguments, output).unwrap_or_else(|exit| exit)
}

/// A policy with what was made of it: the file's own, or that of a `for netns` block. Each is tried by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The namespace of the block.
    pub(crate) netns: Option<&'a str>,
    /// What the rules say.
    pub(crate) policy: &'a Policy,
    /// The programs.
    pub(crate) artifact: &'a Artifact,
}

impl<'a> Subject<'a> {
    /// The file's own policy.
    pub(crate) fn outer(compiled: &'a Compiled) -> Self {
        Self {
            netns: None,
            policy: &compiled.policy,
            artifact: &compiled.built.artifact,
        }
    }

    /// The file's own policy, then those of its blocks.
    pub(crate) fn all(compiled: &'a Compiled) -> impl Iterator<Item = Self> {
        let blocks = compiled.policy.netns.iter();
        let blocks = blocks.zip(&compiled.built.artifact.netns);
        let inner = blocks.map(|(block, (_, artifact))| Self {
            netns: Some(&block.name),
            policy: &block.policy,
            artifact,
        });
        std::iter::once(Self::outer(compiled)).chain(inner)
    }
}

fn trial(arguments: &cli::Try, output: &mut Output) -> Result<Exit, Exit> {
    let lints = Lints::new(&arguments.lints, output)?;
    let text = Text::read(&arguments.file, output)?;
    let target = probe().target();
    // A line that does not hold is what somebody may want to try.
    let options = Options {
        expects: Expects::LeftOut,
        ..Options::from(&target)
    };
    let compiled = Compiled::new(text, options, &lints, output)?;
    let missing = lab::missing_rights();
    if !missing.is_empty() {
        output.note(format!(
            "real packets need the rights {}; the same packets run through the bytecode in an interpreter instead",
            missing.join(", ")
        ));
    }
    let (mut rows, mut joined, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    for subject in Subject::all(&compiled) {
        if subject.netns.is_some() && !arguments.packets.is_empty() {
            // A packet on the command line is in the words of the file's own policy.
            break;
        }
        let cases = cases::cases(subject.policy, &arguments.packets, output)?;
        let met = |tried: &&Tried| tried.outside.as_ref().is_none_or(|one| one.looked_up);
        let played: Vec<Case> = cases
            .iter()
            .filter(met)
            .map(|one| one.case.clone())
            .collect();
        let seen = if missing.is_empty() {
            let (seen, mut counted) =
                real::play(&subject, &played).map_err(|failure| failure.exit(output))?;
            if arguments.packets.is_empty() {
                let pairs = spliced::play(&subject, &mut counted);
                joined.extend(pairs.map_err(|failure| failure.exit(output))?);
            }
            counters.extend(counted);
            seen
        } else {
            if !subject.policy.splices.is_empty() {
                output.note("pairs are handed over in a lab only: no splice was tried");
            }
            offline::play(&subject, &played)
        };
        let mut seen = seen.into_iter();
        rows.extend(cases.iter().filter_map(|tried| match &tried.outside {
            Some(outside) if !outside.looked_up => Some(unmet(&subject, outside)),
            _ => Some(row(&subject, tried, seen.next()?)),
        }));
    }
    // What counts nothing has no row, as in `counters`.
    counters.retain(|value| value.counter.counted);
    report::report([&rows, &joined], &counters, missing.is_empty(), output);
    let wrong = rows
        .iter()
        .chain(&joined)
        .any(|row| row.agrees == Some(false));
    Ok(if wrong { Exit::Policy } else { Exit::Done })
}

/// A packet that no program of the policy meets.
fn unmet(subject: &Subject<'_>, outside: &Outside) -> Row {
    Row {
        netns: subject.netns.map(str::to_owned),
        packet: outside.packet.clone(),
        seen: "nothing".into(),
        verdict: format!("not looked at, as {}", outside.why),
        decider: report::Decider {
            rule: "no rule".into(),
            ..report::Decider::default()
        },
        counted: Vec::new(),
        agrees: None,
    }
}

fn row(subject: &Subject<'_>, tried: &Tried, seen: Seen) -> Row {
    let policy = subject.policy;
    let case = &tried.case;
    let world = LabWorld::of(policy, case);
    let decision = decide(policy, &asked(policy, &case.event, &world), &world);
    let seen = judge::shown(case, decision.verdict, seen);
    let agrees = match seen {
        Seen::NotSent(_) => None,
        _ => Some(judge::agrees(policy, case, decision.verdict, &seen, &world)),
    };
    let counted = decision.counted.iter();
    Row {
        netns: subject.netns.map(str::to_owned),
        packet: match &tried.outside {
            Some(outside) => format!(
                "{} (by the socket lookup alone: {})",
                outside.packet, outside.why
            ),
            None => words::packet(policy, case),
        },
        seen: words::seen(policy, &seen),
        verdict: words::verdict(policy, decision.verdict),
        decider: words::decider(policy, case, decision.decider),
        counted: counted
            .map(|rule| words::owner(policy, Owner::Rule(*rule)))
            .collect(),
        agrees,
    }
}

#[cfg(test)]
mod tests;
