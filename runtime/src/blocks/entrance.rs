//! Network namespaces of `for netns` blocks that lost their names. A namespace ends with the last process, descriptor or mount
//! that holds it, and not with its name: its policy holds on there as long.
//!
//! Takes what a record knows of the namespace; gives whether it goes on, and where it is entered then. What is done with its
//! policy is in [`super::ownership`].

use super::ownership;
use crate::attach;
use crate::error::{Error, at};
use crate::state::State;
use crate::state::in_force::record_in_force;
use crate::state::namespaces::{Held, Living, Lost, LostNamespace, Owner};
use crate::sys::netns;

/// What became of the namespace of a block, if its name is not its own any more; `near` is any state of the same file system,
/// `owner` the namespace of the policy that has the block.
pub(crate) fn look(
    held: &Held,
    near: &State,
    owner: Owner,
) -> Result<Option<LostNamespace>, Error> {
    let Some(lost) = held.lost()? else {
        return Ok(None);
    };
    Ok(Some(LostNamespace {
        name: held.name.clone(),
        lost,
        of_block: true,
        living: living(held, near, owner)?,
    }))
}

/// Where the namespace of a block is entered: by its name, or else by a path; `None` if it has ended, or nobody is seen who
/// holds it.
pub(crate) fn entrance(held: &Held) -> Result<Option<String>, Error> {
    match held.lost()? {
        None => Ok(Some(held.name.clone())),
        Some(Lost::Removed | Lost::MadeAnew) => path(held),
    }
}

/// Whether the namespace goes on. What is pinned of a policy tells where nobody is seen who holds it: a link hangs on nothing
/// once its interface or its namespace has ended.
fn living(held: &Held, near: &State, owner: Owner) -> Result<Option<Living>, Error> {
    let state = near.sibling(held.inode);
    let path = path(held)?;
    if path.is_none() && !is_hooked(held, &state)? {
        return Ok(None);
    }
    let holds = ownership::holds(&state, owner)?;
    Ok(Some(Living { path, holds }))
}

/// Whether a hook of a policy in the namespace hangs on something yet. Of what is no link only the namespace itself could tell.
fn is_hooked(held: &Held, state: &State) -> Result<bool, Error> {
    // The folder is that of another namespace by now, which has the inode of one that ended.
    if let Ok(Some(record)) = record_in_force(state)
        && let (Some(then), Some(now)) = (held.cookie, record.cookie)
        && then != now
    {
        return Ok(false);
    }
    for hook in state.hooks()? {
        let link = hook.means.is_link();
        if link && attach::describe(state, &hook)?.is_some_and(|link| link.alive) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn path(held: &Held) -> Result<Option<String>, Error> {
    let what = format!(
        "look who holds the network namespace that was \"{}\"",
        held.name
    );
    let path = netns::entrance(held.identity()).map_err(at(what))?;
    Ok(path.map(|path| path.display().to_string()))
}
