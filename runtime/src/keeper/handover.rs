//! What a proxy sends to hand a pair over, and what is wrong with it.
//!
//! A message is [`HEAD`] bytes, four `u32` in host order: the version of this, 1; how many bytes the proxy has read from the
//! client and not written to the upstream; how many from the upstream and not to the client; 0. Then these bytes. With
//! it come two descriptors: the client's connection, the upstream's. The answer is `ok`, or why not in words.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use sockc_compiler::lower::PEER_KEY;

use super::side::Side;
use crate::pairs;
use crate::sockets::ends::Ends;
use crate::sys::handed::Message;
use crate::sys::{map, socket, tcp};

/// The version of messages.
const VERSION: u32 = 1;
/// Bytes of the numbers ahead.
const HEAD: usize = 16;
/// The maximum number of bytes that a proxy has read, of both together.
const EARLY: usize = 1 << 17;
/// Room for a message.
pub(super) const MESSAGE: usize = HEAD + EARLY;

/// What was handed over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) sides: [Side; 2],
    pub(super) early: [Vec<u8>; 2],
}

/// Sockets that others see the data of, or put data into.
pub(super) struct Others {
    /// The storages of the groups whose sockets may stand in maps, which hold each of them: programs decide what these write
    /// and read, and may put data past TCP.
    pub(super) groups: Vec<(String, OwnedFd)>,
    /// Those whose queues take what processes write to others.
    pub(super) ends: Ends,
    /// The pairs of other names: the map of who is joined with whom.
    pub(super) pairs: Vec<(String, OwnedFd)>,
}

/// Reads a message; `known` are the sides of the pairs that are kept, by cookie.
pub(super) fn read<T>(
    message: Message,
    bytes: &[u8],
    known: &BTreeMap<u64, T>,
    others: &Others,
) -> Result<Handed, String> {
    if message.cut {
        return Err(format!(
            "the message is too long, or a descriptor found no room: at most {EARLY} bytes can go with a pair"
        ));
    }
    let bytes = bytes.get(..message.length).unwrap_or_default();
    let early = early(bytes)?;
    let count = message.descriptors.len();
    let both: [OwnedFd; 2] = message.descriptors.try_into().map_err(|_| {
        format!("{count} descriptors came with the message; a pair is two, the client's and the upstream's")
    })?;
    let [client, upstream] = both;
    let client = checked("client", client, known, others)?;
    let upstream = checked("upstream", upstream, known, others)?;
    if client.cookie == upstream.cookie {
        return Err("both descriptors are the same connection".to_owned());
    }
    let sides = [client, upstream];
    let unlooked = |error| format!("the descriptors cannot be looked at: {error}");
    if are_one(&sides).map_err(unlooked)? {
        return Err(
            "both descriptors are the ends of one connection: its data would go round for ever"
                .to_owned(),
        );
    }
    Ok(Handed { sides, early })
}

/// Whether what one sends arrives at the other.
fn are_one(sides: &[Side; 2]) -> io::Result<bool> {
    let [Some(one), Some(other)] = [socket::about(sides[0].fd())?, socket::about(sides[1].fd())?]
    else {
        return Ok(false);
    };
    Ok(one.remote == Some(other.local)
        && other.remote == Some(one.local)
        && one.namespace == other.namespace)
}

fn early(bytes: &[u8]) -> Result<[Vec<u8>; 2], String> {
    let number = |index: usize| {
        let number = bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_ne_bytes(number.try_into().ok()?))
    };
    let numbers = [0, 1, 2, 3].map(number);
    let [Some(version), Some(there), Some(back), Some(last)] = numbers else {
        return Err(format!("the message has fewer than {HEAD} bytes"));
    };
    if version != VERSION {
        return Err(format!(
            "messages of version {version} are not known; this is version {VERSION}"
        ));
    }
    if last != 0 {
        return Err(format!("the fourth number of the message is {last}, not 0"));
    }
    let data = &bytes[HEAD..];
    let [there, back] = [there, back].map(|length| length as usize);
    if there.checked_add(back) != Some(data.len()) {
        return Err(format!(
            "the message says that {there} and {back} bytes go with it, and has {}",
            data.len()
        ));
    }
    let (there, back) = data.split_at(there);
    Ok([there.to_vec(), back.to_vec()])
}

fn checked<T>(
    which: &str,
    descriptor: OwnedFd,
    known: &BTreeMap<u64, T>,
    others: &Others,
) -> Result<Side, String> {
    let unlooked =
        |error: io::Error| format!("the {which}'s descriptor cannot be looked at: {error}");
    let fd = descriptor.as_fd();
    let wrong = match socket::about(fd).map_err(unlooked)? {
        Some(about) if about.protocol == socket::MPTCP => {
            Some("a connection of MPTCP, which the kernel does not join")
        }
        Some(about) if about.protocol != libc::IPPROTO_TCP => Some("no TCP socket"),
        Some(about) if about.listens => Some("a listener"),
        Some(_) if !tcp::standing(fd).map_err(unlooked)?.established => {
            Some("not established: one of its ends has ended already, or never began")
        }
        None => Some("no TCP socket"),
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        return Err(format!("the {which}'s descriptor is {wrong}"));
    }
    if let Some(group) = in_group(fd, &others.groups).map_err(unlooked)? {
        return Err(format!(
            "the {which}'s connection is one of the group \"{group}\", whose rules of `send` and `receive` see its data"
        ));
    }
    let cookie =
        socket::cookie(fd).ok_or_else(|| format!("the {which}'s descriptor has no cookie"))?;
    if known.contains_key(&cookie) {
        return Err(format!("the {which}'s connection is in a pair already"));
    }
    if let Some(name) = pairs::joined_in(&others.pairs, cookie).map_err(unlooked)? {
        return Err(format!(
            "the {which}'s connection is in a pair of \"{name}\" already"
        ));
    }
    if let Some(name) = others.ends.named(cookie).map_err(unlooked)? {
        return Err(format!(
            "the {which}'s connection stands behind the name \"{name}\", into whose queues rules put data; take it away by `sockc socket unregister {name}` first"
        ));
    }
    Side::new(descriptor, cookie).map_err(unlooked)
}

/// The group whose map holds a socket.
fn in_group<'a>(
    socket: BorrowedFd<'_>,
    groups: &'a [(String, OwnedFd)],
) -> io::Result<Option<&'a str>> {
    for (group, storage) in groups {
        let mut key = [0; PEER_KEY as usize];
        let descriptor = socket.as_raw_fd().to_ne_bytes();
        if map::lookup(storage.as_fd(), &descriptor, &mut key)? {
            return Ok(Some(group));
        }
    }
    Ok(None)
}
