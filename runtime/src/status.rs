//! What is in force, read from the kernel.
//!
//! Takes the options of a caller; gives the policy, its hooks, its slots and what is not as it was left, namespace by namespace.
//! [`standing`] reads what sockc left and [`drift`] what others changed of it, for apply and its forecast too. What a killed
//! command left is removed by looking; what others changed stays. Not here: what an apply would do.

mod counters;
pub(crate) mod drift;
pub(crate) mod hooks;
pub(crate) mod standing;
mod verified;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use sockc_compiler::artifact::{Manifest, MapKind};

pub use counters::{CounterValue, Counts, counters, counts, reset_counters};
pub use hooks::{HookStatus, RunTime};

use crate::blocks::entrance;
use crate::blocks::reconcile::reconcile;
use crate::confirm::{self, Waiting};
use crate::delivery::{self, Deliveries};
use crate::elsewhere::{self, OtherNamespace};
use crate::error::Error;
use crate::groups::places::{self, GroupStatus};
use crate::hook::Hook;
use crate::live::own::{self, OwnBehind};
use crate::names::coverage::{self, Coverage};
use crate::options::Options;
use crate::pairs;
use crate::probe::streams::Faults;
use crate::session::{self, Session};
use crate::sockets::ends::{self, EndState};
use crate::sockets::inspect;
use crate::sockets::lookup::SlotState;
use crate::state::author::Author;
use crate::state::in_force::{self, record_in_force};
use crate::state::namespaces::{Held, LostNamespace, Owner};
use crate::state::record::Record;
use crate::state::steered::{self, Destination};
use crate::state::{Access, Lock, State, pinned_map};
use crate::sys::bpffs;
use drift::Drift;
use standing::Standing;

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The policy's name.
    pub policy: String,
    /// The generation.
    pub generation: u32,
    /// The manifest of its object.
    pub manifest: Arc<Manifest>,
    /// Its hooks.
    pub hooks: Vec<HookStatus>,
    /// The slots of its named sockets.
    pub sockets: Vec<SlotState>,
    /// What was given to them, by protocol and family; empty where nothing is counted.
    pub destinations: Vec<Destination>,
    /// The trial that it is on, if it is on one.
    pub trial: Option<Waiting>,
    /// How all stands that redirects `at tc` need.
    pub deliveries: Deliveries,
    /// The sockets whose queues take data.
    pub ends: Vec<EndState>,
    /// The pairs that are spliced.
    pub pairs: Vec<PairsStatus>,
    /// The groups whose connections are taken in.
    pub groups: Vec<GroupStatus>,
    /// What the kernel does otherwise on these connections, found at the apply; `None` of an older sockc.
    pub faults: Option<Faults>,
    /// What an earlier command left behind; it has been removed, unless another command is at work, or nothing can be changed there.
    pub leftovers: Vec<String>,
    /// What others changed of it. Nothing is mended then.
    pub drift: Vec<Drift>,
    /// When it was applied, in seconds since 1970; `None` of an older sockc.
    pub applied: Option<u64>,
    /// How the interfaces that it is for stand now.
    pub coverage: Coverage,
    /// Why its code was not compared with its text; `None` if it was.
    pub unverified: Option<String>,
    /// Whether it is that of a `for netns` block, which only the policy that has the block is applied with.
    pub owned: bool,
    /// Policies of other network namespaces that take connections in of its groups: those are none of its rules'.
    pub competing: Vec<OtherNamespace>,
    /// The network namespaces that it names and that are not what they were.
    pub lost_namespaces: Vec<LostNamespace>,
    /// What is in force in the namespaces of its `for netns` blocks, by their names.
    pub netns: Vec<(String, BlockStatus)>,
    /// What `self` lacks of the addresses of the machine, and what it holds beside them.
    pub own: OwnBehind,
    /// Whether another command was at work, so that nobody looked for what others changed.
    pub busy: bool,
}

/// The pairs of a name that are joined now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairsStatus {
    /// The name.
    pub name: String,
    /// How many there are.
    pub count: usize,
    /// The maximum number of them.
    pub max: u32,
    /// Whether a `sockc socket pair` keeps them: else none can be handed over.
    pub kept: bool,
}

/// What is in force in the namespace of a `for netns` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockStatus {
    /// The policy of the block.
    InForce(Box<Status>),
    /// Another one, by its name, which no block of the policy put there.
    Other(String),
    /// None, or there is no such namespace.
    Nothing,
}

