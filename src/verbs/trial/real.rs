//! The cases in a lab: the policy in force there, real packets, and the counters afterwards.

use sockc_compiler::artifact::{Artifact, LiveEntryPlan, Manifest, SlotOrigin};
use sockc_compiler::policy::{LiveEntry, Policy, SocketId};
use sockc_runtime::lab::{self, BPFFS};
use sockc_runtime::{CounterValue, Expiry, Features, Handover, Options, Prefix, SlotKind, probe};

use super::Subject;
use super::choose::Case;
use super::interfaces::Interfaces;
use super::stage::{Seen, Stage};
use super::tokens::{self, Taken};
use crate::exit::Exit;
use crate::machine::refused;
use crate::output::Output;

/// Why there is nothing to see.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The lab could not be made or used.
    Lab(lab::Error),
    /// The policy could not be put in force.
    Runtime(sockc_runtime::Error),
    /// The object could not be written.
    Object(String),
}

impl Failure {
    /// Says it, and how it ends the command.
    pub(crate) fn exit(&self, output: &mut Output) -> Exit {
        match self {
            Self::Runtime(error) => refused(error, output),
            Self::Lab(error) => {
                output.error(error);
                Exit::Refused
            }
            Self::Object(error) => {
                output.error(format!("this is a bug in sockc: {error}"));
                Exit::Bug
            }
        }
    }
}

impl From<lab::Error> for Failure {
    fn from(error: lab::Error) -> Self {
        Self::Lab(error)
    }
}

impl From<sockc_runtime::Error> for Failure {
    fn from(error: sockc_runtime::Error) -> Self {
        Self::Runtime(error)
    }
}

/// Plays every case; cases with other sockets absent get a lab of their own. Gives what was seen, in the order of the
/// cases, and the sums of the counters.
pub(crate) fn play(
    subject: &Subject<'_>,
    cases: &[Case],
) -> Result<(Vec<Seen>, Vec<CounterValue>), Failure> {
    let mut seen: Vec<(usize, Seen)> = Vec::new();
    let mut totals = Vec::new();
    let mut labs: Vec<&[SocketId]> = Vec::new();
    for case in cases {
        if !labs.contains(&case.absent.as_slice()) {
            labs.push(&case.absent);
        }
    }
    for absent in labs {
        let here = cases
            .iter()
            .enumerate()
            .filter(|(_, case)| case.absent == absent);
        let counters = in_one_lab(subject, absent, here, &mut seen)?;
        add(&mut totals, counters);
    }
    seen.sort_by_key(|(index, _)| *index);
    for total in &mut totals {
        total.netns = subject.netns.map(str::to_owned);
    }
    Ok((seen.into_iter().map(|(_, seen)| seen).collect(), totals))
}

/// A policy as it is put in force in a lab of its own.
pub(super) struct Staged<'a> {
    pub(super) stage: Stage<'a>,
    pub(super) options: Options,
    object: Vec<u8>,
    manifest: Manifest,
}

impl<'a> Staged<'a> {
    /// Makes the lab, in which these sockets are absent.
    pub(super) fn new(subject: &Subject<'a>, absent: &[SocketId]) -> Result<Self, Failure> {
        let interfaces = Interfaces::of(subject.policy);
        let stage = Stage::new(subject.policy, &interfaces, absent)?;
        let artifact = Artifact {
            // The policies of blocks are tried by themselves.
            netns: Vec::new(),
            ..subject.artifact.clone()
        };
        let object = sockc_compiler::object::write(&artifact)
            .map_err(|error| Failure::Object(error.to_string()))?;
        let manifest = of_lab(artifact.manifest, &stage);
        let options = Options {
            bpffs: BPFFS.into(),
            interfaces: interfaces.attached().to_vec(),
            add_routes: true,
            own_as_told: true,
            // Slots that fill themselves again hang on the machine's root of control groups, which is not the lab's.
            features: Some(Features {
                netns_cookie_in_sock_ops: false,
                ..probe()
            }),
            ..Options::default()
        };
        Ok(Self {
            stage,
            options,
            object,
            manifest,
        })
    }

    /// Puts it in force.
    pub(super) fn apply(&self) -> Result<(), Failure> {
        let apply = || sockc_runtime::apply(&self.object, &self.manifest, &self.options);
        self.stage.lab().server.run(apply)??;
        Ok(())
    }

    /// What it has counted.
    pub(super) fn counters(&self) -> Result<Vec<CounterValue>, Failure> {
        let counters = || sockc_runtime::counters(&self.options);
        Ok(self.stage.lab().server.run(counters)??)
    }
}

fn in_one_lab<'c>(
    subject: &Subject<'_>,
    absent: &[SocketId],
    cases: impl Iterator<Item = (usize, &'c Case)>,
    seen: &mut Vec<(usize, Seen)>,
) -> Result<Vec<CounterValue>, Failure> {
    let mut staged = Staged::new(subject, absent)?;
    staged.apply()?;
    hand_over(
        subject.policy,
        &staged.manifest,
        &staged.stage,
        &staged.options,
    )?;
    let mut taken = Taken::default();
    for (index, case) in cases {
        let due = tokens::due(subject.policy, case);
        if taken.is_short_of(&due) {
            // Buckets begin full after an apply.
            staged.apply()?;
            taken = Taken::default();
        }
        taken.take(due);
        let Staged { stage, options, .. } = &mut staged;
        let before = fill_sets(subject.policy, case, stage, options)?;
        let entries = fill_maps(subject.policy, case, stage, options)?;
        seen.push((index, stage.play(case)?));
        restore_sets(before, stage, options)?;
        for (name, held) in entries {
            exchange_entries(&name, &held, stage, options)?;
        }
    }
    staged.counters()
}

