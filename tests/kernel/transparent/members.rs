//! Redirects `at tc` to a name with members: a flow asks them in the order in which a socket lookup would.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::Duration;

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::event::{Header, Transport};
use sockc_compiler::policy::Spread;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::spread::order;
use sockc_runtime::Handover;
use sockc_testing::again;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{CLIENT, Line, server, transparent};
use crate::stage::{PATIENCE, at, close, connect, wait_for};

const MEMBERS: u32 = 4;
/// The ports that clients send from.
const PORTS: Range<u16> = 20_000..20_120;

const POLICY: &str = "
    socket many = registered members 4
    default in allow
    web: redirect tcp, udp to 10.7.0.0/16:80, [2001:db8:7::/48]:80 to sock many at tc";

/// A proxy, handed over into the next free place.
fn member(line: &Line, kind: Type, six: usize) -> Socket {
    let local = at(["127.0.0.1:0", "[::1]:0"][six]);
    let socket = transparent(&line.router, kind, local);
    if kind == Type::STREAM {
        socket.listen(1024).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let register = || {
        let handed = [Handover::Own(socket.as_raw_fd())];
        sockc_runtime::socket_register(&line.options, "many", &handed)
    };
    line.router.run(register).unwrap().unwrap();
    socket
}

/// The place of the proxy that gets the flow from a port.
fn reached(line: &Line, kind: Type, six: usize, port: u16, members: &[Option<Socket>]) -> u32 {
    let to = server(six, 80);
    let from = SocketAddr::new(at(CLIENT[six]).ip(), port);
    let send = || {
        let client = Socket::new(Domain::for_address(to), kind, None).unwrap();
        client.bind(&from.into()).unwrap();
        if kind == Type::STREAM {
            client.set_linger(Some(Duration::ZERO)).unwrap();
            client.connect_timeout(&to.into(), PATIENCE).unwrap();
        } else {
            client.send_to(b"?", &SockAddr::from(to)).unwrap();
        }
        client
    };
    let _client = line.client.run(send).unwrap();
    let mut found = None;
    wait_for("the flow", || {
        let numbered = (0..).zip(members);
        let mut there = numbered.filter_map(|(place, member)| Some((place, member.as_ref()?)));
        found = there.find(|(_, member)| has(member, kind));
        found.is_some()
    });
    found.unwrap().0
}

/// Whether something has come to a proxy; takes it.
fn has(member: &Socket, kind: Type) -> bool {
    if kind == Type::STREAM {
        let taken = member.accept();
        // Its end leaves nothing behind that could have the same name.
        return taken.is_ok_and(|(taken, _)| taken.set_linger(Some(Duration::ZERO)).is_ok());
    }
    let mut room = [std::mem::MaybeUninit::uninit(); 8];
    again(|| member.recv(&mut room)).is_ok()
}

fn flows(line: &Line, kind: Type, six: usize, members: &[Option<Socket>]) -> Vec<u32> {
    let flows = PORTS.map(|port| reached(line, kind, six, port, members));
    flows.collect()
}

/// What the reference says of the same.
fn wanted(kind: Type, six: usize, there: impl Fn(u32) -> bool) -> Vec<u32> {
    let flows = PORTS.map(|from| {
        let (protocol, transport) = match kind {
            Type::STREAM => {
                let (to, flags) = (80, 2);
                (IpProtocol::TCP, Transport::Tcp { from, to, flags })
            }
            _ => (IpProtocol::UDP, Transport::Ports { from, to: 80 }),
        };
        let header = Header {
            from: at(CLIENT[six]).ip(),
            to: server(six, 80).ip(),
            protocol,
            transport,
            ..Header::PLAIN
        };
        let mut order = order(&header, Spread::ByFlow, MEMBERS).unwrap();
        order.find(|place| there(*place)).unwrap()
    });
    flows.collect()
}

#[test]
fn flows_are_spread_at_tc_as_at_the_lookup_and_who_does_not_listen_is_passed_over() {
    const GONE: usize = 2;
    let Some(line) = Line::new() else { return };
    line.apply(POLICY, true).unwrap();
    for kind in [Type::STREAM, Type::DGRAM] {
        for six in [0, 1] {
            let context = format!("{kind:?} {six}");
            let mut members: Vec<Option<Socket>> = (0..MEMBERS)
                .map(|_| Some(member(&line, kind, six)))
                .collect();
            let all = flows(&line, kind, six, &members);
            assert_eq!(all, wanted(kind, six, |_| true), "{context}");
            assert_eq!(BTreeSet::from_iter(all).len(), MEMBERS as usize);

            close(&line.router, members[GONE].take().unwrap());
            let rest = flows(&line, kind, six, &members);
            let is_there = |place: u32| place as usize != GONE;
            assert_eq!(rest, wanted(kind, six, is_there), "{context}");

            if kind == Type::STREAM {
                // It stays in its place.
                let deaf = members[0].take().unwrap();
                deaf.shutdown(std::net::Shutdown::Both).unwrap();
                let rest = flows(&line, kind, six, &members);
                let is_there = |place: u32| is_there(place) && place != 0;
                assert_eq!(rest, wanted(kind, six, is_there), "{context}");
                for member in members.into_iter().flatten() {
                    close(&line.router, member);
                }
                let refused = connect(&line.client, at(CLIENT[six]), server(six, 80), PATIENCE);
                let refused = refused.err();
                assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
            }
        }
    }
}

/// A live map leads there as a rule does, from its table and from its trie.
#[test]
fn a_live_map_leads_to_members_at_tc() {
    const POLICY: &str = "
        socket many = registered members 4
        live map ten max 100
        default in allow
        redirect tcp by @ten at tc";
    let Some(line) = Line::new() else { return };
    line.apply(POLICY, true).unwrap();
    let members: Vec<Option<Socket>> = (0..MEMBERS)
        .map(|_| Some(member(&line, Type::STREAM, 0)))
        .collect();
    let entry = |length: u8| {
        let bits = Ipv4Addr::new(10, 7, 0, 2).to_bits() & !(u32::MAX >> length);
        LiveEntryPlan {
            prefix: (Ipv4Addr::from_bits(bits).into(), length),
            ports: (80, 80),
            protocol: None,
            socket: "many".to_owned(),
        }
    };
    let load = |entries: &[LiveEntryPlan]| {
        let load = || sockc_runtime::map_load(&line.options, "ten", entries);
        line.router.run(load).unwrap().unwrap();
    };
    // Nobody is redirected, and the server has nothing on that port.
    let goes_on = || {
        let went = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE);
        assert_eq!(went.err(), Some(std::io::ErrorKind::ConnectionRefused));
    };
    goes_on();
    let nested = (9..=28).map(entry).collect();
    for entries in [vec![entry(16)], nested] {
        load(&entries);
        let all = flows(&line, Type::STREAM, 0, &members);
        assert_eq!(all, wanted(Type::STREAM, 0, |_| true));
    }
    load(&[]);
    goes_on();
}
