//! Constructs of the language that have no meaning in this version: one table, one message.
//!
//! Later work gives a construct its meaning and removes its row.

use sockc_grammar::source::Span;

use super::report::Report;
use crate::values::codes as values;

/// A construct without meaning.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// What it is called, as written.
    what: &'static str,
    /// What to write meanwhile.
    help: &'static str,
}

macro_rules! pending {
    ($($name:ident = $what:literal, $help:literal;)*) => {
        $(pub(super) const $name: Pending = Pending { what: $what, help: $help };)*
    };
}

pending! {
    REDIRECT_RECEIVE = "`redirect receive`", "leave the rule out: what arrives on a connection goes into no other socket yet";
}

/// Refuses a construct, once.
pub(super) fn refuse(pending: Pending, span: Span, report: &mut Report) {
    report.error(
        values::NO_MEANING_YET,
        format!("{} has no meaning in this version of sockc", pending.what),
        span,
        "understood; it comes in a later version",
        pending.help,
    );
}
