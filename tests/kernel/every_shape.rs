//! Redirects of every shape at the socket lookup: each protocol, each family and a socket of both, for one address, a network and
//! every address, by one port, some ports and every port; what is inside gets there, and what is just outside does not.

use std::net::SocketAddr;

use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use crate::stage::{PATIENCE, Stage, at, client_for, ip, kernel_counter, udp};

/// Prefixes of each family with addresses inside of them, and such that are not.
type Prefix = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);
const PREFIXES: [[Prefix; 3]; 2] = [
    [
        ("3.3.3.3", &["3.3.3.3"], &["3.3.3.2", "3.3.3.4"]),
        (
            "3.3.3.0/24",
            &["3.3.3.0", "3.3.3.255"],
            &["3.3.2.255", "3.3.4.0"],
        ),
        ("0.0.0.0/0", &["3.3.2.1", "3.3.3.3"], &[]),
    ],
    [
        (
            "2001:db8:3::3",
            &["2001:db8:3::3"],
            &["2001:db8:3::2", "2001:db8:3::4"],
        ),
        (
            "2001:db8:3:8::/64",
            &["2001:db8:3:8::", "2001:db8:3:8:ffff:ffff:ffff:ffff"],
            &["2001:db8:3:7:ffff:ffff:ffff:ffff", "2001:db8:3:9::"],
        ),
        ("::/0", &["2001:db8:3::3", "2001:db8:3:8::1"], &[]),
    ],
];
/// Ports as a rule names them, with some inside and some that are not.
const PORTS: [(&str, &[u16], &[u16]); 3] = [
    ("80", &[80], &[79, 81]),
    (
        "{1, 1000-1999, 65535}",
        &[1, 1000, 1999, 65535],
        &[2, 999, 2000, 65534],
    ),
    ("*", &[1, 80, 65535], &[]),
];
/// Where the sockets are, with the number of the family that they serve: each of its own, and one of both.
const BOUND: [(&str, usize); 3] = [("127.0.0.1:7001", 0), ("[::1]:7001", 1), ("[::]:7001", 1)];

/// The socket of a policy; one of every address takes IPv4 too, where the kernel lets it.
enum Server {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
}

impl Server {
    fn new(stage: &Stage, kind: Type, bound: SocketAddr) -> Self {
        let make = || {
            let socket = Socket::new(Domain::for_address(bound), kind, None).unwrap();
            if bound.is_ipv6() {
                let both = bound.ip().is_unspecified();
                socket.set_only_v6(!both).unwrap();
            }
            socket.bind(&bound.into()).unwrap();
            if kind == Type::STREAM {
                socket.listen(64).unwrap();
            }
            socket
        };
        let socket = stage.lab.server.run(make).unwrap();
        match kind {
            Type::STREAM => Self::Tcp(socket.into()),
            _ => Self::Udp(socket.into()),
        }
    }

    fn gets(&self, stage: &Stage, to: SocketAddr) {
        match self {
            Self::Tcp(listener) => drop(stage.assert_reaches(&to.to_string(), listener)),
            Self::Udp(socket) => stage.assert_datagram(&to.to_string(), socket),
        }
    }

    /// Nobody is there without the rule, and clients are told so.
    fn does_not_get(&self, stage: &Stage, to: SocketAddr) {
        if let Self::Tcp(_) = self {
            return stage.assert_refused(&to.to_string());
        }
        let client = udp(&stage.lab.client, client_for(to));
        client.connect(to).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send(b"?").unwrap();
        let refused = again(|| client.recv(&mut [0; 8])).unwrap_err();
        let wanted = std::io::ErrorKind::ConnectionRefused;
        assert_eq!(refused.kind(), wanted, "{to}");
    }
}

fn stage() -> Option<Stage> {
    let stage = Stage::new()?.serving(&[("3.3.0.0", 16), ("2001:db8:3::", 48)]);
    // Whoever is refused is told so, however many are.
    let unlimited = || {
        for family in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
            std::fs::write(format!("/proc/sys/net/{family}"), "0").unwrap();
        }
    };
    stage.lab.server.run(unlimited).unwrap();
    Some(stage)
}

fn written(prefix: &str, ports: &str) -> String {
    match prefix.contains(':') {
        true => format!("[{prefix}]:{ports}"),
        false => format!("{prefix}:{ports}"),
    }
}

fn check(stage: &Stage, server: &Server, prefix: &Prefix, ports: &(&str, &[u16], &[u16])) {
    let (_, inside, outside) = prefix;
    let (_, meant, others) = ports;
    let pairs = |addresses: &[&str], ports: &[u16]| -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for address in addresses {
            all.extend(ports.iter().map(|port| SocketAddr::new(ip(address), *port)));
        }
        all
    };
    for to in pairs(inside, meant) {
        server.gets(stage, to);
    }
    for to in [pairs(inside, others), pairs(outside, &meant[..1])].concat() {
        server.does_not_get(stage, to);
    }
}

#[test]
fn what_is_inside_gets_to_the_socket_and_what_is_just_outside_does_not() {
    let Some(stage) = stage() else { return };
    for (kind, protocol) in [(Type::STREAM, "tcp"), (Type::DGRAM, "udp")] {
        for (bound, family) in BOUND {
            let server = Server::new(&stage, kind, at(bound));
            for prefix in &PREFIXES[family] {
                for ports in &PORTS {
                    let named = written(prefix.0, ports.0);
                    stage.apply(&format!(
                        "socket there = {protocol} listen {bound}\nredirect {protocol} to {named} to sock there"
                    ));
                    check(&stage, &server, prefix, ports);
                }
            }
        }
    }
}

/// The segment that ends a handshake finds the listener by another lookup.
#[test]
fn handshakes_of_cookies_end_at_the_socket() {
    let Some(stage) = stage() else { return };
    let cookies = || std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap();
    stage.lab.server.run(cookies).unwrap();
    stage.apply(
        "socket there = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001\n\
         redirect tcp to 3.3.3.3:80, [2001:db8:3::3]:80 to sock there",
    );
    let received = || kernel_counter(&stage.lab.server, "SyncookiesRecv");
    for (number, to) in ["3.3.3.3:80", "[2001:db8:3::3]:80"].into_iter().enumerate() {
        let listener = stage.listen(BOUND[number].0);
        stage.assert_reaches(to, &listener);
        assert_eq!(received(), number as u64 + 1);
        stage.assert_refused(&to.replace(":80", ":81"));
    }
}
