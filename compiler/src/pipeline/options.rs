//! What a policy is compiled for, and how: what a caller may choose.
//!
//! Not here: what the choices do.

use sockc_grammar::source::{SourceId, SourceMap, Span};

use super::compilation::start;
use crate::bulk::Structure;
use crate::lint::Care;
use crate::target::Target;

/// What every stage after the resolver is told beside the policy.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The texts.
    pub(super) sources: &'a SourceMap,
    /// The file that is compiled.
    pub(super) id: SourceId,
    /// What the caller chose.
    pub(super) options: Options<'a>,
    /// How carefully the lints look; `None` if they are not asked.
    pub(super) care: Option<Care>,
}

impl<'a> Job<'a> {
    /// What `compile` asks.
    pub(super) fn quick(sources: &'a SourceMap, id: SourceId, options: Options<'a>) -> Self {
        Self {
            sources,
            id,
            options,
            care: (options.lints == Lints::Asked).then_some(Care::Quick),
        }
    }

    /// What `check` asks.
    pub(super) fn thorough(sources: &'a SourceMap, id: SourceId, target: &'a Target) -> Self {
        Self {
            sources,
            id,
            options: Options::from(target),
            care: Some(Care::Thorough),
        }
    }

    /// The place of what belongs to no statement.
    pub(super) fn whole(&self) -> Span {
        start(self.id)
    }
}

/// What a policy is compiled for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The kernel.
    pub target: &'a Target,
    /// What large lists of plain rules become.
    pub structure: Structure,
    /// Whether rules count.
    pub counters: Counters,
    /// Whether `expect` lines are asked.
    pub expects: Expects,
    /// Whether the passes over IR run.
    pub passes: Passes,
    /// Whether lints are asked that search.
    pub lints: Lints,
}

/// Whether lints are asked that search the policy. Those that read its text always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lints {
    /// They are.
    #[default]
    Asked,
    /// They are not: what was compiled before, or where nobody reads warnings.
    LeftOut,
}

/// Whether the passes over IR run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passes {
    /// All do.
    #[default]
    Run,
    /// None does: who wants to see what `lower` writes.
    LeftOut,
}

/// Whether a policy of which an `expect` line does not hold is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    /// It is.
    #[default]
    Asked,
    /// No line is asked: who wants to see why one does not hold needs the programs all the same.
    LeftOut,
}

/// Whether rules, defaults and malformed packets are counted. Sockets that a group could not take in always are: that
/// costs no packet anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counters {
    /// They are.
    #[default]
    Kept,
    /// They are not, which saves each packet a call of the kernel. Logs still name the rule.
    LeftOut,
}

impl<'a> From<&'a Target> for Options<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            target,
            structure: Structure::default(),
            counters: Counters::default(),
            expects: Expects::default(),
            passes: Passes::default(),
            lints: Lints::default(),
        }
    }
}
