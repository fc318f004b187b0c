//! Network namespaces of `for netns` blocks that lost their names. A namespace ends with the last process, descriptor or mount
//! that holds it, and not with its name: its policy holds on there as long.
//!
//! Takes what a record knows of the namespace; gives whether it goes on, and where it is entered then. What is done with its
//! policy is in [`super::ownership`].

use crate::attach;
use crate::error::{Error, at};
use crate::state::State;
use crate::state::namespaces::{Held, Living, Lost, LostNamespace};
use crate::sys::netns;

/// What became of the namespace of a block, if its name is not its own any more; `near` is any state of the same file system.
pub(crate) fn look(held: &Held, near: &State) -> Result<Option<LostNamespace>, Error> {
    let Some(lost) = held.lost()? else {
        return Ok(None);
    };
    Ok(Some(LostNamespace {
        name: held.name.clone(),
        lost,
        of_block: true,
        living: living(held, near)?,
    }))
}

/// Those of some blocks' namespaces that lost their names and go on.
pub(crate) fn all(blocks: &[Held], near: &State) -> Result<Vec<LostNamespace>, Error> {
    let mut found = Vec::new();
    for held in blocks {
        found.extend(look(held, near)?.filter(|lost| lost.living.is_some()));
    }
    Ok(found)
}

/// Where the namespace of a block is entered: by its name, or else by a path; `None` if it has ended, or nobody is seen who
/// holds it.
pub(crate) fn entrance(held: &Held) -> Result<Option<String>, Error> {
    match held.lost()? {
        None => Ok(Some(held.name.clone())),
        Some(Lost::Removed | Lost::MadeAnew) => path(held),
    }
}

/// Whether the namespace goes on. What is pinned of its policy tells where nobody is seen who holds it: a link hangs on nothing
/// once its interface or its namespace has ended.
fn living(held: &Held, near: &State) -> Result<Option<Living>, Error> {
    if let Some(path) = path(held)? {
        return Ok(Some(Living::At(path)));
    }
    let state = near.sibling(held.inode);
    for hook in state.hooks()? {
        // Of what is no link only the namespace itself could tell.
        let link = hook.means.is_link();
        if link && attach::describe(&state, &hook)?.is_some_and(|link| link.alive) {
            return Ok(Some(Living::Unseen));
        }
    }
    Ok(None)
}

fn path(held: &Held) -> Result<Option<String>, Error> {
    let what = format!(
        "look who holds the network namespace that was \"{}\"",
        held.name
    );
    let path = netns::entrance(held.identity()).map_err(at(what))?;
    Ok(path.map(|path| path.display().to_string()))
}
