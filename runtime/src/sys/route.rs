//! Questions to route-netlink and their answers: routes, and the rules that say which table is asked for them.
//!
//! Takes messages; gives what comes back, a refusal as what it is. Not here: what is asked.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::retry::again;

/// A socket to ask by, in the calling thread's network namespace.
pub(crate) fn socket() -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Sends one request, with these flags besides `NLM_F_REQUEST`, and reads what comes back.
pub(crate) fn ask(
    socket: &Socket,
    message: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
    send(socket, message, flags)?;
    let (answer, _) = again(|| socket.recv_from_full())?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    Ok(answer.payload)
}

/// Has the kernel do something.
pub(crate) fn order(socket: &Socket, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    match ask(socket, message, NLM_F_ACK | flags)? {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}

/// Sends a request for a list, and reads all of it.
pub(crate) fn list(
    socket: &Socket,
    message: RouteNetlinkMessage,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut found = Vec::new();
    each(socket, message, |one| found.push(one))?;
    Ok(found)
}

/// The same for a list that may be long, of which not all is kept.
pub(crate) fn each(
    socket: &Socket,
    message: RouteNetlinkMessage,
    mut take: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    send(socket, message, NLM_F_DUMP)?;
    loop {
        let (answer, _) = again(|| socket.recv_from_full())?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let one = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            match one.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(one) => take(one),
                _ => {}
            }
            let length = (one.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
    }
}

fn send(socket: &Socket, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}
