//! What an apply did, as it is told.

use crate::confirm::Waiting;
use crate::hook::Means;
use crate::probe::streams::Faults;
use crate::sockets::ends::EndState;
use crate::sockets::lookup::SlotState;
use crate::sockets::refill;
use crate::state::record::Attached;

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation now in force.
    pub generation: u32,
    /// The trial that it is on, if it is on one; not of a block, which is on the outer policy's.
    pub trial: Option<Waiting>,
    /// The interfaces and how programs hang on them.
    pub interfaces: Vec<InterfaceHook>,
    /// The other hooks: on the namespace, on control groups, and where packets of an interface only fill slots of named sockets.
    pub hooks: Vec<OtherHook>,
    /// How the slots of named sockets stand. An absent socket is no failure.
    pub sockets: Vec<SlotState>,
    /// The sockets whose queues take data.
    pub ends: Vec<EndState>,
    /// Groups and how many of their connections were made before and so escape their rules.
    pub escaped: Vec<(String, usize)>,
    /// Groups and how many of their connections could not be taken in and may write nothing, as the default says.
    pub refused: Vec<(String, usize)>,
    /// Groups and on how many of their connections, made before, what arrives is not decided.
    pub unseen: Vec<(String, usize)>,
    /// What the kernel does otherwise on the connections that are taken in.
    pub faults: Faults,
    /// The number of the group whose members may read it.
    pub readers: Option<u32>,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// The policies of `for netns` blocks, by the namespace's name.
    pub netns: Vec<(String, Applied)>,
    /// The path by which the namespace of a block was entered, if it lost its name.
    pub entered: Option<String>,
}

/// A hook whose program decides no packets of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherHook {
    /// `lookup`, `listen`, `fill`, `send`, `receive`, `sock-ops`, `connect4`, `connect6`, `sendmsg4`, `sendmsg6` or
    /// `setsockopt`, `datagrams` or `leaving`.
    pub hook: String,
    /// The path of the control group, or the interface; empty for the namespace.
    pub target: String,
    /// The folder of the control group that it hangs on, if that is not the one it is for.
    pub on: Option<String>,
    /// How it is attached.
    pub means: Means,
}

/// A hook on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceHook {
    /// The interface.
    pub interface: String,
    /// `xdp`, `tc-in` or `tc-out`.
    pub hook: String,
    /// How it is attached.
    pub means: Means,
}

impl OtherHook {
    /// Of a hook that is not on an interface, with what it hangs on if that is not its target.
    pub(super) fn of(attached: &Attached, on: Option<String>) -> Option<Self> {
        (!attached.hook.point.is_packet()).then(|| Self {
            hook: attached.hook.point.title(),
            target: attached.target.clone(),
            on,
            means: attached.hook.means,
        })
    }

    /// Of a hook that only fills slots, on an interface that is called so now.
    pub(super) fn filler(attached: &Attached, called: &str) -> Self {
        Self {
            hook: refill::TITLE.to_owned(),
            target: called.to_owned(),
            on: None,
            means: attached.hook.means,
        }
    }
}

impl InterfaceHook {
    /// Of a hook on an interface that is called so now.
    pub(super) fn of(attached: &Attached, called: &str) -> Option<Self> {
        attached.hook.point.is_packet().then(|| Self {
            interface: called.to_owned(),
            hook: attached.hook.point.title(),
            means: attached.hook.means,
        })
    }
}