impl BlockStatus {
    /// How the policy of the block stands, if it is in force.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::InForce(status) => Some(status),
            Self::Other(_) | Self::Nothing => None,
        }
    }
}

impl Status {
    /// The path by which the namespace of a block is entered that lost its name.
    #[must_use]
    pub fn path_of(&self, block: &str) -> Option<&str> {
        let mut lost = self.lost_namespaces.iter();
        lost.find(|lost| lost.of_block && lost.name == block)?
            .path()
    }
}

/// What is found in a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What is in force; `None` if nothing is.
    pub status: Option<Status>,
    /// Where nothing is: what an earlier command left behind, and what has been removed now.
    pub leftovers: Vec<String>,
    /// Whether the bpf file system is mounted so that nothing can be changed there: then nothing of what was left behind is removed.
    pub is_read_only: bool,
}

/// What is in force in a network namespace; `None` if nothing is. Mends what a killed command left.
///
/// # Errors
///
/// As [`inspect`].
pub fn status(options: &Options) -> Result<Option<Status>, Error> {
    inspect(options).map(|found| found.status)
}

/// What is in force in a network namespace, or was left there. Mends what a killed command left.
///
/// # Errors
///
/// Any [`Error`]; [`Error::Elsewhere`] if a policy may be in force that is pinned where nobody here sees it.
pub fn inspect(options: &Options) -> Result<Inspected, Error> {
    let is_read_only = bpffs::is_read_only(&options.bpffs);
    let mut outer = match own_status(options)? {
        Own::InForce(outer) => *outer,
        Own::Nothing(leftovers) => {
            // One that was put in force just now is no stranger.
            return match strangers(options) {
                Err(Error::Elsewhere { .. }) if own_status(options)?.is_in_force() => {
                    inspect(options)
                }
                found => found.map(|()| Inspected {
                    status: None,
                    leftovers,
                    is_read_only,
                }),
            };
        }
    };
    for held in outer.held {
        let inner = match entrance::entrance(&held)? {
            Some(place) => block_status(&options.within(&place))?,
            None => None,
        };
        let inner = match inner {
            Some(inner) if inner.owner == Some(outer.namespace) => {
                BlockStatus::InForce(Box::new(inner.within(&outer.object, &held.name)))
            }
            Some(other) => BlockStatus::Other(other.status.policy),
            None => BlockStatus::Nothing,
        };
        outer.status.netns.push((held.name, inner));
    }
    Ok(Inspected {
        status: Some(outer.status),
        leftovers: Vec::new(),
        is_read_only,
    })
}

/// What is in force in the namespace of a block; `None` also if that ended just now.
fn block_status(options: &Options) -> Result<Option<Found>, Error> {
    match own_status(options) {
        Err(error) if error.is_no_namespace() => Ok(None),
        Ok(Own::InForce(found)) => Ok(Some(*found)),
        other => other.map(|_| None),
    }
}

/// Refuses to say that nothing is in force where dispatchers are on hooks.
fn strangers(options: &Options) -> Result<(), Error> {
    session::enter(options, |session| {
        elsewhere::refuse(session, &options.bpffs)
    })
}

/// What one namespace holds by itself.
enum Own {
    /// A policy.
    InForce(Box<Found>),
    /// None, and what has just been removed.
    Nothing(Vec<String>),
}

impl Own {
    fn is_in_force(&self) -> bool {
        matches!(self, Self::InForce(_))
    }
}

/// What is in force in one namespace.
struct Found {
    status: Status,
    /// The namespaces that belong to it.
    held: Vec<Held>,
    /// The object; empty if another command is at work.
    object: Vec<u8>,
    state: State,
    /// Its namespace, and that of the policy whose block it is.
    namespace: Owner,
    owner: Option<Owner>,
}

impl Found {
    /// As the policy of a block of an outer one.
    fn within(mut self, outer: &[u8], name: &str) -> Status {
        if !outer.is_empty()
            && !self.object.is_empty()
            && let Some(what) = verified::within(outer, name, &self.object)
        {
            let generation = self.status.generation;
            let changed = verified::changed(&self.state, generation, what);
            self.status.drift.push(changed);
        }
        self.status
    }
}

