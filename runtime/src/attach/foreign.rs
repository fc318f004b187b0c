//! Programs that others put on the places where ours hang. They are only named, never touched.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya_obj::generated::bpf_attach_type;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};

use super::filter;
use crate::error::{Error, at, is_machine};
use crate::hook::{Hook, Means, On, Point};
use crate::sys::prog::{self, AttachTarget};
use crate::sys::route;

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its id; 0 of a TC filter that is no program.
    pub id: u32,
    /// Its name; of a TC filter that is no program, its kind.
    pub name: String,
    /// Whether it decides before ours does.
    pub first: bool,
}

/// What it is, as a sentence names it.
impl fmt::Display for Foreign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            0 => write!(formatter, "the TC filter \"{}\"", self.name),
            id => write!(formatter, "program {id} \"{}\"", self.name),
        }
    }
}

/// What a question found. A kernel that does not know the question has nothing there that could be named; one that refuses it
/// may have something.
fn answer<T: Default>(found: io::Result<T>) -> Result<T, Error> {
    let refused = |cause: &io::Error| {
        is_machine(cause) || matches!(cause.raw_os_error(), Some(libc::EPERM | libc::EACCES))
    };
    match found {
        Err(cause) if refused(&cause) => Err(at("say which programs are attached")(cause)),
        found => Ok(found.unwrap_or_default()),
    }
}

/// The XDP program on an interface of this namespace, ours or not.
pub(crate) fn xdp(interface: u64) -> Result<Option<(u32, String)>, Error> {
    let Ok(interface) = u32::try_from(interface) else {
        return Ok(None);
    };
    let id = answer(xdp_id(interface))?;
    id.map(|id| Ok((id, name(id)?))).transpose()
}

/// The programs at a place that are not among `ours`.
pub(crate) fn on(
    place: AttachTarget<'_>,
    kind: bpf_attach_type,
    ours: &[u32],
) -> Result<Vec<Foreign>, Error> {
    let ids = answer(prog::query(place, kind))?;
    // Where ours is not there yet: a lookup program that is attached later comes after what is there.
    let own = ids.iter().position(|id| ours.contains(id));
    let own = own.unwrap_or(ids.len());
    (0..)
        .zip(ids)
        .filter(|(_, id)| !ours.contains(id))
        .map(|(place, id)| describe(id, place < own))
        .collect()
}

/// The programs of others on the place of a hook.
pub(crate) fn near(
    namespace: BorrowedFd<'_>,
    hook: &Hook,
    dispatcher: Option<u32>,
) -> Result<Vec<Foreign>, Error> {
    let ours: Vec<u32> = dispatcher.into_iter().collect();
    Ok(match hook.point.on() {
        On::Interface(_) if matches!(hook.point, Point::Xdp(_)) => xdp(hook.target)?
            .filter(|(id, _)| !ours.contains(id))
            .map(|(id, name)| Foreign {
                id,
                name,
                first: true,
            })
            .into_iter()
            .collect(),
        On::Interface(interface) => {
            let kind = hook.point.kind().attach;
            let mut programs = on(AttachTarget::Interface(interface), kind, &ours)?;
            programs.extend(filters(hook, dispatcher)?);
            programs
        }
        On::Namespace => lookups(namespace, &ours)?,
        // Many tools share control groups, and none is in another's way there.
        On::Root | On::Peers(_) | On::Group(_) => Vec::new(),
    })
}

/// The TCX programs next to ours on the interface of a hook.
pub(crate) fn on_tcx(hook: &Hook, ours: u32) -> Result<Vec<Foreign>, Error> {
    let (Point::TcIn(interface) | Point::TcOut(interface)) = hook.point else {
        return Ok(Vec::new());
    };
    on(
        AttachTarget::Interface(interface),
        hook.point.kind().attach,
        &[ours],
    )
}

/// The filters of the qdisc `clsact` next to ours, or after ours where ours is a TCX program, which comes first
/// (`tcx_run` before `tc_run` in `net/core/dev.c`).
pub(crate) fn filters(hook: &Hook, ours: Option<u32>) -> Result<Vec<Foreign>, Error> {
    let clsact = hook.means == Means::Clsact;
    // Where there is no such qdisc there are no filters.
    let (others, own) = answer(filter::others(
        hook.target,
        hook.point,
        ours.filter(|_| clsact),
    ))?;
    let others = others.into_iter().map(|other| {
        Ok(Foreign {
            id: other.program.unwrap_or(0),
            name: other.program.map_or(Ok(other.kind), name)?,
            first: clsact && own.is_none_or(|own| other.priority < own),
        })
    });
    others.collect()
}

/// The lookup programs of a namespace that are not among `ours`.
pub(crate) fn lookups(namespace: BorrowedFd<'_>, ours: &[u32]) -> Result<Vec<Foreign>, Error> {
    on(
        AttachTarget::Fd(namespace),
        bpf_attach_type::BPF_SK_LOOKUP,
        ours,
    )
}

fn describe(id: u32, first: bool) -> Result<Foreign, Error> {
    Ok(Foreign {
        id,
        name: name(id)?,
        first,
    })
}

/// The name of a program; empty if it is gone, or this process may not ask.
fn name(id: u32) -> Result<String, Error> {
    match prog::by_id(id).and_then(|fd| prog::describe(fd.as_fd())) {
        Err(cause) if is_machine(&cause) => Err(at("say which programs are attached")(cause)),
        program => Ok(program.map_or_else(|_| String::new(), |program| program.name)),
    }
}

/// Asks route-netlink, since bpf(2) has no query for XDP.
fn xdp_id(interface: u32) -> io::Result<Option<u32>> {
    let mut message = LinkMessage::default();
    message.header.index = interface;
    let answer = route::ask(&route::socket()?, RouteNetlinkMessage::GetLink(message), 0)?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = answer else {
        return Ok(None);
    };
    Ok(link.attributes.iter().find_map(program_of))
}

fn program_of(attribute: &LinkAttribute) -> Option<u32> {
    let LinkAttribute::Xdp(facts) = attribute else {
        return None;
    };
    facts.iter().find_map(|fact| match fact {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) if *id != 0 => {
            Some(*id)
        }
        _ => None,
    })
}
