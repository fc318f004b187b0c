//! The ids by which a network namespace knows others: programs look sockets up by them.
//!
//! Takes an open namespace; gives its id as seen from the calling thread's namespace, and assigns one where there is none. An
//! id stays until either namespace ends.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// What the kernel calls an id that is not there; in a request it means "any".
const NONE: i32 = -1;

/// The id of a namespace.
pub(crate) fn of(namespace: &File) -> io::Result<u32> {
    if let Some(id) = get(namespace)? {
        return Ok(id);
    }
    match assign(namespace) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        assigned => assigned?,
    }
    get(namespace)?.ok_or_else(|| io::Error::other("the kernel assigned no id"))
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

fn assign(namespace: &File) -> io::Result<()> {
    let message = RouteNetlinkMessage::NewNsId(message(namespace, Some(NONE)));
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
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        payload => Ok(payload),
    }
}