fn own_status(options: &Options) -> Result<Own, Error> {
    session::enter(options, |session| {
        let mut left = Vec::new();
        let mut standing = Standing::default();
        let mut busy = false;
        match Lock::take(&session.state, Access::Change, Duration::ZERO) {
            Ok(None) => return Ok(Own::Nothing(left)),
            Ok(Some(_lock)) => {
                standing = Standing::look(session)?;
                // What others changed stays as it is, so that a person can look at it.
                if standing.drift.is_empty() {
                    left = leftovers(session)?;
                    // Where nothing can be changed, what is there can still be read.
                    if !bpffs::is_read_only(&options.bpffs)
                        && reconcile(session, options)?.is_none()
                    {
                        session.state.remove_if_empty();
                    }
                }
            }
            // Somebody is changing it: what is in force is shown all the same.
            Err(Error::Locked { .. }) => busy = true,
            Err(error) => return Err(error),
        }
        let record = match standing.record {
            None => record_in_force(&session.state)?,
            record => record,
        };
        let Some(record) = record else {
            return Ok(Own::Nothing(left));
        };
        let mut status = describe(session, &record, left)?;
        let manifests = [&*record.manifest];
        status.competing = elsewhere::competing(session, &options.bpffs, &manifests)?;
        status.drift = standing.drift;
        status.unverified = standing.unverified;
        status.busy = busy;
        // Who is at work may be filling it.
        if !busy {
            status.own = own::behind(&session.state, &record)?;
        }
        Ok(Own::InForce(Box::new(Found {
            status,
            held: record.netns,
            object: standing.object,
            state: session.state.clone(),
            namespace: Owner::of(&session.namespace),
            owner: record.owner,
        })))
    })
}

fn leftovers(session: &Session) -> Result<Vec<String>, Error> {
    let state = &session.state;
    if state.trial_of(&session.namespace)?.is_some() {
        // The policy before is to come back.
        return Ok(Vec::new());
    }
    let record = record_in_force(state)?;
    let generation = record.as_ref().map_or(0, |record| record.generation);
    let mut stale = state.generations()?;
    stale.retain(|other| *other != generation);
    let mut left: Vec<String> = stale
        .iter()
        .map(|one| format!("generation {one}"))
        .collect();
    let owned = |hook: &Hook| record.as_ref().is_some_and(|record| record.has(hook));
    let lost = state.hooks()?.into_iter().filter(|hook| !owned(hook));
    left.extend(lost.map(|hook| format!("hook {}", hook.name())));
    let plan = record.as_ref();
    let plan = plan.and_then(|record| record.manifest.intercepts.as_ref());
    let spare = delivery::spare(state, plan)?.into_iter();
    left.extend(spare.map(|family| {
        let name = family.name();
        format!("the rule and the route of redirects `at tc` over {name}")
    }));
    let kept = record.map_or_else(Vec::new, |record| record.netns);
    for generation in &stale {
        // One that cannot be read, so that its blocks are not known, is among them itself.
        let Ok(record) = Record::read_alone(&state.record(*generation)) else {
            continue;
        };
        let gone = record.netns.iter().filter(|held| !kept.contains(held));
        let left_there = gone.filter(|held| state.sibling(held.inode).root().exists());
        left.extend(left_there.map(|held| {
            let name = &held.name;
            format!("the policy of the network namespace \"{name}\", which was in force no more")
        }));
    }
    Ok(left)
}

fn describe(session: &Session, record: &Record, leftovers: Vec<String>) -> Result<Status, Error> {
    let names = coverage::names(&session.state, record)?;
    let mut hooks = Vec::new();
    for attached in &record.hooks {
        if !drift::left_with_its_interface(record, &attached.hook)? {
            hooks.push(hooks::describe(session, record, attached, &names)?);
        }
    }
    Ok(Status {
        policy: record.manifest.policy.clone(),
        generation: record.generation,
        manifest: record.manifest.clone(),
        hooks,
        sockets: sockets(session, record)?,
        trial: match confirm::waiting(&session.state) {
            // That the word or the value beside it is damaged, the list of changes says.
            Err(Error::State { .. }) => None,
            waiting => waiting?,
        },
        destinations: steered::destinations(&session.state, record)?,
        deliveries: delivery::look(
            &record.manifest,
            &coverage::intercepting(&session.state, record)?,
        )?,
        ends: ends_of(session, record)?,
        pairs: joined(session, record)?,
        groups: places::look(&session.state, record)?,
        faults: record.faults.clone(),
        leftovers,
        drift: Vec::new(),
        applied: record.applied,
        coverage: Coverage::look(&session.state, record)?,
        unverified: None,
        owned: record.owner.is_some(),
        competing: Vec::new(),
        lost_namespaces: lost_namespaces(session, record)?,
        netns: Vec::new(),
        own: OwnBehind::default(),
        busy: false,
    })
}

