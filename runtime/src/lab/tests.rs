//! The lab against the kernel. Every observation is tried with a program that drops and without one.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use super::*;
use sockc_compiler::protocol::IpProtocol;

mod hook;
use hook::{TC_IN, TC_OUT, XDP, drop_ipv4};

/// Whether the test may run; says so where it may not.
fn allowed() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert_ne!(
            std::env::var("SOCKC_KERNEL").as_deref(),
            Ok("require"),
            "this test needs root"
        );
        eprintln!("skipped: needs root");
    }
    root
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A frame around an IP packet of 40 bytes; the stack need not like it.
fn frame(ethertype: u16, first: u8) -> Vec<u8> {
    let mut frame = [MAC, MAC].concat();
    frame.extend(ethertype.to_be_bytes());
    frame.push(first);
    frame.resize(14 + 60, 7);
    frame
}

/// The same after VLAN tags.
fn tagged(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let plain = frame(ethertype, 0x45);
    let tags = tags
        .iter()
        .flat_map(|kind| [kind.to_be_bytes(), 5u16.to_be_bytes()].concat());
    plain[..12]
        .iter()
        .copied()
        .chain(tags)
        .chain(plain[12..].iter().copied())
        .collect()
}

#[test]
fn a_frame_passes_where_nothing_drops_it() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    let mut inward = Probe::new(&lab.client, &lab.server, FRONT).unwrap();
    let mut outward = Probe::new(&lab.server, &lab.client, FRONT).unwrap();
    for frame in [
        frame(0x0800, 0x45),
        frame(0x86dd, 0x60),
        frame(0x0800, 0x00),
        tagged(&[0x8100], 0x0800),
        tagged(&[0x88a8, 0x8100], 0x86dd),
        tagged(&[0x88a8, 0x88a8, 0x8100], 0x0800),
    ] {
        assert_eq!(inward.send(&frame).unwrap(), Seen::Passed);
        assert_eq!(outward.send(&frame).unwrap(), Seen::Passed);
    }
}

#[test]
fn a_frame_that_a_hook_drops_is_not_seen() {
    if !allowed() {
        return;
    }
    for (hook, inward) in [(XDP, true), (TC_IN, true), (TC_OUT, false)] {
        let lab = Lab::new().unwrap();
        let (from, to) = if inward {
            (&lab.client, &lab.server)
        } else {
            (&lab.server, &lab.client)
        };
        let mut probe = Probe::new(from, to, FRONT).unwrap();
        let link = lab.server.run(|| drop_ipv4(&hook)).unwrap();
        for _ in 0..50 {
            assert_eq!(probe.send(&frame(0x0800, 0x45)).unwrap(), Seen::NotSeen);
            assert_eq!(probe.send(&frame(0x86dd, 0x60)).unwrap(), Seen::Passed);
        }
        drop(link);
        assert_eq!(probe.send(&frame(0x0800, 0x45)).unwrap(), Seen::Passed);
    }
}

#[test]
fn foreign_prefixes_are_served_in_both_families() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    for (server, prefix, length, client) in [
        ("1.1.1.77:53", "1.1.1.0", 24, "198.51.100.9"),
        ("[2606:4700::77]:53", "2606:4700::", 32, "2001:db8::9"),
    ] {
        lab.serve(ip(prefix), length).unwrap();
        for path in [FRONT, BACK] {
            lab.own(
                ip(client),
                if client.contains(':') { 128 } else { 32 },
                path,
            )
            .unwrap();
            let listener = lab.server.run(|| listener(at(server))).unwrap();
            let from = SocketAddr::new(ip(client), 0);
            lab.client
                .run(|| echo(from, at(server), &listener))
                .unwrap();
        }
    }
}

/// IPv6 lets a socket take an address of a local route only when it asks for any.
fn listener(address: SocketAddr) -> TcpListener {
    let fd = state::open(IpProtocol::TCP, address).unwrap();
    nix::sys::socket::bind(
        fd.as_raw_fd(),
        &nix::sys::socket::SockaddrStorage::from(address),
    )
    .unwrap();
    nix::sys::socket::listen(&fd, nix::sys::socket::Backlog::MAXCONN).unwrap();
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(false).unwrap();
    listener
}

/// One byte from the client to the server.
fn echo(from: SocketAddr, to: SocketAddr, listener: &TcpListener) {
    let socket = state::open(IpProtocol::TCP, from).unwrap();
    nix::sys::socket::bind(
        socket.as_raw_fd(),
        &nix::sys::socket::SockaddrStorage::from(from),
    )
    .unwrap();
    let mut client = TcpStream::from(socket);
    client.set_nonblocking(false).unwrap();
    nix::sys::socket::connect(
        client.as_raw_fd(),
        &nix::sys::socket::SockaddrStorage::from(to),
    )
    .unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), from.ip());
    client.write_all(b"x").unwrap();
    let mut byte = [0];
    server.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn sockets_are_held_in_their_states() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    for (local, remote) in [
        ("1.1.1.77:53", "198.51.100.9:4000"),
        ("[2606:4700::77]:53", "[2001:db8::9]:4000"),
    ] {
        let (local, remote) = (at(local), at(remote));
        let length = if local.is_ipv4() { 32 } else { 128 };
        lab.serve(local.ip(), length).unwrap();
        lab.reach(remote.ip(), length, BACK).unwrap();
        for protocol in IpProtocol::WITH_SOCKETS {
            for state in [State::Listening, State::Established] {
                let held = lab
                    .server
                    .run(|| hold(protocol, local, remote, state).unwrap())
                    .unwrap();
                assert_eq!(
                    lab.server.run(|| listed(protocol, local)).unwrap(),
                    Some(state)
                );
                drop(held);
                assert_eq!(lab.server.run(|| listed(protocol, local)).unwrap(), None);
            }
        }
    }
}

