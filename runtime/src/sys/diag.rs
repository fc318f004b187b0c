//! The sockets of the calling thread's network namespace that anybody may send to, as the kernel tells them (`sock_diag(7)`):
//! TCP sockets that listen, and UDP sockets that are bound and have no peer. And of a TCP connection in which control group its
//! socket was made.

use sockc_compiler::protocol::IpProtocol;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

use super::retry::again;

/// `SOCK_DIAG_BY_FAMILY`, and the kinds of netlink messages that end a dump.
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST`, and with `NLM_F_DUMP`.
const ONE: u16 = 0x1;
const ALL: u16 = 0x301;
/// The sizes of `struct nlmsghdr`, of `struct inet_diag_req_v2` and of `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const ANSWER: usize = 72;
/// `INET_DIAG_ULP_INFO`, within it `INET_ULP_INFO_NAME`, and `INET_DIAG_CGROUP_ID` (Linux 5.8).
const ULP_INFO: u16 = 19;
const ULP_NAME: u16 = 1;
const CGROUP_ID: u16 = 21;
/// `INET_DIAG_INFO`, as a bit of what is asked for: without it a kernel may leave out what protocol stands above TCP (Linux 6.18 does).
const INFO: u8 = 1 << 1;
/// `INET_DIAG_SOCKOPT` (Linux 5.10), and in its first byte, from the lowest bit on, the place of `transparent`.
const SOCKOPT: u16 = 22;
const TRANSPARENT: u8 = if cfg!(target_endian = "little") {
    1 << 5
} else {
    1 << 2
};
/// The states that matter, `TCP_LISTEN` and `TCP_CLOSE`, as bits.
const LISTEN: u32 = 1 << 10;
const CLOSE: u32 = 1 << 7;
/// `TCP_ESTABLISHED`, as a number, and where a request has the source port, ahead of the destination's.
const ESTABLISHED: u32 = 1;
const SOURCE_PORT: usize = HEADER + 8;
/// `TCP_TIME_WAIT` and `TCP_NEW_SYN_RECV`: nobody has a descriptor of these.
const NOBODYS: u32 = 1 << 6 | 1 << 12;

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
    /// Whether it answers in the name of any address (`IP_TRANSPARENT`), where the kernel tells.
    pub(crate) transparent: Option<bool>,
}

/// All of them.
pub(crate) fn open_sockets() -> io::Result<Vec<Open>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (protocol, states) in [(IpProtocol::TCP, LISTEN), (IpProtocol::UDP, CLOSE)] {
            let socket = connected()?;
            dump(&socket, (family, protocol, INFO), states, |one| {
                found.push(one);
            })?;
        }
    }
    Ok(found)
}

/// The TCP or UDP socket with this cookie, whatever it does.
pub(crate) fn with_cookie(cookie: u64) -> io::Result<Option<Open>> {
    let mut found = None;
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in IpProtocol::WITH_SOCKETS {
            dump(&connected()?, (family, protocol, INFO), !NOBODYS, |one| {
                found = Some(one)
                    .filter(|one| one.cookie == cookie)
                    .or(found.take());
            })?;
        }
    }
    Ok(found)
}

fn dump(
    socket: &Socket,
    (family, protocol, more): (i32, IpProtocol, u8),
    states: u32,
    mut each: impl FnMut(Open),
) -> io::Result<()> {
    let asked = request((family, protocol, more), ALL, states);
    list(socket, &asked, |body| {
        open(protocol, body).into_iter().for_each(&mut each);
    })
}

/// All that comes back.
fn list(socket: &Socket, asked: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    socket.send(asked, 0)?;
    loop {
        let (answer, _) = again(|| socket.recv_from_full())?;
        let mut rest = answer.as_slice();
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(refusal(body)),
                BY_FAMILY => each(body),
                _ => {}
            }
            rest = after;
        }
    }
}

fn connected() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

fn refusal(body: &[u8]) -> io::Error {
    let code = body.first_chunk().copied();
    let code = code.map_or(libc::EIO, i32::from_ne_bytes);
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// Tells of TCP connections of one network namespace, also where another one is entered after that.
pub(crate) struct Teller {
    one: Socket,
    /// A socket of its own: what may be left of a long answer is no answer to a short question.
    all: Socket,
}

/// A TCP connection, as its socket says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// This side, of IPv6 also where it is an IPv4-mapped address.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) remote: SocketAddr,
    /// The number of the interface that it is bound to, or 0.
    pub(crate) interface: u32,
    /// Its cookie.
    pub(crate) cookie: u64,
}

impl Teller {
    /// That of the calling thread's namespace.
    pub(crate) fn here() -> io::Result<Self> {
        Ok(Self {
            one: connected()?,
            all: connected()?,
        })
    }

    /// The cookies of all TCP sockets that there are, and the ids of the control groups that these were made in.
    pub(crate) fn all(&self, mut each: impl FnMut(u64, u64)) -> io::Result<()> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            dump(&self.all, (family, IpProtocol::TCP, 0), !NOBODYS, |one| {
                if let Some(cgroup) = one.cgroup {
                    each(one.cookie, cgroup);
                }
            })?;
        }
        Ok(())
    }

    /// The id of the control group that the socket of a connection was made in; `None` where the kernel does not tell.
    pub(crate) fn control_group(&self, asked: &Asked) -> io::Result<Option<u64>> {
        self.one.send(&question(asked), 0)?;
        let (answer, _) = again(|| self.one.recv_from_full())?;
        match message(&answer) {
            Some((BY_FAMILY, body, _)) => {
                Ok(open(IpProtocol::TCP, body).and_then(|one| one.cgroup))
            }
            Some((_, body, _)) => Err(refusal(body)),
            None => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }
}

