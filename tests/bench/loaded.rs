//! A compiled policy in the kernel: how long that took, what the verifier did, and whether it decides and counts as the
//! linear scan does.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use aya::maps::PerCpuArray;
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use sockc_compiler::artifact::{Artifact, AttachPoint, CounterKind};
use sockc_compiler::bpf::constant::TC_ACT_SHOT;
use sockc_compiler::counter_blocks::PER_BLOCK;

use crate::compiled::Compiled;
use crate::rules::Header;
use crate::rules::policy::{Verdicts, allows, rule_of_line};
use crate::stage::{Problem, Stage};
use crate::syscalls::run;
use crate::traffic::{Generator, Trace};

/// A policy's program in the kernel.
pub(crate) struct Loaded {
    ebpf: Ebpf,
    name: String,
    /// For each slot of the counters, the rule that it counts, or `None` for the default.
    slots: Vec<Option<usize>>,
    /// Maps made and filled, programs verified: milliseconds.
    pub(crate) milliseconds: f64,
    /// Instructions that the verifier processed.
    pub(crate) verified: u32,
}

/// What the kernel and the linear scan do not agree on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wrong {
    /// Packets that were asked about.
    pub(crate) packets: usize,
    /// Packets that another rule decided, by the counters.
    pub(crate) counted: u64,
    /// Packets with another verdict, where each one is asked for.
    pub(crate) verdicts: Option<usize>,
}

impl Loaded {
    /// Loads the program for what arrives.
    pub(crate) fn new(compiled: &Compiled) -> Result<Self, Problem> {
        let manifest = &compiled.artifact.manifest;
        let mut arriving = manifest
            .programs
            .iter()
            .filter(|one| matches!(one.point, AttachPoint::Xdp | AttachPoint::TcIn));
        let (Some(attach), None) = (arriving.next(), arriving.next()) else {
            return Err("the policy is not one program for what arrives".into());
        };
        let began = Instant::now();
        // The objects need nothing of the kernel's own types. `new` reads them all the same, which `apply` does not.
        let mut ebpf = EbpfLoader::new().btf(None).load(&compiled.object)?;
        let name = attach.program.clone();
        match ebpf.program_mut(&name) {
            Some(Program::Xdp(program)) => program.load()?,
            Some(Program::SchedClassifier(program)) => program.load()?,
            _ => return Err(format!("{name} is not in the object").into()),
        }
        let milliseconds = began.elapsed().as_secs_f64() * 1e3;
        let mut loaded = Self {
            ebpf,
            name,
            slots: slots(&compiled.artifact),
            milliseconds,
            verified: 0,
        };
        loaded.verified = run::verified_insns(loaded.program()?)?;
        Ok(loaded)
    }

    /// The program.
    pub(crate) fn program(&self) -> Result<BorrowedFd<'_>, Problem> {
        match self.ebpf.program(&self.name) {
            Some(Program::Xdp(program)) => Ok(program.fd()?.as_fd()),
            Some(Program::SchedClassifier(program)) => Ok(program.fd()?.as_fd()),
            _ => Err("the program is gone".into()),
        }
    }

    fn is_xdp(&self) -> bool {
        matches!(self.ebpf.program(&self.name), Some(Program::Xdp(_)))
    }

    /// Compares what the program does with a trace's headers with what the linear scan said of them. At XDP they run in
    /// one call and the counters tell; at TC each one runs alone and tells its verdict too.
    pub(crate) fn check(
        &self,
        stage: &Stage,
        trace: &Trace,
        headers: &[Header],
        answers: &[Option<usize>],
        verdicts: Verdicts,
    ) -> Result<Wrong, Problem> {
        let mut expected: BTreeMap<Option<usize>, u64> = BTreeMap::new();
        let packets = if self.is_xdp() {
            trace.layout.packets
        } else {
            headers.len()
        };
        for answer in answers.iter().cycle().take(packets) {
            *expected.entry(*answer).or_default() += 1;
        }
        let (before, wrong_verdicts) = if self.is_xdp() {
            // What makes the generator sends a packet through.
            let generator = trace.toward_program(self.program()?)?;
            let before = self.counts()?;
            run_trace(stage, trace, &generator)?;
            (before, None)
        } else {
            let before = self.counts()?;
            let wrong = self.run_each(trace, headers, answers, verdicts)?;
            (before, Some(wrong))
        };
        Ok(Wrong {
            packets,
            counted: difference(&expected, &before, &self.counts()?),
            verdicts: wrong_verdicts,
        })
    }

    fn run_each(
        &self,
        trace: &Trace,
        headers: &[Header],
        answers: &[Option<usize>],
        verdicts: Verdicts,
    ) -> Result<usize, Problem> {
        let program = self.program()?;
        let mut wrong = 0;
        for (header, answer) in headers.iter().zip(answers) {
            let (answered, _) = run::dry(program, &trace.layout.frame(header), 1)?;
            let dropped = answered.cast_signed() == TC_ACT_SHOT;
            wrong += usize::from(dropped == allows(verdicts, *answer));
        }
        Ok(wrong)
    }

    /// What every rule, or the default, has counted so far.
    fn counts(&self) -> Result<BTreeMap<Option<usize>, u64>, Problem> {
        let map = self
            .ebpf
            .map("counters")
            .ok_or("the object has no counters")?;
        let counters: PerCpuArray<_, [[u64; 2]; PER_BLOCK as usize]> = PerCpuArray::try_from(map)?;
        let mut counts = BTreeMap::new();
        for (key, rules) in (0..).zip(self.slots.chunks(PER_BLOCK as usize)) {
            let of_each = counters.get(&key, 0)?;
            for (place, rule) in rules.iter().enumerate() {
                let packets: u64 = of_each.iter().map(|block| block[place][0]).sum();
                *counts.entry(*rule).or_default() += packets;
            }
        }
        Ok(counts)
    }
}

/// Sends every packet of a trace through once.
fn run_trace(stage: &Stage, trace: &Trace, generator: &Generator) -> Result<(), Problem> {
    trace.rewind()?;
    let packets = u32::try_from(trace.layout.packets)?;
    stage.inside(|| Ok(run::dry(generator.as_fd(), &trace.frame, packets)?))?;
    Ok(())
}

/// How many packets were counted elsewhere than expected, or too often, whichever is more.
fn difference(
    expected: &BTreeMap<Option<usize>, u64>,
    before: &BTreeMap<Option<usize>, u64>,
    after: &BTreeMap<Option<usize>, u64>,
) -> u64 {
    let (mut missing, mut surplus) = (0, 0);
    for (rule, count) in after {
        let of = |map: &BTreeMap<_, u64>| map.get(rule).copied().unwrap_or(0);
        let counted = count - of(before);
        missing += of(expected).saturating_sub(counted);
        surplus += counted.saturating_sub(of(expected));
    }
    missing.max(surplus)
}

/// No rule, and not the default either: a trace has no malformed packets.
const NOTHING: Option<usize> = Some(usize::MAX);

/// What the slots count.
fn slots(artifact: &Artifact) -> Vec<Option<usize>> {
    let counters = artifact.manifest.counters.iter();
    counters
        .map(|counter| match counter.kind {
            CounterKind::Rule => rule_of_line(counter.location.line),
            CounterKind::Default => None,
            _ => NOTHING,
        })
        .collect()
}
