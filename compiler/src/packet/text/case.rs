//! What a packet is while its text is read: the plain values, and what was said so far.

use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use crate::event::SocketAnswer;
use crate::packet::protocol;
use crate::policy::{Family, GroupId, SocketId};

/// A SYN alone.
pub(super) const PLAIN_FLAGS: u8 = 2;

/// Type and code of an echo request.
pub(super) fn plain_icmp(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 0),
    }
}

/// The protocol whose header is checked as ICMP in this family.
pub(super) fn icmp_of(family: Family) -> u8 {
    match family {
        Family::V4 => protocol::ICMP,
        Family::V6 => protocol::ICMP6,
    }
}

/// What follows `with`.
#[derive(Default)]
pub(super) struct Said {
    pub(super) socket: Option<Spanned<SocketAnswer>>,
    pub(super) flags: Option<Spanned<u8>>,
    pub(super) fragment: Option<Spanned<()>>,
    pub(super) length: Option<Spanned<u64>>,
    pub(super) malformed: Option<Spanned<()>>,
    pub(super) group: Option<Spanned<GroupId>>,
    pub(super) absent: Vec<SocketId>,
}

/// A mistake with its help.
pub(super) fn mistake(
    code: Code,
    message: impl Into<String>,
    span: Span,
    label: impl Into<String>,
    help: impl Into<String>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(code, message, span, label).help(help))
}

/// Puts a value where none was.
pub(super) fn once<T>(
    place: &mut Option<Spanned<T>>,
    value: T,
    span: Span,
    what: &str,
) -> Result<(), Box<Diagnostic>> {
    if let Some(first) = place {
        let twice = mistake(
            codes::SAID_TWICE,
            format!("{what} is said twice"),
            span,
            "said again here",
            "say it once",
        );
        return Err(Box::new(twice.also(first.span, "said here first")));
    }
    *place = Some(Spanned { value, span });
    Ok(())
}
