//! Policies that a command line names: compiled, judged by what warnings and guards are to do, made ready for the kernel.

pub(crate) mod compiled;
pub(crate) mod guards;
pub(crate) mod kept;
pub(crate) mod lints;
pub(crate) mod lockout;
pub(crate) mod outside;
pub(crate) mod ready;
