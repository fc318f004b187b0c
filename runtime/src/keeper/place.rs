//! Where the policy declares the pairs that are kept, and what else it does with connections.
//!
//! Takes the record in force, without the lock: `apply` is never kept waiting. So what cannot be known is looked at again the
//! next time, and only a policy that is known not to declare the pairs, or maps that are others, end what keeps them.

use std::io;

use sockc_compiler::artifact::GroupPlan;

use super::handover::Others;
use super::joint::Joint;
use crate::error::{Error, undeclared, unreadable};
use crate::pairs;
use crate::sockets::ends::Ends;
use crate::state::State;
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::sys::bpffs;

/// Where the pairs are declared, and what is said of them.
pub(super) struct Place {
    state: State,
    name: String,
    generation: u32,
    pub(super) max: u32,
    pub(super) others: Others,
}

impl Place {
    pub(super) fn of(state: &State, record: &Record, name: &str) -> Result<Self, Error> {
        let plans = &record.manifest.pairs;
        let declared = plans.iter().map(|plan| plan.name.as_str());
        let Some(plan) = plans.iter().find(|plan| plan.name == name) else {
            return Err(undeclared("pairs", name, declared));
        };
        let storage = |(group, number): (&GroupPlan, u64)| {
            let path = state.own_keys(number);
            let keys = bpffs::open(&path).map_err(|cause| unreadable(&path, cause))?;
            Ok((group.name.clone(), keys))
        };
        let mut joined = pairs::joined(&record.manifest, state)?;
        joined.retain(|(other, _)| other != name);
        Ok(Self {
            state: state.clone(),
            name: name.to_owned(),
            generation: record.generation,
            max: plan.max,
            others: Others {
                groups: record
                    .taken_in()
                    .map(storage)
                    .collect::<Result<_, Error>>()?,
                ends: Ends::of(&record.manifest, state, record.generation)?,
                pairs: joined,
            },
        })
    }

    /// Looks whether the policy has changed; an error if it declares the pairs no more.
    pub(super) fn follow(&mut self, joint: &Joint) -> Result<(), Error> {
        match joint.is_of(&self.state, &self.name) {
            Ok(true) => self.renew(),
            Ok(false) => {
                return Err(
                    self.gone("their maps were made anew; those that were joined are reset")
                );
            }
            // Somebody may have removed the pin, which the next apply puts there again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.is_declared() {
                    return Err(self.gone(
                        "the policy in force does not declare them any more; those that were joined are reset",
                    ));
                }
            }
            // What this process lacks says nothing about the policy.
            Err(_) => {}
        }
        Ok(())
    }

    /// What another policy says of them. While a command is at work, nothing may be known.
    fn renew(&mut self) {
        if self.state.word().ok().flatten() == Some(self.generation) {
            return;
        }
        let Ok(Some(record)) = record_in_force(&self.state) else {
            return;
        };
        if let Ok(place) = Self::of(&self.state, &record, &self.name) {
            *self = place;
        }
    }

    /// Whether the policy in force declares them, or may: it cannot be looked at.
    fn is_declared(&self) -> bool {
        match record_in_force(&self.state) {
            Ok(None) => false,
            Ok(Some(record)) => {
                let mut plans = record.manifest.pairs.iter();
                plans.any(|plan| plan.name == self.name)
            }
            Err(_) => true,
        }
    }

    fn gone(&self, cause: &str) -> Error {
        Error::Pairs {
            pairs: self.name.clone(),
            cause: cause.to_owned(),
        }
    }
}
