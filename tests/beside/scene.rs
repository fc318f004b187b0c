//! A router between a client and machines behind it, with sockets and connections of its own.
//!
//! Takes where each address is; gives a lab whose server is the router, with three interfaces to one namespace that is everybody else's.
//! The router listens on TCP and UDP, and has a connection of each with the client, which conntrack knows too: a table of nft that is the
//! test's own has it track everything. Not here: packets that are made by hand, and rules.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sockc_compiler::policy::Family;
use sockc_runtime::lab::{CLIENT, Lab, Netlink, SERVER, Space};
use sockc_testing::{Rng, again};
use socket2::{Domain, Socket, Type};

/// The router's interfaces. Those of the other end are called the same.
pub(crate) const FRONTS: [&str; 3] = ["eth0", "eth1", "wlan0"];
/// Where the router listens by TCP, and the connection arrives there.
pub(crate) const LISTENS: [u16; 2] = [22, 80];
/// Where it listens by UDP.
const ANSWERS: u16 = 53;
/// Where its connected socket of UDP is.
pub(crate) const CONNECTED: u16 = 443;
/// The client's ports of both connections: TCP's and UDP's.
pub(crate) const CALLERS: [u16; 2] = [40_001, 40_002];
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What counts what is let in, by the identity of each packet, behind every other chain; what the client's own socket says has another window.
const COUNTS: &str = "table inet beside {
    set in4 { typeof ip id; flags dynamic; size 65535; }
    set in6 { typeof ip6 flowlabel; flags dynamic; size 65535; }
    chain input {
        type filter hook input priority 1000; policy accept;
        ct state invalid counter
        tcp sport 40001 tcp window != 65535 accept
        add @in4 { ip id }
        add @in6 { ip6 flowlabel }
    }
}
";

/// Settings of the router: every answer is sent, conntrack judges no checksum and no window, and what the kernel sends by itself has no
/// flow label.
const SETTINGS: [(&str, &str); 6] = [
    ("ipv4/icmp_ratemask", "0"),
    ("ipv6/icmp/ratemask", ""),
    ("netfilter/nf_conntrack_checksum", "0"),
    ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
    ("ipv6/auto_flowlabels", "0"),
    ("ipv4/ip_nonlocal_bind", "1"),
];

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Router,
    /// Behind one of its interfaces.
    Behind(usize),
}

/// Where each address of a family is.
#[derive(Clone, Debug)]
pub(crate) struct Places(pub(crate) Vec<(IpAddr, At)>);

/// The addresses at the edges of what rules ask.
const EDGES: [&[&str]; 2] = [
    &[
        "10.0.0.1",
        "10.1.0.0",
        "10.1.2.2",
        "10.1.2.3",
        "10.1.2.127",
        "10.1.2.128",
        "10.1.2.129",
        "10.255.255.255",
        "11.0.0.0",
        "192.0.2.1",
        "192.0.2.255",
        "8.8.8.8",
    ],
    &[
        "2001:db7:ffff::1",
        "2001:db8::1",
        "2001:db8:1::1",
        "2001:db8:1::2",
        "2001:db8:1::3",
        "2001:db8:1::9",
        "2001:db8:1::a",
        "2001:db8:1:ffff::1",
        "2001:db8:2::1",
        "2a00::1",
    ],
];

impl Places {
    /// Puts each address somewhere; of both kinds there are some.
    pub(crate) fn random(rng: &mut Rng) -> [Self; 2] {
        EDGES.map(|edges| {
            let edges: Vec<IpAddr> = edges.iter().map(|one| one.parse().unwrap()).collect();
            Self::of(&edges, rng)
        })
    }

    /// Puts these addresses somewhere.
    pub(crate) fn of(edges: &[IpAddr], rng: &mut Rng) -> Self {
        let turn = rng.below(edges.len());
        let places = edges.iter().cycle().skip(turn).take(edges.len());
        let places = places.enumerate().map(|(number, address)| {
            let at = match number {
                0 | 1 => At::Router,
                2..5 => At::Behind(number - 2),
                _ if rng.one_in(3) => At::Router,
                _ => At::Behind(rng.below(FRONTS.len())),
            };
            (*address, at)
        });
        Self(places.collect())
    }
}

/// A router in the middle of its world.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    _sockets: Sockets,
}

/// What is open at both ends.
#[derive(Default)]
struct Sockets {
    _listeners: Vec<TcpListener>,
    _streams: Vec<TcpStream>,
    _datagrams: Vec<UdpSocket>,
}

impl Scene {
    pub(crate) fn new(places: &[Places; 2]) -> Self {
        let lab = Lab::with(&FRONTS).unwrap();
        lab.pass_on(true).unwrap();
        let settle = || {
            for (name, value) in SETTINGS {
                std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
            }
            let mut netlink = Netlink::open().unwrap();
            for (address, at) in places.iter().flat_map(|one| &one.0) {
                let length = if address.is_ipv4() { 32 } else { 128 };
                let done = match at {
                    At::Router => netlink.local(*address, length),
                    At::Behind(front) => netlink.route(*address, length, FRONTS[*front]),
                };
                done.unwrap();
            }
        };
        lab.server.run(settle).unwrap();
        let quiet = || std::fs::write("/proc/sys/net/ipv6/auto_flowlabels", "0").unwrap();
        lab.client.run(quiet).unwrap();
        count(&lab.server);
        let sockets = Sockets::open(&lab);
        Self {
            lab,
            _sockets: sockets,
        }
    }

