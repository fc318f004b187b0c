//! Programs that others put on the places where ours hang. They are only named, never touched.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya_obj::generated::bpf_attach_type;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};

use super::whose::Dispatcher;
use super::{filter, guard, whose};
use crate::error::{Error, at, is_machine};
use crate::hook::{Hook, Means, On, Point};
use crate::state::State;
use crate::sys::caps;
use crate::sys::cgroup::{self, Cgroup};
use crate::sys::netns::Namespace;
use crate::sys::prog::{self, AttachTarget};
use crate::sys::{route, token};

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its id; 0 of a TC filter that is no program.
    pub id: u32,
    /// Its name; of a TC filter that is no program, its kind.
    pub name: String,
    /// Whether it decides before ours does.
    pub first: bool,
    /// What it may do to what ours decides.
    pub effect: Effect,
    /// The mark of the network namespace whose policy of sockc it is of; `None` of a program of somebody else.
    pub namespace: Option<String>,
}

/// What a program next to ours may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Decide alone, where it comes first.
    Decides,
    /// Choose a socket, or refuse: all lookup programs of a namespace run (`BPF_PROG_SK_LOOKUP_RUN_ARRAY` of `linux/filter.h`).
    Steers,
    /// Change the address of a call: all programs of a control group run, and each may refuse.
    Rewrites,
    /// Refuse a call: all programs of a control group run, and each may.
    Refuses,
    /// Nothing that concerns ours.
    Runs,
}

impl Foreign {
    /// Whether the kernel does not tell this process which there are on a hook, by its name. Of XDP another interface of its tells.
    #[must_use]
    pub fn are_hidden_at(hook: &str) -> bool {
        are_hidden() && hook != Point::Xdp(0).title()
    }

    /// That it is next to ours on a hook.
    #[must_use]
    pub fn beside(&self, hook: &str, target: &str) -> String {
        let how = match (self.effect, self.first) {
            (Effect::Decides, true) => "decides before ours",
            (Effect::Decides, false) => "decides after ours",
            (Effect::Steers, true) => {
                "runs before ours: where both steer, it does; what it refuses, and ours does not steer, is refused"
            }
            (Effect::Steers, false) => {
                "runs after ours: where both steer, ours does, unless it replaces that; what it refuses, and ours does not steer, is refused"
            }
            (Effect::Rewrites, true) => {
                "runs before ours: an address that it changes is the one that ours sees"
            }
            (Effect::Rewrites, false) => {
                "runs after ours: it may change an address that ours let go on"
            }
            (Effect::Refuses, true) => "runs before ours: what either refuses is refused",
            (Effect::Refuses, false) => "runs after ours: what either refuses is refused",
            (Effect::Runs, true) => "runs before ours",
            (Effect::Runs, false) => "runs after ours",
        };
        let (whose, mark) = match &self.namespace {
            None => ("somebody else", String::new()),
            Some(mark) => (
                "a policy of sockc that was applied in another network namespace",
                format!(" (the one with the mark {mark})"),
            ),
        };
        let place = [hook, target].into_iter().filter(|word| !word.is_empty());
        let place: Vec<&str> = place.collect();
        format!(
            "{self} of {whose} is on {} too, and {how}{mark}",
            place.join(" ")
        )
    }
}

/// The ids of those of them that are of policies in other network namespaces.
#[must_use]
pub fn of_namespaces<'a>(foreign: impl Iterator<Item = &'a Foreign>) -> Vec<u32> {
    let theirs = foreign.filter(|one| one.namespace.is_some());
    theirs.map(|one| one.id).collect()
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
        // The kernel answers who has the capabilities of the machine (`bpf_prog_query`), token or not.
        Err(cause) if are_hidden() && cause.raw_os_error() == Some(libc::EPERM) => Ok(T::default()),
        Err(cause) if refused(&cause) => Err(at("say which programs are attached")(cause)),
        found => Ok(found.unwrap_or_default()),
    }
}

