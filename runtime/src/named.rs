//! What a policy names of the machine, put into maps as the numbers that programs know: the class of each interface, the
//! interfaces that packets are sent out of, the network namespaces that conditions look into.
//!
//! Runs in the policy's namespace, before anything is in force. A map that the object does not have is not needed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sockc_compiler::artifact::Manifest;

use crate::classes::class_of;
use crate::error::{Error, at};
use crate::nsid;
use crate::state::State;
use crate::sys::{bpffs, map, netns};

/// The map from an interface's index to its class, plus 1.
pub(crate) const INTERFACES: &str = "interfaces";
/// The array of the indices of [`Manifest::ports`].
pub(crate) const PORTS: &str = "ports";
/// The array of the ids, plus 1, of [`Manifest::namespaces`].
pub(crate) const NAMESPACES: &str = "namespaces";

/// Fills the maps of a generation; gives what a person has to know of the namespaces that programs look into.
pub(crate) fn fill(
    manifest: &Manifest,
    state: &State,
    generation: u32,
) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    let present = netns::interfaces().map_err(at("list the interfaces"))?;
    if let Some(map) = open(&state.map(generation, INTERFACES))? {
        fill_interfaces(manifest, &present, &map)?;
    }
    if let Some(map) = open(&state.map(generation, PORTS))? {
        let ports = manifest.ports.iter();
        put_all(&map, ports.map(|name| index_of(name, &present)))?;
    }
    if let Some(map) = open(&state.map(generation, NAMESPACES))? {
        let mut ids = Vec::new();
        for name in &manifest.namespaces {
            let id = id_of(name)?;
            notes.extend(nsid::is_given_again(id).then(|| given_again(name, id)));
            ids.push(id);
        }
        put_all(&map, ids.into_iter().map(|id| Ok(id + 1)))?;
    }
    Ok(notes)
}

/// That conditions may come to look into another namespace than the one that is meant.
fn given_again(name: &str, id: u32) -> String {
    format!(
        "the network namespace \"{name}\" had an id of the kernel's own already ({id}): once it is removed, the kernel gives that id to another one, and `in netns` looks there; after it is removed, run `sockc apply` or `sockc unload`"
    )
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

fn id_of(name: &str) -> Result<u32, Error> {
    let refused = |cause| Error::Netns {
        name: name.to_owned(),
        cause,
    };
    let namespace = netns::open(name).map_err(refused)?;
    nsid::of(&namespace).map_err(refused)
}
