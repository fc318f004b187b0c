//! Takes everything away.

use crate::error::Error;
use crate::options::Options;
use crate::owned::{self, Held};
use crate::record::Record;
use crate::session;
use crate::settle::remove_all;
use crate::state::{Access, Lock, State};

/// Removes the policy of a network namespace with all that sockc left there, also what is damaged; `false` if there was
/// nothing. The policies of its `for netns` blocks go with it.
///
/// # Errors
///
/// Any [`Error`].
pub fn unload(options: &Options) -> Result<bool, Error> {
    session::enter(options, |session| {
        let Some(_lock) = Lock::take(&session.state, Access::Change, options.lock_wait)? else {
            return Ok(false);
        };
        let held = owned(&session.state);
        remove_all(&session.state)?;
        session.state.remove_if_empty();
        let left = owned::release(&held, options, session);
        match left.into_iter().next() {
            Some(cause) => Err(Error::State {
                path: options.bpffs.clone(),
                cause,
            }),
            None => Ok(true),
        }
    })
}

/// The namespaces that the policy in force owns; of a damaged one nobody knows.
fn owned(state: &State) -> Vec<Held> {
    let generation = state.in_force().unwrap_or(0);
    let record = Record::read(&state.record(generation));
    record.map(|(record, _)| record.netns).unwrap_or_default()
}
