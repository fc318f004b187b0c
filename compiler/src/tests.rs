//! What the unit tests of several rooms build policies and packets of.

pub(crate) mod dice;
pub(crate) mod parts;
