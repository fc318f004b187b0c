//! Datagrams that arrive at the sockets of a group: dropped or delivered, whatever their headers look like.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use sockc_compiler::event::{Header, Transport};
use sockc_compiler::packet::build::{Extension, Frame};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{FRONT, MAC, PacketSocket, Space, drops};
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use crate::place::*;

const DATAGRAMS: &str = "
default receive allow
GROUP
four: drop receive udp from 192.0.2.0/24 to group pods
six: reject receive udp from 2001:db8:2::/48 to group pods
rest: count receive udp to group pods
";
/// Where the sockets are, each with a sender that is refused and one that is not.
const ENDS: [(&str, &str, &str); 2] = [
    (CLIENT4, "192.0.2.5", "203.0.113.5"),
    (CLIENT6, "2001:db8:2::5", "2001:db8:3::5"),
];
const PORT: u16 = 4053;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket of the client's namespace, of the group or not, bound to an address.
fn reader(place: &Place, address: &str, grouped: bool) -> UdpSocket {
    let local = SocketAddr::new(ip(address), PORT);
    let socket = match grouped {
        true => {
            let made = place.lab.client.run(|| place.group.udp_socket(local));
            Socket::from(made.unwrap().unwrap())
        }
        false => plain(&place.lab.client, local),
    };
    socket.bind(&local.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// A socket of no group, which may be bound to any address.
fn plain(space: &Space, local: SocketAddr) -> Socket {
    let made = space.run(|| Socket::new(Domain::for_address(local), Type::DGRAM, None));
    let socket = made.unwrap().unwrap();
    setsockopt(&socket, sockopt::IpFreebind, &true).unwrap();
    socket
}

/// Sends a datagram from an address of the server's namespace, or a port of it.
fn send(place: &Place, from: SocketAddr, bytes: &[u8], to: &UdpSocket) {
    let socket = plain(&place.lab.server, from);
    socket.bind(&from.into()).unwrap();
    let to = to.local_addr().unwrap();
    socket.send_to(bytes, &to.into()).unwrap();
}

/// Whether the one datagram that is on its way to a socket is delivered; else the socket counts it as dropped.
fn delivered(reader: &UdpSocket, dropped_before: u32) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if again(|| reader.recv(&mut [0; 2000])).is_ok() {
            return true;
        }
        if drops(reader.as_fd()).unwrap() > dropped_before {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("a datagram is gone");
}

/// Whether a datagram from an address reaches a socket.
fn reaches(place: &Place, from: &str, to: &UdpSocket) -> bool {
    let before = drops(to.as_fd()).unwrap();
    send(place, SocketAddr::new(ip(from), 0), b"x", to);
    delivered(to, before)
}

#[test]
fn datagrams_are_decided_for_sockets_old_and_new_of_the_group_alone() {
    inside(|place| {
        let old = ENDS.map(|(own, ..)| reader(place, own, true));
        place.apply(DATAGRAMS);
        for (socket, (_, refused, allowed)) in old.iter().zip(ENDS) {
            assert!(!reaches(place, refused, socket), "{refused}");
            assert!(reaches(place, allowed, socket), "{allowed}");
        }
        drop(old);
        // Made anew, the group is followed by its path.
        place.group.remake().unwrap();
        for (own, refused, allowed) in ENDS {
            let socket = reader(place, own, true);
            assert!(!reaches(place, refused, &socket), "{refused}");
            // Connected to whom it may not hear.
            let peer = SocketAddr::new(ip(refused), 9);
            socket.connect(peer).unwrap();
            let before = drops(socket.as_fd()).unwrap();
            send(place, peer, b"x", &socket);
            assert!(!delivered(&socket, before), "{refused}");
            drop(socket);
            let other = reader(place, own, false);
            assert!(reaches(place, refused, &other), "{refused}");
            assert!(reaches(place, allowed, &other), "{allowed}");
        }
        // Headers and one byte, as for packets.
        assert_eq!(place.counted("four"), (3, 3 * 29));
        assert_eq!(place.counted("six"), (3, 3 * 49));
        assert_eq!(place.counted("rest"), (2, 29 + 49));
        // Nothing of TCP is taken in or refused.
        assert_eq!(place.take_off("receive"), 0);
        assert_eq!(place.take_off("sock-ops"), 0);
        assert_eq!(place.take_off("setsockopt"), 0);
    });
}

#[test]
fn sets_rates_and_other_policies_hold_at_once() {
    const POLICY: &str = "
default receive allow
GROUP
live set banned max 100
trusted: allow receive udp from 203.0.113.5 to group pods
banned: drop receive udp from @banned to group pods
flood: drop receive udp from 203.0.113.6 to group pods above 2 packets/hour burst 2
";
    inside(|place| {
        place.apply(POLICY);
        let [four, six] = ENDS.map(|(own, ..)| reader(place, own, true));
        for (address, socket) in [("203.0.113.7", &four), ("2001:db8:3::5", &six)] {
            assert!(reaches(place, address, socket));
            place.add_to_set("banned", ip(address));
            assert!(!reaches(place, address, socket));
            place.take_from_set("banned", ip(address));
            assert!(reaches(place, address, socket));
        }
        place.add_to_set("banned", ip("203.0.113.5"));
        assert!(reaches(place, "203.0.113.5", &four));
        let flood = [(); 4].map(|()| reaches(place, "203.0.113.6", &four));
        assert_eq!(flood, [true, true, false, false]);
        assert_eq!(place.counted("flood").0, 2);
        assert_eq!(place.counted("banned").0, 2);
        place.apply(&format!("{POLICY}\nall: drop receive udp to group pods\n"));
        assert!(!reaches(place, "2001:db8:3::5", &six));
        // The default is about TCP as well, which older kernels cannot decide about.
        if sockc_runtime::probe().sk_skb_verdict {
            place.apply(&POLICY.replace("default receive allow", "default receive drop"));
            assert!(!reaches(place, "2001:db8:3::5", &six));
        }
        assert!(place.unload());
        assert!(reaches(place, "2001:db8:3::5", &six));
    });
}

/// The header of a datagram from a port of an address to the one that a socket is bound to.
fn header(from: &str, to: &str) -> Header {
    Header {
        from: ip(from),
        to: ip(to),
        protocol: IpProtocol::UDP,
        transport: Transport::Ports { from: 9, to: PORT },
        length: 0,
        ..Header::PLAIN
    }
}

/// A frame that the server's side puts on the link.
fn put(place: &Place, frame: &Frame, from: &str) {
    let kind = match ip(from) {
        IpAddr::V4(_) => 0x0800,
        IpAddr::V6(_) => 0x86dd,
    };
    let bytes = frame.clone().addresses(MAC, MAC).bytes();
    let sent = || PacketSocket::open(FRONT, kind)?.send(&bytes);
    place.lab.server.run(sent).unwrap().unwrap();
}

/// Makes another frame of one.
type Shape = fn(Frame) -> Frame;

#[test]
fn no_header_is_a_way_round() {
    inside(|place| {
        // Ports stand behind all headers.
        let by_port = DATAGRAMS
            .replace("192.0.2.0/24", "192.0.2.0/24:9")
            .replace("2001:db8:2::/48", "[2001:db8:2::/48]:9");
        place.apply(&by_port);
        let [four, six] = ENDS.map(|(own, ..)| reader(place, own, true));
        let shapes: [(&str, Shape); 6] = [
            ("plain", |frame| frame),
            ("options of IPv4", |frame| frame.ip_options(10)),
            ("hop by hop", |frame| {
                frame.extension(Extension::HopByHop(0))
            }),
            ("destination", |frame| {
                frame.extension(Extension::Destination(0))
            }),
            ("whole, with the header of a fragment", |frame| {
                frame.extension(Extension::Fragment)
            }),
            ("several", |frame| {
                frame
                    .extension(Extension::HopByHop(0))
                    .extension(Extension::Destination(0))
                    .extension(Extension::Destination(0))
                    .extension(Extension::Fragment)
            }),
        ];
        for (socket, (own, refused, allowed)) in [&four, &six].into_iter().zip(ENDS) {
            for (name, shape) in shapes {
                for (from, goes_on) in [(refused, false), (allowed, true)] {
                    let before = drops(socket.as_fd()).unwrap();
                    put(
                        place,
                        &shape(Frame::new(header(from, own))).payload(b"x"),
                        from,
                    );
                    assert_eq!(delivered(socket, before), goes_on, "{name}, from {from}");
                }
            }
        }
        // More headers than are looked through: dropped, whoever sent it.
        let many = (0..8).fold(Frame::new(header("2001:db8:3::5", CLIENT6)), |frame, _| {
            frame.extension(Extension::Destination(0))
        });
        let before = drops(six.as_fd()).unwrap();
        put(place, &many.payload(b"x"), CLIENT6);
        assert!(!delivered(&six, before));
    });
}

/// A socket of both families takes a packet of IPv6 for one of IPv4 where its addresses stand for such.
#[test]
fn ipv6_that_looks_like_ipv4_is_dropped_whoever_sends_it() {
    inside(|place| {
        place.apply(DATAGRAMS);
        let mapped = |address: &str| format!("::ffff:{address}");
        let own = mapped(CLIENT4);
        place.lab.own(ip(&own), 128, FRONT).unwrap();
        let local: SocketAddr = "[::]:0".parse().unwrap();
        let made = place.lab.client.run(|| place.group.udp_socket(local));
        let both = Socket::from(made.unwrap().unwrap());
        both.set_only_v6(false).unwrap();
        both.bind(&SocketAddr::new(ip("::"), PORT).into()).unwrap();
        both.set_nonblocking(true).unwrap();
        let both = UdpSocket::from(both);
        for (from, to) in [
            (mapped("192.0.2.5"), CLIENT6.to_owned()),
            (mapped("203.0.113.5"), own.clone()),
            ("2001:db8:3::5".to_owned(), own.clone()),
        ] {
            let frame = Frame::new(header(&from, &to)).payload(b"forged");
            put(place, &frame, &from);
        }
        // Through the same queues, so it comes last.
        let frame = Frame::new(header("203.0.113.5", CLIENT4)).payload(b"plain");
        put(place, &frame, "203.0.113.5");
        let mut bytes = [0; 100];
        let end = Instant::now() + PATIENCE;
        let (read, from) = loop {
            assert!(Instant::now() < end, "a datagram is gone");
            match again(|| both.recv_from(&mut bytes)) {
                Ok(found) => break found,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        assert!(bytes[..read].starts_with(b"plain"), "{from}");
    });
}

#[test]
fn what_comes_in_fragments_is_decided_whole() {
    inside(|place| {
        place.apply(DATAGRAMS);
        for (own, refused, allowed) in ENDS {
            let socket = reader(place, own, true);
            for (from, goes_on) in [(refused, false), (allowed, true)] {
                let before = drops(socket.as_fd()).unwrap();
                send(place, SocketAddr::new(ip(from), 0), &[7; 9000], &socket);
                assert_eq!(delivered(&socket, before), goes_on, "{from}");
            }
        }
        assert_eq!(place.counted("four").0, 1);
        assert_eq!(place.counted("six").0, 1);
    });
}

/// A socket that asked for it gets several datagrams as one, and is asked about once; they count as what they are.
#[test]
fn datagrams_that_are_joined_count_as_what_they_are() {
    inside(|place| {
        place.apply(DATAGRAMS);
        let reader = reader(place, CLIENT4, true);
        setsockopt(&reader, sockopt::UdpGroSegment, &true).unwrap();
        let from = SocketAddr::new(ip(CLIENT4), 0);
        let sender = plain(&place.lab.client, from);
        setsockopt(&sender, sockopt::UdpGsoSegment, &8).unwrap();
        let to = reader.local_addr().unwrap();
        sender.send_to(&[7; 32], &to.into()).unwrap();
        let mut read = 0;
        let end = Instant::now() + PATIENCE;
        while read < 32 && Instant::now() < end {
            match again(|| reader.recv(&mut [0; 100])) {
                Ok(bytes) => read += bytes,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        assert_eq!(place.counted("rest").0, 4);
    });
}
