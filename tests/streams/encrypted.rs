//! Kernel TLS on the connections of a group: nobody puts it there, as the rules would not be asked on it any more. What was put
//! there all the same must not go round the encryption. And setsockopt(2) does everything else as it did.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Socket, Type};

use crate::alone::wait_until;
use crate::arrivals::{WATCHED, seeing};
use crate::egress::{TALK, arrives};
use crate::full::{CLOSED, MUCH, drain, fill, wait_for_room};
use crate::place::*;
use crate::shortcut::{PATIENCE, all_of};
use crate::writes::{DATA, is_refused};

/// What is allowed everywhere here, and refused by [`CLOSED`].
const SERVER: &str = "203.0.113.5";
/// It decides about nobody's data.
const CALLS: &str =
    "default connect allow\nGROUP\ndrop connect tcp from group pods to 192.0.2.99:1\n";

/// Puts a protocol between the process and TCP; the errno where that is refused.
fn put(socket: BorrowedFd<'_>, name: &[u8]) -> Option<i32> {
    let size = u32::try_from(name.len()).unwrap();
    let (level, option, socket) = (libc::IPPROTO_TCP, libc::TCP_ULP, socket.as_raw_fd());
    // SAFETY: the value and the descriptor live through the call.
    let done = unsafe { libc::setsockopt(socket, level, option, name.as_ptr().cast(), size) };
    (done != 0).then(|| io::Error::last_os_error().raw_os_error().unwrap())
}

/// TLS, as it is before there are keys.
pub(crate) fn layer(socket: impl AsFd) -> Option<i32> {
    put(socket.as_fd(), b"tls")
}

/// Whether a connection that is in no group takes TLS. The kernel of the machine itself may be built without it.
fn has_tls(stream: &TcpStream) -> bool {
    let refused = layer(stream);
    assert!(
        refused.is_none_or(|errno| errno == libc::ENOENT),
        "{refused:?}"
    );
    if refused.is_some() && crate::guests::folder().is_some() {
        skip("TLS of the kernel");
    }
    refused.is_none()
}

/// Takes the program off that refuses TLS, as one who may do everything can. The kernel does it some time later.
fn take_off(place: &Place) {
    assert_eq!(place.take_off("setsockopt_"), 1);
}

/// Whoever calls: the socket is of the group, and this process is not. Nothing else is refused than before.
#[test]
fn nothing_is_put_between_a_process_of_the_group_and_tcp() {
    const EPERM: Option<i32> = Some(libc::EPERM);
    inside(|place| {
        let early = place.pair(CLIENT4, SERVER, CLIENT);
        place.apply(TALK);
        let pairs = [(CLIENT4, SERVER), (CLIENT6, "2001:db8:3::5")];
        let pairs = pairs.map(|(from, to)| place.pair(from, to, CLIENT));
        for pair in &pairs {
            for name in [b"tls".as_slice(), b"", b"tls\0", b"nobody's", &[b'x'; 5000]] {
                assert_eq!(put(pair.client.as_fd(), name), EPERM, "{name:?}");
                assert_ne!(put(pair.server.as_fd(), name), EPERM, "{name:?}");
            }
        }
        assert_eq!(layer(&early.client), EPERM, "made before the apply");
        let at = SocketAddr::new(ip(CLIENT4), 0);
        let listener = place.listener(&place.lab.client, at, true);
        assert_eq!(layer(&listener), EPERM);
        assert_eq!(layer(place.client(&place.lab.client, at, true)), EPERM);
        if let Some(mptcp) = place.mptcp_socket(&place.lab.client, at) {
            assert_eq!(layer(&mptcp), EPERM);
        }
        // Without rules about data nothing has to be refused.
        place.apply(CALLS);
        assert_ne!(layer(&pairs[0].client), EPERM);
        place.apply(CLOSED);
        assert_eq!(layer(&pairs[1].client), EPERM);
        place.unload();
        assert_ne!(layer(&pairs[1].client), EPERM);
    });
}

/// The kernel has one table of functions for all sockets with TLS, made of those of the socket that it was put on last. One in no
/// group would give its own to those of the group, of which nothing is asked then.
#[test]
fn a_write_that_is_refused_stays_so() {
    inside(|place| {
        place.apply(TALK);
        let outside = place.pair(CLIENT4, SERVER, NEITHER);
        if !has_tls(&outside.client) {
            return;
        }
        let mut pair = place.pair(CLIENT4, SERVER, CLIENT);
        layer(&pair.client);
        assert_eq!(layer(&outside.server), None);
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        place.apply(CLOSED);
        assert!(is_refused(&pair.client.write(DATA)));
    });
}

#[test]
fn what_arrives_is_read() {
    seeing(|place| {
        place.apply(WATCHED);
        let mut pair = place.pair(CLIENT4, SERVER, CLIENT);
        layer(&pair.client);
        let outside = place.pair(CLIENT4, SERVER, NEITHER);
        if !has_tls(&outside.client) {
            return;
        }
        pair.client.set_read_timeout(Some(PATIENCE)).unwrap();
        pair.server.write_all(DATA).unwrap();
        let mut data = [0; DATA.len()];
        pair.client.read_exact(&mut data).unwrap();
        assert_eq!(&data, DATA);
    });
}

