//! Sockets that are handed over while a policy is in force: `registered` ones, that listen or whose queues take data.
//!
//! Takes an open socket and the name of one that the policy in force declares; puts it into the slot of its protocol and
//! family. The kernel keeps a socket in a slot until it is closed everywhere; it is not held open by that.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::{EndPlan, Manifest, Slot, SlotOrigin, SocketSlots};
use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::spread::MAX_MEMBERS;

use super::ends::connected::EndKind;
use super::ends::{self, EndState};
use super::fill::{SlotFiller, slots_map};
use super::handover::{Handed, Handover, open_all, refused};
use super::inspect;
use super::lookup::SlotState;
use super::of_process::{self, is_open};
use super::owners::Owners;
use super::places::Places;
use super::since::{Earlier, Since};
use super::transparent::{OPAQUE, is_intercepting};
use crate::active::{self, Active};
use crate::error::{Error, at, undeclared};
use crate::groups::refused as outside;
use crate::options::Options;
use crate::state::Access;
use crate::state::steered::{self, Destination};
use crate::sys::{map, socket};

/// A protocol and a family: one of the slots of a named socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotKind {
    /// TCP or UDP.
    pub protocol: IpProtocol,
    /// Of its address.
    pub family: Family,
}

impl SlotKind {
    /// The kind of a slot.
    #[must_use]
    pub fn of(slot: &Slot) -> Self {
        Self {
            protocol: slot.protocol,
            family: Family::of(slot.address),
        }
    }

    /// `tcp4`, `tcp6`, `udp4` or `udp6`.
    #[must_use]
    pub fn name(self) -> String {
        let family = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        format!("{}{family}", self.protocol.words())
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        let all = IpProtocol::WITH_SOCKETS.into_iter();
        all.flat_map(|protocol| [Family::V4, Family::V6].map(|family| Self { protocol, family }))
    }
}

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A socket that things are steered to, in its slot.
    Slot(SlotKind),
    /// A connected socket whose queues take data.
    End(EndKind),
}

impl Held {
    /// `tcp4`, `udp6`, `unix-stream`, …
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Slot(kind) => kind.name(),
            Self::End(kind) => kind.name().to_owned(),
        }
    }
}

/// What a hand-over gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What stands behind the name now.
    pub held: Vec<Held>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// Puts sockets behind the name of a registered one: in place of those that are there, or, where the name may have several members,
/// beside them. Gives them.
///
/// # Errors
///
/// Any [`Error`]; every socket is looked at before the first one is put in.
pub fn socket_register(
    options: &Options,
    name: &str,
    sockets: &[Handover],
) -> Result<Registered, Error> {
    active::with(options, Access::Change, |active| {
        register(active, name, &open_all(name, sockets)?)
    })
}

/// Puts a socket behind the name of a registered one, in place of the one with this cookie.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_replace(
    options: &Options,
    name: &str,
    socket: Handover,
    cookie: u64,
) -> Result<Registered, Error> {
    active::with(options, Access::Change, |active| {
        if end(active, name).is_some() {
            let cause = "rules put data into its queues, so it holds one socket, and another takes its place; name no cookie";
            return Err(refused(name, cause.to_owned()));
        }
        let handed = open_all(name, &[socket])?;
        put(active, name, &handed, Some(cookie))
    })
}

/// The same for sockets that are open here.
pub(super) fn register(
    active: &Active<'_>,
    name: &str,
    handed: &[Handed],
) -> Result<Registered, Error> {
    if let Some(plan) = end(active, name) {
        let (kind, note) = ends::register(active, plan, handed)?;
        outside::changed(active.state(), active.record);
        return Ok(Registered {
            held: vec![Held::End(kind)],
            notes: note.into_iter().collect(),
        });
    }
    put(active, name, handed, None)
}