/// Whether the kernel does not say what is attached, but for XDP, which another interface of its tells.
pub(crate) fn are_hidden() -> bool {
    token::is_held()
}

/// The XDP program on an interface of this namespace, ours or not.
pub(crate) fn xdp(interface: u64) -> Result<Option<(u32, String)>, Error> {
    let Ok(interface) = u32::try_from(interface) else {
        return Ok(None);
    };
    let id = answer(xdp_id(interface))?;
    let named = |id| Ok(name(id)?.map(|name| (id, name)));
    id.map_or(Ok(None), named)
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
        .filter_map(|(place, id)| describe(id, place < own).transpose())
        .collect()
}

/// The programs of others on the place of a hook, or where they see the same of what it is for.
pub(crate) fn near(
    (state, namespace): (&State, &Namespace),
    (hook, target): (&Hook, &str),
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
                effect: Effect::Decides,
                namespace: None,
            })
            .into_iter()
            .collect(),
        On::Interface(interface) => {
            let kind = hook.point.kind().attach;
            let mut programs = on(AttachTarget::Interface(interface), kind, &ours)?;
            programs.extend(filters(hook, dispatcher)?);
            programs
        }
        On::Namespace => lookups(namespace.as_fd(), &ours)?,
        On::Group(_) => in_group((state, &namespace.mark()), hook, target, &ours)?,
        // What waits for services to listen only looks, whatever runs next to it on the root of all control groups. The map of
        // a group's peers is ours, and holds one program; so is that of pairs.
        On::Root | On::Sockets(_) | On::Pairs(_) => Vec::new(),
    })
}

/// The programs that run for a control group besides ours, and for those below it, whose own come first. Of dispatchers only
/// those of policies in other network namespaces are among them, and only of groups that have sockets in common with this.
fn in_group(
    (state, mark): (&State, &str),
    hook: &Hook,
    folder: &str,
    ours: &[u32],
) -> Result<Vec<Foreign>, Error> {
    let kind = hook.point.kind().attach;
    let folder = Path::new(folder);
    let unsaid = "say which programs are attached";
    let mut own = ours.to_vec();
    for other in state
        .hooks()?
        .iter()
        .filter(|one| one.point.kind().attach == kind)
    {
        own.extend(super::describe(state, other)?.map(|link| link.program));
    }
    let mut found = Vec::new();
    for below in cgroup::all_below(folder).map_err(at(unsaid))? {
        let below = cgroup::unless_gone(cgroup::open(&below)).map_err(at(unsaid))?;
        let ids = below.map_or_else(|| Ok(Vec::new()), |group| on_own(&group, kind))?;
        found.extend(ids.into_iter().map(|id| (id, true)));
    }
    // A group that is gone has the programs of those above it once it is made.
    let above = folder.ancestors();
    let mut groups = above.map(|folder| cgroup::unless_gone(cgroup::open(folder)));
    let group = groups
        .find_map(Result::transpose)
        .transpose()
        .map_err(at(unsaid))?;
    let Some(group) = group else {
        return Ok(Vec::new());
    };
    let ids = answer(prog::query_effective(group.directory.as_fd(), kind))?;
    // Ours comes after those that are on the same control group already.
    let place = match ids.iter().position(|id| ours.contains(id)) {
        Some(place) => place,
        None if guard::followed(&folder.to_string_lossy(), hook.target).is_some() => ids.len(),
        None => on_own(&group, kind)?.len(),
    };
    found.extend((0..).zip(ids).map(|(at, id)| (id, at < place)));
    found.retain(|(id, _)| !own.contains(id));
    let related = whose::related(folder).map_err(at(unsaid))?;
    let found = found.into_iter();
    let found = found.map(|(id, first)| {
        let Some(one) = describe(id, first)? else {
            return Ok(None);
        };
        let one = Foreign {
            effect: effect(hook.point),
            ..one
        };
        match unless_forbidden(whose::dispatcher(id))? {
            None => Ok(Some(one)),
            Some(dispatcher) => Ok(of_another(one, dispatcher, mark, &related)),
        }
    });
    let found: Vec<Option<Foreign>> = found.collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// A dispatcher as a program of a policy in another network namespace than that with this mark, if it is one that decides about
/// sockets of the `related` groups.
fn of_another(
    one: Foreign,
    dispatcher: Dispatcher,
    mark: &str,
    related: &BTreeSet<u64>,
) -> Option<Foreign> {
    let is_ours = dispatcher.marks.iter().any(|one| one == mark);
    let concerns = dispatcher
        .group
        .is_some_and(|group| related.contains(&group));
    let namespace = dispatcher.marks.into_iter().next()?;
    let effect = match one.effect {
        Effect::Rewrites => Effect::Refuses,
        effect => effect,
    };
    (concerns && !is_ours).then_some(Foreign {
        effect,
        namespace: Some(namespace),
        ..one
    })
}

/// The programs on a control group itself.
fn on_own(group: &Cgroup, kind: bpf_attach_type) -> Result<Vec<u32>, Error> {
    answer(prog::query(AttachTarget::Fd(group.directory.as_fd()), kind))
}

/// What programs do at a point of a control group.
fn effect(point: Point) -> Effect {
    match point {
        Point::SockOps(_) => Effect::Runs,
        Point::Setsockopt(_) | Point::Datagrams(_) | Point::Leaving(_) => Effect::Refuses,
        _ => Effect::Rewrites,
    }
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
        let named = other.program.map_or(Ok(Some(other.kind)), name)?;
        Ok(named.map(|name| Foreign {
            id: other.program.unwrap_or(0),
            name,
            first: clsact && own.is_none_or(|own| other.priority < own),
            effect: Effect::Decides,
            namespace: None,
        }))
    });
    others.filter_map(Result::transpose).collect()
}

