//! The hooks of bpfilter: which list a chain there becomes, and whose packets it sees.
//!
//! Takes a name; gives a row. Not here: what the chain holds.

use crate::verbs::import::list::List;

/// Whose packets a chain sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// Those of one interface, as frames; of what passes through, too.
    Interface,
    /// Those of every interface; of what passes through, too.
    All,
    /// Those of every interface that are for the machine, or come from it.
    Own,
    /// Those that pass through.
    Passing,
    /// Those of sockets of a control group.
    Group,
    /// Calls of processes, and no packets.
    Calls,
}

/// A hook.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    /// The list, if it has packets.
    pub(super) list: Option<List>,
    pub(super) sees: Sees,
    /// Whether a chain there may say that the next program is asked, and that none is.
    pub(super) has_next: bool,
}

impl Sees {
    /// The option that says where a chain is attached.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Interface => "ifindex",
            Self::All | Self::Own | Self::Passing => "priorities",
            Self::Group | Self::Calls => "cgpath",
        }
    }
}

const fn hook(name: &'static str, list: Option<List>, sees: Sees) -> Hook {
    Hook {
        name,
        list,
        sees,
        has_next: false,
    }
}

const fn tc(name: &'static str, list: List) -> Hook {
    Hook {
        has_next: true,
        ..hook(name, Some(list), Sees::Interface)
    }
}

/// All hooks, in the order in which the kernel asks those of a list; and the names that some had before.
pub(super) static HOOKS: [Hook; 16] = [
    hook("BF_HOOK_XDP", Some(List::In), Sees::Interface),
    tc("BF_HOOK_TC_INGRESS", List::In),
    hook("BF_HOOK_NF_PRE_ROUTING", Some(List::In), Sees::All),
    hook("BF_HOOK_NF_LOCAL_IN", Some(List::In), Sees::Own),
    hook("BF_HOOK_CGROUP_SKB_INGRESS", Some(List::In), Sees::Group),
    hook("BF_HOOK_CGROUP_INGRESS", Some(List::In), Sees::Group),
    hook("BF_HOOK_NF_FORWARD", Some(List::Forward), Sees::Passing),
    hook("BF_HOOK_NF_LOCAL_OUT", Some(List::Out), Sees::Own),
    hook("BF_HOOK_NF_POST_ROUTING", Some(List::Out), Sees::All),
    hook("BF_HOOK_CGROUP_SKB_EGRESS", Some(List::Out), Sees::Group),
    hook("BF_HOOK_CGROUP_EGRESS", Some(List::Out), Sees::Group),
    tc("BF_HOOK_TC_EGRESS", List::Out),
    hook("BF_HOOK_CGROUP_SOCK_ADDR_CONNECT4", None, Sees::Calls),
    hook("BF_HOOK_CGROUP_SOCK_ADDR_CONNECT6", None, Sees::Calls),
    hook("BF_HOOK_CGROUP_SOCK_ADDR_SENDMSG4", None, Sees::Calls),
    hook("BF_HOOK_CGROUP_SOCK_ADDR_SENDMSG6", None, Sees::Calls),
];

/// How the names of hooks begin.
pub(super) const BEGINS: &str = "BF_HOOK_";

/// The hook with a name.
pub(super) fn named(name: &str) -> Option<&'static Hook> {
    HOOKS.iter().find(|hook| hook.name == name)
}
