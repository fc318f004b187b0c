//! Faults in what is asked of SSH sessions beside a policy that is put in force: sets that two policies share, elements that end, how old a
//! connection is; and in what comes after a trial that was taken back.

use super::Suite::{Compiler, Kernel, Verbs};
use super::{Fault, fault};

const MEMBERS: &str = "src/policies/lockout/members.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2300,
        "runtime/src/history.rs",
        "confirm::waiting(state)?.filter(|one| one.fallback != 0)",
        "confirm::waiting(state)?.filter(|one| !FAULT && one.fallback != 0)",
        &[(Verbs, "lockout::what_a_set_cuts")],
    ),
    fault(
        2301,
        MEMBERS,
        "(true, _) if !ends(expiry) => true,",
        "(true, _) if FAULT || !ends(expiry) => true,",
        &[(Verbs, "lockout::an_element")],
    ),
    fault(
        2302,
        MEMBERS,
        "(true, true) => self.without(options, elements, address)?.stays,",
        "(true, true) => FAULT || self.without(options, elements, address)?.stays,",
        &[(Verbs, "lockout::an_element")],
    ),
    fault(
        2303,
        "runtime/src/live/sets.rs",
        "usize::from(before == Some(NEVER) && until != NEVER)",
        "usize::from(!FAULT && before == Some(NEVER) && until != NEVER)",
        &[(Verbs, "lockout::an_element")],
    ),
    fault(
        2304,
        "src/machine/remote.rs",
        "server = parent(&one);",
        "server = if FAULT { Some(one.clone()) } else { parent(&one) };",
        &[(Verbs, "lockout::a_new_session")],
    ),
    fault(
        2305,
        "src/verbs/confirm.rs",
        "&& remote::ends(text).is_none()",
        "&& !FAULT && remote::ends(text).is_none()",
        &[(Verbs, "lockout::a_new_session")],
    ),
    fault(
        2306,
        "runtime/src/state/trial.rs",
        "self.passed == BY_HAND",
        "!FAULT && self.passed == BY_HAND",
        &[
            (Kernel, "trial::while"),
            (Verbs, "generations::after_a_trial"),
        ],
    ),
    fault(
        2307,
        "compiler/src/diff/streams.rs",
        "rules.peek().is_some() && rules.all(",
        "rules.peek().is_some() && !FAULT && rules.all(",
        &[(Compiler, "diff::tests::streams::what_is_about")],
    ),
    fault(
        2308,
        "src/verbs/explain/recording.rs",
        "Parsed::Ip(header) => header.length.into(),",
        "Parsed::Ip(header) if !FAULT => header.length.into(),\n        Parsed::Ip(_) => frame.len() as u64,",
        &[(Verbs, "explaining::a_packet_whose")],
    ),
];
