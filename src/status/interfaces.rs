//! The interfaces that the policy in force is for, as `status` tells them: missing, open, removed, made again, renamed.

use serde::Serialize;
use sockc_runtime::{Coverage, HookStatus, Moved, MovedTo, Status};

use crate::output::Output;

/// What to do where the policy does not hold.
const PUT_IT_ON: &str = "`sockc apply --running` puts it there";

/// The interfaces in JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    missing: &'a [String],
    open: &'a [String],
    moved: Vec<MovedRow<'a>>,
}

/// An interface that is not what it was, in JSON.
#[derive(Serialize)]
struct MovedRow<'a> {
    interface: &'a str,
    now: &'static str,
    name: Option<&'a str>,
}

/// The JSON of some interfaces; of none where nothing is in force.
pub(super) fn row(coverage: Option<&Coverage>) -> Row<'_> {
    let Some(coverage) = coverage else {
        return Row {
            missing: &[],
            open: &[],
            moved: Vec::new(),
        };
    };
    Row {
        missing: &coverage.missing,
        open: &coverage.open,
        moved: coverage.moved.iter().map(moved_row).collect(),
    }
}

fn moved_row(moved: &Moved) -> MovedRow<'_> {
    let (now, name) = match &moved.now {
        MovedTo::Gone => ("gone", None),
        MovedTo::Again => ("again", None),
        MovedTo::Renamed(name) => ("renamed", Some(name.as_str())),
    };
    MovedRow {
        interface: &moved.interface,
        now,
        name,
    }
}

/// Says where the policy does not hold; `true` if it holds wherever it should.
pub(super) fn tell(status: &Status, output: &mut Output) -> bool {
    let coverage = &status.coverage;
    for moved in &coverage.moved {
        let words = moved_words(moved);
        match moved.is_loss() {
            true => output.error(words),
            false => output.note(words),
        }
    }
    for interface in &coverage.open {
        output.error(format!(
            "the policy is for the interface {interface} and does not hold on it: its packets pass by; {PUT_IT_ON}"
        ));
    }
    let mut whole = !coverage.is_open();
    for name in &coverage.missing {
        // What a pattern covers comes and goes, and nothing is missing while there is none.
        match is_pattern(name) {
            true => output.note(missing_words(name)),
            false => {
                whole = false;
                output.error(missing_words(name));
            }
        }
    }
    if !coverage.missing.is_empty() && !has_packet_hook(status) {
        whole = false;
        output.error("the packet rules hold on no interface at all");
    }
    whole
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn has_packet_hook(status: &Status) -> bool {
    let packet = ["xdp", "tc-in", "tc-out"];
    let mut hooks = status.hooks.iter();
    hooks.any(|hook| packet.contains(&hook.hook.as_str()))
}

fn moved_words(moved: &Moved) -> String {
    let name = &moved.interface;
    match &moved.now {
        MovedTo::Again => {
            format!(
                "{name} was removed and made again: the policy does not hold on it; {PUT_IT_ON}"
            )
        }
        MovedTo::Gone if moved.named => format!(
            "{name} was removed: if it is made again, the policy does not hold on it until `sockc apply --running`"
        ),
        MovedTo::Gone => format!("{name} was removed; the policy held on it"),
        MovedTo::Renamed(now) => {
            format!(
                "{name} is called {now} now: the policy still holds on it, and should name it so"
            )
        }
    }
}

fn missing_words(name: &str) -> String {
    let later = "the policy does not hold on it until `sockc apply --running`";
    if is_pattern(name) {
        return format!("no interface is called `{name}`; when one comes, {later}");
    }
    format!("there is no interface {name}; when it comes, {later}")
}

/// Whether the interface of a hook is there no more.
pub(super) fn is_gone(status: &Status, hook: &HookStatus) -> bool {
    let mut moved = status.coverage.moved.iter();
    moved.any(|moved| {
        moved.interface == hook.target && matches!(moved.now, MovedTo::Gone | MovedTo::Again)
    })
}

/// An interface by its name then, and now if that is another.
pub(super) fn name(status: &Status, target: &str) -> String {
    let mut moved = status.coverage.moved.iter();
    let renamed = moved.find_map(|moved| match &moved.now {
        MovedTo::Renamed(now) if moved.interface == target => Some(now),
        _ => None,
    });
    renamed.map_or_else(|| target.to_owned(), |now| format!("{now} (was {target})"))
}
