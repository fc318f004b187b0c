//! The ids by which a network namespace knows others: programs look sockets up by them.
//!
//! Takes an open namespace; gives its id as seen from the calling thread's namespace, and assigns one where there is none. An
//! id stays until either namespace ends, and cannot be taken back.
//!
//! The kernel gives out the lowest free id by itself (`peernet2id_alloc`), so the id of a namespace that ended soon stands for
//! another one. An id that is chosen here is high and random: nobody is given it again.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::route;

/// The lowest id that is chosen here, and that a person may choose. The kernel would have to know 2^30 namespaces to come so
/// far by itself.
pub(crate) const OURS: u32 = 1 << 30;

/// How often an id is chosen, should others have the ones before.
const TRIES: usize = 16;

/// The id of a namespace.
pub(crate) fn of(namespace: &File) -> io::Result<u32> {
    for _ in 0..TRIES {
        if let Some(id) = get(namespace)? {
            return Ok(id);
        }
        match assign(namespace, chosen()) {
            // Somebody else was faster, or another namespace has this id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            assigned => assigned?,
        }
    }
    get(namespace)?.ok_or_else(|| io::Error::other("the kernel assigned no id"))
}

/// Whether the kernel gives an id to another namespace once this one has ended.
pub(crate) fn is_given_again(id: u32) -> bool {
    id < OURS
}

/// A random id from [`OURS`] on; the kernel adds one to it, so the last is left out.
fn chosen() -> i32 {
    let random = RandomState::new().hash_one(std::process::id());
    let above = (random % u64::from(OURS - 1)) as u32;
    (OURS + above).cast_signed()
}

fn get(namespace: &File) -> io::Result<Option<u32>> {
    let message = RouteNetlinkMessage::GetNsId(message(namespace, None));
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) = ask(message, 0)?
    else {
        return Ok(None);
    };
    let mut attributes = answer.attributes.iter();
    Ok(attributes.find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => u32::try_from(*id).ok(),
        _ => None,
    }))
}

fn assign(namespace: &File, id: i32) -> io::Result<()> {
    let message = RouteNetlinkMessage::NewNsId(message(namespace, Some(id)));
    ask(message, NLM_F_ACK).map(drop)
}

fn message(namespace: &File, id: Option<i32>) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes = id.map(NsidAttribute::Id).into_iter().collect();
    let fd = namespace.as_raw_fd().unsigned_abs();
    message.attributes.push(NsidAttribute::Fd(fd));
    message
}

/// Sends one request and reads the answer; a refusal is an error.
fn ask(
    message: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
    match route::ask(&route::socket()?, message, flags)? {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        payload => Ok(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Space, permitted};

    /// A namespace, and another one to look into, opened; nothing where the test may not run.
    fn spaces() -> Option<(Space, File)> {
        if !permitted() {
            return None;
        }
        let other = Space::new().unwrap();
        let open = File::from(other.net().try_clone_to_owned().unwrap());
        Some((Space::new().unwrap(), open))
    }

    #[test]
    fn an_id_that_is_chosen_is_one_that_nobody_is_given_again() {
        let Some((here, other)) = spaces() else {
            return;
        };
        let [first, again] = here
            .run(|| [of(&other).unwrap(), of(&other).unwrap()])
            .unwrap();
        assert!(!is_given_again(first), "{first}");
        assert_eq!(first, again);
    }

    #[test]
    fn an_id_of_the_kernels_own_is_told_from_ours() {
        let Some((here, other)) = spaces() else {
            return;
        };
        let id = here
            .run(|| {
                assign(&other, 7).unwrap();
                of(&other).unwrap()
            })
            .unwrap();
        assert_eq!(id, 7);
        assert!(is_given_again(id));
    }
}
