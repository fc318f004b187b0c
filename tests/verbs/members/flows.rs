//! Which member gets a flow: real ones of TCP and UDP, in both families, against the reference.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_compiler::event::{Header, Transport};
use sockc_compiler::policy::Spread;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::spread::order;
use sockc_runtime::lab::Space;
use sockc_testing::{again, closing};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Place, TO, root};

/// How long anything that must come may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ports that clients send from.
const PORTS: std::ops::Range<u16> = 20_000..22_000;
const MEMBERS: u32 = 4;

/// The cookie of a socket.
pub(super) fn cookie(socket: &Socket) -> u64 {
    socket.cookie().unwrap()
}

/// A server at an address of its family's loopback, or of a group there.
pub(super) fn server(space: &Space, to: SocketAddr, kind: Type, port: u16) -> Socket {
    space.run(|| open(to, kind, port)).unwrap()
}

/// The same in the calling thread's namespace.
fn open(to: SocketAddr, kind: Type, port: u16) -> Socket {
    let socket = Socket::new(Domain::for_address(to), kind, None).unwrap();
    socket.set_reuse_port(port != 0).unwrap();
    let address = SocketAddr::new(loopback(to), port);
    socket.bind(&address.into()).unwrap();
    if kind == Type::STREAM {
        socket.listen(1024).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    socket
}

fn loopback(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => [127, 0, 0, 1].into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}

/// Closes a socket, also for processes that are just being started by another test.
pub(super) fn close(space: &Space, socket: Socket) {
    let is_there = closing(socket).unwrap();
    let started = Instant::now();
    while space.run(&is_there).unwrap().unwrap() {
        assert!(started.elapsed() < PATIENCE, "it is there still");
    }
}

/// The place of the server that gets a flow from a port.
fn reached(to: SocketAddr, kind: Type, port: u16, servers: &[Option<&Socket>]) -> u32 {
    let client = Socket::new(Domain::for_address(to), kind, None).unwrap();
    client.set_reuse_address(true).unwrap();
    let from = SocketAddr::new(loopback(to), port);
    client.bind(&from.into()).unwrap();
    if kind == Type::STREAM {
        client.set_linger(Some(Duration::ZERO)).unwrap();
        client.connect_timeout(&to.into(), PATIENCE).unwrap();
    } else {
        client.send_to(b"?", &SockAddr::from(to)).unwrap();
    }
    taken(kind, servers)
}

/// The place of the server that something has come to; takes it.
fn taken(kind: Type, servers: &[Option<&Socket>]) -> u32 {
    let there: Vec<(u32, &Socket)> = (0..)
        .zip(servers)
        .filter_map(|(place, server)| Some((place, (*server)?)))
        .collect();
    let asked = there
        .iter()
        .map(|(_, server)| PollFd::new(server.as_fd(), PollFlags::POLLIN));
    let mut asked: Vec<PollFd<'_>> = asked.collect();
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut asked, patience).unwrap(), 1, "nobody, or several");
    let came = asked.iter().position(|one| one.any().unwrap()).unwrap();
    let (place, server) = there[came];
    if kind == Type::STREAM {
        server.accept().unwrap();
    } else {
        again(|| server.recv(&mut [std::mem::MaybeUninit::uninit(); 8])).unwrap();
    }
    place
}

/// The places of the servers that flows from all ports reach, in order of the ports.
pub(super) fn all(
    space: &Space,
    to: SocketAddr,
    kind: Type,
    ports: std::ops::Range<u16>,
    servers: &[Option<&Socket>],
) -> Vec<u32> {
    let flows = || {
        let flows = ports.clone().map(|port| reached(to, kind, port, servers));
        flows.collect()
    };
    space.run(flows).unwrap()
}

/// What the reference says of the same.
fn wanted(to: SocketAddr, kind: Type, spread: Spread, there: impl Fn(u32) -> bool) -> Vec<u32> {
    let flows = PORTS.map(|port| {
        let (protocol, transport) = match kind {
            Type::STREAM => (
                IpProtocol::TCP,
                Transport::Tcp {
                    from: port,
                    to: to.port(),
                    flags: 2,
                },
            ),
            _ => (
                IpProtocol::UDP,
                Transport::Ports {
                    from: port,
                    to: to.port(),
                },
            ),
        };
        let header = Header {
            from: loopback(to),
            to: to.ip(),
            protocol,
            transport,
            ..Header::PLAIN
        };
        let mut order = order(&header, spread, MEMBERS).unwrap();
        order.find(|place| there(*place)).unwrap()
    });
    flows.collect()
}

