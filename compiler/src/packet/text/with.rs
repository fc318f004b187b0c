//! What follows `with`.

use sockc_grammar::ast::{HeaderTest, MapEntry, Name, SocketState, TcpFlag, With};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::{Said, SocketSaid, mistake, once};
use super::{codes, contents, members};
use crate::event::SocketAnswer;
use crate::header_field::{Row, row};
use crate::names;
use crate::policy::{AddressSet, NetnsId, OWN, Policy, Set, SetKind};
use crate::values::codes as meaning;
use crate::values::numbers::{self, flag_bits};

/// Everything that is said after `with`, each thing once.
pub(super) fn said(items: &[Spanned<With>], policy: &Policy) -> Result<Said, Box<Diagnostic>> {
    let mut said = Said::default();
    for item in items {
        one(&mut said, item, policy)?;
    }
    each_namespace_once(&said)?;
    Ok(said)
}

fn one(said: &mut Said, item: &Spanned<With>, policy: &Policy) -> Result<(), Box<Diagnostic>> {
    let span = item.span;
    match &item.value {
        With::Socket(state) => socket(said, *state, span),
        With::Netns(name) => namespace(said, name, span, policy),
        With::Header(field, test) => {
            let row = row(*field);
            let (value, what) = (value(row, test)?, format!("`{}`", row.word()));
            once(&mut said.header[*field], value, span, &what)
        }
        With::RateExceeded(exceeded) => {
            once(&mut said.rate_exceeded, *exceeded, span, "`rate exceeded`")
        }
        With::Own => once(&mut said.own, (), span, "`self`"),
        With::Malformed => once(&mut said.malformed, (), span, "`malformed`"),
        // An empty list may be that of a live map, too.
        With::Members { set, elements } if elements.is_empty() && is_map(policy, set) => {
            contents_of(said, set, &[], span, policy)
        }
        With::Contents { map, entries } => contents_of(said, map, entries, span, policy),
        With::Members { set, elements } => {
            let elements = members::read(elements)?;
            members_of(said, set, elements, span, policy)
        }
        With::Group(name) => {
            let groups = policy.groups.iter();
            let groups = groups.map(|(id, group)| (id, group.name.as_str()));
            let group = find(name, "group", groups)?;
            once(&mut said.group, group, span, "the group")
        }
        With::SockAbsent(name) => {
            let sockets = policy.sockets.iter();
            let sockets = sockets.map(|(id, socket)| (id, socket.name.as_str()));
            let socket = find(name, "socket", sockets)?;
            if said.absent.contains(&socket) {
                return Err(twice("the socket", span));
            }
            said.absent.push(socket);
            Ok(())
        }
    }
}

/// The value that is said of a field. A fragment is the first or a later one: the rest of the packet says which.
fn value(row: &Row, test: &HeaderTest) -> Result<u64, Box<Diagnostic>> {
    match test {
        HeaderTest::Present => Ok(1),
        HeaderTest::Flags { set, clear } => flags(set, clear),
        HeaderTest::Compared(_, value) | HeaderTest::Masked { value, .. } => {
            numbers::of(row, value)
        }
        HeaderTest::Code(code) => numbers::code(row, code),
        HeaderTest::Hardware(address) => numbers::of(row, address),
    }
}

fn is_map(policy: &Policy, name: &Name) -> bool {
    policy.live_maps.values().any(|map| map.name == name.value)
}

/// What is in a live set; in one of the policy around that no rule of a block asks, too.
fn members_of(
    said: &mut Said,
    name: &Name,
    elements: AddressSet,
    span: Span,
    policy: &Policy,
) -> Result<(), Box<Diagnostic>> {
    let live = policy.sets.iter();
    let live = live.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }));
    let asked = live.map(|(id, set)| (Some(id), set.name.as_str()));
    if name.value == OWN && !policy.sets.values().any(Set::is_own) {
        // No rule asks for it, so it changes nothing what it holds.
        return Ok(());
    }
    let around = policy.around.iter().map(|name| (None, name.as_str()));
    let known = match find(name, "live set", asked.chain(around))? {
        Some(set) => {
            let known = said.members.iter().any(|(other, _)| *other == set);
            said.members.push((set, elements));
            known
        }
        None => {
            let known = said.around.iter().any(|(other, _)| *other == name.value);
            said.around.push((name.value.clone(), elements));
            known
        }
    };
    match known {
        true => Err(twice("the set", span)),
        false => Ok(()),
    }
}

fn contents_of(
    said: &mut Said,
    name: &Name,
    entries: &[Spanned<MapEntry>],
    span: Span,
    policy: &Policy,
) -> Result<(), Box<Diagnostic>> {
    let maps = policy.live_maps.iter();
    let maps = maps.map(|(id, map)| (id, map.name.as_str()));
    let map = find(name, "live map", maps)?;
    if said.contents.iter().any(|(other, _)| *other == map) {
        return Err(twice("the map", span));
    }
    said.contents.push((map, contents::read(entries, policy)?));
    Ok(())
}

fn socket(said: &mut Said, state: Option<SocketState>, span: Span) -> Result<(), Box<Diagnostic>> {
    let answer = answer(state, span)?;
    let netns = said.namespace_ahead.take();
    said.sockets.push(SocketSaid {
        answer,
        netns,
        span,
    });
    Ok(())
}

/// The namespace of the socket state before it; the first item may also name that of the state after it.
fn namespace(
    said: &mut Said,
    name: &Spanned<String>,
    span: Span,
    policy: &Policy,
) -> Result<(), Box<Diagnostic>> {
    let namespaces = policy.namespaces.iter();
    let namespaces = namespaces.map(|(id, name)| (id, name.as_str()));
    let netns = find(name, "network namespace of a condition", namespaces)?;
    let named = Spanned { value: netns, span };
    match said.sockets.last_mut() {
        Some(last) if last.netns.is_none() => last.netns = Some(named),
        _ if said.namespace_ahead.is_none() => said.namespace_ahead = Some(named),
        _ => return Err(twice("the namespace", span)),
    }
    Ok(())
}

fn each_namespace_once(said: &Said) -> Result<(), Box<Diagnostic>> {
    if let Some(ahead) = &said.namespace_ahead {
        return Err(mistake(
            codes::DOES_NOT_FIT,
            "no socket state is given for this namespace",
            ahead.span,
            "says where a socket is found",
            "write `socket listening in netns \"NAME\"`",
        ));
    }
    let mut seen: Vec<Option<NetnsId>> = Vec::new();
    for socket in &said.sockets {
        let netns = socket.netns.as_ref().map(|netns| netns.value);
        if seen.contains(&netns) {
            return Err(twice("the socket", socket.span));
        }
        seen.push(netns);
    }
    Ok(())
}

fn twice(what: &str, span: Span) -> Box<Diagnostic> {
    mistake(
        codes::SAID_TWICE,
        format!("{what} is given twice"),
        span,
        "said again here",
        "say it once",
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
fn flags(set: &[Spanned<TcpFlag>], clear: &[Spanned<TcpFlag>]) -> Result<u64, Box<Diagnostic>> {
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

/// What a name stands for among those that the policy declares.
pub(super) fn find<'a, Id>(
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
