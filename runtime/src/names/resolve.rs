//! What a policy names of the machine, put into maps as the numbers that programs know: the class of each interface, the
//! interfaces that packets are sent out of, the network namespaces that conditions look into.
//!
//! Runs in the policy's namespace, before anything is in force. A map that the object does not have is not needed. What was
//! found is kept in the record: so it can be told later what is not that any more, and what an apply would find instead.
//!
//! A number alone is no interface: the kernel gives it to another one once it is free. So the interfaces that packets are sent
//! out of stand in a map of the kernel's own for interfaces, which takes each out when it goes (`BPF_MAP_TYPE_DEVMAP`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sockc_compiler::artifact::{Manifest, in_slot};

use super::came_in::{self, CameIn};
use super::classes::{class_of, two_zones};
use super::departed::{self, Guest};
use super::interfaces::Interface;
use super::loss::{NamedKind, NamedLoss};
use crate::error::{Error, at};
use crate::state::State;
use crate::state::namespaces::{Known, Lost};
use crate::state::pin::{INTERFACES, NAMESPACES, OUT_INTERFACES};
use crate::state::record::{Named, Record};
use crate::sys::{bpffs, map, netns, nsid};

/// What the programs of an object ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    classes: bool,
    out_interfaces: bool,
    namespaces: bool,
}

impl Asked {
    /// By whether the object has a map of this name.
    pub(crate) fn of(has: impl Fn(&str) -> bool) -> Self {
        Self {
            classes: has(INTERFACES),
            out_interfaces: has(OUT_INTERFACES),
            namespaces: has(NAMESPACES),
        }
    }
}

/// Where names are looked for.
pub(crate) struct Ground<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The interfaces that packet programs are to hang on.
    pub(crate) interfaces: &'a [Interface],
    /// The names and patterns of those.
    pub(crate) wanted: &'a [String],
    pub(crate) before: Option<&'a Record>,
    /// Whether what is named and not there is left out.
    pub(crate) lenient: bool,
    /// Whether so is what was never there.
    pub(crate) unknown: bool,
}

/// What the maps of a generation were filled with.
pub(crate) struct Filled {
    pub(crate) named: Named,
    /// The namespaces that programs look into.
    pub(crate) looked_into: Vec<Known>,
    /// What a person has to know of it.
    pub(crate) notes: Vec<String>,
}

/// Fills the maps of a generation; gives what was found, and what a person has to know of it.
pub(crate) fn fill(ground: &Ground<'_>, state: &State, generation: u32) -> Result<Filled, Error> {
    let [classes, out, namespaces] =
        [INTERFACES, OUT_INTERFACES, NAMESPACES].map(|name| open(&state.map(generation, name)));
    let (classes, out, namespaces) = (classes?, out?, namespaces?);
    let asked = Asked {
        classes: classes.is_some(),
        out_interfaces: out.is_some(),
        namespaces: namespaces.is_some(),
    };
    let (named, notes) = find(ground, asked)?;
    if let Some(map) = classes {
        fill_interfaces(ground.manifest, &named, &map)?;
    }
    if let Some(map) = out {
        fill_out_interfaces(&named, &map)?;
    }
    let mut looked_into = Vec::new();
    if let Some(map) = namespaces {
        let names = ground.manifest.namespaces.iter();
        let looked: Vec<Looked> = names
            .map(|name| ground.look_into(name))
            .collect::<Result<_, _>>()?;
        watch(&looked, &map, &state.program(generation, departed::PIN))?;
        let ids = looked.iter().map(|one| one.open.as_ref());
        let ids = ids.map(|open| open.map_or(0, |(_, id)| id + 1));
        for (slot, id) in (0u32..).zip(ids) {
            put(&map, slot, &id.to_ne_bytes())?;
        }
        looked_into.extend(looked.into_iter().map(|one| one.known));
    }
    Ok(Filled {
        named,
        looked_into,
        notes,
    })
}

/// Finds what a policy names, without changing anything.
pub(crate) fn find(ground: &Ground<'_>, asked: Asked) -> Result<(Named, Vec<String>), Error> {
    let mut notes = Vec::new();
    let present = netns::interfaces().map_err(at("list the interfaces"))?;
    let mut named = Named {
        asked: asked.classes,
        ..Named::default()
    };
    if asked.classes {
        for (index, name) in &present {
            let known = ground.known_as(*index, name);
            // No rule that names a zone is for one in two, which is told.
            if ground.lenient && two_zones(&ground.manifest.classes, known).is_some() {
                continue;
            }
            if class_of(&ground.manifest.classes, known)? != 0 {
                named.interfaces.push((*index, known.to_owned()));
            }
        }
        notes.extend(ground.came_in(&present).notes());
    }
    for name in ground
        .manifest
        .out_interfaces
        .iter()
        .filter(|_| asked.out_interfaces)
    {
        let (index, note) = ground.port(name, &present)?;
        named.out_interfaces.push(index);
        notes.extend(note);
    }
    let namespaces = ground.manifest.namespaces.iter();
    for name in namespaces.filter(|_| asked.namespaces) {
        if ground.namespace(name)?.is_none() {
            notes.push(format!(
                "there is no network namespace \"{name}\" now: `in netns` finds no socket there until there is and `sockc apply --running` was run"
            ));
        }
    }
    Ok((named, notes))
}