/// Puts sockets into the slots of a name; in place of the one with a cookie, if one is given.
fn put(
    active: &Active<'_>,
    name: &str,
    handed: &[Handed],
    instead: Option<u64>,
) -> Result<Registered, Error> {
    let declared = declared(active, name)?;
    let slots = slots_map(active.state(), active.record.generation)?;
    let found = placed(active, declared, handed, (slots.as_fd(), instead))?;
    let since = Since::look(active.state(), active.record.generation, slots.as_fd())?;
    if let Some(since) = &since {
        since.settle(found.iter().map(|(slot, _)| *slot))?;
    }
    for (slot, fd) in &found {
        let what = format!("put a socket into the slot of \"{name}\"");
        map::put_socket(slots.as_fd(), &slot.index.to_ne_bytes(), *fd).map_err(at(what))?;
    }
    if let Some(since) = &since {
        let filled = found.iter().map(|(slot, _)| (name, *slot));
        // They stand there, whether or not it is known since when.
        let _ = since.note(filled, &Earlier::default());
    }
    let held = found.iter().map(|(slot, _)| Held::Slot(SlotKind::of(slot)));
    Ok(Registered {
        held: held.collect(),
        notes: Vec::new(),
    })
}

/// The slot that each of them belongs in, by which none is taken twice.
fn placed<'a>(
    active: &Active<'_>,
    declared: &'a SocketSlots,
    handed: &'a [Handed],
    (slots, instead): (BorrowedFd<'_>, Option<u64>),
) -> Result<Vec<(&'a Slot, BorrowedFd<'a>)>, Error> {
    let name = &declared.name;
    let owners = Owners::of(&active.record.manifest)?;
    let look = |kind: &Slot| {
        let kind = declared.slots.iter().filter(|slot| slot.is_of_kind(kind));
        Places::look(kind, slots).map_err(at("look into the socket slots"))
    };
    let mut rooms: BTreeMap<u32, Places<'_>> = BTreeMap::new();
    let mut found: Vec<(&Slot, BorrowedFd<'_>)> = Vec::new();
    for Handed { fd, .. } in handed {
        let first = slot_for(active, declared, fd)?;
        if let Some(owner) = owners.belongs(name)
            && !of_process::is_of(fd.as_fd(), owner).map_err(at("look at whose the socket is"))?
        {
            return Err(refused(
                name,
                format!("the socket does not belong to its owner, {}", owner.words()),
            ));
        }
        let places = match rooms.entry(first.index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(look(first)?),
        };
        let again = found.iter().any(|(other, _)| other.is_of_kind(first));
        let slot = match (instead, declared.members) {
            (Some(instead), _) => exchanged(name, places, fd, instead)?,
            (None, 1) if again => {
                let kind = SlotKind::of(first).name();
                return Err(refused(
                    name,
                    format!("two of these sockets are {kind}, and it holds one of each kind"),
                ));
            }
            (None, 1) => first,
            (None, _) => places
                .take(cookie(fd)?)
                .ok_or_else(|| full(name, places, first))?,
        };
        found.push((slot, fd.as_fd()));
    }
    Ok(found)
}

fn cookie(fd: &OwnedFd) -> Result<u64, Error> {
    let cookie = socket::cookie(fd.as_fd()).ok_or_else(io::Error::last_os_error);
    cookie.map_err(at("look at a socket"))
}

/// The place of the socket with a cookie, for another one.
fn exchanged<'a>(
    name: &str,
    places: &mut Places<'a>,
    fd: &OwnedFd,
    instead: u64,
) -> Result<&'a Slot, Error> {
    let cookie = cookie(fd)?;
    if places.of(cookie).is_some() {
        let cause = format!("the socket with the cookie {cookie} stands behind it already");
        return Err(refused(name, cause));
    }
    places.take_from(cookie, instead).ok_or_else(|| {
        let cause = format!(
            "no socket of the same kind with the cookie {instead} stands behind it; `sockc socket list` shows those that do"
        );
        refused(name, cause)
    })
}

/// That a name has no place for one more.
fn full(name: &str, places: &Places<'_>, slot: &Slot) -> Error {
    let (count, kind) = (places.count(), SlotKind::of(slot).name());
    refused(
        name,
        format!(
            "all of its {count} places for {kind} are taken; `--replace COOKIE` puts the socket in the place of one that `sockc socket list` shows, and a higher number behind `members` (up to {MAX_MEMBERS}) makes room"
        ),
    )
}

/// Empties slots of a registered socket, all of them where no kind is given. Gives the slots that held something.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_unregister(
    options: &Options,
    name: &str,
    kinds: &[SlotKind],
) -> Result<Vec<Held>, Error> {
    empty(options, name, kinds, None)
}

