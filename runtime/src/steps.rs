//! What becomes of each hook when one policy follows another: one place for those who do it and those who tell it before.
//!
//! Takes the record of the policy in force; asks the kernel how its hooks stand. Changes nothing.

use std::path::Path;

use crate::attach;
use crate::hook::Point;
use crate::pins::Made;
use crate::record::{Attached, Record};
use crate::state::State;

/// What becomes of the hook of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookStep {
    /// It stays as it is.
    Keep(Attached),
    /// It stays; somebody else put another program into its link, and ours comes back.
    Mend(Attached),
    /// A new one is attached.
    Attach,
}

/// What becomes of the hook of a point on a target.
pub(crate) fn hook_step(
    state: &State,
    before: Option<&Record>,
    point: Point,
    target: u64,
) -> HookStep {
    let hooks = before.iter().flat_map(|before| &before.hooks);
    let same =
        |attached: &&Attached| attached.hook.point == point && attached.hook.target == target;
    let Some(attached) = hooks.into_iter().find(same) else {
        return HookStep::Attach;
    };
    let there = attach::describe(state, &attached.hook).filter(|there| there.alive);
    let Some(there) = there else {
        return HookStep::Attach;
    };
    match left(before, attached) {
        Some(Made::Link(id, _)) if *id != there.id => HookStep::Attach,
        Some(Made::Link(_, program)) if *program != Some(there.program) => {
            HookStep::Mend(attached.clone())
        }
        Some(Made::Program(id)) if *id != there.program => HookStep::Attach,
        _ => HookStep::Keep(attached.clone()),
    }
}

/// What was pinned for a hook.
fn left<'a>(before: Option<&'a Record>, attached: &Attached) -> Option<&'a Made> {
    let path = Path::new("link").join(attached.hook.name());
    let pins = before.and_then(|before| before.pins.as_ref())?;
    pins.iter()
        .find(|pin| pin.path == path)
        .map(|pin| &pin.made)
}
