//! What kind of interfaces a policy is for.
//!
//! Takes patterns; gives the interfaces that they cover now, with their drivers. Not here: which interfaces a policy is put on.

use super::classes::covers;
use crate::error::{Error, at};
use crate::options::Options;
use crate::session;
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
    session::enter(options, |_| {
        let present = netns::interfaces().map_err(at("list the interfaces"))?;
        let names = present.into_iter().map(|(_, name)| name);
        let mine = names.filter(|name| wanted.iter().any(|one| covers(one, name)));
        let mut cards = Vec::new();
        for name in mine {
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
