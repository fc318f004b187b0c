//! What becomes of the namespaces whose blocks a policy has no more, or has for others of their names.
//!
//! Takes what the record of the policy in force holds and the next one does not; gives for each what is there, and what an apply
//! or an unload does to it, in words too. Changes nothing: the taking away is in [`super::ownership`].

use super::ownership::Left;
use super::{entrance, ownership};
use crate::error::Error;
use crate::state::State;
use crate::state::namespaces::{Held, Holds, Lost, LostNamespace, Owner};

/// A namespace that a policy has a block for, and the next one has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departing {
    /// The name in the policy.
    pub name: String,
    /// What became of it, if its name is not its own any more.
    pub lost: Option<LostNamespace>,
    /// Which policy holds there. That of the block is removed; any other stays.
    pub holds: Holds,
    pub(crate) inode: u64,
}

impl Departing {
    /// Whether a policy is taken away from a namespace that goes on without its name: every packet passes there then.
    #[must_use]
    pub fn opens(&self) -> Option<&LostNamespace> {
        self.lost.as_ref().filter(|_| self.goes())
    }

    /// Whether the block's policy is there, and goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        self.holds == Holds::Block
    }

    /// What is there and what is done to it, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let name = &self.name;
        let place = match &self.lost {
            Some(lost) if lost.living.is_none() => {
                return format!(
                    "the network namespace \"{name}\" has ended, and its policy with it"
                );
            }
            Some(lost) => {
                let path = lost.path().map(|path| format!(" ({path})"));
                format!(
                    "the network namespace that was \"{name}\" goes on without its name{}: ",
                    path.unwrap_or_default()
                )
            }
            None if self.goes() => {
                return format!(
                    "the policy of the network namespace \"{name}\" goes, with its block"
                );
            }
            None => format!("the network namespace \"{name}\" has no block any more: "),
        };
        place
            + &match &self.holds {
                Holds::Block => {
                    "its policy is taken away, and every packet passes there".to_owned()
                }
                Holds::Other(policy) => format!(
                    "another policy is in force there by now, \"{policy}\", and stays as it is"
                ),
                Holds::Nothing => {
                    "no policy is in force there any more, and nothing is changed".to_owned()
                }
                Holds::Unknown => {
                    "what is left there is damaged, does not say whose it is, and stays as it is"
                        .to_owned()
                }
            }
    }
}

/// What becomes of some blocks' namespaces; `near` is the state of the policy that has the blocks, `owner` its
/// namespace.
pub(crate) fn of(blocks: &[Held], near: &State, owner: Owner) -> Result<Vec<Departing>, Error> {
    let mut found = Vec::new();
    for held in blocks {
        let lost = entrance::look(held, near, owner)?;
        let holds = match &lost {
            // It has ended; its name, and its block, are those of another one now.
            Some(lost) if lost.living.is_none() && lost.lost == Lost::MadeAnew => continue,
            Some(lost) => lost.holds().cloned().unwrap_or(Holds::Nothing),
            None => ownership::holds(&near.sibling(held.inode), owner)?,
        };
        found.push(Departing {
            name: held.name.clone(),
            lost,
            holds,
            inode: held.inode,
        });
    }
    Ok(found)
}

/// What a person has to know of namespaces whose blocks went: what is not as the policy's text lets one think, and what could
/// not be removed.
pub(crate) fn notes(departing: &[Departing], left: &[Left]) -> Vec<String> {
    let is_left = |one: &&Departing| left.iter().any(|left| left.inode == one.inode);
    let expected = |one: &&Departing| one.goes() && one.lost.is_none();
    let told = departing.iter();
    let told = told.filter(|one| !is_left(one) && !expected(one));
    let left = left.iter();
    let left = left.map(|one| format!("{}: {}", one.what, one.cause.bare()));
    told.map(Departing::words).chain(left).collect()
}