/// Takes the socket with this cookie from behind a name. Gives the slot that held it.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_withdraw(options: &Options, name: &str, cookie: u64) -> Result<Vec<Held>, Error> {
    empty(options, name, &[], Some(cookie))
}

fn empty(
    options: &Options,
    name: &str,
    kinds: &[SlotKind],
    cookie: Option<u64>,
) -> Result<Vec<Held>, Error> {
    active::with(options, Access::Change, |active| {
        if let Some(plan) = end(active, name) {
            if cookie.is_some() {
                let cause =
                    "rules put data into its queues, so it holds one socket; name no cookie";
                return Err(refused(name, cause.to_owned()));
            }
            if !kinds.is_empty() {
                let cause = "rules put data into its queues, so it holds one socket, of whatever kind; name no slot";
                return Err(refused(name, cause.to_owned()));
            }
            let emptied = ends::unregister(active, plan)?;
            return Ok(emptied.map(Held::End).into_iter().collect());
        }
        let declared = declared(active, name)?;
        let slots = slots_map(active.state(), active.record.generation)?;
        let mut emptied = Vec::new();
        for slot in &declared.slots {
            let kind = SlotKind::of(slot);
            if !kinds.is_empty() && !kinds.contains(&kind) {
                continue;
            }
            let inside = map::cookie_in(slots.as_fd(), slot.index);
            let inside = inside.map_err(at("look into the socket slots"))?;
            if cookie.is_some() && cookie != inside {
                continue;
            }
            let held = map::empty_slot(slots.as_fd(), slot.index);
            if held.map_err(at(format!("empty the slots of \"{name}\"")))? {
                emptied.push(Held::Slot(kind));
            }
        }
        Ok(emptied)
    })
}

/// Looks for the sockets of one name, or of all, again: by address, or in the processes that hold them. Gives how their slots
/// stand then.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_refresh(options: &Options, name: Option<&str>) -> Result<Refreshed, Error> {
    active::with(options, Access::Change, |active| {
        let named = &active.record.manifest.sockets;
        if let Some(name) = name.filter(|name| end(active, name).is_some()) {
            return Err(nobody_looks(name));
        }
        if let Some(name) = name {
            let found = named.iter().find(|socket| socket.name == name);
            let names = named.iter().map(|socket| socket.name.as_str());
            let found = found.ok_or_else(|| undeclared("socket", name, names))?;
            if found.origin == SlotOrigin::Registered {
                return Err(nobody_looks(name));
            }
        }
        let mut manifest = Manifest::clone(&active.record.manifest);
        manifest.sockets.retain(|socket| {
            socket.origin != SlotOrigin::Registered && name.is_none_or(|name| name == socket.name)
        });
        let owners = Owners::of(&manifest)?;
        let generation = active.record.generation;
        let supply = SlotFiller::new(&manifest, None, active.session, generation, &owners)?;
        let (states, notes) = supply.map_or(Ok(Default::default()), |supply| supply.run())?;
        Ok(Refreshed { states, notes })
    })
}

fn nobody_looks(name: &str) -> Error {
    let cause = format!(
        "nobody is told where to look for it; hand it over by `sockc socket register {name}`"
    );
    refused(name, cause)
}

/// What looking again gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// How the slots stand.
    pub states: Vec<SlotState>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// How the slots of all named sockets stand, with where they come from.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_list(options: &Options) -> Result<Vec<(SocketSlots, Vec<SlotState>)>, Error> {
    active::with(options, Access::Read, |active| {
        let named = &active.record.manifest.sockets;
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let slots = slots_map(active.state(), active.record.generation)?;
        let states = inspect::states_in_force(active.session, active.record, slots.as_fd())?;
        let of = |socket: &SocketSlots| {
            let states = states.iter().filter(|state| state.socket == socket.name);
            (socket.clone(), states.cloned().collect())
        };
        Ok(named.iter().map(of).collect())
    })
}

/// What the named sockets of the policy in force were given; empty if it counts nothing.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_destinations(options: &Options) -> Result<Vec<Destination>, Error> {
    active::with(options, Access::Read, |active| {
        steered::destinations(active.state(), active.record)
    })
}

