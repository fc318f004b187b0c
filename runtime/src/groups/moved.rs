//! Groups of the policy in force whose control groups are not those that it was put on: removed, or removed and made again.
//!
//! Takes the record of the policy; asks the kernel how its hooks stand, and which control group a path leads to now. What
//! somebody took off a control group that is there is not here: that is `drift`. Nor is a group that is followed by its path
//! (see [`crate::attach::guard`]): its rules hold for whatever control group lies there. Changes nothing.

use std::path::Path;

use crate::attach;
use crate::attach::guard;
use crate::error::{Error, at};
use crate::hook::{On, Points};
use crate::state::State;
use crate::state::record::{Attached, Record};
use crate::sys::cgroup;

/// A group whose control group is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedGroup {
    /// Its name.
    pub group: String,
    /// The folder of the control group.
    pub path: String,
    /// Whether there is another one at its path, which the group's rules do not hold for.
    pub again: bool,
    /// The number of the one that is gone.
    pub(crate) id: u64,
}

/// The groups of a record whose control groups are gone.
pub(crate) fn look(state: &State, record: &Record) -> Result<Vec<MovedGroup>, Error> {
    let mut found = Vec::new();
    let Some(root) = super::mounted()? else {
        return Ok(found);
    };
    let known = record.manifest.groups.iter().zip(&record.cgroups);
    for (index, (plan, id)) in known.enumerate() {
        let path = root.join(plan.cgroup.trim_start_matches('/'));
        if guard::followed(&path.to_string_lossy(), *id).is_some() {
            continue;
        }
        let now = id_of(&path)?;
        // Another mount of control groups may show other ones by this path: the hook tells whether the group is gone.
        if now != Some(*id) && is_off(state, record, index, *id)? {
            found.push(MovedGroup {
                group: plan.name.clone(),
                path: path.display().to_string(),
                again: now.is_some(),
                id: *id,
            });
        }
    }
    Ok(found)
}

/// The hooks of a record on control groups that are gone: that they hang on nothing is nobody's change of them.
pub(crate) fn hooks<'a>(state: &State, record: &'a Record) -> Result<Vec<&'a Attached>, Error> {
    let gone = look(state, record)?;
    let is_gone = |attached: &&Attached| match attached.hook.point.on() {
        On::Sockets(id) | On::Group(id) => gone.iter().any(|one| one.id == id),
        _ => false,
    };
    Ok(record.hooks.iter().filter(is_gone).collect())
}

fn id_of(path: &Path) -> Result<Option<u64>, Error> {
    match cgroup::open(path) {
        Ok(cgroup) => Ok(Some(cgroup.id)),
        Err(error) if cgroup::is_gone(&error) => Ok(None),
        Err(error) => Err(at(format!("look at {}", path.display()))(error)),
    }
}

/// Whether what sees what is done in a control group hangs on nothing: the kernel takes it off with the group. An apply
/// that found none did not hang it anywhere.
fn is_off(state: &State, record: &Record, index: usize, id: u64) -> Result<bool, Error> {
    let mut hooks = record.hooks.iter();
    let Some(attached) = hooks.find(|one| one.hook.point.on() == On::Group(id)) else {
        let mut programs = record.manifest.programs.iter();
        let of_group = |point| matches!(Points::of(point), Points::Group(of, _) if of == index);
        return Ok(programs.any(|one| of_group(&one.point)));
    };
    let there = attach::describe(state, &attached.hook)?;
    Ok(there.is_some_and(|there| !there.alive))
}
