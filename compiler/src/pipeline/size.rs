//! How large a policy may be, so that no stage takes more than 2 GiB of memory.
//!
//! Takes the text, then the resolved policy; gives the diagnostic where it is too large. List files are not text of the
//! policy: each has a `max` of its own, and an element takes some bytes only. Not here: limits of the kernel.

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceId, SourceMap};

use super::compilation::{BUDGET, start};
use crate::policy::Policy;

/// The maximum number of bytes of the policy's own file: a rule in 18 bytes takes as much of the parser as one in 100.
pub const MAX_TEXT: usize = 40 << 20;

/// The maximum number of rules: one takes up to 2.5 KiB over all stages (measured with a million of them).
const MAX_RULES: usize = 500_000;

/// Refuses a text that is too large.
pub(super) fn check_text(sources: &SourceMap, id: SourceId) -> Result<(), Vec<Diagnostic>> {
    let bytes = sources.get(id).text.len();
    if bytes <= MAX_TEXT {
        return Ok(());
    }
    let label = format!("{bytes} bytes; a policy may have {MAX_TEXT}");
    Err(vec![refusal(id, label)])
}

/// What is wrong with the number of rules.
pub(super) fn of_rules(policy: &Policy, id: SourceId) -> Option<Diagnostic> {
    let inner = policy.netns.iter().map(|inner| inner.policy.rules.len());
    let rules = policy.rules.len() + inner.sum::<usize>();
    (rules > MAX_RULES).then(|| {
        let label = format!("{rules} rules; a policy may have {MAX_RULES}");
        refusal(id, label)
    })
}

fn refusal(id: SourceId, label: String) -> Diagnostic {
    Diagnostic::error(BUDGET, "the policy is too large to analyse", start(id), label).help(
        "put addresses that get the same verdict into a set: `set NAME = file \"LIST\" max N` takes millions of them",
    )
}