/// How the sockets stand whose queues take data.
///
/// # Errors
///
/// Any [`Error`].
pub fn socket_ends(options: &Options) -> Result<Vec<EndState>, Error> {
    active::with(options, Access::Read, |active| {
        let record = active.record;
        ends::states(&record.manifest, active.state(), record.generation)
    })
}

/// The plan of a socket whose queues take data.
fn end<'a>(active: &Active<'a>, name: &str) -> Option<&'a EndPlan> {
    let mut ends = active.record.manifest.ends.iter();
    ends.find(|plan| plan.name == name)
}

/// Refuses a name behind which nothing can be handed over.
pub(crate) fn may_be_handed_over(active: &Active<'_>, name: &str) -> Result<(), Error> {
    match end(active, name) {
        Some(_) => Ok(()),
        None => declared(active, name).map(drop),
    }
}

fn declared<'a>(active: &Active<'a>, name: &str) -> Result<&'a SocketSlots, Error> {
    let manifest = &active.record.manifest;
    let sockets = manifest.sockets.iter();
    let mut sockets = sockets.filter(|socket| !socket.is_connected());
    let names = sockets.clone().map(|socket| socket.name.as_str());
    let names = names.chain(manifest.ends.iter().map(|end| end.name.as_str()));
    let found = sockets.find(|socket| socket.name == name);
    if manifest.idle.iter().any(|idle| idle == name) {
        let cause = "no rule of the policy in force leads to it, so nothing would be given to it; add the rule, and `sockc apply` it first";
        return Err(refused(name, cause.to_owned()));
    }
    let found = found.ok_or_else(|| undeclared("socket", name, names))?;
    let filled = match &found.origin {
        SlotOrigin::Registered => return Ok(found),
        SlotOrigin::Listen => "the policy says at which address it listens",
        SlotOrigin::Process(_) => "the policy says which process holds it",
        SlotOrigin::Systemd(..) => "the policy says that systemd holds it",
    };
    Err(refused(
        name,
        format!(
            "{filled}, where `sockc socket refresh {name}` looks for it; only a socket that is declared `registered` is handed over"
        ),
    ))
}

/// The slot that a socket belongs in.
fn slot_for<'a>(
    active: &Active<'_>,
    declared: &'a SocketSlots,
    fd: &OwnedFd,
) -> Result<&'a Slot, Error> {
    let name = &declared.name;
    let neither = || {
        refused(
            name,
            "the descriptor is no socket of IPv4 or IPv6".to_owned(),
        )
    };
    let about = match socket::about(fd.as_fd()) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Err(neither()),
        about => about.map_err(at("look at a socket"))?.ok_or_else(neither)?,
    };
    let local = about.local;
    if about.namespace != active.session.namespace.inode {
        return Err(refused(
            name,
            format!(
                "the socket at {local} belongs to another network namespace, and a policy steers to sockets of its own alone; start the service here, or apply a policy there"
            ),
        ));
    }
    let same = |slot: &&Slot| {
        i32::from(slot.protocol) == about.protocol && slot.address.is_ipv4() == local.is_ipv4()
    };
    let slot = declared.slots.iter().find(same).ok_or_else(|| {
        refused(
            name,
            match about.protocol {
                socket::MPTCP => {
                    format!("the socket at {local} speaks MPTCP, which cannot be steered to; turn that off in the program (of Go: GODEBUG=multipathtcp=0)")
                }
                _ => format!("the socket at {local} speaks neither TCP nor UDP"),
            },
        )
    })?;
    if !is_open(&about) {
        return Err(refused(
            name,
            match about.protocol {
                6 => format!("the TCP socket at {local} does not listen"),
                _ if about.remote.is_some() => {
                    format!("the UDP socket at {local} is connected to one peer")
                }
                _ => "the UDP socket is not bound".to_owned(),
            },
        ));
    }
    if is_intercepting(&active.record.manifest, name)
        && !socket::is_transparent(fd.as_fd()).map_err(at("look at a socket"))?
    {
        return Err(refused(name, format!("the socket at {local} {OPAQUE}")));
    }
    Ok(slot)
}
