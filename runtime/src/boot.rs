//! What is kept on disk of a network namespace, for whoever puts it in force when the machine starts.
//!
//! Takes the options of a caller; gives what the files hold, or why they are not used. Changes nothing, and applies nothing.

use crate::error::Error;
use crate::options::Options;
use crate::session;
use crate::state::at_start::{OnDisk, Place};

/// The files of a network namespace, the last one first; nothing if it is none of which something is kept.
///
/// # Errors
///
/// Any [`Error`]. What is wrong with a file is no error.
pub fn on_disk(options: &Options) -> Result<Vec<OnDisk>, Error> {
    session::enter(options, |session| {
        let place = Place::of(options.kept_in.as_deref(), &session.namespace);
        Ok(place.map_or_else(Vec::new, |place| place.look().into()))
    })
}
