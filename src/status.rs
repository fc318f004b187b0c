//! `sockc status`: what is in force, as the kernel says.

use serde::Serialize;
use sockc_runtime::{HookStatus, Status};

use crate::apply::{self, Slot};
use crate::cli::Place;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::{means, options, refused};

/// The JSON of this verb; `policy` is null where nothing is in force.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    policy: Option<&'a str>,
    generation: Option<u32>,
    hooks: Vec<HookRow<'a>>,
    sockets: Vec<Slot<'a>>,
    leftovers: &'a [String],
}

/// A hook in JSON.
#[derive(Serialize)]
struct HookRow<'a> {
    hook: &'a str,
    target: &'a str,
    means: &'static str,
    program: Option<u32>,
    alive: bool,
    foreign: Vec<&'a str>,
}

/// Shows it; ends with 5 if something of ours is gone.
pub(crate) fn run(place: &Place, output: &mut Output) -> Exit {
    let status = match sockc_runtime::status(&options(place)) {
        Ok(status) => status,
        Err(error) => return refused(&error, output),
    };
    if output.is_json() {
        output.value(&in_json(status.as_ref()));
    }
    let Some(status) = status else {
        if !output.is_json() {
            output.line("no policy is in force");
        }
        return Exit::Done;
    };
    if !output.is_json() {
        show(&status, output);
    }
    for lost in status.hooks.iter().filter(|hook| is_lost(hook)) {
        output.error(format!(
            "the {} hook {} is not what sockc left; `sockc apply` puts it back",
            lost.hook, lost.target
        ));
    }
    if status.hooks.iter().any(is_lost) {
        Exit::Changed
    } else {
        Exit::Done
    }
}

/// Whether somebody took our program away, or what it hung on is gone.
fn is_lost(hook: &HookStatus) -> bool {
    !hook.alive || hook.program.is_none()
}

fn show(status: &Status, output: &mut Output) {
    output.line(format!(
        "policy \"{}\" is in force, generation {}",
        status.policy, status.generation
    ));
    let rows: Vec<_> = status
        .hooks
        .iter()
        .map(|hook| {
            let program = hook
                .program
                .map_or_else(|| "gone".to_owned(), |id| format!("program {id}"));
            vec![
                format!("  {}", hook.hook),
                hook.target.clone(),
                means(hook.means).to_owned(),
                program,
            ]
        })
        .collect();
    output.table(&rows);
    apply::sockets(&status.sockets, output);
    for hook in &status.hooks {
        for foreign in &hook.foreign {
            output.note(format!(
                "program {} \"{}\" of somebody else is on {} {} too",
                foreign.id, foreign.name, hook.hook, hook.target
            ));
        }
    }
    for left in &status.leftovers {
        output.note(format!("removed what an earlier command left: {left}"));
    }
}

fn in_json(status: Option<&Status>) -> Report<'_> {
    let hooks = status.map_or(&[][..], |status| &status.hooks);
    Report {
        format: "sockc.status/1",
        policy: status.map(|status| status.policy.as_str()),
        generation: status.map(|status| status.generation),
        hooks: hooks
            .iter()
            .map(|hook| HookRow {
                hook: &hook.hook,
                target: &hook.target,
                means: means(hook.means),
                program: hook.program,
                alive: hook.alive,
                foreign: hook.foreign.iter().map(|one| one.name.as_str()).collect(),
            })
            .collect(),
        sockets: status
            .map(|status| apply::slots(&status.sockets))
            .unwrap_or_default(),
        leftovers: status.map_or(&[], |status| &status.leftovers),
    }
}
