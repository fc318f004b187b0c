//! The verbs of the command, a module each: `run` takes what the command line says and gives how the command ends.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod confirm;
pub(crate) mod counters;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod explain_code;
pub(crate) mod fmt;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod metrics;
pub(crate) mod monitor;
pub(crate) mod plan;
pub(crate) mod rollback;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod trial;
pub(crate) mod unload;
