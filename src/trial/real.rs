//! The cases in a lab: the policy in force there, real packets, and the counters afterwards.

use sockc_compiler::artifact::Manifest;
use sockc_compiler::policy::SocketId;
use sockc_runtime::lab::{self, BPFFS, FRONT};
use sockc_runtime::{CounterValue, Features, Options, probe};

use super::choose::Case;
use super::stage::{Seen, Stage};
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::refused;

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
    compiled: &Compiled,
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
        let counters = in_one_lab(compiled, absent, here, &mut seen)?;
        add(&mut totals, counters);
    }
    seen.sort_by_key(|(index, _)| *index);
    Ok((seen.into_iter().map(|(_, seen)| seen).collect(), totals))
}

fn in_one_lab<'c>(
    compiled: &Compiled,
    absent: &[SocketId],
    cases: impl Iterator<Item = (usize, &'c Case)>,
    seen: &mut Vec<(usize, Seen)>,
) -> Result<Vec<CounterValue>, Failure> {
    let mut stage = Stage::new(&compiled.policy, absent)?;
    let artifact = &compiled.built.artifact;
    let object = sockc_compiler::object::write(artifact)
        .map_err(|error| Failure::Object(error.to_string()))?;
    let manifest = of_lab(&artifact.manifest, &stage);
    let options = Options {
        bpffs: BPFFS.into(),
        interfaces: vec![FRONT.into()],
        // Slots that fill themselves again hang on the machine's root of control groups, which is not the lab's.
        features: Some(Features {
            netns_cookie_in_sock_ops: false,
            ..probe()
        }),
        ..Options::default()
    };
    let apply = || sockc_runtime::apply(&object, &manifest, &options);
    stage.lab().server.run(apply)??;
    for (index, case) in cases {
        seen.push((index, stage.play(case)?));
    }
    let counters = || sockc_runtime::counters(&options);
    Ok(stage.lab().server.run(counters)??)
}

/// The manifest with the lab's control groups in place of the machine's.
fn of_lab(manifest: &Manifest, stage: &Stage<'_>) -> Manifest {
    let mut manifest = manifest.clone();
    for group in &mut manifest.groups {
        if let Some(cgroup) = stage.cgroup(&group.name) {
            cgroup.clone_into(&mut group.cgroup);
        }
    }
    manifest
}

/// Adds the counters of one lab, which are the same in every lab of a policy.
fn add(totals: &mut Vec<CounterValue>, counters: Vec<CounterValue>) {
    if totals.is_empty() {
        *totals = counters;
        return;
    }
    for (total, counter) in totals.iter_mut().zip(counters) {
        total.packets += counter.packets;
        total.bytes += counter.bytes;
    }
}
