//! Looks at and changes what is in force without an apply: live sets, live maps, registered sockets.
//!
//! Every change takes the lock that `apply` takes, so changes made at once come one after the other, and none falls between
//! the two policies of an apply.

use std::time::Instant;

use crate::blocks::reconcile::reconcile_in_force;
use crate::elsewhere;
use crate::error::Error;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::state::{Access, Lock, State};

/// A policy in force.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    /// Where.
    pub(crate) session: &'a Session,
    /// What.
    pub(crate) record: &'a Record,
}

impl Active<'_> {
    /// The state folder.
    pub(crate) fn state(&self) -> &State {
        &self.session.state
    }
}

/// Runs `work` on the policy in force, which nobody changes meanwhile; `access` says whether `work` does. While a policy is on trial
/// nothing is changed.
pub(crate) fn with<T: Send>(
    options: &Options,
    access: Access,
    work: impl FnOnce(&Active<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    with_trial(options, access, false, work)
}

/// The same; `on_trial_too` is for work that asks by itself whether what it changes is of both policies.
pub(crate) fn with_trial<T: Send>(
    options: &Options,
    access: Access,
    on_trial_too: bool,
    work: impl FnOnce(&Active<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    session::enter(options, |session| {
        let began = Instant::now();
        let _outer = outer_lock(session, options, access)?;
        let lock = Lock::take(&session.state, access, options.since(began).lock_wait)?;
        if lock.is_none() {
            elsewhere::refuse(session, &options.bpffs)?;
        }
        let _lock = lock.ok_or(Error::NothingInForce)?;
        if access == Access::Change && !on_trial_too {
            session.state.refuse_on_trial(&session.namespace)?;
        }
        let record = match access {
            Access::Change => reconcile_in_force(session, options)?,
            Access::Read => record_in_force(&session.state)?,
        };
        let record = record.ok_or(Error::NothingInForce)?;
        work(&Active {
            session,
            record: &record,
        })
    })
}

/// The lock of the policy that the one in force stands in, if it stands in a `for netns` block: they share live sets. It is
/// taken first, as `apply` does.
fn outer_lock(session: &Session, options: &Options, access: Access) -> Result<Option<Lock>, Error> {
    // What is damaged is told where it is read under the lock.
    let record = record_in_force(&session.state).ok().flatten();
    let Some(owner) = record.and_then(|record| record.owner) else {
        return Ok(None);
    };
    Lock::take(&owner.state(&session.state), access, options.lock_wait)
}