/// How many flows each place got.
fn shares(flows: &[u32]) -> Vec<usize> {
    let share = |place| flows.iter().filter(|other| **other == place).count();
    (0..MEMBERS).map(share).collect()
}

/// Everything that clients can come by.
fn kinds() -> impl Iterator<Item = (SocketAddr, Type, &'static str)> {
    let names = [["tcp4", "tcp6"], ["udp4", "udp6"]];
    [Type::STREAM, Type::DGRAM]
        .into_iter()
        .zip(names)
        .flat_map(|(kind, names)| {
            let to = TO.into_iter().zip(names);
            to.map(move |(to, name)| (to.parse().unwrap(), kind, name))
        })
}

#[test]
fn flows_are_spread_and_only_the_share_of_one_that_leaves_moves() {
    const GONE: u32 = 2;
    if !root() {
        return;
    }
    let place = Place::new("members-flows", "registered members 4");
    let space = &place.lab.server;
    for (to, kind, name) in kinds() {
        let mut servers: Vec<Option<Socket>> = (0..MEMBERS)
            .map(|_| Some(server(space, to, kind, 0)))
            .collect();
        for server in servers.iter().flatten() {
            place.register(server, &[], 0);
        }
        let flows = |servers: &[Option<Socket>]| {
            let servers: Vec<Option<&Socket>> = servers.iter().map(Option::as_ref).collect();
            all(space, to, kind, PORTS, &servers)
        };
        let before = flows(&servers);
        assert_eq!(before, wanted(to, kind, Spread::ByFlow, |_| true), "{name}");
        for share in shares(&before) {
            assert!(
                (400..=600).contains(&share),
                "{name}: {:?}",
                shares(&before)
            );
        }

        close(space, servers[GONE as usize].take().unwrap());
        let without = flows(&servers);
        let stayed = before.iter().zip(&without);
        assert!(
            stayed.clone().all(|(old, new)| old == new || *old == GONE),
            "{name}"
        );
        let moved: Vec<u32> = stayed
            .filter(|(old, _)| **old == GONE)
            .map(|(_, new)| *new)
            .collect();
        for (place, share) in (0..).zip(shares(&moved)) {
            let even = moved.len() / 3;
            let some = even / 2..=even * 3 / 2;
            assert!(
                some.contains(&share) != (place == GONE),
                "{name}: {moved:?}"
            );
        }

        let again = server(space, to, kind, 0);
        place.register(&again, &[], 0);
        servers[GONE as usize] = Some(again);
        assert_eq!(flows(&servers), before, "{name}");
    }
}

