//! `sockc try`: real packets through a policy in a throw-away lab, and whether they fare as the rules say.
//!
//! ```text
//! policy ─ choose (or the packets given) ─▶ cases ─ stage ─▶ seen ─┐
//!                                             └─ decide ─▶ verdict ─┴─ judge ─▶ rows, counters
//! ```
//!
//! Without the rights for a lab the emitted bytecode runs in the compiler's interpreter instead.

mod cases;
mod choose;
mod judge;
mod offline;
mod report;
mod stage;
mod words;
mod world;

use sockc_compiler::artifact::Manifest;
use sockc_compiler::decide::decide;
use sockc_compiler::policy::Policy;
use sockc_runtime::lab::{self, BPFFS, FRONT};
use sockc_runtime::{CounterValue, Options};

use crate::apply::target;
use crate::cli;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::refused;

use choose::Case;
use report::Row;
use stage::{Seen, Stage};
use world::LabWorld;

/// Compiles, plays, prints.
pub(crate) fn run(arguments: &cli::Try, output: &mut Output) -> Exit {
    trial(arguments, output).unwrap_or_else(|exit| exit)
}

fn trial(arguments: &cli::Try, output: &mut Output) -> Result<Exit, Exit> {
    let compiled = Compiled::read(&arguments.file, &target(), output)?;
    let cases = cases::cases(&compiled.policy, &arguments.packets, output)?;
    let missing = lab::missing_rights();
    let (seen, counters) = if missing.is_empty() {
        in_lab(&compiled, &cases, output)?
    } else {
        output.note(format!(
            "real packets need the rights {}; the same packets run through the bytecode in an interpreter instead",
            missing.join(", ")
        ));
        (offline::play(&compiled, &cases), Vec::new())
    };
    let rows: Vec<Row> = cases
        .iter()
        .zip(seen)
        .map(|(case, seen)| row(&compiled.policy, case, seen))
        .collect();
    report::report(&rows, &counters, output);
    let wrong = rows.iter().any(|row| row.agrees == Some(false));
    Ok(if wrong { Exit::Policy } else { Exit::Done })
}

/// Puts the policy in force in a lab and plays every case there.
fn in_lab(
    compiled: &Compiled,
    cases: &[Case],
    output: &mut Output,
) -> Result<(Vec<Seen>, Vec<CounterValue>), Exit> {
    let mut stage = Stage::new(&compiled.policy).map_err(|error| lab_refused(&error, output))?;
    let object = compiled.object(output)?;
    let manifest = of_lab(&compiled.built.artifact.manifest, &stage);
    let options = Options {
        bpffs: BPFFS.into(),
        interfaces: vec![FRONT.into()],
        ..Options::default()
    };
    let applied = stage
        .lab()
        .server
        .run(|| sockc_runtime::apply(&object, &manifest, &options))
        .map_err(|error| lab_refused(&error, output))?;
    applied.map_err(|error| refused(&error, output))?;
    let seen = cases
        .iter()
        .map(|case| stage.play(case))
        .collect::<Result<_, _>>()
        .map_err(|error| lab_refused(&error, output))?;
    let counters = stage
        .lab()
        .server
        .run(|| sockc_runtime::counters(&options))
        .map_err(|error| lab_refused(&error, output))?
        .map_err(|error| refused(&error, output))?;
    Ok((seen, counters))
}

/// The manifest with the lab's control groups in place of the machine's.
fn of_lab(manifest: &Manifest, stage: &Stage<'_>) -> Manifest {
    let mut manifest = manifest.clone();
    for (group, cgroup) in manifest.groups.iter_mut().zip(stage.cgroups()) {
        cgroup.clone_into(&mut group.cgroup);
    }
    manifest
}

fn lab_refused(error: &lab::Error, output: &mut Output) -> Exit {
    output.error(error);
    Exit::Refused
}

fn row(policy: &Policy, case: &Case, seen: Seen) -> Row {
    let world = LabWorld::new(policy).holding(case.socket);
    let decision = decide(policy, &case.event, &world);
    let agrees = match seen {
        Seen::NotSent(_) => None,
        _ => Some(judge::agrees(case, decision.verdict, &seen, &world)),
    };
    Row {
        packet: words::packet(policy, case),
        seen: words::seen(policy, &seen),
        verdict: words::verdict(policy, decision.verdict),
        decider: words::decider(policy, case, decision.decider),
        agrees,
    }
}
