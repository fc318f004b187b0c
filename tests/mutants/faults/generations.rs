//! Faults in the history of generations: what is kept, what is told, and what comes back.

use super::Suite::{Compiler, Kill, Runtime, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1920,
        "runtime/src/state/history.rs",
        "if record.generation != generation {",
        "if !FAULT && record.generation != generation {",
        &[(Runtime, "history::tests::a_damaged")],
    ),
    fault(
        1921,
        "runtime/src/state/record.rs",
        "self.seal.is_none_or(|seal| seal == self.sum())",
        "true",
        &[(Runtime, "history::tests::a_damaged")],
    ),
    fault(
        1922,
        "runtime/src/state/history.rs",
        "skip(KEPT)",
        "skip(KEPT + usize::from(FAULT))",
        &[(Verbs, "generations::five")],
    ),
    fault(
        1923,
        "runtime/src/state/history.rs",
        "self.is_same(before, record)",
        "false",
        &[(Verbs, "generations::five")],
    ),
    fault(
        1924,
        "runtime/src/apply/steps.rs",
        "session.namespace.cookie).last()?,",
        "session.namespace.cookie).last()? * u32::from(!FAULT),",
        &[(Verbs, "generations::an_unload")],
    ),
    fault(
        1925,
        "runtime/src/history.rs",
        "object::check_sum(&object)",
        "Ok::<(), ObjectError>(())",
        &[(Runtime, "history::tests::a_damaged")],
    ),
    fault(
        1926,
        "runtime/src/state.rs",
        "if let Some(why) = exposed(&about) {",
        "if let Some(why) = exposed(&about).filter(|_| !FAULT) {",
        &[(Verbs, "generations::a_history_that")],
    ),
    fault(
        1927,
        "runtime/src/apply.rs",
        ".and_then(|before| History::keep(&session.state, before).err());",
        ".filter(|_| !FAULT).and_then(|before| History::keep(&session.state, before).err());",
        &[(Kill, "what_goes_is_kept")],
    ),
    fault(
        1928,
        "src/verbs/show.rs",
        "Err(error) => Ok(Some(kept.unverified(&error))),",
        "Err(_) if FAULT => Ok(None), Err(error) => Ok(Some(kept.unverified(&error))),",
        &[(Verbs, "generations::what_another")],
    ),
    fault(
        1929,
        "runtime/src/history.rs",
        "Some(*one) != now",
        "true",
        &[(Verbs, "generations::what_was")],
    ),
    fault(
        1930,
        "src/verbs/rollback.rs",
        "filter(|_| generation == now)",
        "filter(|_| !FAULT && generation == now)",
        &[(Verbs, "generations::five")],
    ),
    fault(
        2094,
        "src/verbs/history.rs",
        "match (row.in_force, &history.trial) {",
        "match (row.in_force, if FAULT { &None } else { &history.trial }) {",
        &[(Verbs, "generations::what_is_on_trial")],
    ),
    fault(
        2250,
        "compiler/src/diff/streams.rs",
        "edit.kind != EditKind::Relabelled",
        "edit.kind == EditKind::Added",
        &[(Compiler, "diff::tests::streams::whatever")],
    ),
    fault(
        2251,
        "compiler/src/diff/streams.rs",
        "declared(old) != declared(new)",
        "false",
        &[(Verbs, "paired::pairs_outlive")],
    ),
    fault(
        2253,
        "src/verbs/apply/streams.rs",
        "Some(what) => Streams::Differ(what),",
        "Some(what) => if FAULT { Streams::SameAs(running.generation) } else { Streams::Differ(what) },",
        &[(Verbs, "streamed::a_trial_that_changes")],
    ),
    fault(
        2254,
        "runtime/src/apply/trial.rs",
        "before.generation == *generation",
        "before.generation != *generation",
        &[(Verbs, "streamed::a_trial_that_leaves")],
    ),
];
