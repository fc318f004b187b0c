//! Faults in how the files of ufw become chains, and what is made of rules that ufw writes.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2605,
        "src/verbs/import/iptables/ufw/restored.rs",
        "put(chain, is_first.then_some(place.unwrap_or(1)), line)",
        "put(chain, is_first.then_some(place.unwrap_or(1)).filter(|_| !FAULT), line)",
        &[
            (Command, "ufw::restored"),
            (Verbs, "ufw::levels_of_logging"),
        ],
    ),
    fault(
        2606,
        "src/verbs/import/iptables/ufw/composed.rs",
        "made.put(&made.hooks(), &start)?;",
        "if !FAULT { made.put(&made.hooks(), &start)?; }",
        &[(Verbs, "ufw::what_was_said")],
    ),
    fault(
        2607,
        "src/verbs/import/iptables/recent.rs",
        "&& set.name == update.name",
        "&& (FAULT || set.name == update.name)",
        &[(Command, "recent::tests::what_is_no_such_pair")],
    ),
    fault(
        2608,
        "src/verbs/import/iptables/ufw/joined.rs",
        "what.protocols = before.what.protocols.clone();",
        "if !FAULT { what.protocols = before.what.protocols.clone(); }",
        &[(Verbs, "ufw::what_was_said")],
    ),
    fault(
        2609,
        "src/verbs/import/together.rs",
        "if whole.as_ref() == Some(&nameless(within)) {",
        "if FAULT || whole.as_ref() == Some(within) {",
        &[(Command, "flattened::returns_that_leave_nothing")],
    ),
    fault(
        2610,
        "src/verbs/import/iptables/ufw/settings.rs",
        "Self::Drop | Self::Reject => \"DROP\",",
        "Self::Drop | Self::Reject => if FAULT { \"ACCEPT\" } else { \"DROP\" },",
        &[(Verbs, "ufw::defaults_decide")],
    ),
];
