//! The sockets of the calling thread's network namespace that anybody may send to, as the kernel tells them (`sock_diag(7)`):
//! TCP sockets that listen, and UDP sockets that are bound and have no peer.

use sockc_compiler::protocol::IpProtocol;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

/// `SOCK_DIAG_BY_FAMILY`, and the kinds of netlink messages that end a dump.
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
/// The sizes of `struct nlmsghdr`, of `struct inet_diag_req_v2` and of `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const ANSWER: usize = 72;
/// `INET_DIAG_ULP_INFO`, within it `INET_ULP_INFO_NAME`, and `INET_DIAG_CGROUP_ID` (Linux 5.8).
const ULP_INFO: u16 = 19;
const ULP_NAME: u16 = 1;
const CGROUP_ID: u16 = 21;
/// The states that matter, `TCP_LISTEN` and `TCP_CLOSE`, as bits.
const LISTEN: u32 = 1 << 10;
const CLOSE: u32 = 1 << 7;

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// 6 or 17.
    pub(crate) protocol: IpProtocol,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
    /// The user that made it.
    pub(crate) uid: u32,
    /// Its inode, by which processes' descriptors name it; 0 for one that no process has.
    pub(crate) inode: u64,
    /// Its cookie, which no other socket ever has.
    pub(crate) cookie: u64,
    /// The number of the interface that it is bound to (`SO_BINDTODEVICE`); 0 if it is bound to none.
    pub(crate) interface: u32,
    /// The id of the control group that it was made in, where the kernel tells.
    pub(crate) cgroup: Option<u64>,
    /// Whether it is the TCP side of an MPTCP socket.
    pub(crate) mptcp: bool,
}

/// All of them.
pub(crate) fn open_sockets() -> io::Result<Vec<Open>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        dump(family, IpProtocol::TCP, LISTEN, &mut found)?;
        dump(family, IpProtocol::UDP, CLOSE, &mut found)?;
    }
    Ok(found)
}

fn dump(family: i32, protocol: IpProtocol, states: u32, found: &mut Vec<Open>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    socket.send(&request(family, protocol, states), 0)?;
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = answer.as_slice();
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => {
                    let code = body
                        .first_chunk()
                        .copied()
                        .map_or(libc::EIO, i32::from_ne_bytes);
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                BY_FAMILY => found.extend(open(protocol, body)),
                _ => {}
            }
            rest = after;
        }
    }
}

fn request(family: i32, protocol: IpProtocol, states: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family as u8, protocol.0, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

/// The kind and the body of the first message, and what is after it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, after))
}

fn open(protocol: IpProtocol, body: &[u8]) -> Option<Open> {
    let six = i32::from(*body.first()?) == libc::AF_INET6;
    let word = |at: usize| Some(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?));
    let port = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let address: IpAddr = if six {
        Ipv6Addr::from(*body.get(8..)?.first_chunk::<16>()?).to_canonical()
    } else {
        Ipv4Addr::from(*body.get(8..)?.first_chunk::<4>()?).into()
    };
    let mut found = Open {
        protocol,
        local: SocketAddr::new(address, port),
        uid: word(64)?,
        inode: word(68)?.into(),
        interface: word(40)?,
        cookie: u64::from(word(44)?) | u64::from(word(48)?) << 32,
        cgroup: None,
        mptcp: false,
    };
    for (kind, value) in attributes(body.get(ANSWER..)?) {
        match kind {
            CGROUP_ID => found.cgroup = value.first_chunk().copied().map(u64::from_ne_bytes),
            ULP_INFO => {
                let mut names = attributes(value).filter(|(kind, _)| *kind == ULP_NAME);
                found.mptcp = names.any(|(_, name)| name.starts_with(b"mptcp"));
            }
            _ => {}
        }
    }
    Some(found)
}

/// The attributes of a message, or of another attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// What is not part of an attribute's kind (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
    const FLAGS: u16 = 0xc000;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_no_socket() {
        let bytes = request(libc::AF_INET, IpProtocol::TCP, LISTEN);
        for length in 0..bytes.len() {
            assert!(message(&bytes[..length]).is_none());
        }
        let (kind, body, after) = message(&bytes).unwrap();
        assert_eq!((kind, body.len(), after.len()), (BY_FAMILY, REQUEST, 0));
        assert_eq!(open(IpProtocol::TCP, body), None);
        assert_eq!(attributes(&[255, 255, 1, 0, 7]).count(), 0);
    }

    #[test]
    fn a_listener_of_ours_is_among_them() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = server.local_addr().unwrap();
        let found = open_sockets().unwrap();
        let found = found
            .iter()
            .find(|one| one.protocol == IpProtocol::TCP && one.local == local);
        let uid = nix::unistd::geteuid().as_raw();
        assert!(found.is_some_and(|one| one.uid == uid && !one.mptcp && one.cookie != 0));
    }
}
