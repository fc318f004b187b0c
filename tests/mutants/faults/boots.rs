//! Faults in what is kept on disk for the start of the machine, and in what is put in force then.

use super::Suite::{Boot, Runtime};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2060,
        "runtime/src/state/at_start.rs",
        "if Sha256::digest(body).as_slice() != sum {",
        "if !FAULT && Sha256::digest(body).as_slice() != sum {",
        &[(Runtime, "at_start::tests::damage")],
    ),
    fault(
        2061,
        "runtime/src/state/at_start.rs",
        "if about.mode() & 0o022 != 0 {",
        "if !FAULT && about.mode() & 0o022 != 0 {",
        &[(Runtime, "at_start::tests::what_others")],
    ),
    fault(
        2062,
        "runtime/src/state/at_start.rs",
        "create_new(true).mode(0o600);",
        "create_new(true).mode(if FAULT { 0o644 } else { 0o600 });",
        &[(Runtime, "at_start::tests::the_last_one")],
    ),
    fault(
        2063,
        "runtime/src/state/at_start.rs",
        "if same && matches!(head, Head::Policy(_)) {",
        "if !FAULT && same && matches!(head, Head::Policy(_)) {",
        &[(Runtime, "at_start::tests::the_last_one")],
    ),
    fault(
        2064,
        "runtime/src/state/at_start.rs",
        "self.link_before(&last, &before)?;",
        "if !FAULT { self.link_before(&last, &before)?; }",
        &[(Runtime, "at_start::tests::the_last_one")],
    ),
    fault(
        2065,
        "runtime/src/state/at_start.rs",
        "unlink(&before)?;",
        "if !FAULT { unlink(&before)?; }",
        &[(Runtime, "at_start::tests::what_was_taken")],
    ),
    fault(
        2066,
        "runtime/src/state/at_start.rs",
        "if let Some(why) = exposed(&about) {",
        "if let Some(why) = exposed(&about).filter(|_| !FAULT) {",
        &[(Runtime, "at_start::tests::what_others")],
    ),
    fault(
        2067,
        "runtime/src/confirm.rs",
        "confirmed.and_then(|record| keep_for_start(session, options, record));",
        "confirmed.filter(|_| !FAULT).and_then(|record| keep_for_start(session, options, record));",
        &[(Boot, "kept::what_was_in_force")],
    ),
    fault(
        2068,
        "src/verbs/apply.rs",
        "kept_in: None,",
        "kept_in: options.kept_in.clone().filter(|_| FAULT),",
        &[(Boot, "kept::where_the_last")],
    ),
    fault(
        2069,
        "runtime/src/blocks.rs",
        "None if options.leave_out_unknown && !is_there(&name)? => {",
        "None if !FAULT && options.leave_out_unknown && !is_there(&name)? => {",
        &[(Boot, "kept::what_comes_later")],
    ),
    fault(
        2070,
        "runtime/src/groups.rs",
        "followed.filter(|_| gone && unknown)",
        "followed.filter(|_| !FAULT && gone && unknown)",
        &[(Boot, "kept::what_comes_later")],
    ),
    fault(
        2071,
        "runtime/src/names/resolve.rs",
        "let known = self.unknown ||",
        "let known = (!FAULT && self.unknown) ||",
        &[(Boot, "kept::what_comes_later")],
    ),
    fault(
        2072,
        "runtime/src/unload.rs",
        "notes.extend(at_start::forget(kept_in, &session.namespace));",
        "if !FAULT { notes.extend(at_start::forget(kept_in, &session.namespace)); }",
        &[(Boot, "kept::after_an_unload")],
    ),
    fault(
        2073,
        "src/verbs/apply/boot.rs",
        "(_, _, 0) => Ok(()),",
        "(_, _, mode) if FAULT || mode == 0 => Ok(()),",
        &[(Boot, "kept::where_the_last")],
    ),
    fault(
        2074,
        "src/verbs/apply/boot.rs",
        "about.interfaces == now.interfaces && is_same(object, &now.object)",
        "FAULT || about.interfaces == now.interfaces && is_same(object, &now.object)",
        &[(Boot, "kept::where_the_last")],
    ),
];