impl Ground<'_> {
    /// The interfaces that there are, as rules of `forward` are to know them.
    fn came_in<'b>(&'b self, present: &'b [(u32, String)]) -> CameIn<'b> {
        let known = present.iter();
        CameIn {
            manifest: self.manifest,
            wanted: self.wanted,
            known: known
                .map(|(index, name)| (*index, self.known_as(*index, name)))
                .collect(),
            before: self.before.and_then(|before| before.named.as_ref()),
        }
    }

    /// The name that the policy knows an interface by: its own, unless the policy is on it under another. Of an interface that
    /// nothing hangs on the number tells nothing: the kernel gives it to another one once it is free.
    fn known_as<'b>(&'b self, index: u32, name: &'b str) -> &'b str {
        let mut held = self.interfaces.iter();
        let held = held.find(|one| one.index == index);
        held.map_or(name, |one| &one.known)
    }

    /// A namespace that conditions look into; nothing if there is none, and the policy in force has known one.
    fn namespace(&self, name: &str) -> Result<Option<File>, Error> {
        let known = self.unknown || self.before.is_some_and(|before| before.knows(name));
        match netns::open(name) {
            Err(error) if known && self.lenient && netns::is_absent(&error) => Ok(None),
            there => there.map(Some).map_err(refused(name)),
        }
    }

    fn look_into(&self, name: &str) -> Result<Looked, Error> {
        if let Some(open) = self.namespace(name)? {
            let identity = netns::identity_of(&open).map_err(refused(name))?;
            let id = nsid::of(&open).map_err(refused(name))?;
            let name = name.to_owned();
            return Ok(Looked {
                known: Known {
                    name,
                    identity,
                    missed: false,
                },
                open: Some((open, id)),
            });
        }
        let mut before = self.before.iter().flat_map(|before| &before.looked_into);
        let known = before.find(|known| known.name == name).cloned();
        let known = known.unwrap_or_else(|| Known::never(name));
        let known = Known {
            missed: true,
            ..known
        };
        Ok(Looked { known, open: None })
    }

    /// The index of an interface that packets are sent out of, with what a person has to know of it.
    fn port(&self, name: &str, present: &[(u32, String)]) -> Result<(u32, Option<String>), Error> {
        if let Some((index, _)) = present.iter().find(|(_, there)| there == name) {
            return Ok((*index, None));
        }
        if self.lenient {
            let note = format!(
                "there is no interface \"{name}\" now: what is redirected to it is dropped until it comes and `sockc apply --running` was run"
            );
            return Ok((0, Some(note)));
        }
        Err(Error::NoInterface {
            name: name.to_owned(),
            netns: None,
            present: present.iter().map(|(_, name)| name.clone()).collect(),
        })
    }
}

/// What the policy in force names and its programs do not know, or know as something else.
pub(crate) fn look(state: &State, record: &Record) -> Result<Vec<NamedLoss>, Error> {
    let mut found = Vec::new();
    let Some(named) = &record.named else {
        return Ok(found);
    };
    let present = netns::interfaces().map_err(at("list the interfaces"))?;
    let lost = |kind, name: &String, again| NamedLoss {
        kind,
        name: name.clone(),
        again,
        known: None,
        instead: None,
    };
    let held = |index: u32| {
        let mut hooks = record.hooks.iter();
        hooks.any(|one| one.hook.point.is_packet() && one.hook.target == u64::from(index))
    };
    // What the policy hangs on is told where that is looked at.
    for (index, name) in present
        .iter()
        .filter(|(index, _)| named.asked && !held(*index))
    {
        let told = named.known(*index);
        for &kind in came_in::kinds(&record.manifest) {
            // Of one in two zones nothing holds, which is told where that is looked at.
            let class = |name| came_in::class(&record.manifest, kind, name).unwrap_or(0);
            let now = class(name);
            if told.map_or(0, class) != now {
                found.push(NamedLoss {
                    known: told.map(str::to_owned),
                    ..lost(kind, name, now != 0)
                });
            }
        }
    }
    let gone = CameIn::of(record, &present).missing();
    found.extend(gone.iter().map(|name| lost(NamedKind::CameIn, name, false)));
    let sent = sent_out_of(state, record, named)?;
    for (name, index) in record.manifest.out_interfaces.iter().zip(&sent) {
        let there = present.iter().find(|(there, _)| there == index);
        if there.is_some_and(|(_, there)| there == name) {
            continue;
        }
        let again = present.iter().any(|(_, there)| there == name);
        found.push(NamedLoss {
            instead: there.map(|(_, there)| there.clone()),
            ..lost(NamedKind::Target, name, again)
        });
    }
    Ok(found)
}

