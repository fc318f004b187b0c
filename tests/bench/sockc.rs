//! Our own side of a comparison: a rule set as policies, compiled, loaded, and checked against the linear scan.

use std::cell::OnceCell;

use serde::Serialize;
use sockc_compiler::artifact::Artifact;

use crate::compiled::{Compiled, Folder, How, compile};
use crate::loaded::Loaded;
use crate::rules::Header;
use crate::rules::RuleSet;
use crate::rules::policy::{RunsAt, Verdicts, policy};
use crate::rules::scan::Scan;
use crate::stage::{Problem, Stage};
use crate::systems::Unfit;
use crate::traffic::Trace;

/// One policy's compile, load and check.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    /// `xdp` or `tc`.
    pub(crate) place: &'static str,
    /// From text to object.
    pub(crate) compile_ms: f64,
    /// From object to a loaded program.
    pub(crate) load_ms: f64,
    /// `sockc apply` of the text as a whole, in a namespace where nothing is in force; where the command cannot be run, nothing.
    pub(crate) apply_ms: Option<f64>,
    /// Instructions of the program.
    pub(crate) instructions: usize,
    /// Instructions that the verifier processed.
    pub(crate) verified: u32,
    /// Bytes of constant tables.
    pub(crate) table_bytes: usize,
    /// Tables and instructions together, for each rule.
    pub(crate) bytes_a_rule: f64,
    /// Packets that were checked.
    pub(crate) checked: usize,
    /// Of them, those that another rule decided, or another verdict.
    pub(crate) wrong: u64,
}

/// Headers and what the linear scan says of them.
pub(crate) struct Asked<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) headers: &'a [Header],
    answers: OnceCell<Vec<Option<usize>>>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(trace: &'a Trace, headers: &'a [Header]) -> Self {
        Self {
            trace,
            headers,
            answers: OnceCell::new(),
        }
    }

    /// The scan takes seconds for large sets, and is not needed where nothing is compiled.
    fn answers(&self, scan: &Scan) -> &[Option<usize>] {
        self.answers.get_or_init(|| scan.all(self.headers))
    }
}

/// Compiles one policy of a set.
pub(crate) fn compiled(
    folder: &Folder,
    set: &RuleSet,
    verdicts: Verdicts,
    place: RunsAt,
    how: How,
) -> Result<Compiled, Unfit> {
    compile(folder, &policy(&set.rules, verdicts, place), how)
}

/// Compares a policy whose verdicts take turns with the scan.
pub(crate) fn facts(
    compiled: &Compiled,
    loaded: &Loaded,
    place: RunsAt,
    scan: &Scan,
    asked: &[Asked<'_>],
    rules: usize,
) -> Result<Facts, Problem> {
    let stage = Stage::new()?;
    let (mut checked, mut wrong) = (0, 0);
    for one in asked {
        let answers = one.answers(scan);
        let found = loaded.check(&stage, one.trace, one.headers, answers, Verdicts::Alternate)?;
        checked += found.packets;
        wrong += found.counted.max(found.verdicts.unwrap_or(0) as u64);
    }
    let (instructions, table_bytes) = size(&compiled.artifact);
    Ok(Facts {
        place: match place {
            RunsAt::Xdp => "xdp",
            RunsAt::Tc => "tc",
        },
        compile_ms: compiled.milliseconds,
        load_ms: loaded.milliseconds,
        apply_ms: None,
        instructions,
        verified: loaded.verified,
        table_bytes,
        bytes_a_rule: (table_bytes + 8 * instructions) as f64 / rules.max(1) as f64,
        checked,
        wrong,
    })
}

/// Instructions, and bytes of constant tables.
fn size(artifact: &Artifact) -> (usize, usize) {
    let instructions = artifact.programs.iter().map(|one| one.insns.len()).sum();
    let tables = artifact.maps.values().filter_map(|map| map.data.as_ref());
    (instructions, tables.map(Vec::len).sum())
}
