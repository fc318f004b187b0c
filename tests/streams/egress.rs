//! The talk's policy on egress: writes of a group to one network get EACCES, and nothing else changes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use crate::place::*;
use crate::writes::{DATA, WAYS, is_refused};

/// The policy of the talk, in both families.
pub(crate) const TALK: &str = "
default send allow
GROUP
four: drop send tcp from group pods to 192.0.2.0/24
six: drop send tcp from group pods to 2001:db8:2::/48
rest: count send tcp from group pods to any
";
const REFUSED4: &str = "192.0.2.5";
const ALLOWED4: &str = "203.0.113.5";
const REFUSED6: &str = "2001:db8:2::5";
const ALLOWED6: &str = "2001:db8:3::5";

/// Reads as much as one write has sent and says whether it is that.
pub(crate) fn arrives(stream: &mut TcpStream) -> bool {
    let mut data = [0; DATA.len()];
    stream.read_exact(&mut data).unwrap();
    &data == DATA
}

/// Each way of writing is refused, and leaves nothing behind that the server could read.
fn every_way_is_refused(pair: &mut Pair) {
    for (name, write) in WAYS {
        let done = write(&pair.client);
        assert!(is_refused(&done), "{name}: {done:?}");
    }
    pair.client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    pair.server.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

fn every_way_arrives(pair: &mut Pair) {
    for (name, write) in WAYS {
        // The last byte of urgent data is not part of the stream.
        if name == "send MSG_OOB" {
            continue;
        }
        assert_eq!(write(&pair.client).unwrap(), DATA.len(), "{name}");
        // This sends what MSG_MORE holds back.
        pair.client.set_nodelay(true).unwrap();
        assert!(arrives(&mut pair.server), "{name}");
    }
}

#[test]
fn every_way_to_write_is_refused_and_counted() {
    inside(|place| {
        place.apply(TALK);
        for (from, to, label) in [(CLIENT4, REFUSED4, "four"), (CLIENT6, REFUSED6, "six")] {
            let mut pair = place.pair(from, to, CLIENT);
            every_way_is_refused(&mut pair);
            let (writes, bytes) = place.counted(label);
            // The drop sticks to the socket: the kernel asks the program once.
            assert_eq!((writes, bytes), (1, DATA.len() as u64), "{label}");
        }
        assert_eq!(place.escaped(), 0);
    });
}

#[test]
fn every_other_destination_is_sent_to_and_counted() {
    inside(|place| {
        place.apply(TALK);
        for (from, to) in [(CLIENT4, ALLOWED4), (CLIENT6, ALLOWED6)] {
            let mut pair = place.pair(from, to, CLIENT);
            every_way_arrives(&mut pair);
        }
        assert_eq!(place.counted("four"), (0, 0));
        assert_eq!(place.counted("six"), (0, 0));
        assert!(place.counted("rest").0 >= 16, "{:?}", place.counted("rest"));
    });
}

#[test]
fn a_refused_socket_still_receives() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, REFUSED4, CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        pair.server.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.client));
        assert!(pair.client.take_error().unwrap().is_none());
    });
}

#[test]
fn sockets_outside_the_group_are_untouched() {
    inside(|place| {
        place.apply(TALK);
        let other = sockc_runtime::lab::Group::new().unwrap();
        for grouped_elsewhere in [false, true] {
            let local = SocketAddr::new(ip(REFUSED4), 0);
            let listener = place.listener(&place.lab.server, local, false);
            let local = SocketAddr::new(ip(CLIENT4), 0);
            let client = if grouped_elsewhere {
                let made = place.lab.client.run(|| other.tcp_socket(local));
                let socket = socket2::Socket::from(made.unwrap().unwrap());
                socket.set_nonblocking(false).unwrap();
                socket.bind(&local.into()).unwrap();
                socket
            } else {
                place.client(&place.lab.client, local, false)
            };
            client
                .connect(&listener.local_addr().unwrap().into())
                .unwrap();
            let mut pair = Pair {
                client: client.into(),
                server: listener.accept().unwrap().0,
            };
            every_way_arrives(&mut pair);
        }
        assert_eq!(place.counted("four"), (0, 0));
        assert_eq!(place.counted("rest"), (0, 0));
    });
}

/// A connection of IPv4 whose client's socket is one of IPv6.
pub(crate) fn dual_stack(place: &Place, to: &str) -> Pair {
    let mapped = |text: &str| match ip(text) {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let local = SocketAddr::new(ip(to), 0);
    let listener = place.listener(&place.lab.server, local, false);
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let client = place.socket(&place.lab.client, any, true);
    client.set_only_v6(false).unwrap();
    let from = SocketAddr::new(mapped(CLIENT4).into(), 0);
    client.bind(&from.into()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = SocketAddr::new(mapped(to).into(), port);
    client.connect(&to.into()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), CLIENT4.parse::<Ipv4Addr>().unwrap());
    Pair {
        client: client.into(),
        server,
    }
}

#[test]
fn a_dual_stack_socket_is_caught_by_an_ipv4_rule() {
    inside(|place| {
        place.apply(TALK);
        for (to, refused) in [(REFUSED4, true), (ALLOWED4, false)] {
            let mut pair = dual_stack(place, to);
            assert_eq!(is_refused(&pair.client.write(DATA)), refused);
        }
        assert_eq!(place.counted("four").0, 1);
    });
}

#[test]
fn accepted_sockets_of_the_group_are_caught_too() {
    inside(|place| {
        place.apply(
            "default send allow
             GROUP
             back: drop send tcp from group pods to 198.51.100.0/24",
        );
        let sides = Sides {
            client: false,
            server: true,
        };
        let mut pair = place.pair(CLIENT4, ALLOWED4, sides);
        assert!(is_refused(&pair.server.write(DATA)));
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        assert_eq!(place.counted("back").0, 1);
    });
}
