//! Files of the command: read within bounds, written whole or not at all.

pub(crate) mod bounded;
pub(crate) mod capture;
pub(crate) mod disk;
pub(crate) mod input;
pub(crate) mod recording;
pub(crate) mod saved;
pub(crate) mod written;