/// The state that the kernel's own list gives for the socket on this address.
fn listed(protocol: IpProtocol, local: SocketAddr) -> Option<State> {
    let name = match (protocol, local.is_ipv4()) {
        (IpProtocol::TCP, true) => "tcp",
        (IpProtocol::TCP, false) => "tcp6",
        (_, true) => "udp",
        (_, false) => "udp6",
    };
    let list = std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
    let port = format!(":{:04X}", local.port());
    list.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&port).then(|| match fields[3] {
            "01" => State::Established,
            "0A" | "07" => State::Listening,
            other => panic!("state {other}"),
        })
    })
}

#[test]
fn a_group_has_its_sockets_and_is_gone_afterwards() {
    if !allowed() {
        return;
    }
    let group = Group::new().unwrap();
    let before = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let socket = group.tcp_socket(at("127.0.0.1:0")).unwrap();
    assert!(socket.as_raw_fd() >= 0);
    assert_eq!(
        std::fs::read_to_string("/proc/self/cgroup").unwrap(),
        before
    );
    let path = group.path().to_owned();
    drop(group);
    assert!(
        !std::path::Path::new("/sys/fs/cgroup/unified")
            .join(&path[1..])
            .exists()
    );
    assert!(
        !std::path::Path::new("/sys/fs/cgroup")
            .join(&path[1..])
            .exists()
    );
}

#[test]
fn the_bpffs_is_the_labs_own() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    let folder = std::path::Path::new(BPFFS).join("sockc-lab-test");
    lab.server
        .run(|| std::fs::create_dir(&folder).unwrap())
        .unwrap();
    assert!(lab.server.run(|| folder.exists()).unwrap());
    assert!(!folder.exists());
}

#[test]
fn a_panic_inside_goes_on_outside_and_leaves_the_thread_where_it_was() {
    if !allowed() {
        return;
    }
    let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let (before, lab) = (here(), Lab::new().unwrap());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        lab.server.run(|| panic!("inside"))
    }));
    assert!(result.is_err());
    assert_eq!(here(), before);
}

#[test]
fn a_datagram_reaches_the_listener_it_is_for() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    lab.serve(ip("3.3.3.3"), 32).unwrap();
    lab.own(ip("198.51.100.9"), 32, FRONT).unwrap();
    let start = |address| {
        lab.server
            .run(|| Listener::start(IpProtocol::UDP, at(address), 101).unwrap())
            .unwrap()
    };
    let (wanted, other) = (start("3.3.3.3:7"), start("3.3.3.3:8"));
    let client = lab
        .client
        .run(|| UdpSocket::bind("198.51.100.9:0").unwrap())
        .unwrap();
    client.send_to(b"hello", "3.3.3.3:7").unwrap();
    let mut probe = Probe::new(&lab.client, &lab.server, FRONT).unwrap();
    probe.arrived().unwrap();
    assert_eq!(wanted.datagrams().unwrap(), [b"hello".to_vec()]);
    assert!(other.datagrams().unwrap().is_empty());
}

#[test]
fn a_write_between_two_sockets_of_a_group_arrives() {
    if !allowed() {
        return;
    }
    let (lab, group) = (Lab::new().unwrap(), Group::new().unwrap());
    for (from, to) in [
        ("10.1.1.1:4000", "192.0.2.80:80"),
        ("[2001:db8::1]:4000", "[2001:db8:2::80]:80"),
    ] {
        let written = exchange(&lab.server, &group, (at(from), at(to)), &[]).unwrap();
        assert_eq!(written, Played::Done);
    }
}

#[test]
fn a_syn_is_answered_by_the_listener_it_reached() {
    if !allowed() {
        return;
    }
    let lab = Lab::new().unwrap();
    let mut inward = Probe::new(&lab.client, &lab.server, FRONT).unwrap();
    let mut answers = Probe::new(&lab.server, &lab.client, BACK).unwrap();
    for (server, client) in [
        ("3.3.3.3", "198.51.100.9"),
        ("2001:db8:3::3", "2001:db8::9"),
    ] {
        let (server, client) = (ip(server), ip(client));
        let length = if server.is_ipv4() { 32 } else { 128 };
        lab.serve(server, length).unwrap();
        lab.reach(client, length, BACK).unwrap();
        let listener = |port, ttl| {
            let start =
                || Listener::start(IpProtocol::TCP, SocketAddr::new(server, port), ttl).unwrap();
            lab.server.run(start).unwrap()
        };
        let _listeners = [listener(80, 101), listener(81, 102)];
        let mut reply = |port| {
            let frame = syn(client, server, port);
            assert_eq!(inward.send(&frame).unwrap(), Seen::Passed);
            let frames = answers.arrived().unwrap();
            frames
                .iter()
                .find_map(|frame| Reply::read(frame, server, client, (port, 4000)))
        };
        assert_eq!(reply(80), Some(Reply::SynAck { ttl: 101 }));
        assert_eq!(reply(81), Some(Reply::SynAck { ttl: 102 }));
        assert_eq!(reply(82), Some(Reply::Reset));
    }
}

fn syn(from: IpAddr, to: IpAddr, port: u16) -> Vec<u8> {
    use sockc_compiler::event::{Fragment, Header, Transport};
    let header = Header {
        from,
        to,
        protocol: IpProtocol::TCP,
        fragment: Fragment::Whole,
        transport: Transport::Tcp {
            from: 4000,
            to: port,
            flags: 2,
        },
        length: 0,
        ..Header::PLAIN
    };
    sockc_compiler::packet::build::Frame::new(header)
        .addresses(MAC, MAC)
        .shrink()
        .bytes()
}
