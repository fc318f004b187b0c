//! Values as they are written in policies and packets: what they mean, or the diagnostic of what cannot be one.
//!
//! Reading lists, resolving policies and reading packets in words share them. Not here: the names that a policy declares.

pub(crate) mod addresses;
pub(crate) mod codes;
pub(crate) mod kernel_names;
pub(crate) mod numbers;
pub(crate) mod protocols;
