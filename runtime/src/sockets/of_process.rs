//! Sockets that one certain process holds: found among its descriptors by their address, and copied.
//!
//! Two kinds of named sockets need it. Of `process "FILE"` the file tells the process. Of `systemd "UNIT"` it is process 1, and
//! `systemctl show` tells the unit's addresses: that needs no library for D-Bus, works without the unit's service, and the
//! socket itself still comes from the process that holds it. A socket of another network namespace is never taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use sockc_compiler::artifact::{Slot, SlotOrigin, SocketSlots};
use sockc_compiler::protocol::IpProtocol;

use super::lookup::{Fill, SlotState};
use super::open::Machine;
use super::places::{Places, by_kind};
use crate::code::owner::Belongs;
use crate::sys::socket::{self, About};
use crate::sys::{map, process};

/// The most that a file with a process id may hold.
const MAX_BYTES: u64 = 32;
/// The folder that is there where systemd is process 1 (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// Fills the slots of a named socket whose process is known; the text says why nothing was found in a process.
pub(crate) fn fill(
    socket: &SocketSlots,
    sockets: BorrowedFd<'_>,
    namespace: u64,
    owner: Option<&Belongs>,
) -> (Vec<SlotState>, Option<String>) {
    let found = named(socket);
    let found = found.and_then(|(process, addresses)| Ok((held(process, namespace)?, addresses)));
    let (held, addresses, why) = match found {
        Ok((held, addresses)) => (held, addresses, None),
        Err(why) => (Vec::new(), Vec::new(), Some(why)),
    };
    if socket.members > 1 {
        return (fill_members(socket, &held, &addresses, sockets, owner), why);
    }
    let wanted = pick(&held, &addresses);
    let states = socket.slots.iter().map(|slot| {
        let found = wanted.iter().find(|(index, ..)| *index == slot.index);
        let state = found.map_or(Fill::Absent, |(_, fd, about)| {
            put(slot, fd, about, sockets, owner)
        });
        SlotState::new(&socket.name, slot, state)
    });
    (states.collect(), why)
}

/// Fills the slots of a name with members: the open sockets at each address take the places that are for it. Those that are in one
/// stay there.
fn fill_members(
    socket: &SocketSlots,
    held: &[(OwnedFd, About)],
    addresses: &[(u32, IpProtocol, SocketAddr)],
    sockets: BorrowedFd<'_>,
    owner: Option<&Belongs>,
) -> Vec<SlotState> {
    let mut fills: BTreeMap<u32, Fill> = BTreeMap::new();
    let wanted: BTreeSet<(IpProtocol, SocketAddr)> = addresses
        .iter()
        .map(|(_, protocol, address)| (*protocol, *address))
        .collect();
    for (protocol, address) in wanted {
        let is_for = |slot: &&Slot| addresses.contains(&(slot.index, protocol, address));
        let Ok(mut places) = Places::look(socket.slots.iter().filter(is_for), sockets) else {
            continue;
        };
        for (fd, about) in held {
            if about.local != address || about.protocol != i32::from(protocol) || !is_open(about) {
                continue;
            }
            let place = socket::cookie(fd.as_fd()).and_then(|cookie| places.take(cookie));
            if let Some(slot) = place {
                fills.insert(slot.index, put(slot, &fd.as_fd(), about, sockets, owner));
            }
        }
    }
    let states = socket.slots.iter().map(|slot| {
        let fill = fills.get(&slot.index).copied().unwrap_or(Fill::Absent);
        SlotState::new(&socket.name, slot, fill)
    });
    states.collect()
}

/// A process, and the address of each slot that it may fill.
pub(crate) type Holder = (u32, Vec<(u32, IpProtocol, SocketAddr)>);

/// The process that a socket is named by; the text says why it is not known.
pub(crate) fn named(socket: &SocketSlots) -> Result<Holder, String> {
    match &socket.origin {
        SlotOrigin::Process(file) => of_file(Path::new(file), socket),
        SlotOrigin::Systemd(unit, name) => of_unit(unit, name.as_deref(), socket),
        SlotOrigin::Listen | SlotOrigin::Registered => Err("no process holds it".to_owned()),
    }
}

fn of_file(file: &Path, socket: &SocketSlots) -> Result<Holder, String> {
    let text =
        pid_text(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let process = text.trim().parse().ok().filter(|process| *process > 0);
    let process = process.ok_or_else(|| format!("{} holds no process id", file.display()))?;
    let slots = socket.slots.iter();
    let addresses = slots.map(|slot| {
        let address = SocketAddr::new(slot.address, slot.port);
        (slot.index, slot.protocol, address)
    });
    Ok((process, addresses.collect()))
}

/// The file belongs to the service's user, who may make it anything: it never keeps a command waiting, nor fills its memory.
fn pid_text(file: &Path) -> io::Result<String> {
    let mut open = File::options();
    let open = open
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let opened = open.open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    opened.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it holds more than {MAX_BYTES} bytes, and a process id has fewer"
        )));
    }
    Ok(text)
}

