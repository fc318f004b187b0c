//! Takes everything away.

use crate::error::Error;
use crate::options::Options;
use crate::session;
use crate::settle::remove_all;
use crate::state::{Access, Lock};

/// Removes the policy of a network namespace with all that sockc left there, also what is damaged; `false` if there was
/// nothing.
///
/// # Errors
///
/// Any [`Error`].
pub fn unload(options: &Options) -> Result<bool, Error> {
    session::enter(options, |session| {
        let Some(_lock) = Lock::take(&session.state, Access::Change, options.lock_wait)? else {
            return Ok(false);
        };
        remove_all(&session.state)?;
        session.state.remove_if_empty();
        Ok(true)
    })
}
