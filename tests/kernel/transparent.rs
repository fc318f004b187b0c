//! Redirects `at tc`: what passes through a machine for others comes to a proxy of it, and answers leave in their name.

mod around;
mod assigned;
mod errors;
mod members;
mod others;
mod past;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{BPFFS, Space};
use sockc_runtime::{Error, Fill, Handover, Maker, Options};
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use crate::stage::{
    PATIENCE, accept, assert_talks, at, bind, close, compile, connect, listener, permitted, udp,
    wait_for,
};

/// A policy of a proxy on the way to the server's network, which other ports go through.
const POLICY: &str = "
    socket proxy = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001
    socket resolver = udp listen 127.0.0.1:7053, udp listen [::1]:7053
    default in allow
    web: redirect tcp to 10.7.0.0/16:80, [2001:db8:7::/48]:80 to sock proxy at tc
    dns: redirect udp to 10.7.0.0/16:53, [2001:db8:7::/48]:53 to sock resolver at tc";

/// The client's addresses.
const CLIENT: [&str; 2] = ["10.1.0.2:0", "[2001:db8:1::2]:0"];
/// The server's, of which it has nothing on the ports that are redirected.
const SERVER: [&str; 2] = ["10.7.0.2", "[2001:db8:7::2]"];

/// A client, a router and a server in a line.
pub(crate) struct Line {
    pub(crate) client: Space,
    pub(crate) router: Space,
    pub(crate) server: Space,
    pub(crate) options: Options,
}

