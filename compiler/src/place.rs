//! Which rule runs at which hook: the chains.

use crate::hook::Hook;
use crate::policy::{GroupId, RuleId};

/// The rules of one hook, passes included, in source order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The hook.
    pub hook: Hook,
    /// For `sk_msg`: the group whose sockets it holds for.
    pub group: Option<GroupId>,
    /// The rules.
    pub entries: Vec<Entry>,
    /// What nothing matched gets, and malformed packets.
    pub default: DefaultEntry,
}

/// One rule in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The rule.
    pub rule: RuleId,
    /// What the entry does here.
    pub effect: Effect,
    /// Whether this hook is the rule's home, where it counts.
    pub counts: bool,
    /// Only packets of no established socket match here (`at sk_lookup` rules seen from a packet hook).
    pub new_flows_only: bool,
    /// Why it stands here, in words, for `--emit placement`.
    pub reason: &'static str,
}

/// What a rule does at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Goes on to the stack, the lookup or the peer; ends this chain.
    Allow,
    /// Ends with a drop.
    Drop,
    /// Counts and goes on in the chain.
    Count,
    /// A later hook decides: ends this chain with a pass, does not count.
    Pass,
    /// A redirect seen from a packet hook: passes; with `if absent drop` and the slot empty, and no established socket, drops.
    RedirectPass,
    /// A redirect at sk_lookup: assigns the socket, else rejects.
    Redirect,
    /// A shortcut at sk_msg.
    Shortcut,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultEntry {
    /// Whether what nothing matched goes on.
    pub allow: bool,
    /// Whether this hook counts it (the default's home).
    pub counts: bool,
}