fn of_unit(unit: &str, name: Option<&str>, socket: &SocketSlots) -> Result<Holder, String> {
    if !Path::new(SYSTEMD).is_dir() {
        return Err(format!(
            "systemd does not run here, which would hold the unit {unit}"
        ));
    }
    let shown = Command::new("systemctl")
        .args(["show", "--property=Listen,FileDescriptorName", "--", unit])
        .output();
    let shown = shown.map_err(|error| format!("systemctl cannot be run: {error}"))?;
    let unit_shown = Unit::parse(&String::from_utf8_lossy(&shown.stdout));
    if let Some(name) = name.filter(|name| unit_shown.name.as_deref() != Some(*name)) {
        return Err(format!(
            "the unit {unit} has no descriptor named \"{name}\""
        ));
    }
    if unit_shown.listens.is_empty() {
        return Err(format!("systemd knows no socket of the unit {unit}"));
    }
    let mut addresses = Vec::new();
    for slots in by_kind(socket) {
        let Some(first) = slots.first() else { continue };
        let same = |(protocol, address): &&(IpProtocol, SocketAddr)| {
            *protocol == first.protocol && address.is_ipv4() == first.address.is_ipv4()
        };
        let listens = unit_shown.listens.iter().filter(same);
        // Members are dealt out to the unit's addresses in turn.
        for (slot, (protocol, address)) in slots.iter().zip(listens.cycle()) {
            addresses.push((slot.index, *protocol, *address));
        }
    }
    Ok((1, addresses))
}

/// What `systemctl show` says of a socket unit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    /// `FileDescriptorName`.
    name: Option<String>,
    /// Protocol and address of each `Listen` that is of IPv4 or IPv6.
    listens: Vec<(IpProtocol, SocketAddr)>,
}

impl Unit {
    fn parse(shown: &str) -> Self {
        let mut unit = Self::default();
        for (key, value) in shown.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "FileDescriptorName" => unit.name = Some(value.to_owned()),
                "Listen" => unit.listens.extend(listen(value)),
                _ => {}
            }
        }
        unit
    }
}

/// `192.0.2.1:53 (Datagram)`
fn listen(value: &str) -> Option<(IpProtocol, SocketAddr)> {
    let (address, kind) = value.trim().split_once(' ')?;
    let protocol = match kind {
        "(Stream)" => IpProtocol::TCP,
        "(Datagram)" => IpProtocol::UDP,
        _ => return None,
    };
    Some((protocol, address.parse().ok()?))
}

/// The sockets of a process that are of our namespace.
fn held(process: u32, namespace: u64) -> Result<Vec<(OwnedFd, About)>, String> {
    let refused = |error| format!("the sockets of process {process} cannot be seen: {error}");
    let sockets = process::sockets(process).map_err(refused)?;
    let mut held = Vec::new();
    for (fd, _) in sockets {
        // What is closed meanwhile, or is no socket of the internet, is not what we look for.
        match process::descriptor(process, fd) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                return Err(format!(
                    "taking a socket out of process {process} needs CAP_SYS_PTRACE"
                ));
            }
            Err(_) => {}
            Ok(copy) => {
                let about = socket::about(copy.as_fd()).ok().flatten();
                let ours = about.filter(|about| about.namespace == namespace);
                held.extend(ours.map(|about| (copy, about)));
            }
        }
    }
    Ok(held)
}

/// For each address the socket that is bound to it, and of several one that listens.
fn pick<'a>(
    held: &'a [(OwnedFd, About)],
    addresses: &[(u32, IpProtocol, SocketAddr)],
) -> Vec<(u32, BorrowedFd<'a>, About)> {
    let wanted = addresses.iter().filter_map(|(index, protocol, address)| {
        let same = held
            .iter()
            .filter(|(_, about)| about.local == *address && about.protocol == i32::from(*protocol));
        let best = same.max_by_key(|(_, about)| is_open(about))?;
        Some((*index, best.0.as_fd(), best.1))
    });
    wanted.collect()
}

/// Whether connections or packets of anybody come to a socket.
pub(crate) fn is_open(about: &About) -> bool {
    if about.protocol == i32::from(IpProtocol::TCP) {
        return about.listens;
    }
    about.local.port() != 0 && about.remote.is_none()
}

fn put(
    slot: &Slot,
    fd: &BorrowedFd<'_>,
    about: &About,
    sockets: BorrowedFd<'_>,
    owner: Option<&Belongs>,
) -> Fill {
    if !is_open(about) {
        return Fill::NotListening;
    }
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EINVAL);
    match owner.map_or(Ok(true), |owner| is_of(*fd, owner)) {
        Ok(true) => {}
        Ok(false) => return Fill::NotOwner,
        Err(error) => return Fill::Unknown(errno(error)),
    }
    match map::put_socket(sockets, &slot.index.to_ne_bytes(), *fd) {
        Ok(()) => Fill::Filled,
        Err(error) => Fill::Refused(errno(error)),
    }
}

/// Whether a socket that is open belongs to an owner.
pub(crate) fn is_of(socket: BorrowedFd<'_>, owner: &Belongs) -> io::Result<bool> {
    Machine::look(|_| false)?.is_of(socket::cookie(socket), owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read() {
        let shown = "FileDescriptorName=dns\nListen=127.0.0.1:53 (Datagram)\nListen=[::]:53 (Stream)\nListen=/run/x (Stream)\nListen=127.0.0.1:9 (SequentialPacket)\n";
        assert_eq!(
            Unit::parse(shown),
            Unit {
                name: Some("dns".to_owned()),
                listens: vec![
                    (IpProtocol::UDP, "127.0.0.1:53".parse().unwrap()),
                    (IpProtocol::TCP, "[::]:53".parse().unwrap())
                ],
            }
        );
        assert_eq!(Unit::parse("nonsense\n"), Unit::default());
    }
}
