//! How a caller asks: where, what of it, how long, and only if what is there still is what it was.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sockc_compiler::artifact::Manifest;

use crate::error::Error;
use crate::probe::Features;
use crate::state::author::Author;

/// Is told each step before it is done, and may stop the work there; what was before stays in force then.
pub type Watch = Arc<dyn Fn(&str) -> ControlFlow<()> + Send + Sync>;

/// Where and how the runtime works.
#[derive(Clone)]
pub struct Options {
    /// The mount point of the bpf file system that keeps the state.
    pub bpffs: PathBuf,
    /// The network namespace, by the name `ip netns` gave it or by a path; the caller's where there is none.
    pub netns: Option<String>,
    /// Interfaces or patterns instead of the policy's; none means the policy's.
    pub interfaces: Vec<String>,
    /// Leave out interfaces that are named and not there, instead of refusing.
    pub leave_out_missing: bool,
    /// Leave out what was never there too: when the machine has just started, nothing is known of what comes later.
    pub leave_out_unknown: bool,
    /// The folder where what is in force for good is kept for the next start of the machine; nothing is kept where there is none.
    pub kept_in: Option<PathBuf>,
    /// Make the rule and the route that redirects `at tc` need, where they are not there, instead of refusing.
    pub add_routes: bool,
    /// What has to be in force for an apply.
    pub only_after: After,
    /// How long to wait for another command on the same namespace.
    pub lock_wait: Duration,
    /// Use only these features of the kernel instead of those it has.
    pub features: Option<Features>,
    /// Is told each step of `apply`.
    pub watch: Option<Watch>,
    /// Put it in force on trial.
    pub confirm: Option<Confirm>,
    /// Apply only where each network namespace still stands so; empty to apply wherever they stand.
    pub only_if: Arc<[Standpoint]>,
    /// Who applies, and from where: for the history.
    pub author: Option<Arc<Author>>,
    /// `self` begins empty and holds what it is given, as another live set: in a lab packets have addresses of no machine.
    pub own_as_told: bool,
}

/// How a policy on trial is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Within so long; else the policy before is in force again.
    pub within: Duration,
    /// The SSH connection that the apply comes from, as `SSH_CONNECTION` names it: it may not confirm.
    pub connection: Option<String>,
    /// What becomes of the connections of groups.
    pub streams: Streams,
}

/// How the rules about connections of groups, the groups and the pairs of a policy on trial compare with those of the policy before:
/// only where they are the same can the kernel alone take the policy back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// Nobody has compared them.
    #[default]
    Unknown,
    /// They are those of this generation.
    SameAs(u32),
    /// This is not the same.
    Differ(String),
}

/// An SSH connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its ends, as `SSH_CONNECTION` names them.
    pub ends: String,
    /// When it began, in nanoseconds since boot, where that is known.
    pub began: Option<u64>,
}

/// Where a network namespace stands: what has to be the same for a forecast to come true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standpoint {
    /// The namespace's inode.
    pub(crate) inode: u64,
    /// Its cookie, where the kernel has one.
    pub(crate) cookie: Option<u64>,
    /// The generation in force; 0 for none.
    pub generation: u32,
    /// The policy in force.
    pub policy: Option<String>,
    /// The ids of what is pinned for it: another apply makes others.
    pub(crate) pins: Vec<(String, u32)>,
}

/// What has to be in force for an apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// Whatever is.
    #[default]
    Anything,
    /// Nothing.
    Nothing,
    /// This generation.
    Generation(u32),
}

impl Options {
    /// The names and patterns of interfaces that a policy is for.
    pub(crate) fn wanted<'a>(&'a self, manifest: &'a Manifest) -> &'a [String] {
        match self.interfaces.as_slice() {
            [] => &manifest.interfaces,
            given => given,
        }
    }

    /// The same for another network namespace; interfaces that were named are those of this one.
    pub(crate) fn within(&self, netns: &str) -> Self {
        Self {
            netns: Some(netns.to_owned()),
            interfaces: Vec::new(),
            only_after: After::Anything,
            kept_in: None,
            ..self.clone()
        }
    }

    /// The same for what comes later in a command that began then: all of it together waits for locks no longer than one lock may.
    pub(crate) fn since(&self, began: Instant) -> Self {
        Self {
            lock_wait: self.lock_wait.saturating_sub(began.elapsed()),
            ..self.clone()
        }
    }

    /// Tells the caller the next step; an error if it wants to stop.
    pub(crate) fn step(&self, name: &str) -> Result<(), Error> {
        match self.watch.as_ref().map(|watch| watch(name)) {
            Some(ControlFlow::Break(())) => Err(Error::Stopped {
                step: name.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bpffs: PathBuf::from("/sys/fs/bpf"),
            netns: None,
            interfaces: Vec::new(),
            leave_out_missing: false,
            leave_out_unknown: false,
            kept_in: None,
            add_routes: false,
            only_after: After::Anything,
            lock_wait: Duration::from_secs(10),
            features: None,
            watch: None,
            confirm: None,
            only_if: Arc::new([]),
            author: None,
            own_as_told: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bpffs", &self.bpffs)
            .field("netns", &self.netns)
            .field("interfaces", &self.interfaces)
            .field("leave_out_missing", &self.leave_out_missing)
            .field("leave_out_unknown", &self.leave_out_unknown)
            .field("kept_in", &self.kept_in)
            .field("add_routes", &self.add_routes)
            .field("only_after", &self.only_after)
            .field("lock_wait", &self.lock_wait)
            .field("features", &self.features)
            .field("watch", &self.watch.is_some())
            .field("confirm", &self.confirm)
            .field("only_if", &self.only_if)
            .field("author", &self.author)
            .field("own_as_told", &self.own_as_told)
            .finish()
    }
}