    /// Which packets have been let in since [`count`], of a family.
    pub(crate) fn let_in(&self, family: Family) -> Vec<u32> {
        let name = match family {
            Family::V4 => "in4",
            Family::V6 => "in6",
        };
        let said = spoken(
            &self.lab.server,
            "nft",
            &["-j", "list", "set", "inet", "beside", name],
            "",
        );
        let said: Value = serde_json::from_str(&said).unwrap();
        let objects = said["nftables"].as_array().unwrap();
        let set = objects.iter().find_map(|one| one.get("set")).unwrap();
        let elements = set["elem"].as_array().into_iter().flatten();
        elements.map(|one| one.as_u64().unwrap() as u32).collect()
    }
}

/// Counts from now on, whatever was counted before.
pub(crate) fn count(router: &Space) {
    let text =
        format!("table inet beside\ndelete table inet beside\n{COUNTS}").replace("; }", "\n}");
    spoken(router, "nft", &["-f", "-"], &text);
}

/// What a program says that has to do it, with this input.
pub(crate) fn spoken(space: &Space, program: &str, arguments: &[&str], input: &str) -> String {
    let done = tried(space, program, arguments, input);
    done.unwrap_or_else(|said| panic!("{program} {arguments:?}: {said}\n{input}"))
}

/// The same, or what it complains of.
pub(crate) fn tried(
    space: &Space,
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String, String> {
    let work = || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let ran = space.run(work).unwrap();
    match ran.status.success() {
        true => Ok(String::from_utf8(ran.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
    }
}

impl Sockets {
    fn open(lab: &Lab) -> Self {
        let mut all = Self::default();
        for family in 0..2 {
            all.listen(lab, family);
            all.connect(lab, family);
            all.join(lab, family);
        }
        all
    }

    fn listen(&mut self, lab: &Lab, family: usize) {
        let every: IpAddr = match family {
            0 => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let work = || {
            let listeners =
                LISTENS.map(|port| open(SocketAddr::new(every, port), Type::STREAM).into());
            let answers = open(SocketAddr::new(every, ANSWERS), Type::DGRAM).into();
            (listeners, answers)
        };
        let (listeners, answers) = lab.server.run(work).unwrap();
        self._listeners.extend(listeners);
        self._datagrams.push(answers);
    }

    /// A connection of TCP that carried data both ways.
    fn connect(&mut self, lab: &Lab, family: usize) {
        let (from, to) = (
            SocketAddr::new(CLIENT[family], CALLERS[0]),
            SocketAddr::new(SERVER[family], LISTENS[0]),
        );
        let call = || {
            let socket = bound(from, Type::STREAM);
            socket.connect_timeout(&to.into(), PATIENCE).unwrap();
            TcpStream::from(socket)
        };
        let mut client = lab.client.run(call).unwrap();
        let (mut server, _) = again(|| self._listeners[2 * family].accept()).unwrap();
        for (one, other) in [(0, 1), (1, 0)] {
            let mut ends = [&mut client, &mut server];
            ends[one].write_all(b"x").unwrap();
            ends[other].set_read_timeout(Some(PATIENCE)).unwrap();
            again(|| ends[other].read_exact(&mut [0])).unwrap();
        }
        self._streams.extend([client, server]);
    }

    /// Two sockets of UDP that answered each other.
    fn join(&mut self, lab: &Lab, family: usize) {
        let ends = [
            (&lab.client, SocketAddr::new(CLIENT[family], CALLERS[1])),
            (&lab.server, SocketAddr::new(SERVER[family], CONNECTED)),
        ];
        let open = |number: usize| {
            let (space, at) = ends[number];
            let work = || {
                let socket: UdpSocket = bound(at, Type::DGRAM).into();
                socket.connect(ends[1 - number].1).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
            };
            space.run(work).unwrap()
        };
        let sockets = [open(0), open(1)];
        for (one, other) in [(0, 1), (1, 0)] {
            sockets[one].send(b"x").unwrap();
            again(|| sockets[other].recv(&mut [0; 4])).unwrap();
        }
        self._datagrams.extend(sockets);
    }
}

fn bound(at: SocketAddr, kind: Type) -> Socket {
    let socket = Socket::new(Domain::for_address(at), kind, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    // An address of IPv6 is not there until nobody else on the link has it.
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true).unwrap(),
        SocketAddr::V6(_) => {
            socket.set_only_v6(true).unwrap();
            socket.set_freebind_v6(true).unwrap();
        }
    }
    socket.bind(&at.into()).unwrap();
    socket
}

/// The same, and it listens.
fn open(at: SocketAddr, kind: Type) -> Socket {
    let socket = bound(at, kind);
    if kind == Type::STREAM {
        socket.listen(16).unwrap();
        // What does not get here has to be told and not waited for.
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    socket
}
