//! How a policy stands to its own `expect` lines, one by one.

use sockc_grammar::source::SourceMap;

use crate::diagram::Store;
use crate::expect::{BROKEN, Whereabouts};
use crate::guard::{Guarded, Manner, errors, line};
use crate::kept::KeptTexts;
use crate::policy::Policy;
use crate::reading;
use crate::resolve::resolve_reading;

/// A line of the policy's own.
const OWN: Manner = Manner {
    code: BROKEN,
    what: "this is not so",
};

/// Asks each `expect` line of a policy and of its `for netns` blocks.
#[must_use]
pub fn own(policy: &KeptTexts) -> Guarded {
    let mut own = Guarded {
        sources: SourceMap::default(),
        lines: Vec::new(),
        mistakes: Vec::new(),
    };
    let id = own.sources.add(&policy.name, &policy.text);
    let (read, mistakes) = reading::read(&mut own.sources, id, &mut policy.texts.clone());
    own.mistakes.extend(errors(mistakes));
    let (whole, mistakes) = resolve_reading(&read, &own.sources, &policy.stem);
    own.mistakes.extend(errors(mistakes));
    let Some(whole) = whole else {
        return own;
    };
    let inner = whole.netns.iter();
    let inner = inner.map(|one| (Some(one.name.as_str()), &one.policy));
    let file = &own.sources.get(id).name;
    for (netns, policy) in std::iter::once((None, &whole)).chain(inner) {
        for found in of_policy(policy, Whereabouts { file, netns }) {
            match found {
                Ok(line) => own.lines.push(line),
                Err(mistake) => own.mistakes.push(*mistake),
            }
        }
    }
    own
}

fn of_policy(
    policy: &Policy,
    place: Whereabouts<'_>,
) -> Vec<Result<crate::guard::Line, Box<sockc_grammar::diagnostic::Diagnostic>>> {
    let mut store = Store::of(policy);
    let lines = policy.expects.iter();
    lines
        .map(|expect| line(policy, expect, place, &mut store, OWN))
        .collect()
}
