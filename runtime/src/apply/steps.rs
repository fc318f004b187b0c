//! What becomes of each hook when one policy follows another: one place for those who do it and those who tell it before.
//!
//! Takes the record of the policy in force; asks the kernel how its hooks stand. Changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sockc_compiler::artifact::Manifest;

use super::targets::Targets;
use crate::attach;
use crate::attach::foreign;
use crate::blocks::ownership::Outer;
use crate::blocks::part::Part;
use crate::elsewhere;
use crate::error::Error;
use crate::hook::{Hook, Means, Point};
use crate::options::Readers;
use crate::session::Session;
use crate::sockets::{listen, refill};
use crate::state::State;
use crate::state::history::History;
use crate::state::namespaces::Held;
use crate::state::pin::Made;
use crate::state::record::{Attached, Record};
use crate::sys::cgroup;
use crate::sys::link::Description;

/// What a person calls the hook of a program with this name.
pub(crate) fn title(point: Point, name: &str) -> String {
    if name.starts_with(refill::NAME) {
        return refill::TITLE.to_owned();
    }
    point.title()
}

/// Refuses a policy next to one of this namespace that is pinned elsewhere, where nothing is in force here. Where both want
/// the XDP hook of an interface, the refusal of that says more.
pub(crate) fn refuse_strangers(
    part: &Part<'_>,
    session: &Session,
    targets: &Targets,
) -> Result<(), Error> {
    let strange = elsewhere::look(session)?;
    let taken = |point: Point| matches!(point, Point::Xdp(index) if strange.xdp.contains(&index));
    let points = points(part.manifest, targets, session)?;
    if points.into_iter().any(|(point, _)| taken(point)) {
        return Ok(());
    }
    strange.refused(&part.options.bpffs)
}

/// Refuses rules about the sockets of a group that a policy of another network namespace takes in, above or below it or there:
/// they would decide about none of these. One that has them in force already is not refused.
pub(crate) fn refuse_taken(
    part: &Part<'_>,
    session: &Session,
    targets: &Targets,
    before: Option<&Record>,
) -> Result<(), Error> {
    for (plan, group) in part.manifest.groups.iter().zip(&targets.groups) {
        let has = |record: &Record| record.taken_in().any(|(_, number)| number == group.number);
        if !plan.takes_in() || before.is_some_and(has) {
            continue;
        }
        let other = elsewhere::taking_in(session, &part.options.bpffs, &group.path)?;
        if let Some(other) = other {
            return Err(Error::TakenIn {
                group: group.name.clone(),
                path: group.path.clone(),
                hooks: other.hooks,
                remedy: other.remedy,
            });
        }
    }
    Ok(())
}

/// The name of the program that fills slots again.
const LISTEN: &str = "listen";

/// What becomes of the hook of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookStep {
    /// It stays as it is.
    Keep(Attached),
    /// It stays; somebody else put another program into its link, and ours comes back.
    Mend(Attached),
    /// A new one is attached.
    Attach,
    /// Somebody else put a program ahead of it: a new one is attached ahead of that, and this one goes.
    Ahead(Attached),
}

/// What becomes of the hook of a point on a target.
pub(crate) fn hook_step(
    state: &State,
    before: Option<&Record>,
    point: Point,
    target: u64,
) -> Result<HookStep, Error> {
    let step = step(before, point, target, |hook| attach::describe(state, hook))?;
    Ok(match step {
        HookStep::Keep(attached) if is_after(state, &attached)? => HookStep::Ahead(attached),
        step => step,
    })
}

/// The same; `describe` says how a hook that was left stands, if anything of it is there.
fn step(
    before: Option<&Record>,
    point: Point,
    target: u64,
    describe: impl FnOnce(&Hook) -> Result<Option<Description>, Error>,
) -> Result<HookStep, Error> {
    let hooks = before.iter().flat_map(|before| &before.hooks);
    let same =
        |attached: &&Attached| attached.hook.point == point && attached.hook.target == target;
    let Some(attached) = hooks.into_iter().find(same) else {
        return Ok(HookStep::Attach);
    };
    let Some(there) = describe(&attached.hook)?.filter(|there| there.alive) else {
        return Ok(HookStep::Attach);
    };
    Ok(match left(before, attached) {
        Some(Made::Link(id, _)) if *id != there.id => HookStep::Attach,
        Some(Made::Link(_, program)) if *program != Some(there.program) => {
            HookStep::Mend(attached.clone())
        }
        Some(Made::Program(id)) if *id != there.program => HookStep::Attach,
        _ => HookStep::Keep(attached.clone()),
    })
}

