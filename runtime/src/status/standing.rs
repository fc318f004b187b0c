//! How what sockc left in force stands: the record and the object in the state folder, and what others changed of them.
//!
//! Takes a session; gives what is there, once for those who show it, those who foretell an apply and those who apply. The
//! caller holds the lock. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use sockc_compiler::policy::Policy;

use super::drift::{self, Drift};
use super::verified::Verified;
use crate::error::Error;
use crate::options::Standpoint;
use crate::session::Session;
use crate::state::in_force;
use crate::state::record::Record;

/// The policy that sockc left in force, and what is not as it left it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Its record; `None` if nothing is in force.
    pub(crate) record: Option<Record>,
    /// Its object.
    pub(crate) object: Vec<u8>,
    /// What others changed.
    pub(crate) drift: Vec<Drift>,
    /// The policy that its text says, if its code was compared with that.
    pub(crate) text: Option<Arc<Policy>>,
    /// Why its code was not compared with its text.
    pub(crate) unverified: Option<String>,
}

impl Standing {
    /// Looks at the state folder of a namespace.
    pub(crate) fn look(session: &Session) -> Result<Self, Error> {
        let state = &session.state;
        let (record, object) = match in_force::in_force(state) {
            Ok(None) => return Ok(Self::default()),
            Ok(Some(found)) => found,
            // What was left in force tells what is not as it was.
            Err(error @ Error::State { .. }) => match state.left_in_force()? {
                Some(left) => Record::read(&state.record(left)).map_err(|_| error)?,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if !record.is_of(&session.namespace) {
            return Ok(Self::default());
        }
        let mut drift = drift::look(state, &record)?;
        let verified = Verified::of(state, &record, &object);
        drift.extend(verified.drift);
        Ok(Self {
            record: Some(record),
            object,
            drift,
            text: verified.text.map(Arc::new),
            unverified: verified.unknown,
        })
    }
}

impl Standpoint {
    /// Refuses if the namespace of a session, which is that of a `block` with this name, does not stand where the caller
    /// expects it; without expectations it may stand anywhere.
    pub(crate) fn check(
        session: &Session,
        expected: &[Self],
        block: Option<&str>,
    ) -> Result<(), Error> {
        if expected.is_empty() {
            return Ok(());
        }
        let moved = |what: String| Err(Error::Moved { what });
        let here = &session.namespace;
        let same = |one: &&Self| (one.inode, one.cookie) == (here.inode, here.cookie);
        let Some(expected) = expected.iter().find(same) else {
            let name = block.map(|name| format!(" \"{name}\" than the one there is now"));
            return moved(format!(
                "it was made for another network namespace{}",
                name.unwrap_or_default()
            ));
        };
        let standing = Standing::look(session)?;
        if let Some(drift) = standing.drift.first() {
            return moved(drift.to_string());
        }
        let now = Self::of(session, &standing);
        if now == *expected {
            return Ok(());
        }
        moved(format!(
            "it was made while {}{}, and now {}{}",
            expected.in_words("was"),
            block
                .map(|name| format!(" in the network namespace \"{name}\""))
                .unwrap_or_default(),
            now.in_words("is"),
            if now.generation == expected.generation {
                " anew"
            } else {
                ""
            }
        ))
    }

    fn in_words(&self, is: &str) -> String {
        match &self.policy {
            Some(policy) => {
                format!(
                    "generation {} of \"{policy}\" {is} in force",
                    self.generation
                )
            }
            None => format!("nothing {is} in force"),
        }
    }

    /// Where the namespace of a session stands.
    pub(crate) fn of(session: &Session, standing: &Standing) -> Self {
        let record = standing.record.as_ref();
        let pins = record.and_then(|record| record.pins.as_ref());
        let ids: BTreeMap<String, u32> = pins
            .into_iter()
            .flatten()
            .map(|pin| (pin.path.display().to_string(), pin.made.id()))
            .collect();
        Self {
            inode: session.namespace.inode,
            cookie: session.namespace.cookie,
            generation: record.map_or(0, |record| record.generation),
            policy: record.map(|record| record.manifest.policy.clone()),
            pins: ids.into_iter().collect(),
        }
    }
}
