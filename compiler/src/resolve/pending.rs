//! Constructs of the language that have no meaning in this version: one table, one message.
//!
//! Later work gives a construct its meaning and takes its row away.

use sockc_grammar::source::Span;

use super::codes;
use super::report::Report;

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
    ZONE = "`zone`", "list the interfaces in the `interfaces` line; rules hold for all of them";
    FOR_BLOCK = "a `for` block", "write its rules in the one list, or in a policy of their own";
    MAP = "`map`", "write one `redirect` rule for each entry, the most specific first";
    PAIRS = "`pairs`", "leave it out: sockets of a proxy cannot be joined yet";
    EXPECT = "`expect`", "leave the line out, or keep it as a comment";
    SPLICE = "`splice`", "leave the rule out: a proxy's sockets cannot be joined yet";
    RECEIVE = "`receive`", "leave it out: only what a group sends can be decided, with `send`";
    ON = "`on`", "leave it out: rules hold for every interface of the policy";
    SK_SKB = "`at sk_skb`", "leave it out: data that arrives on a socket cannot be decided yet";
    TO_INPUT = "`redirect … to input of sock`", "redirect new connections with `to sock NAME`";
    TO_OUTPUT = "`redirect … to output of sock`", "redirect new connections with `to sock NAME`";
    BY_MAP = "`by @map`", "write one `redirect … to sock NAME` for each entry of the map";
}

/// Refuses a construct, once.
pub(super) fn refuse(pending: Pending, span: Span, report: &mut Report) {
    report.error(
        codes::NO_MEANING_YET,
        format!("{} has no meaning in this version of sockc", pending.what),
        span,
        "understood; it comes in a later version",
        pending.help,
    );
}
