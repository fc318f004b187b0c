//! What comes out of a compile, and why it may stop.
//!
//! Not here: how any of it is made.

use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceId, Span};

use crate::artifact::Artifact;
use crate::bulk::Bulk;
use crate::chain::Chain;
use crate::classifier::Summary;
use crate::diagram::BudgetExceeded;
use crate::diagram::flatten::Flat;
use crate::ir::Function;
pub(crate) use crate::place::codes::TOO_LARGE as BUDGET;
use crate::place::codes::fewer;
use crate::policy::Policy;
use crate::tables::PlacedTable;

sockc_grammar::codes! {
    SAYS_NOTHING = "E0258", "a policy without a rule, a default or a declaration";
    DECIDES_NOTHING = "W0505", "a policy with neither a rule nor a default";
    TOO_LARGE = "E0401", "a program would be beyond a limit of the kernel";
    NO_INTERFACE = "E0403", "this kernel does not tell a socket lookup the interface";
}

/// What came out.
#[derive(Debug)]
pub struct Compilation {
    /// What is wrong, and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The policy, if it could be resolved.
    pub policy: Option<Policy>,
    /// What was built, if nothing is wrong.
    pub built: Option<Built>,
    /// A bug of the compiler: a check between two stages failed. There is no artifact then.
    pub internal: Option<String>,
}

impl Compilation {
    /// Nothing but what is wrong.
    pub(super) fn refused(diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            policy: None,
            built: None,
            internal: None,
        }
    }

    /// What came out of the work on a policy.
    pub(super) fn of(
        policy: Policy,
        mut diagnostics: Vec<Diagnostic>,
        done: Result<Done, Stop>,
    ) -> Self {
        let mut built = None;
        let mut internal = None;
        match done {
            Ok(done) => {
                diagnostics.extend(done.warnings);
                built = done.built;
            }
            Err(Stop::Diagnostics(found)) => diagnostics.extend(found),
            Err(Stop::Bug(what)) => internal = Some(what),
        }
        Self {
            diagnostics,
            policy: Some(policy),
            built,
            internal,
        }
    }

    /// Whether there is an error among the diagnostics, or a bug.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.internal.is_some()
            || self
                .diagnostics
                .iter()
                .any(|one| one.severity == Severity::Error)
    }
}

/// Everything after the resolver.
#[derive(Debug)]
pub struct Built {
    /// The policy with its bulk rules reduced to groups, where it has many.
    pub bulk: Option<Bulk>,
    /// The chains, of the reduced policy if there is one.
    pub chains: Vec<Chain>,
    /// For each chain: its diagrams.
    pub decisions: Vec<Decision>,
    /// For each chain: what is known of its classifier, if it has one.
    pub classifiers: Vec<Option<Summary>>,
    /// The intermediate form of every program; those of the chains stand first, in order.
    pub functions: Vec<Function>,
    /// For each chain the index of its function: what passes through an interface is decided in the program of what leaves by it.
    pub of_chains: Vec<usize>,
    /// What the maps of constant tables hold, and where.
    pub tables: Vec<PlacedTable>,
    /// Programs, maps, manifest, and the same of every namespace.
    pub artifact: Artifact,
    /// What was built for the policies of `for netns` blocks, in order. They have none of their own.
    pub netns: Vec<Built>,
}

impl Built {
    /// The policy that chains and decisions speak of: the one that was compiled, or the reduced one.
    #[must_use]
    pub fn placed<'a>(&'a self, policy: &'a Policy) -> &'a Policy {
        self.bulk.as_ref().map_or(policy, |bulk| &bulk.policy)
    }
}

/// The flattened diagrams of a chain.
#[derive(Debug)]
pub struct Decision {
    /// Which entry decides.
    pub decision: Flat,
    /// Which `count` entries match.
    pub counts: Option<Flat>,
    /// The lists that `counts` names.
    pub lists: Vec<Vec<u32>>,
}

/// Why building stopped.
pub(super) enum Stop {
    Diagnostics(Vec<Diagnostic>),
    Bug(String),
}

impl From<BudgetExceeded> for Stop {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::Bug(exceeded.to_string())
    }
}

impl Done {
    /// Nothing was to be built.
    pub(super) fn without_code(warnings: Vec<Diagnostic>) -> Self {
        Self {
            built: None,
            warnings,
        }
    }
}

/// What the work on a policy gives if nothing stops it.
pub(super) struct Done {
    /// What was built, if that was asked.
    pub(super) built: Option<Built>,
    /// What is probably not meant.
    pub(super) warnings: Vec<Diagnostic>,
}

/// What is said where the analysis would take too much; `span` is that of the whole policy.
pub(crate) fn too_much(policy: &Policy, exceeded: &BudgetExceeded, span: Span) -> Diagnostic {
    Diagnostic::error(
        BUDGET,
        "the policy is too large to analyse",
        span,
        exceeded.to_string(),
    )
    .help(fewer(policy))
}

/// The place of what belongs to no statement.
pub(super) fn start(source: SourceId) -> Span {
    Span {
        source,
        start: 0,
        end: 0,
    }
}