#[test]
fn all_flows_of_a_sender_go_to_one_member() {
    if !root() {
        return;
    }
    let place = Place::new("members-source", "registered members 4 spread by source");
    let space = &place.lab.server;
    let mut found = BTreeSet::new();
    for (to, kind, name) in kinds() {
        let servers: Vec<Socket> = (0..MEMBERS).map(|_| server(space, to, kind, 0)).collect();
        for server in &servers {
            place.register(server, &[], 0);
        }
        let servers: Vec<Option<&Socket>> = servers.iter().map(Some).collect();
        let flows = all(space, to, kind, 20_000..20_050, &servers);
        let one: BTreeSet<u32> = flows.into_iter().collect();
        let wanted = wanted(to, kind, Spread::BySource, |_| true);
        assert_eq!(one, wanted.into_iter().collect(), "{name}");
        assert_eq!(one.len(), 1, "{name}");
        found.insert((to.is_ipv4(), one));
    }
    // TCP and UDP of one sender go to the same place.
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn of_a_reuseport_group_only_the_one_that_is_pinned_gets_flows() {
    const GROUP: usize = 4;
    if !root() {
        return;
    }
    let place = Place::new("members-pinned", "registered pinned");
    let space = &place.lab.server;
    for (to, kind, name) in kinds() {
        let servers: Vec<Socket> = (0..GROUP).map(|_| server(space, to, kind, 9000)).collect();
        place.register(&servers[1], &[], 0);
        let servers: Vec<Option<&Socket>> = servers.iter().map(Some).collect();
        let flows = all(space, to, kind, 20_000..20_200, &servers);
        assert!(flows.iter().all(|place| *place == 1), "{name}: {flows:?}");
    }
    // Without the word, the kernel spreads over the group.
    place.becomes("registered");
    for (to, kind, name) in kinds() {
        let servers: Vec<Socket> = (0..GROUP).map(|_| server(space, to, kind, 9000)).collect();
        place.register(&servers[1], &[], 0);
        let servers: Vec<Option<&Socket>> = servers.iter().map(Some).collect();
        let flows = all(space, to, kind, 20_000..20_200, &servers);
        let reached: BTreeSet<u32> = flows.into_iter().collect();
        assert_eq!(reached.len(), GROUP, "{name}");
    }
}

#[test]
fn a_member_that_does_not_listen_is_passed_over() {
    if !root() {
        return;
    }
    let place = Place::new("members-deaf", "registered members 4");
    let space = &place.lab.server;
    let to: SocketAddr = TO[0].parse().unwrap();
    let servers: Vec<Socket> = (0..MEMBERS)
        .map(|_| server(space, to, Type::STREAM, 0))
        .collect();
    for server in &servers {
        place.register(server, &[], 0);
    }
    servers[0].shutdown(std::net::Shutdown::Both).unwrap();
    let rest: Vec<Option<&Socket>> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| (at != 0).then_some(server))
        .collect();
    let flows = all(space, to, Type::STREAM, PORTS, &rest);
    let wanted = wanted(to, Type::STREAM, Spread::ByFlow, |place| place != 0);
    assert_eq!(flows, wanted);
    let state = place.rows("tcp4")[0]["state"].as_str().unwrap().to_owned();
    assert!(state.contains("does not listen"), "{state}");
}

/// A UDP socket that is closed as a packet comes may stay in its place. Flows whose order begins there go to the next member all
/// the same.
#[test]
fn a_closed_socket_in_a_place_keeps_no_flow() {
    const TIMES: usize = 30_000;
    if !root() {
        return;
    }
    let said = "udp listen 127.0.0.1:8081, udp listen 127.0.0.1:8082 members 2";
    let place = Place::new("members-closed", said);
    let space = &place.lab.server;
    let to: SocketAddr = TO[0].parse().unwrap();
    let stays = server(space, to, Type::DGRAM, 8082);
    stays.set_nonblocking(false).unwrap();
    stays.set_read_timeout(Some(PATIENCE)).unwrap();
    let gets = |flags| {
        let mut room = [std::mem::MaybeUninit::uninit(); 8];
        again(|| stays.recv_with_flags(&mut room, flags)).is_ok()
    };
    let closed = || {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| flood(to, &stop));
            let reached = (0..TIMES).take_while(|_| {
                drop(open(to, Type::DGRAM, 8081));
                while gets(libc::MSG_DONTWAIT) {}
                gets(0)
            });
            let reached = reached.count();
            stop.store(true, Ordering::Relaxed);
            reached
        })
    };
    assert_eq!(space.run(closed).unwrap(), TIMES);
    assert_eq!(place.rows("udp4")[0]["state"], "free");
}

/// Sends from a port whose flow asks the first place first.
fn flood(to: SocketAddr, stop: &AtomicBool) {
    let first = |port: &u16| {
        let header = Header {
            from: loopback(to),
            to: to.ip(),
            protocol: IpProtocol::UDP,
            transport: Transport::Ports {
                from: *port,
                to: to.port(),
            },
            ..Header::PLAIN
        };
        order(&header, Spread::ByFlow, 2).unwrap().next() == Some(0)
    };
    let port = PORTS.clone().find(first).unwrap();
    let client = UdpSocket::bind(SocketAddr::new(loopback(to), port)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        // While nobody is there it is refused.
        let _ = client.send_to(b"ping", to);
    }
}
