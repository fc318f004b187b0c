//! What a policy names of the machine: interfaces and their classes, targets of redirects, network namespaces.
//!
//! Takes names and patterns; gives the numbers by which the kernel and the programs know what bears them now, and later
//! which of them bear something else or nothing. Not here: control groups, which are a room of their own, and the policies
//! of `for netns` blocks.

mod came_in;
pub(crate) mod cards;
pub(crate) mod classes;
pub(crate) mod coverage;
pub(crate) mod departed;
pub(crate) mod interfaces;
pub(crate) mod loss;
pub(crate) mod passing;
pub(crate) mod resolve;