impl Line {
    pub(crate) fn new() -> Option<Self> {
        if !permitted() {
            return None;
        }
        let line = Self {
            client: Space::new().unwrap(),
            router: Space::with_bpffs().unwrap(),
            server: Space::new().unwrap(),
            options: Options {
                bpffs: BPFFS.into(),
                interfaces: vec!["near".into()],
                ..Options::default()
            },
        };
        line.wire(&line.client, "near");
        line.wire(&line.server, "far");
        line.at_router(&[
            "address add 10.1.0.1/24 dev near",
            "-6 address add 2001:db8:1::1/64 dev near nodad",
            "address add 10.7.0.1/16 dev far",
            "-6 address add 2001:db8:7::1/48 dev far nodad",
        ]);
        let forwarding = || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        };
        line.router.run(forwarding).unwrap();
        ip(&line.client, "address add 10.1.0.2/24 dev near");
        ip(
            &line.client,
            "-6 address add 2001:db8:1::2/64 dev near nodad",
        );
        ip(&line.client, "route add default via 10.1.0.1");
        ip(&line.client, "-6 route add default via 2001:db8:1::1");
        ip(&line.server, "address add 10.7.0.2/16 dev far");
        ip(
            &line.server,
            "-6 address add 2001:db8:7::2/48 dev far nodad",
        );
        ip(&line.server, "route add default via 10.7.0.1");
        ip(&line.server, "-6 route add default via 2001:db8:7::1");
        Some(line)
    }

    /// A wire between the router and another space, with one name at both ends.
    fn wire(&self, other: &Space, name: &str) {
        let net = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            other.net().as_raw_fd()
        );
        self.at_router(&[
            &format!("link add {name} type veth peer name {name} netns {net}"),
            "link set lo up",
            &format!("link set {name} up"),
        ]);
        ip(other, "link set lo up");
        ip(other, &format!("link set {name} up"));
    }

    pub(crate) fn at_router(&self, commands: &[&str]) {
        commands
            .iter()
            .for_each(|command| ip(&self.router, command));
    }

    pub(crate) fn apply(
        &self,
        text: &str,
        add_routes: bool,
    ) -> Result<sockc_runtime::Applied, Error> {
        let compiled = compile(text);
        let options = Options {
            add_routes,
            ..self.options.clone()
        };
        let apply = || sockc_runtime::apply(&compiled.object, &compiled.manifest, &options);
        self.router.run(apply).unwrap()
    }

    /// The rules and the routes that are not those of a new namespace.
    fn ways(&self) -> String {
        let show = |command: &str| {
            let command = format!("ip {command}");
            let out = Command::new("sh").args(["-c", &command]).output().unwrap();
            String::from_utf8(out.stdout).unwrap()
        };
        let all = || {
            [
                "-4 rule",
                "-6 rule",
                "-4 route show table 8389 2>&1",
                "-6 route show table 8389 2>&1",
            ]
            .map(show)
            .concat()
        };
        let text = self.router.run(all).unwrap();
        let known = ["lookup local", "lookup main", "lookup default", "FIB table"];
        let rest = text
            .lines()
            .filter(|line| !known.iter().any(|one| line.contains(one)));
        rest.filter(|line| !line.contains("Dump terminated"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn unload(&self) {
        let unload = || sockc_runtime::unload(&self.options);
        assert!(self.router.run(unload).unwrap().unwrap().removed);
    }

    pub(crate) fn counted(&self, label: &str) -> u64 {
        let counters = || sockc_runtime::counters(&self.options);
        let counters = self.router.run(counters).unwrap().unwrap();
        let found = counters
            .iter()
            .filter(|one| one.counter.label.as_deref() == Some(label));
        found.map(|one| one.packets).sum()
    }
}

/// Runs `ip` in a space.
pub(crate) fn ip(space: &Space, command: &str) {
    let run = || {
        Command::new("ip")
            .args(command.split(' '))
            .output()
            .unwrap()
    };
    let out = space.run(run).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "ip {command}: {said}");
}

/// A socket that answers in the name of any address.
fn transparent(space: &Space, kind: Type, local: SocketAddr) -> Socket {
    let make = || {
        let socket = Socket::new(Domain::for_address(local), kind, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        if local.is_ipv6() {
            socket.set_only_v6(true).unwrap();
        }
        let (fd, one) = (socket.as_fd(), true);
        nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::IpTransparent, &one).unwrap();
        bind(&socket, local);
        socket
    };
    space.run(make).unwrap()
}

/// The proxies of both families.
fn proxies(line: &Line) -> [TcpListener; 2] {
    ["127.0.0.1:7001", "[::1]:7001"].map(|address| {
        let socket = transparent(&line.router, Type::STREAM, at(address));
        socket.listen(64).unwrap();
        socket.into()
    })
}

fn resolvers(line: &Line) -> [UdpSocket; 2] {
    ["127.0.0.1:7053", "[::1]:7053"]
        .map(|address| transparent(&line.router, Type::DGRAM, at(address)).into())
}

/// An address of the server with a port.
fn server(six: usize, port: u16) -> SocketAddr {
    at(&format!("{}:{port}", SERVER[six]))
}

#[test]
fn what_passes_through_comes_to_the_proxy_and_the_rest_goes_on() {
    let Some(line) = Line::new() else { return };
    let (proxies, resolvers) = (proxies(&line), resolvers(&line));
    line.apply(POLICY, true).unwrap();
    for six in [0, 1] {
        let to = server(six, 80);
        let mut client = connect(&line.client, at(CLIENT[six]), to, PATIENCE).unwrap();
        let mut taken = accept(&proxies[six]);
        assert_eq!(taken.local_addr().unwrap(), to, "the name that was dialled");
        assert_eq!(taken.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_talks(&mut client, &mut taken);

        // Datagrams: the answer leaves from a socket with the name of whom was asked.
        let asked = server(six, 53);
        let resolver = &resolvers[six];
        let client = udp(&line.client, at(CLIENT[six]));
        client.send_to(b"who", asked).unwrap();
        resolver.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, peer) = again(|| resolver.recv_from(&mut [0; 9])).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let answerer: UdpSocket = transparent(&line.router, Type::DGRAM, asked).into();
        answerer.send_to(b"me", peer).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(again(|| client.recv_from(&mut [0; 9])).unwrap(), (2, asked));

        // Another port is the server's, and what it sees is the client.
        let other = server(six, 81);
        let own = listener(&line.server, other);
        let mut client = connect(&line.client, at(CLIENT[six]), other, PATIENCE).unwrap();
        let mut server = accept(&own);
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_talks(&mut client, &mut server);
    }
    assert!(line.counted("web") >= 8 && line.counted("dns") == 2);
}

#[test]
fn connections_go_on_after_their_proxy_and_new_ones_do_not_get_past_it() {
    let Some(line) = Line::new() else { return };
    let proxies = proxies(&line);
    line.apply(POLICY, true).unwrap();
    let open = [0, 1].map(|six| {
        let client = connect(&line.client, at(CLIENT[six]), server(six, 80), PATIENCE).unwrap();
        (client, accept(&proxies[six]))
    });
    for proxy in proxies {
        close(&line.router, proxy);
    }
    // Nobody gets to this one: what a redirect takes never falls through.
    let _behind = [0, 1].map(|six| listener(&line.server, server(six, 80)));
    for (six, (mut client, mut taken)) in open.into_iter().enumerate() {
        let again = connect(&line.client, at(CLIENT[six]), server(six, 80), PATIENCE);
        assert_eq!(again.err(), Some(ErrorKind::ConnectionRefused), "{six}");
        assert_talks(&mut client, &mut taken);
    }
}

#[test]
fn a_first_fragment_goes_nowhere_but_that_of_a_connection() {
    let Some(line) = Line::new() else { return };
    let resolvers = resolvers(&line);
    line.apply(POLICY, true).unwrap();
    let behind = udp(&line.server, server(0, 53));
    let client = udp(&line.client, at(CLIENT[0]));
    client.send_to(&[7; 3000], server(0, 53)).unwrap();
    wait_for("the fragment", || line.counted("dns") == 1);
    // What comes after it is in order.
    client.send_to(b"whole", server(0, 53)).unwrap();
    resolvers[0].set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(again(|| resolvers[0].recv(&mut [0; 4000])).unwrap(), 5);
    behind.set_nonblocking(true).unwrap();
    assert_eq!(
        again(|| behind.recv(&mut [0; 9])).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn the_way_is_made_where_that_is_asked_for_and_taken_back() {
    let Some(line) = Line::new() else { return };
    let _sockets = (proxies(&line), resolvers(&line));
    let refused = line.apply(POLICY, false).unwrap_err().to_string();
    for command in [
        "`ip -4 route add local default dev lo table 8389`",
        "`ip -6 rule add fwmark 0x20c5 lookup 8389`",
        "--add-routes",
    ] {
        assert!(refused.contains(command), "{refused}");
    }
    assert_eq!(line.ways(), "");
    // An apply that ends after it has made the way takes it back.
    let compiled = compile(POLICY);
    let stopped = Options {
        add_routes: true,
        watch: Some(Arc::new(|step| match step {
            "place the programs" => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })),
        ..line.options.clone()
    };
    let apply = || sockc_runtime::apply(&compiled.object, &compiled.manifest, &stopped);
    assert!(line.router.run(apply).unwrap().is_err());
    assert_eq!(line.ways(), "");
    // That of IPv4 is somebody's own, the same in all but who made it.
    line.at_router(&[
        "-4 route add local default dev lo table 8389",
        "-4 rule add fwmark 0x20c5 lookup 8389",
    ]);
    let theirs = line.ways();
    line.apply(POLICY, true).unwrap();
    assert_ne!(line.ways(), theirs);
    let status = || sockc_runtime::status(&line.options);
    let status = line.router.run(status).unwrap().unwrap().unwrap();
    let (sockc, others) = (Some(Maker::Sockc), Some(Maker::Others));
    let ways = status.deliveries.ways.iter();
    let ways: Vec<_> = ways.map(|one| (one.leads, one.rule, one.route)).collect();
    assert_eq!(ways, [(true, others, others), (true, sockc, sockc)]);
    // A policy that is about IPv4 alone needs ours no more; one that is about neither, no less.
    line.apply(
        "socket proxy = tcp listen 127.0.0.1:7001
         redirect tcp to 10.7.0.0/16:80 to sock proxy at tc",
        false,
    )
    .unwrap();
    assert_eq!(line.ways(), theirs);
    line.apply(POLICY, true).unwrap();
    assert_ne!(line.ways(), theirs);
    line.unload();
    assert_eq!(line.ways(), theirs);
}

#[test]
fn what_is_in_the_way_is_said_and_nothing_changed() {
    let Some(line) = Line::new() else { return };
    let sockets = (proxies(&line), resolvers(&line));
    let says = |words: &str| {
        let refused = line.apply(POLICY, true).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
        let status = || sockc_runtime::status(&line.options);
        assert!(line.router.run(status).unwrap().unwrap().is_none());
    };
    line.at_router(&["-4 rule add fwmark 0x20c5 lookup 77"]);
    says("to another table, 77");
    line.at_router(&[
        "-4 rule del fwmark 0x20c5",
        "-4 rule add from 10.9.0.0/16 lookup 8389",
    ]);
    says("leads other packets to the table 8389");
    line.at_router(&[
        "-4 rule del lookup 8389",
        "-6 route add 2001:db8:66::/48 dev far table 8389",
    ]);
    says("has other routes");
    line.at_router(&["-6 route flush table 8389"]);
    let set = |path: &str, value: &str| {
        let write = || std::fs::write(format!("/proc/sys/net/ipv4/{path}"), value).unwrap();
        line.router.run(write).unwrap();
    };
    set("tcp_fwmark_accept", "1");
    says("tcp_fwmark_accept");
    set("tcp_fwmark_accept", "0");
    set("conf/near/src_valid_mark", "1");
    says("net.ipv4.conf.near.src_valid_mark=0");
    set("conf/near/src_valid_mark", "0");
    drop(sockets);
    // A proxy that cannot answer for others.
    let opaque = listener(&line.router, at("127.0.0.1:7001"));
    says("IP_TRANSPARENT");
    assert_eq!(line.ways(), "");
    drop(opaque);
    line.apply(POLICY, true).unwrap();
}

#[test]
fn a_socket_that_is_handed_over_has_to_be_transparent() {
    let Some(line) = Line::new() else { return };
    let text = "socket proxy = registered
                redirect tcp to 10.7.0.0/16:80, [2001:db8:7::/48]:80 to sock proxy at tc";
    line.apply(text, true).unwrap();
    let register = |fd: i32| {
        let register =
            || sockc_runtime::socket_register(&line.options, "proxy", &[Handover::Own(fd)]);
        line.router.run(register).unwrap()
    };
    let opaque = listener(&line.router, at("127.0.0.1:7009"));
    let refused = register(opaque.as_raw_fd()).unwrap_err().to_string();
    assert!(refused.contains("IP_TRANSPARENT"), "{refused}");
    let proxies = proxies(&line);
    for (six, proxy) in proxies.iter().enumerate() {
        register(proxy.as_raw_fd()).unwrap();
        let mut client = connect(&line.client, at(CLIENT[six]), server(six, 80), PATIENCE).unwrap();
        assert_talks(&mut client, &mut accept(proxy));
    }
    let status = || sockc_runtime::status(&line.options);
    let status = line.router.run(status).unwrap().unwrap().unwrap();
    let filled = status.sockets.iter();
    let mut tcp = filled.filter(|slot| slot.slot.protocol == IpProtocol::TCP);
    assert!(tcp.all(|slot| slot.state == Fill::Filled));
}

/// A packet that another program gets behind the hooks comes to the stack as a copy, which has lost its socket.
#[test]
fn who_looks_at_ip_on_the_interface_keeps_sockets_from_their_packets() {
    let Some(line) = Line::new() else { return };
    let proxies = proxies(&line);
    line.apply(POLICY, true).unwrap();
    let look = || sockc_runtime::lab::PacketSocket::open("near", 0x0800).unwrap();
    let looking = line.router.run(look).unwrap();
    let silence = Duration::from_millis(250);
    let unheard = connect(&line.client, at(CLIENT[0]), server(0, 80), silence);
    assert_eq!(unheard.err(), Some(ErrorKind::TimedOut));
    drop(looking);
    let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
    assert_talks(&mut client, &mut accept(&proxies[0]));
}
