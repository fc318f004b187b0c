//! What one hook has to do: its rules in order, and the diagrams of them as far as the hook sees.
//!
//! Placement makes a [`Chain`], `roots` draws it, `lower` makes code of it. Not here: which rule stands in which chain.

pub(crate) mod concern;
pub(crate) mod roots;
pub mod sight;

use crate::hook::Hook;
use crate::policy::{ClassId, DefaultVerdict, GroupId, RuleId};

/// The rules of one hook, passes included, in source order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The hook.
    pub hook: Hook,
    /// For `sk_msg`: the group whose sockets it holds for.
    pub group: Option<GroupId>,
    /// For packet hooks: the class of interfaces that it holds for.
    pub class: Option<ClassId>,
    /// The rules.
    pub entries: Vec<ChainRule>,
    /// What nothing matched gets, and malformed packets.
    pub default: ChainDefault,
}

/// One rule in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRule {
    /// The rule.
    pub rule: RuleId,
    /// What the entry does here.
    pub effect: Effect,
    /// Whether this hook is the rule's home, where it counts.
    pub counts: bool,
    /// Which of the packets that the rule matches it is about.
    pub part: Part,
    /// Why it stands here, in words, for `--emit placement`.
    pub reason: &'static str,
}

/// A part of the packets that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// New flows: TCP and UDP, no later fragment, no established socket (rules `at sk_lookup` and the watch for absent
    /// sockets, seen from a packet hook).
    NewFlows,
    /// Of these, first fragments.
    NewFragments,
}

/// What a rule does at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Goes on to the stack, the lookup or the peer; ends this chain.
    Allow,
    /// Ends with a drop.
    Drop,
    /// Ends with an answer as if nobody listened.
    Reject,
    /// Ends on the way out of another interface.
    Forward,
    /// Counts and goes on in the chain.
    Count,
    /// A later hook decides: ends this chain with a pass, does not count.
    Pass,
    /// A redirect to a socket that says `if absent drop`, seen from the last packet hook: passes, or drops if the slot
    /// is empty. Matches only new flows; a [`Self::Pass`] of the same rule follows it. Other redirects are a `Pass`.
    RedirectPass,
    /// A redirect at sk_lookup: assigns the socket, else rejects.
    Redirect,
    /// A redirect at TC: gives a new flow its socket and the mark by which it is delivered, else what an absent socket gives.
    Intercept,
    /// A shortcut at sk_msg.
    Shortcut,
    /// Ends with the data in a queue of another socket; with a drop if that is not there.
    Feed,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainDefault {
    /// What becomes of what nothing matched.
    pub verdict: DefaultVerdict,
    /// Whether this hook is its home, where it and malformed packets count.
    pub counts: bool,
}
