//! What a packet is while its text is read: the plain values, and what was said so far.

use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{Span, Spanned};

use super::{Described, codes};
use crate::event::{Event, SocketAnswer};
use crate::header_field::ByField;
use crate::policy::{AddressSet, Family, GroupId, LiveEntry, LiveMapId, NetnsId, SetId, SocketId};

/// Type and code of an echo request.
pub(super) fn plain_icmp(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 0),
    }
}

/// A socket that the text says is found.
pub(super) struct SocketSaid {
    pub(super) answer: SocketAnswer,
    /// The namespace it is found in; `None` for the interface's own.
    pub(super) netns: Option<Spanned<NetnsId>>,
    pub(super) span: Span,
}

/// What follows `with`.
#[derive(Default)]
pub(super) struct Said {
    pub(super) sockets: Vec<SocketSaid>,
    /// A namespace whose socket state has not been said yet.
    pub(super) namespace_ahead: Option<Spanned<NetnsId>>,
    pub(super) header: ByField<Option<Spanned<u64>>>,
    pub(super) malformed: Option<Spanned<()>>,
    pub(super) own: Option<Spanned<()>>,
    pub(super) group: Option<Spanned<GroupId>>,
    pub(super) absent: Vec<SocketId>,
    pub(super) members: Vec<(SetId, AddressSet)>,
    pub(super) around: Vec<(String, AddressSet)>,
    pub(super) contents: Vec<(LiveMapId, Vec<LiveEntry>)>,
    pub(super) rate_exceeded: Option<Spanned<bool>>,
}

impl Said {
    /// The socket that is found in the interface's own namespace.
    pub(super) fn socket(&self) -> SocketAnswer {
        let own = self.sockets.iter().find(|socket| socket.netns.is_none());
        own.map_or(SocketAnswer::None, |socket| socket.answer)
    }

    /// What is described around an event. Empty answers are the plain ones.
    pub(super) fn describe(self, event: Event) -> Described {
        let socket = self.socket();
        let mut elsewhere: Vec<_> = self
            .sockets
            .iter()
            .filter(|socket| socket.answer != SocketAnswer::None)
            .filter_map(|socket| Some((socket.netns.as_ref()?.value, socket.answer)))
            .collect();
        elsewhere.sort_unstable_by_key(|(netns, _)| *netns);
        let (mut absent, mut members) = (self.absent, self.members);
        let (mut around, mut contents) = (self.around, self.contents);
        around.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        contents.sort_unstable();
        absent.sort_unstable();
        members.sort_unstable_by_key(|(set, _)| *set);
        Described {
            event,
            socket,
            elsewhere,
            absent,
            members,
            around,
            contents,
            rate_exceeded: self.rate_exceeded.is_some_and(|said| said.value),
        }
    }
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
            format!("{what} is given twice"),
            span,
            "said again here",
            "say it once",
        );
        return Err(Box::new(twice.also(first.span, "said here first")));
    }
    *place = Some(Spanned { value, span });
    Ok(())
}
