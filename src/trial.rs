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
pub(crate) mod frame;
mod judge;
mod offline;
mod real;
mod report;
mod stage;
pub(crate) mod words;
mod world;

use sockc_compiler::decide::decide;
use sockc_compiler::policy::Policy;
use sockc_runtime::lab;

use crate::apply::target;
use crate::cli;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::lints::Lints;
use crate::output::Output;

use choose::Case;
use report::Row;
use stage::Seen;
use world::LabWorld;

/// Compiles, plays, prints.
pub(crate) fn run(arguments: &cli::Try, output: &mut Output) -> Exit {
    trial(arguments, output).unwrap_or_else(|exit| exit)
}

fn trial(arguments: &cli::Try, output: &mut Output) -> Result<Exit, Exit> {
    let lints = Lints::new(&arguments.lints, output)?;
    let compiled = Compiled::read(&arguments.file, &target(), &lints, output)?;
    let cases = cases::cases(&compiled.policy, &arguments.packets, output)?;
    let missing = lab::missing_rights();
    let (seen, counters) = if missing.is_empty() {
        real::play(&compiled, &cases).map_err(|failure| failure.exit(output))?
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

fn row(policy: &Policy, case: &Case, seen: Seen) -> Row {
    let world = LabWorld::of(policy, case);
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

#[cfg(test)]
mod tests;
