//! The built-in chains, and the lists of a policy that they become.
//!
//! Not here: what stands in them.

/// A list of packet rules, which a built-in chain becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    /// What arrives.
    In,
    /// What passes through.
    Forward,
    /// What leaves.
    Out,
}

impl List {
    /// All, in the order in which a policy has them.
    pub(super) const ALL: [Self; 3] = [Self::In, Self::Forward, Self::Out];

    /// The word of the language.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Forward => "forward",
            Self::Out => "out",
        }
    }

    /// The chain that the kernel asks, as iptables calls it.
    pub(super) fn built_in(self) -> &'static str {
        match self {
            Self::In => "INPUT",
            Self::Forward => "FORWARD",
            Self::Out => "OUTPUT",
        }
    }

    /// Whether a chain is the one of a list.
    pub(super) fn is_built_in(name: &str) -> bool {
        Self::ALL.iter().any(|list| list.built_in() == name)
    }
}
