//! What kind of interfaces a policy is for.
//!
//! Takes patterns; gives the interfaces that they cover now, with their drivers. Not here: which interfaces a policy is put on.

use super::classes::covers;
use super::coverage;
use super::interfaces::There;
use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
use crate::state::in_force::hanging_in_force;
use crate::sys::{driver, netns};

/// The driver of a pair of virtual interfaces.
const VETH: &str = "veth";

/// An interface and its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// The name of its driver, if it says one.
    pub driver: Option<String>,
}

impl Card {
    /// Whether a program at XDP costs every packet that passes it more than its rules do: a veth makes a frame of its own of each
    /// packet then, and a packet of that again.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        self.driver.as_deref() == Some(VETH)
    }
}

/// The Ethernet interfaces in the namespace of the options that one of these names or patterns covers.
///
/// # Errors
///
/// The namespace cannot be entered, or looked at.
pub fn cards(options: &Options, wanted: &[String]) -> Result<Vec<Card>, Error> {
    session::look(options, |session| {
        let present = netns::interfaces().map_err(at("list the interfaces"))?;
        let state = &session.state;
        let renamed = match hanging_in_force(state)? {
            Some(before) => coverage::renamed(state, (&before.hooks, &before.fillers))?,
            None => Vec::new(),
        };
        let there = There {
            present: &present,
            renamed: &renamed,
        };
        // One that was renamed under a policy in force is still the one that it is for.
        let is_meant = |index, name: &str| {
            let known = there.known_as(index, name, wanted);
            wanted.iter().any(|one| covers(one, known))
        };
        let mine = present
            .iter()
            .filter(|(index, name)| is_meant(*index, name));
        let mut cards = Vec::new();
        for (_, name) in mine {
            let name = name.clone();
            let looked = at(format!("look at the interface \"{name}\""));
            if netns::carries_ethernet(&name).map_err(looked)? {
                let asked = at(format!("ask the interface \"{name}\" for its driver"));
                let driver = driver::driver(&name).map_err(asked)?;
                cards.push(Card { name, driver });
            }
        }
        Ok(cards)
    })
}