/// The numbers of the interfaces that sockets of established TCP connections between two ends are bound to, 0 for none; nothing
/// where there is no such connection. One question for one socket would have to name the interface: one of a VRF finds nothing else.
pub(crate) fn established(local: SocketAddr, remote: SocketAddr) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut bytes = request((family, IpProtocol::TCP, 0), ALL, 1 << ESTABLISHED);
        // The kernel leaves out what has other ports; addresses it does not compare here.
        for (side, at) in [(local, SOURCE_PORT), (remote, SOURCE_PORT + 2)] {
            bytes.splice(at..at + 2, side.port().to_be_bytes());
        }
        list(&connected()?, &bytes, |body| {
            let one = open(IpProtocol::TCP, body);
            let other = peer(body);
            found.extend(one.filter(|one| one.local == local && other == Some(remote)));
        })?;
    }
    Ok(found.iter().map(|one| one.interface).collect())
}

/// The other side of a socket.
fn peer(body: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*body.get(6..)?.first_chunk()?);
    Some(SocketAddr::new(address(body, 24)?, port))
}

/// An address in an answer.
fn address(body: &[u8], at: usize) -> Option<IpAddr> {
    let bytes = body.get(at..)?;
    match i32::from(*body.first()?) == libc::AF_INET6 {
        true => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical()),
        false => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
    }
}

/// Asks for one socket: `struct inet_diag_sockid` stands in the request behind the states.
fn question(asked: &Asked) -> Vec<u8> {
    let family = match asked.local {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let mut bytes = request((family, IpProtocol::TCP, 0), ONE, u32::MAX);
    bytes.truncate(HEADER + 8);
    for side in [asked.local, asked.remote] {
        bytes.extend(side.port().to_be_bytes());
    }
    for side in [asked.local, asked.remote] {
        let mut address = [0; 16];
        match side.ip() {
            IpAddr::V4(four) => address[..4].copy_from_slice(&four.octets()),
            IpAddr::V6(six) => address = six.octets(),
        }
        bytes.extend(address);
    }
    bytes.extend(asked.interface.to_ne_bytes());
    // Its lower half stands first, on every machine.
    for half in [asked.cookie as u32, (asked.cookie >> 32) as u32] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes
}

fn request((family, protocol, more): (i32, IpProtocol, u8), flags: u16, states: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family as u8, protocol.0, more, 0]);
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
    let word = |at: usize| Some(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?));
    let port = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let mut found = Open {
        protocol,
        local: SocketAddr::new(address(body, 8)?, port),
        uid: word(64)?,
        inode: word(68)?.into(),
        interface: word(40)?,
        cookie: u64::from(word(44)?) | u64::from(word(48)?) << 32,
        cgroup: None,
        mptcp: false,
        transparent: None,
    };
    for (kind, value) in attributes(body.get(ANSWER..)?) {
        match kind {
            CGROUP_ID => found.cgroup = value.first_chunk().copied().map(u64::from_ne_bytes),
            SOCKOPT => found.transparent = value.first().map(|bits| bits & TRANSPARENT != 0),
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
        let bytes = request((libc::AF_INET, IpProtocol::TCP, 0), ALL, LISTEN);
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

    #[test]
    fn a_connection_is_found_whatever_interface_its_socket_is_bound_to() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // The kernel gives what is accepted the interface of who listens: so it is in a VRF too.
        nix::sys::socket::setsockopt(
            &server,
            nix::sys::socket::sockopt::BindToDevice,
            &"lo".into(),
        )
        .unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let _taken = server.accept().unwrap();
        let (near, far) = (client.peer_addr().unwrap(), client.local_addr().unwrap());
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        assert_eq!(established(near, far).unwrap(), [lo]);
        assert_eq!(established(far, near).unwrap(), [0]);
        // Who listens is no connection, nor is one from elsewhere.
        let other = SocketAddr::from(([127, 0, 0, 9], far.port()));
        assert_eq!(established(near, other).unwrap(), [0; 0]);
    }

    #[test]
    fn of_a_connection_the_kernel_tells_where_its_socket_was_made() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let cookie = crate::sys::socket::cookie(std::os::fd::AsFd::as_fd(&client)).unwrap();
        let asked = Asked {
            local: client.local_addr().unwrap(),
            remote: client.peer_addr().unwrap(),
            interface: 0,
            cookie,
        };
        let teller = Teller::here().unwrap();
        // Both ends were made here.
        let server = server.accept().unwrap().0;
        let cookie = crate::sys::socket::cookie(std::os::fd::AsFd::as_fd(&server)).unwrap();
        let other = Asked {
            local: asked.remote,
            remote: asked.local,
            cookie,
            ..asked
        };
        let told = [&asked, &other].map(|one| teller.control_group(one).unwrap());
        assert_eq!(told[0], told[1]);
        let mut all = Vec::new();
        teller
            .all(|cookie, maker| all.push((cookie, maker)))
            .unwrap();
        for one in [asked, other] {
            let found = all.iter().find(|(cookie, _)| *cookie == one.cookie);
            assert_eq!(found.map(|(_, maker)| *maker), told[0]);
        }
        let stranger = Asked {
            cookie: cookie ^ 1 << 40,
            ..other
        };
        assert!(teller.control_group(&stranger).is_err(), "another cookie");
        assert!(teller.control_group(&asked).is_ok(), "it goes on");
    }
}
