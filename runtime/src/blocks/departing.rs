//! What becomes of the namespaces whose blocks a policy has no more, or has for others of their names.
//!
//! Takes what the record of the policy in force holds and the next one does not; gives for each what is there, and what an apply
//! or an unload does to it, in words too. Changes nothing: the taking away is in [`super::ownership`].

use super::ownership::Left;
use super::{entrance, ownership};
use crate::delivery;
use crate::error::Error;
use crate::hook::Point;
use crate::names::coverage;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::in_force::record_in_force;
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
    /// What the block's policy holds on, where it is there under its name and goes.
    pub held: HeldOn,
    pub(crate) inode: u64,
}

/// What the policy of a block that goes holds on until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOn {
    /// The interfaces, as they are called now.
    pub interfaces: Vec<String>,
    /// Whether it decides which sockets are looked up.
    pub lookups: bool,
    /// What becomes of what its redirects `at tc` took.
    pub intercepted: Vec<String>,
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

    /// What becomes of what its redirects `at tc` took, in words.
    pub fn intercepted(&self) -> impl Iterator<Item = String> {
        let notes = self.held.intercepted.iter();
        notes.map(|note| format!("in the network namespace \"{}\": {note}", self.name))
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
                let goes =
                    format!("the policy of the network namespace \"{name}\" goes, with its block");
                return match self.held.interfaces.as_slice() {
                    [] => goes,
                    names => format!("{goes}: every packet passes on {}", names.join(", ")),
                };
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

/// What becomes of some blocks' namespaces; the policy that has the blocks is the session's.
pub(crate) fn of(
    blocks: &[Held],
    session: &Session,
    options: &Options,
) -> Result<Vec<Departing>, Error> {
    let (near, owner) = (&session.state, Owner::of(&session.namespace));
    let mut found = Vec::new();
    for held in blocks {
        let lost = entrance::look(held, near, owner)?;
        let holds = match &lost {
            // It has ended; its name, and its block, are those of another one now.
            Some(lost) if lost.living.is_none() && lost.lost == Lost::MadeAnew => continue,
            Some(lost) => lost.holds().cloned().unwrap_or(Holds::Nothing),
            None => ownership::holds(&near.sibling(held.inode), owner)?,
        };
        let goes = lost.is_none() && holds == Holds::Block;
        found.push(Departing {
            name: held.name.clone(),
            lost,
            holds,
            held: match goes {
                true => held_on(&options.within(&held.name))?,
                false => HeldOn::default(),
            },
            inode: held.inode,
        });
    }
    Ok(found)
}

/// What the policy of the namespace that some options name holds on.
fn held_on(options: &Options) -> Result<HeldOn, Error> {
    let looked = session::enter(options, |inside| {
        let record = match record_in_force(&inside.state) {
            Ok(Some(record)) => record,
            // What is damaged is taken away all the same.
            Ok(None) | Err(Error::State { .. }) => return Ok(HeldOn::default()),
            Err(error) => return Err(error),
        };
        let mut hooks = record.hooks.iter();
        Ok(HeldOn {
            interfaces: coverage::held_on(&inside.state, &record)?,
            lookups: hooks.any(|one| one.hook.point == Point::Lookup),
            intercepted: delivery::given_up(&inside.state, Some(&record)),
        })
    });
    match looked {
        // It ended just now.
        Err(error) if error.is_no_namespace() => Ok(HeldOn::default()),
        looked => looked,
    }
}

/// What a person has to know of namespaces whose blocks went: where nothing holds any more, what is not as the policy's text
/// lets one think, and what could not be removed.
pub(crate) fn notes(departing: &[Departing], left: &[Left]) -> Vec<String> {
    let is_left = |one: &&Departing| left.iter().any(|left| left.inode == one.inode);
    let told = departing.iter().filter(|one| !is_left(one));
    let left = left.iter();
    let left = left.map(|one| format!("{}: {}", one.what, one.cause.bare()));
    let words = told.flat_map(|one| [one.words()].into_iter().chain(one.intercepted()));
    words.chain(left).collect()
}
