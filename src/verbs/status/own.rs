//! How `self` of the policy in force stands to the addresses of the machine.
//!
//! Not here: how it is brought up to date.

use serde::Serialize;
use sockc_runtime::{OwnBehind, Prefix, Status};

use crate::output::Output;

/// So many prefixes of each kind are told one by one.
const SHOWN: usize = 4;

/// In JSON, where it is behind.
#[derive(Serialize)]
pub(super) struct Row {
    /// What is this machine's and not in it.
    missing: Vec<String>,
    /// What is in it and not this machine's.
    gone: Vec<String>,
}

pub(super) fn row(own: &OwnBehind) -> Option<Row> {
    let words = |prefixes: &[Prefix]| prefixes.iter().map(Prefix::to_string).collect();
    (!own.is_none()).then(|| Row {
        missing: words(&own.missing),
        gone: words(&own.gone),
    })
}

/// What brings it up to date, of a status and of those of its blocks. A remedy for a block is one for the policy that has it.
pub(super) fn remedy(status: &Status) -> &'static str {
    match (status.owned, status.trial.is_some()) {
        (true, _) => {
            "`sockc apply --running` in the network namespace whose policy has the `for netns` block brings it up to date"
        }
        (false, true) => "once the trial has ended, `sockc apply --running` brings it up to date",
        (false, false) => {
            "`sockc apply --running` brings it up to date, and `sockc apply --running --watch` keeps it so"
        }
    }
}

/// Says where it is behind, and the remedy; `true` if it is not.
pub(super) fn tell(own: &OwnBehind, remedy: &str, output: &mut Output) -> bool {
    let outgrown = own.outgrown.map(|(size, max)| {
        format!("{size} prefixes are this machine's own, and `self` holds at most {max}: have fewer, or name a live set in place of `self`")
    });
    let remedy = outgrown.as_deref().unwrap_or(remedy);
    let kinds = [
        (&own.missing, "this machine's and not in it"),
        (&own.gone, "in it and not this machine's any more"),
    ];
    for (prefixes, what) in kinds {
        if let Some(listed) = listed(prefixes) {
            output.error(format!("`self` is behind: {listed} {what}; {remedy}"));
        }
    }
    own.is_none()
}

/// What came into it and what left it, a line each.
pub(crate) fn words(own: &OwnBehind) -> Vec<String> {
    let came =
        listed(&own.missing).map(|listed| format!("{listed} this machine's now, and in `self`"));
    let went = listed(&own.gone)
        .map(|listed| format!("{listed} not this machine's any more, and not in `self`"));
    came.into_iter().chain(went).collect()
}

/// Some prefixes and their verb: `192.0.2.7 is`, `192.0.2.7 and 192.0.2.8 are`.
fn listed(prefixes: &[Prefix]) -> Option<String> {
    let shown: Vec<String> = prefixes.iter().take(SHOWN).map(Prefix::to_string).collect();
    let more = prefixes.len() - shown.len();
    Some(match (shown.as_slice(), more) {
        ([], _) => return None,
        ([one], 0) => format!("{one} is"),
        ([all @ .., last], 0) => format!("{} and {last} are", all.join(", ")),
        (all, more) => format!("{} and {more} more are", all.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_listed_with_their_verb() {
        let prefix = |last: u8| Prefix::host([192, 0, 2, last].into());
        for (count, words) in [
            (0, None),
            (1, Some("192.0.2.0 is")),
            (2, Some("192.0.2.0 and 192.0.2.1 are")),
            (4, Some("192.0.2.0, 192.0.2.1, 192.0.2.2 and 192.0.2.3 are")),
            (
                6,
                Some("192.0.2.0, 192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more are"),
            ),
        ] {
            let prefixes: Vec<Prefix> = (0..count).map(prefix).collect();
            assert_eq!(listed(&prefixes).as_deref(), words);
        }
    }
}
