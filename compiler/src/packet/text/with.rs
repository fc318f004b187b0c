//! What follows `with`.

use sockc_grammar::ast::{Name, SocketState, TcpFlag, With};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::{Said, mistake, once};
use super::codes;
use crate::event::SocketAnswer;
use crate::names;
use crate::policy::Policy;
use crate::resolve::codes as meaning;
use crate::resolve::conditions::flag_bits;

/// Everything that is said behind `with`, each thing once.
pub(super) fn said(items: &[Spanned<With>], policy: &Policy) -> Result<Said, Box<Diagnostic>> {
    let mut said = Said::default();
    for item in items {
        one(&mut said, item, policy)?;
    }
    Ok(said)
}

fn one(said: &mut Said, item: &Spanned<With>, policy: &Policy) -> Result<(), Box<Diagnostic>> {
    let span = item.span;
    match &item.value {
        With::Socket(state) => {
            let answer = answer(*state, span)?;
            once(&mut said.socket, answer, span, "the socket")
        }
        With::TcpFlags { set, clear } => {
            let flags = flags(set, clear)?;
            once(&mut said.flags, flags, span, "`tcp flags`")
        }
        With::Fragment => once(&mut said.fragment, (), span, "`fragment`"),
        With::Length(length) => once(&mut said.length, length.value, span, "`length`"),
        With::Malformed => once(&mut said.malformed, (), span, "`malformed`"),
        With::Group(name) => {
            let groups = policy.groups.iter();
            let groups = groups.map(|(id, group)| (id, group.name.as_str()));
            let group = find(name, "group", groups)?;
            once(&mut said.group, group, span, "the group")
        }
        With::SockAbsent(name) => {
            let sockets = policy.sockets.iter();
            let sockets = sockets.map(|(id, socket)| (id, socket.name.as_str()));
            said.absent.push(find(name, "socket", sockets)?);
            Ok(())
        }
        With::Ttl(_) => Err(no_meaning("`ttl`", span)),
        With::Dscp(_) => Err(no_meaning("`dscp`", span)),
        With::Mark(_) => Err(no_meaning("`mark`", span)),
        With::Vlan(_) => Err(no_meaning("`vlan`", span)),
        With::Members { .. } => Err(no_meaning("a live set", span)),
        With::RateExceeded => Err(no_meaning("`rate exceeded`", span)),
        With::Netns(_) => Err(no_meaning("`in netns`", span)),
    }
}

/// The refusal of what no rule can look at yet.
pub(super) fn no_meaning(what: &str, span: Span) -> Box<Diagnostic> {
    mistake(
        meaning::NO_MEANING_YET,
        format!("{what} has no meaning in this version of sockc"),
        span,
        "understood, but not supported yet",
        "leave it out: no rule can look at it",
    )
}

fn answer(state: Option<SocketState>, span: Span) -> Result<SocketAnswer, Box<Diagnostic>> {
    match state {
        None => Ok(SocketAnswer::None),
        Some(SocketState::Listening) => Ok(SocketAnswer::Listening),
        Some(SocketState::Established) => Ok(SocketAnswer::Established),
        Some(SocketState::Exists) => Err(mistake(
            codes::DOES_NOT_FIT,
            "a packet finds one socket, in one state",
            span,
            "either of two states",
            "write `socket listening` or `socket established`",
        )),
    }
}

/// The flags that are set; those that are named as clear are clear anyway.
fn flags(set: &[Spanned<TcpFlag>], clear: &[Spanned<TcpFlag>]) -> Result<u8, Box<Diagnostic>> {
    let set_bits = flag_bits(set);
    let both = clear
        .iter()
        .find(|flag| set_bits & flag_bits(std::slice::from_ref(flag)) != 0);
    match both {
        None => Ok(set_bits),
        Some(flag) => Err(mistake(
            codes::SAID_TWICE,
            "a flag is set and clear",
            flag.span,
            "clear here, set before",
            "say it one way",
        )),
    }
}

fn find<'a, Id>(
    name: &Name,
    what: &str,
    declared: impl Iterator<Item = (Id, &'a str)>,
) -> Result<Id, Box<Diagnostic>> {
    let (ids, known): (Vec<Id>, Vec<&str>) = declared.unzip();
    let mut same = ids.into_iter().zip(&known);
    if let Some((id, _)) = same.find(|(_, other)| **other == name.value) {
        return Ok(id);
    }
    let help = match names::nearest(&name.value, known) {
        Some(near) => format!("write `{near}`"),
        None => format!("name a {what} that the policy declares"),
    };
    Err(mistake(
        meaning::UNKNOWN_NAME,
        format!("no {what} is called `{}`", name.value),
        name.span,
        "not declared in the policy",
        help,
    ))
}