fn joined(session: &Session, record: &Record) -> Result<Vec<PairsStatus>, Error> {
    let mut found = Vec::new();
    for plan in &record.manifest.pairs {
        // That a pin is gone, the list of changes says.
        if let Some(count) = pairs::count(&plan.name, &session.state)? {
            found.push(PairsStatus {
                name: plan.name.clone(),
                count,
                max: plan.max,
                kept: pairs::are_kept(&plan.name, &session.state)?,
            });
        }
    }
    Ok(found)
}

/// Of the namespaces that a policy names, those that are not what they were.
fn lost_namespaces(session: &Session, record: &Record) -> Result<Vec<LostNamespace>, Error> {
    let mut found = Vec::new();
    for one in &record.looked_into {
        found.extend(one.lost()?.map(|lost| LostNamespace {
            name: one.name.clone(),
            lost,
            of_block: false,
            living: None,
        }));
    }
    for held in &record.netns {
        found.extend(entrance::look(
            held,
            &session.state,
            Owner::of(&session.namespace),
        )?);
    }
    Ok(found)
}

fn sockets(session: &Session, record: &Record) -> Result<Vec<SlotState>, Error> {
    let path = session.state.map(record.generation, "sockets");
    // A policy without sockets has no such map; one that is gone, or another, is told by its pin.
    let sockets = match pinned_map(&path, MapKind::SockMap) {
        Err(Error::State { .. }) => return Ok(Vec::new()),
        sockets => sockets?,
    };
    inspect::states_in_force(session, record, sockets.as_fd())
}

fn ends_of(session: &Session, record: &Record) -> Result<Vec<EndState>, Error> {
    match ends::states(&record.manifest, &session.state, record.generation) {
        // A map that is gone, or another, is told by its pin.
        Err(Error::State { .. }) => Ok(Vec::new()),
        ends => ends,
    }
}

/// Where the policy in force hangs, and where it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footing {
    /// What others changed of its hooks.
    pub drift: Vec<Drift>,
    /// How the interfaces and control groups that it is for stand now.
    pub coverage: Coverage,
}

/// The part of [`status`] that says where the policy in force hangs, for commands that show or change what is in force and look at
/// nothing else; `None` if nothing is. Of the policies of its `for netns` blocks it says nothing. Takes no lock and mends nothing;
/// what comes into force or goes out of it meanwhile is nobody's change.
///
/// # Errors
///
/// Any [`Error`].
pub fn footing(options: &Options) -> Result<Option<Footing>, Error> {
    session::enter(options, |session| {
        let state = &session.state;
        loop {
            let record = record_in_force(state)?;
            let Some(record) = record.filter(|record| record.is_of(&session.namespace)) else {
                return Ok(None);
            };
            let found = footing_of(state, &record);
            // Another generation has other programs in the slots, and hooks that it does not have are taken off after the switch.
            if state.word()? == Some(record.generation) {
                return found.map(Some);
            }
        }
    })
}

fn footing_of(state: &State, record: &Record) -> Result<Footing, Error> {
    Ok(Footing {
        drift: drift::of_hooks(state, record)?,
        coverage: Coverage::look(state, record)?,
    })
}

/// The policy in force, as it was put there. Nobody compared its code with its text.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The policy's name.
    pub policy: String,
    /// The generation.
    pub generation: u32,
    /// The object.
    pub object: Vec<u8>,
    /// The interfaces or patterns that were given instead of the policy's.
    pub interfaces: Vec<String>,
    /// Who put it in force; `None` of an older sockc.
    pub author: Option<Author>,
    /// Whether it is that of a `for netns` block, whose object has no text of its own.
    pub owned: bool,
}

/// The policy in force; `None` if nothing is.
///
/// # Errors
///
/// Any [`Error`].
pub fn running(options: &Options) -> Result<Option<InForce>, Error> {
    session::enter(options, |session| {
        let found = in_force::in_force(&session.state)?;
        if found.is_none() {
            elsewhere::refuse(session, &options.bpffs)?;
        }
        Ok(found.map(|(record, object)| InForce {
            policy: record.manifest.policy.clone(),
            generation: record.generation,
            object,
            interfaces: record.interfaces,
            author: record.author,
            owned: record.owner.is_some(),
        }))
    })
}

/// The object of the policy in force.
///
/// # Errors
///
/// Any [`Error`].
pub fn object(options: &Options) -> Result<Option<Vec<u8>>, Error> {
    session::enter(options, |session| {
        Ok(in_force::in_force(&session.state)?.map(|(_, object)| object))
    })
}