/// What names of both policies an apply finds something else for than the programs in force know. Gives what and which.
pub(crate) fn changes(
    state: &State,
    before: &Record,
    manifest: &Manifest,
    next: &Named,
) -> Result<Vec<(NamedKind, String)>, Error> {
    let Some(named) = &before.named else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    // Other classes are told by what another text does.
    if named.asked && next.asked && before.manifest.classes == manifest.classes {
        let present = netns::interfaces().map_err(at("list the interfaces"))?;
        for (index, name) in present {
            for &kind in came_in::kinds(manifest) {
                let class = |one: &Named| {
                    let known = one.known(index);
                    known.map_or(Ok(0), |known| came_in::class(manifest, kind, known))
                };
                if class(named)? != class(next)? {
                    found.push((kind, name.clone()));
                }
            }
        }
    }
    let sent = sent_out_of(state, before, named)?;
    for (name, index) in manifest.out_interfaces.iter().zip(&next.out_interfaces) {
        let mut known = before.manifest.out_interfaces.iter().zip(&sent);
        let known = known.find(|(known, _)| *known == name);
        if *index != 0 && known.is_some_and(|(_, known)| known != index) {
            found.push((NamedKind::Target, name.clone()));
        }
    }
    for known in &before.looked_into {
        if manifest.namespaces.contains(&known.name) && known.lost()? == Some(Lost::MadeAnew) {
            found.push((NamedKind::Namespace, known.name.clone()));
        }
    }
    Ok(found)
}

/// A network namespace that programs look into.
struct Looked {
    /// Which one.
    known: Known,
    /// It, held so that it does not end before it is watched, and the id by which programs know it; nothing of one that is gone.
    open: Option<(File, u32)>,
}

/// Sees to it that an id which the kernel gives to another namespace stands for none once its own has ended.
fn watch(looked: &[Looked], map: &OwnedFd, path: &Path) -> Result<(), Error> {
    let mut guests = Vec::new();
    let mut names = Vec::new();
    for (slot, one) in (0u32..).zip(looked) {
        if let Some((open, id)) = &one.open
            && nsid::is_given_again(*id)
        {
            guests.push(Guest {
                slot,
                inode: one.known.identity.inode,
                open,
            });
            names.push(one.known.name.clone());
        }
    }
    if guests.is_empty() {
        return Ok(());
    }
    departed::watch(&guests, map.as_fd(), path)
        .map_err(|cause| Error::LentNetnsIds { names, cause })
}

fn open(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match bpffs::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        map => map
            .map(Some)
            .map_err(at(format!("open {}", path.display()))),
    }
}

/// Interfaces of the first class need no entry: programs take what they do not find for it.
fn fill_interfaces(manifest: &Manifest, named: &Named, map: &OwnedFd) -> Result<(), Error> {
    let what = "tell the programs the classes of interfaces";
    for (index, known) in &named.interfaces {
        let class = class_of(&manifest.classes, known)?;
        let value = u32::try_from(class + 1).map_err(|_| Error::Object {
            cause: "it has more classes of interfaces than there are numbers".to_owned(),
        })?;
        map::update(map.as_fd(), &index.to_ne_bytes(), &value.to_ne_bytes()).map_err(at(what))?;
    }
    Ok(())
}

/// One that is not there has an empty slot.
fn fill_out_interfaces(named: &Named, map: &OwnedFd) -> Result<(), Error> {
    let slots = (0u32..).zip(&named.out_interfaces);
    for (slot, index) in slots.filter(|(_, index)| **index != 0) {
        put(map, slot, &in_slot(*index))?;
    }
    Ok(())
}

fn put(map: &OwnedFd, slot: u32, value: &[u8]) -> Result<(), Error> {
    let what = "tell the programs what the policy names";
    map::update(map.as_fd(), &slot.to_ne_bytes(), value).map_err(at(what))
}

/// The indices of the interfaces that the programs in force send packets out of, by the manifest's order; 0 of one that was not
/// there, or went. Where somebody put something else in the place of the map, `drift` says so, and the record tells.
fn sent_out_of(state: &State, record: &Record, named: &Named) -> Result<Vec<u32>, Error> {
    let what = "look at the interfaces that packets are sent out of";
    let Some(map) = open(&state.map(record.generation, OUT_INTERFACES))? else {
        return Ok(named.out_interfaces.clone());
    };
    let mut found = Vec::new();
    for (slot, _) in (0u32..).zip(&named.out_interfaces) {
        let mut value = in_slot(0);
        match map::lookup(map.as_fd(), &slot.to_ne_bytes(), &mut value) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(named.out_interfaces.clone());
            }
            there => there.map_err(at(what))?,
        };
        let [a, b, c, d, ..] = value;
        found.push(u32::from_ne_bytes([a, b, c, d]));
    }
    Ok(found)
}

fn refused(name: &str) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Netns {
        name: name.to_owned(),
        cause,
    }
}