/// Whether a program of somebody else decides before ours where ours can be first.
fn is_after(state: &State, attached: &Attached) -> Result<bool, Error> {
    let hook = &attached.hook;
    if hook.means != Means::Tcx {
        return Ok(false);
    }
    let Some(there) = attach::describe(state, hook)? else {
        return Ok(false);
    };
    let others = foreign::on_tcx(hook, there.program)?;
    Ok(others.iter().any(|foreign| foreign.first))
}

/// The record of the generation that comes.
pub(crate) fn next(
    part: &Part<'_>,
    session: &Session,
    before: Option<&Record>,
    outer: Option<&Outer>,
    held: Vec<Held>,
) -> Result<Record, Error> {
    // One word switches all of them, so they count alike.
    let generation = match outer {
        Some(outer) => outer.record.generation,
        None => {
            1 + match before {
                Some(before) => before.generation,
                // No number stands for two: what was in force before an unload may come back by its.
                None => History::of(&session.state, session.namespace.cookie).last()?,
            }
        }
    };
    let mut record = Record::new(
        generation,
        Arc::clone(part.manifest),
        session.namespace.cookie,
    );
    if part.is_own {
        record.is_of_object(part.object);
    }
    record.owner = outer.map(|outer| outer.owner);
    record.readers = readers(part, before, outer);
    record.netns = held;
    record.netns.extend_from_slice(part.gone);
    let confirm = part.options.confirm.as_ref();
    record.connection = confirm.and_then(|confirm| confirm.connection.clone());
    record.within = confirm.and_then(|confirm| u64::try_from(confirm.within.as_nanos()).ok());
    record.interfaces.clone_from(&part.options.interfaces);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    record.applied = since.ok().map(|since| since.as_secs());
    let author = part.options.author.as_deref().cloned();
    if outer.is_none() {
        record.is_applied_by(author, part.object);
    }
    Ok(record)
}

/// The group whose members may read it: that of the policy that it stands in, else the one that is asked for or was before.
fn readers(part: &Part<'_>, before: Option<&Record>, outer: Option<&Outer>) -> Option<u32> {
    match (outer, part.options.readers) {
        (Some(outer), _) => outer.record.readers,
        (None, Readers::AsBefore) => before.and_then(|before| before.readers),
        (None, Readers::Nobody) => None,
        (None, Readers::Group(group)) => Some(group),
    }
}

/// Whether slots fill themselves again when a service restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// They do; the cookie of the network namespace.
    Able(u64),
    /// The kernel cannot do it.
    Unable,
    /// The policy has no slot for which it would matter.
    Needless,
}

/// Whether slots of a policy fill themselves again.
pub(crate) fn listening(manifest: &Manifest, targets: &Targets, session: &Session) -> Listening {
    let able =
        || targets.features.netns_cookie_in_sock_ops && matches!(cgroup::root(), Ok(Some(_)));
    fills(manifest, able, session.namespace.cookie)
}

/// The same; `able` is whether the kernel can.
fn fills(manifest: &Manifest, able: impl FnOnce() -> bool, cookie: Option<u64>) -> Listening {
    if listen::slots(manifest).next().is_none() {
        return Listening::Needless;
    }
    match cookie.filter(|_| able()) {
        Some(cookie) => Listening::Able(cookie),
        None => Listening::Unable,
    }
}

/// The points that a policy has a program for, with its name, in the order in which they are attached: streams first, packets
/// last.
pub(crate) fn points(
    manifest: &Manifest,
    targets: &Targets,
    session: &Session,
) -> Result<Vec<(Point, String)>, Error> {
    let mut points = Vec::new();
    for attach in &manifest.programs {
        let own = targets.points(attach)?.into_iter();
        points.extend(own.map(|point| (point, attach.program.clone())));
    }
    let alone = |point: &&Point| !points.iter().any(|(other, _)| other == *point);
    let alone: Vec<Point> = targets.fillers.iter().filter(alone).copied().collect();
    points.extend(alone.into_iter().map(|point| (point, refill::name(point))));
    Ok(in_order(points, listening(manifest, targets, session)))
}

/// The points in the order in which they are attached, with that of the program that fills slots again.
fn in_order(mut points: Vec<(Point, String)>, listening: Listening) -> Vec<(Point, String)> {
    if let Listening::Able(_) = listening {
        points.push((Point::Listen, LISTEN.to_owned()));
    }
    points.sort();
    points
}

/// What was pinned for a hook.
fn left<'a>(before: Option<&'a Record>, attached: &Attached) -> Option<&'a Made> {
    let path = Path::new("link").join(attached.hook.name());
    let pins = before.and_then(|before| before.pins.as_ref())?;
    pins.iter()
        .find(|pin| pin.path == path)
        .map(|pin| &pin.made)
}

#[cfg(test)]
mod tests;
