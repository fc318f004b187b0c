//! What a policy names besides where its programs hang, and that is not what the programs know.
//!
//! Only the types; who finds such things stands beside it.

/// Something that a policy names, and that is not what the programs know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLoss {
    /// What it is.
    pub kind: NamedKind,
    /// Its name in the policy.
    pub name: String,
    /// Whether there is one of that name now that an apply would know; else there is none any more, or the policy does not name it.
    pub again: bool,
    /// The name by which the programs know an interface, where they know it by one.
    pub known: Option<String>,
    /// What a target is called by now that packets still leave by. Under an older sockc it may be another interface, which has
    /// the target's number.
    pub instead: Option<String>,
}

impl NamedLoss {
    /// Whether an apply would do it otherwise than it is.
    pub(crate) fn is_loss(&self) -> bool {
        self.again || self.instead.is_some()
    }
}

/// What a policy names besides where its programs hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedKind {
    /// An interface that rules for lookups name.
    Lookups,
    /// An interface that rules of `forward` name, by which packets came in.
    CameIn,
    /// An interface that packets are sent out of.
    Target,
    /// A network namespace that conditions look into.
    Namespace,
}
