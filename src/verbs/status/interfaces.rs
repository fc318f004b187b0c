//! The interfaces and control groups that the policy in force is for, in the JSON of `status`: missing, open, removed, made again, renamed,
//! moved to another namespace. Not here: the words for these, which other verbs say too ([`crate::machine::coverage`]).

use serde::Serialize;
use sockc_runtime::{Coverage, HookStatus, Moved, MovedTo, NamedKind, Status};

use crate::machine::place;

/// The interfaces in JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    missing: &'a [String],
    open: &'a [String],
    moved: Vec<MovedRow<'a>>,
    two_zones: Vec<TwoZonesRow<'a>>,
}

/// An interface in two zones, in JSON.
#[derive(Serialize)]
struct TwoZonesRow<'a> {
    interface: &'a str,
    zones: &'a [String],
    /// The name that the policy holds on it by.
    held_as: Option<&'a str>,
}

/// A group whose control group is gone, in JSON.
#[derive(Serialize)]
pub(super) struct GroupRow<'a> {
    group: &'a str,
    cgroup: &'a str,
    now: &'static str,
}

/// What else the policy names and its programs do not know, in JSON.
#[derive(Serialize)]
pub(super) struct NamedRow<'a> {
    kind: &'static str,
    name: &'a str,
    now: &'static str,
    /// The interface that packets leave by instead.
    instead: Option<&'a str>,
}

/// The JSON of that.
pub(super) fn named(coverage: Option<&Coverage>) -> Vec<NamedRow<'_>> {
    let named = coverage.into_iter().flat_map(|coverage| &coverage.named);
    named
        .map(|one| NamedRow {
            kind: match one.kind {
                NamedKind::Lookups => "lookups",
                NamedKind::CameIn => "came-in",
                NamedKind::Target => "target",
                NamedKind::Namespace => "netns",
            },
            name: &one.name,
            now: match (one.again, one.taken) {
                (true, _) => "again",
                (false, true) => "taken",
                (false, false) => "gone",
            },
            instead: one.instead.as_deref(),
        })
        .collect()
}

/// The JSON of those groups.
pub(super) fn groups(coverage: Option<&Coverage>) -> Vec<GroupRow<'_>> {
    let groups = coverage.into_iter().flat_map(|coverage| &coverage.groups);
    groups
        .map(|moved| GroupRow {
            group: &moved.group,
            cgroup: &moved.path,
            now: if moved.again { "again" } else { "gone" },
        })
        .collect()
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
            two_zones: Vec::new(),
        };
    };
    let two_zones = coverage.two_zones.iter();
    Row {
        missing: &coverage.missing,
        open: &coverage.open,
        moved: coverage.moved.iter().map(moved_row).collect(),
        two_zones: two_zones
            .map(|one| TwoZonesRow {
                interface: &one.interface,
                zones: &one.zones,
                held_as: one.held_as.as_deref(),
            })
            .collect(),
    }
}

fn moved_row(moved: &Moved) -> MovedRow<'_> {
    let (now, name) = match &moved.now {
        MovedTo::Gone => ("gone", None),
        MovedTo::Again => ("again", None),
        MovedTo::Renamed(name) => ("renamed", Some(name.as_str())),
        MovedTo::Elsewhere => ("elsewhere", None),
    };
    MovedRow {
        interface: &moved.interface,
        now,
        name,
    }
}

/// Whether the interface or the control group of a hook is there no more.
pub(super) fn is_gone(status: &Status, hook: &HookStatus) -> bool {
    let mut groups = status.coverage.groups.iter();
    if groups.any(|group| group.path == hook.target) {
        return true;
    }
    let mut moved = status.coverage.moved.iter();
    moved.any(|moved| moved.interface == hook.target && moved.now.is_removed())
}

/// What a hook is for: an interface by its name then, and now if that is another; a control group, and which one it hangs on
/// if that is another.
pub(super) fn name(hook: &HookStatus) -> String {
    let target = &hook.target;
    match &hook.now {
        Some(now) => format!("{now} (was {target})"),
        None => place(target, hook.on.as_deref()),
    }
}