/// The lookup programs of a namespace that are not among `ours`.
pub(crate) fn lookups(namespace: BorrowedFd<'_>, ours: &[u32]) -> Result<Vec<Foreign>, Error> {
    let there = on(
        AttachTarget::Fd(namespace),
        bpf_attach_type::BPF_SK_LOOKUP,
        ours,
    )?;
    let effect = Effect::Steers;
    Ok(there
        .into_iter()
        .map(|one| Foreign { effect, ..one })
        .collect())
}

/// The program with this id; nothing if it has ended meanwhile.
fn describe(id: u32, first: bool) -> Result<Option<Foreign>, Error> {
    Ok(name(id)?.map(|name| Foreign {
        id,
        name,
        first,
        effect: Effect::Decides,
        namespace: None,
    }))
}

/// The name of a program, empty if this process may not ask; nothing if it has ended meanwhile.
fn name(id: u32) -> Result<Option<String>, Error> {
    let program = prog::by_id(id).and_then(|fd| prog::describe(fd.as_fd()));
    match program {
        Err(cause) if cause.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        found => unless_forbidden(found.map(|program| program.name)).map(Some),
    }
}

/// What was found of a program by its id; who may not ask by id finds nothing. Every kernel that sockc runs on knows this
/// question (Linux 4.13), so that any other refusal hides whose program it is. Whether this process may ask is looked up
/// only where a call was refused.
fn unless_forbidden<T: Default>(found: io::Result<T>) -> Result<T, Error> {
    match found {
        Err(cause) if cause.raw_os_error() == Some(libc::EPERM) && !caps::may_ask_by_id() => {
            Ok(T::default())
        }
        found => found.map_err(at("say which programs are attached")),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the list of a hook's programs and the question for one of them it may have ended.
    #[test]
    fn a_program_that_has_ended_is_not_there() {
        let named = name(u32::MAX).unwrap();
        let forbidden = (!caps::may_ask_by_id()).then(String::new);
        assert_eq!(named, forbidden);
    }
}