/// The manifest with what the lab has in place of what the machine has: control groups, network namespaces, and servers
/// without a pid file or systemd.
fn of_lab(mut manifest: Manifest, stage: &Stage<'_>) -> Manifest {
    for group in &mut manifest.groups {
        if let Some(cgroup) = stage.cgroup(&group.name) {
            cgroup.clone_into(&mut group.cgroup);
        }
    }
    for (name, path) in manifest.namespaces.iter_mut().zip(stage.namespaces()) {
        *name = path;
    }
    for end in &mut manifest.ends {
        end.owner = None;
    }
    for socket in &mut manifest.sockets {
        // Its servers are the lab's own.
        socket.owner = None;
        match socket.origin {
            SlotOrigin::Process(_) => socket.origin = SlotOrigin::Listen,
            SlotOrigin::Systemd(..) => socket.origin = SlotOrigin::Registered,
            SlotOrigin::Listen | SlotOrigin::Registered => {}
        }
    }
    manifest
}

/// Hands the stage's servers over to the sockets that nothing finds by an address.
fn hand_over(
    policy: &Policy,
    manifest: &Manifest,
    stage: &Stage<'_>,
    options: &Options,
) -> Result<(), Failure> {
    let registered = manifest.sockets.iter();
    for plan in registered.filter(|plan| plan.origin == SlotOrigin::Registered) {
        let mut sockets = policy.sockets.iter();
        let Some((socket, _)) = sockets.find(|(_, one)| one.name == plan.name) else {
            continue;
        };
        let handovers: Vec<Handover> = plan
            .slots
            .iter()
            .filter_map(|slot| stage.server_of(socket, SlotKind::of(slot)))
            .map(Handover::Own)
            .collect();
        if !handovers.is_empty() {
            let register = || sockc_runtime::socket_register(options, &plan.name, &handovers);
            stage.lab().server.run(register)??;
        }
    }
    for plan in &manifest.ends {
        let mut sockets = policy.sockets.iter();
        let found = sockets.find(|(_, one)| one.name == plan.name);
        if let Some(fd) = found.and_then(|(socket, _)| stage.connection_of(socket)) {
            let handover = [Handover::Own(fd)];
            let register = || sockc_runtime::socket_register(options, &plan.name, &handover);
            stage.lab().server.run(register)??;
        }
    }
    Ok(())
}

/// What a live set held before a case.
type Before = (String, Vec<Prefix>);

/// Makes live sets hold those of the packet's own addresses that the case says are members; gives what they held.
fn fill_sets(
    policy: &Policy,
    case: &Case,
    stage: &Stage<'_>,
    options: &Options,
) -> Result<Vec<Before>, Failure> {
    let mut before = Vec::new();
    let Some(header) = case.event.header() else {
        return Ok(before);
    };
    let ends = [header.from, header.to];
    for (set, members) in &case.members {
        let name = &policy.sets[*set].name;
        let inside = ends.into_iter().filter(|end| members.contains(*end));
        let hosts: Vec<Prefix> = inside.map(Prefix::host).collect();
        let exchange = || {
            let held = sockc_runtime::set_list(options, name)?;
            sockc_runtime::set_load(options, name, &hosts, Expiry::Never)?;
            Ok::<_, sockc_runtime::Error>(held)
        };
        let held = stage.lab().server.run(exchange)??;
        let elements = held.elements.into_iter();
        before.push((name.clone(), elements.map(|one| one.prefix).collect()));
    }
    Ok(before)
}

fn restore_sets(before: Vec<Before>, stage: &Stage<'_>, options: &Options) -> Result<(), Failure> {
    for (name, elements) in before {
        let load = || sockc_runtime::set_load(options, &name, &elements, Expiry::Never);
        stage.lab().server.run(load)??;
    }
    Ok(())
}

/// Makes live maps hold what the case says; gives what they held.
fn fill_maps(
    policy: &Policy,
    case: &Case,
    stage: &Stage<'_>,
    options: &Options,
) -> Result<Vec<(String, Vec<LiveEntryPlan>)>, Failure> {
    let mut before = Vec::new();
    for (map, entries) in &case.contents {
        let name = &policy.live_maps[*map].name;
        let plan = |entry: &LiveEntry| LiveEntryPlan {
            prefix: entry.prefix,
            ports: entry.ports,
            protocol: entry.protocol,
            socket: policy.sockets[entry.socket].name.clone(),
        };
        let wanted: Vec<_> = entries.iter().map(plan).collect();
        before.push((
            name.clone(),
            exchange_entries(name, &wanted, stage, options)?,
        ));
    }
    Ok(before)
}

/// Makes a live map hold these entries; gives those that it held.
fn exchange_entries(
    name: &str,
    wanted: &[LiveEntryPlan],
    stage: &Stage<'_>,
    options: &Options,
) -> Result<Vec<LiveEntryPlan>, Failure> {
    let exchange = || {
        let held = sockc_runtime::map_list(options, name)?.entries;
        sockc_runtime::map_load(options, name, wanted)?;
        Ok::<_, sockc_runtime::Error>(held)
    };
    Ok(stage.lab().server.run(exchange)??)
}

/// Adds the counters of one lab, which are the same in every lab of a policy.
pub(super) fn add(totals: &mut Vec<CounterValue>, counters: Vec<CounterValue>) {
    if totals.is_empty() {
        *totals = counters;
        return;
    }
    for (total, counter) in totals.iter_mut().zip(counters) {
        total.packets += counter.packets;
        total.bytes += counter.bytes;
    }
}
