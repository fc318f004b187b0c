//! What a policy names of the machine, put into maps as the numbers that programs know: the class of each interface, the
//! interfaces that packets are sent out of, the network namespaces that conditions look into.
//!
//! Runs in the policy's namespace, before anything is in force. A map that the object does not have is not needed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sockc_compiler::artifact::Manifest;

use crate::classes::class_of;
use crate::departed::{self, Guest};
use crate::error::{Error, at};
use crate::known::Known;
use crate::nsid;
use crate::state::State;
use crate::sys::{bpffs, map, netns};

/// The map from an interface's index to its class, plus 1.
pub(crate) const INTERFACES: &str = "interfaces";
/// The array of the indices of [`Manifest::ports`].
pub(crate) const PORTS: &str = "ports";
/// The array of the ids, plus 1, of [`Manifest::namespaces`].
pub(crate) const NAMESPACES: &str = "namespaces";

/// Fills the maps of a generation; gives the namespaces that programs look into.
pub(crate) fn fill(
    manifest: &Manifest,
    state: &State,
    generation: u32,
) -> Result<Vec<Known>, Error> {
    let present = netns::interfaces().map_err(at("list the interfaces"))?;
    if let Some(map) = open(&state.map(generation, INTERFACES))? {
        fill_interfaces(manifest, &present, &map)?;
    }
    if let Some(map) = open(&state.map(generation, PORTS))? {
        let ports = manifest.ports.iter();
        put_all(&map, ports.map(|name| index_of(name, &present)))?;
    }
    let Some(map) = open(&state.map(generation, NAMESPACES))? else {
        return Ok(Vec::new());
    };
    let names = manifest.namespaces.iter();
    let looked: Vec<Looked> = names
        .map(|name| Looked::into(name))
        .collect::<Result<_, _>>()?;
    watch(&looked, &map, &state.program(generation, departed::PIN))?;
    put_all(&map, looked.iter().map(|one| Ok(one.id + 1)))?;
    Ok(looked.into_iter().map(|one| one.known).collect())
}

/// A network namespace that programs look into.
struct Looked {
    /// Which one.
    known: Known,
    /// The id by which they know it.
    id: u32,
    /// Held, so that it does not end before it is watched.
    open: File,
}

impl Looked {
    fn into(name: &str) -> Result<Self, Error> {
        let refused = |cause| Error::Netns {
            name: name.to_owned(),
            cause,
        };
        let open = netns::open(name).map_err(refused)?;
        let identity = netns::identity_of(&open).map_err(refused)?;
        let id = nsid::of(&open).map_err(refused)?;
        let name = name.to_owned();
        Ok(Self {
            known: Known { name, identity },
            id,
            open,
        })
    }
}

/// Sees to it that an id which the kernel gives to another namespace stands for none once its own has ended.
fn watch(looked: &[Looked], map: &OwnedFd, path: &Path) -> Result<(), Error> {
    let given_again = (0u32..).zip(looked);
    let given_again = given_again.filter(|(_, one)| nsid::is_given_again(one.id));
    let guests: Vec<Guest<'_>> = given_again
        .clone()
        .map(|(slot, one)| Guest {
            slot,
            inode: one.known.identity.inode,
            open: &one.open,
        })
        .collect();
    let names = given_again.map(|(_, one)| one.known.name.clone()).collect();
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
fn fill_interfaces(
    manifest: &Manifest,
    present: &[(u32, String)],
    map: &OwnedFd,
) -> Result<(), Error> {
    let what = "tell the programs the classes of interfaces";
    for (index, name) in present {
        let class = class_of(&manifest.classes, name)?;
        if class == 0 {
            continue;
        }
        let value = u32::try_from(class + 1).unwrap_or(u32::MAX);
        map::update(map.as_fd(), &index.to_ne_bytes(), &value.to_ne_bytes()).map_err(at(what))?;
    }
    Ok(())
}

fn put_all(map: &OwnedFd, values: impl Iterator<Item = Result<u32, Error>>) -> Result<(), Error> {
    let what = "tell the programs what the policy names";
    for (slot, value) in (0u32..).zip(values) {
        map::update(map.as_fd(), &slot.to_ne_bytes(), &value?.to_ne_bytes()).map_err(at(what))?;
    }
    Ok(())
}

fn index_of(name: &str, present: &[(u32, String)]) -> Result<u32, Error> {
    let found = present.iter().find(|(_, there)| there == name);
    found
        .map(|(index, _)| *index)
        .ok_or_else(|| Error::NoInterface {
            name: name.to_owned(),
            present: present.iter().map(|(_, name)| name.clone()).collect(),
        })
}
