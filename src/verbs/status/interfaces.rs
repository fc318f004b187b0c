//! The interfaces and control groups that the policy in force is for, as `status` tells them: missing, open, removed, made again, renamed, moved
//! to another namespace.

use serde::Serialize;
use sockc_runtime::{
    Coverage, HookStatus, Moved, MovedGroup, MovedTo, NamedKind, NamedLoss, Status,
};

use crate::machine::place;
use crate::output::Output;

/// What to do where the policy does not hold.
const PUT_IT_ON: &str = "`sockc apply --running` puts it there";

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

/// Says where the policy does not hold; `true` if it holds wherever it should.
pub(super) fn tell(status: &Status, output: &mut Output) -> bool {
    let coverage = &status.coverage;
    // Of one in two zones all is said by that.
    let in_two = |name: &String| {
        let mut two_zones = coverage.two_zones.iter();
        two_zones.any(|one| one.interface == *name)
    };
    let moved = coverage.moved.iter();
    for moved in moved.filter(|one| !matches!(&one.now, MovedTo::Renamed(now) if in_two(now))) {
        let words = moved_words(moved);
        match moved.is_loss() {
            true => output.error(words),
            false => output.note(words),
        }
    }
    for one in &coverage.two_zones {
        match one.held_as {
            None => output.error(one.words()),
            Some(_) => output.note(one.words()),
        }
    }
    for interface in coverage.open.iter().filter(|name| !in_two(name)) {
        output.error(format!(
            "the policy is for the interface {interface} and does not hold on it: its packets pass by; {PUT_IT_ON}"
        ));
    }
    let mut whole = !coverage.is_open();
    // Of one that was removed all is said.
    let removed = |name: &&String| {
        let mut moved = coverage.moved.iter();
        moved.any(|one| one.interface == **name && one.is_loss())
    };
    for name in coverage.missing.iter().filter(|name| !removed(name)) {
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
    for group in &coverage.groups {
        output.error(group_words(group));
    }
    for one in &coverage.named {
        match one.is_loss() {
            true => output.error(named_words(one)),
            false => output.note(named_words(one)),
        }
    }
    whole
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn has_packet_hook(status: &Status) -> bool {
    let packet = ["xdp", "tc-in", "tc-out"];
    let mut hooks = status.hooks.iter();
    hooks.any(|hook| hook.alive && packet.contains(&hook.hook.as_str()))
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
        MovedTo::Renamed(now) if moved.wanted => format!(
            "{name} is called {now} now: the policy holds on it as on {name} until the next `sockc apply`"
        ),
        MovedTo::Renamed(now) => {
            format!(
                "{name} is called {now} now: the policy still holds on it, and should name it so"
            )
        }
        MovedTo::Elsewhere => format!(
            "{name} is in another network namespace now: the policy still holds on it there; the next `sockc apply` takes it off"
        ),
    }
}

fn group_words(moved: &MovedGroup) -> String {
    let MovedGroup { group, path, .. } = moved;
    match moved.again {
        true => format!(
            "the control group {path} was removed and made again: the rules of the group \"{group}\" do not hold for its sockets; `sockc apply --running` has them hold"
        ),
        false => format!(
            "the control group {path} was removed: if it is made again, the rules of the group \"{group}\" do not hold for its sockets until `sockc apply --running`"
        ),
    }
}

fn named_words(loss: &NamedLoss) -> String {
    let name = &loss.name;
    let later = "once there is one, until `sockc apply --running`";
    if let Some(instead) = &loss.instead {
        return format!(
            "what is redirected to {name} leaves by {instead}, which has its number: as a rule {name} was renamed; `sockc apply --running` ends that"
        );
    }
    match (loss.kind, loss.again) {
        (NamedKind::Lookups | NamedKind::CameIn, true) => {
            let (rules, whose) = match loss.kind {
                NamedKind::CameIn => ("the rules of `forward` say of what comes in by", ""),
                _ => (
                    "the policy says of the interface",
                    " where sockets are looked up for its packets",
                ),
            };
            let instead = loss.known.as_ref();
            let instead =
                instead.map(|was| format!(", and what they say of {was} does in its place"));
            format!(
                "what {rules} {name} does not hold{whose}{}: it came, or got its name, after the apply; `sockc apply --running` has it hold",
                instead.unwrap_or_default()
            )
        }
        (NamedKind::Lookups | NamedKind::CameIn, false) if loss.taken => taken(loss),
        (NamedKind::Lookups | NamedKind::CameIn, false) => unnamed(loss),
        (NamedKind::Target, true) => format!(
            "the interface {name}, which packets are redirected to, came after the apply, or somebody emptied its slot: they are dropped; `sockc apply --running` has them leave by it"
        ),
        (NamedKind::Target, false) => format!(
            "there is no interface {name}: what is redirected to it is dropped, also {later}"
        ),
        // Of these `status` tells apart from interfaces.
        (NamedKind::Namespace, _) => {
            format!("the network namespace \"{name}\" is another one than at the apply")
        }
    }
}

/// What programs say of an interface that has the number of one that was removed.
fn taken(loss: &NamedLoss) -> String {
    let (name, was) = (&loss.name, loss.known.as_deref().unwrap_or_default());
    let rules = match loss.kind {
        NamedKind::CameIn => format!("what comes in by {name} meets the rules of `forward`"),
        _ => format!("sockets are looked up for packets of {name} by the rules"),
    };
    format!(
        "{rules} for {was}: that was removed, and {name} was given its number; `sockc apply --running` ends that"
    )
}

/// What programs say of an interface that the policy does not name, or that is not there.
fn unnamed(loss: &NamedLoss) -> String {
    let name = &loss.name;
    let rules = match loss.kind {
        NamedKind::CameIn => "the rules of `forward` about what comes in by",
        _ => "the rules of lookups for packets of",
    };
    match &loss.known {
        None => format!(
            "there is no interface {name}: when one comes, {rules} {name} do not hold until `sockc apply --running`"
        ),
        Some(was) => format!(
            "{rules} {was} hold for {name}, which has its number: the next `sockc apply` takes it for {name}, which none of them names; to keep them, name it so first"
        ),
    }
}

fn missing_words(name: &str) -> String {
    let later = "the policy does not hold on it until `sockc apply --running`";
    if is_pattern(name) {
        return format!("no interface is called `{name}`; when one comes, {later}");
    }
    format!("there is no interface {name}; when it comes, {later}")
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