/// What is redirected goes past TLS (`tcp_bpf_push`), so such a socket is let go in the plain way; that shows in what the
/// kernel remembers. Keys are not given here: current kernels refuse them on a socket in a SOCKMAP (EINVAL).
#[test]
fn what_tls_is_put_on_is_not_redirected() {
    inside(|place| {
        place.apply(TALK);
        let outside = place.pair(CLIENT4, SERVER, NEITHER);
        if !has_tls(&outside.client) {
            return;
        }
        let mut pair = place.pair(CLIENT4, SERVER, CLIENT);
        take_off(place);
        wait_until(|| layer(&pair.client).is_none());
        let written = fill(&mut pair.client);
        place.apply(CLOSED);
        drain(&mut pair.server, written / 2);
        wait_for_room(&pair.client);
        let more = pair.client.write(&vec![8; MUCH]).unwrap();
        pair.client.shutdown(Shutdown::Write).unwrap();
        let rest = written - written / 2 + more;
        assert_eq!(all_of(&mut pair.server).len(), rest);
    });
}

/// Who takes the program off is told of, and the next apply puts it back.
#[test]
fn what_is_taken_off_is_drift() {
    inside(|place| {
        place.apply(TALK);
        assert_eq!(place.drift(), 0);
        let pair = place.pair(CLIENT4, SERVER, CLIENT);
        take_off(place);
        wait_until(|| layer(&pair.client) != Some(libc::EPERM));
        assert!(place.drift() > 0);
        place.apply(TALK);
        assert_eq!(place.drift(), 0);
        assert_eq!(layer(&pair.client), Some(libc::EPERM));
    });
}

/// More sources than a page has room for: a program of setsockopt sees a part of them, and the kernel gets them all.
const SOURCES: u8 = 64;
/// `MCAST_JOIN_GROUP` and `MCAST_MSFILTER` of `linux/in.h`
const JOIN: libc::c_int = 42;
const FILTER: libc::c_int = 48;
/// `struct sockaddr_storage`
const ADDRESS: usize = 128;
/// Where `struct group_filter` has the group, the mode, the number of sources, and these.
const GROUP: usize = 8;
const MODE: usize = GROUP + ADDRESS;
const COUNT: usize = MODE + 4;
const LIST: usize = COUNT + 4;

/// The sources of a multicast group, on the first interface.
fn sources(count: u8) -> Vec<u8> {
    let mut filter = vec![0; LIST + usize::from(count) * ADDRESS];
    filter[..4].copy_from_slice(&1u32.to_ne_bytes());
    write_address(&mut filter[GROUP..], "ff02::7777".parse().unwrap());
    filter[MODE..COUNT].copy_from_slice(&1u32.to_ne_bytes());
    filter[COUNT..LIST].copy_from_slice(&u32::from(count).to_ne_bytes());
    for (number, place) in (1..).zip(filter[LIST..].chunks_mut(ADDRESS)) {
        write_address(
            place,
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number),
        );
    }
    filter
}

fn write_address(place: &mut [u8], address: std::net::Ipv6Addr) {
    place[..2].copy_from_slice(&u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes());
    place[8..24].copy_from_slice(&address.octets());
}

fn set(socket: &Socket, option: libc::c_int, value: &[u8]) -> io::Result<()> {
    let (size, level) = (u32::try_from(value.len()).unwrap(), libc::IPPROTO_IPV6);
    let (socket, value) = (socket.as_raw_fd(), value.as_ptr().cast());
    // SAFETY: the value and the descriptor live through the call.
    match unsafe { libc::setsockopt(socket, level, option, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The sources that the kernel has.
fn known(socket: &Socket) -> Vec<u8> {
    let mut value = sources(SOURCES);
    value[LIST..].fill(0);
    let mut size = u32::try_from(value.len()).unwrap();
    let (place, socket) = (value.as_mut_ptr().cast(), socket.as_raw_fd());
    // SAFETY: the value has the size that is passed, and both live through the call.
    let done =
        unsafe { libc::getsockopt(socket, libc::IPPROTO_IPV6, FILTER, place, &raw mut size) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    value
}

#[test]
fn a_value_of_more_than_a_page_is_set_whole() {
    inside(|place| {
        let like: SocketAddr = "[::]:0".parse().unwrap();
        let other = || Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        let sockets = || {
            let grouped = place.lab.client.run(|| place.group.udp_socket(like));
            let other = place.lab.client.run(other);
            [Socket::from(grouped.unwrap().unwrap()), other.unwrap()]
        };
        let holds = |when: &str| {
            for (socket, whose) in sockets().iter().zip(["the group's", "another"]) {
                let all = sources(SOURCES);
                assert!(all.len() > 8000);
                set(socket, JOIN, &all[..MODE]).unwrap();
                set(socket, FILTER, &all)
                    .unwrap_or_else(|error| panic!("{when}, {whose}: {error}"));
                assert!(known(socket) == all, "{when}, {whose}");
                // One that a program sees whole.
                set(socket, FILTER, &sources(3)).unwrap();
                assert!(known(socket)[LIST..].starts_with(&sources(3)[LIST..]));
            }
        };
        holds("without a policy");
        place.apply(TALK);
        holds("with one");
        // What a program does that sleeps, and one that is made for another group.
        place.apply(CALLS);
        holds("without rules about data");
    });
}
