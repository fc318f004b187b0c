//! What passes through a router between two others, by both families: who meets `forward`, and what an answer of it is.

use std::io::ErrorKind;
use std::net::SocketAddr;

use sockc_testing::again;

use crate::reject::assert_unreachable;
use crate::stage::{PATIENCE, accept, assert_talks, at, connect, listener, udp, wait_for};
use crate::transparent::{Line, ip};

/// The addresses of a line: the client's, and the server's.
const CLIENT: [&str; 2] = ["10.1.0.2", "[2001:db8:1::2]"];
const SERVER: [&str; 2] = ["10.7.0.2", "[2001:db8:7::2]"];

const POLICY: &str = "zone inside = near
    zone outside = far
    default forward drop
    asked: allow forward tcp to any:80 on zone inside to zone outside
    answered: allow forward tcp from any:80 on zone outside to zone inside if tcp flags ack
    refused: reject forward tcp to any:81 on zone inside
    unreachable: reject forward udp to any:82 to zone outside
    wrong: drop forward to any:83 on zone outside
    silent: drop forward to any:83 on zone inside to interface far if ttl = 63
    allow forward icmp6
    default out allow
    late: drop out udp to any:84
    meant: allow forward udp to any:84";

fn line() -> Option<Line> {
    let mut line = Line::new()?;
    line.options.interfaces = vec!["near".into(), "far".into()];
    Some(line)
}

fn addressed(hosts: [&str; 2], port: u16) -> impl Iterator<Item = SocketAddr> {
    hosts.map(|host| at(&format!("{host}:{port}"))).into_iter()
}

fn from_client(to: SocketAddr) -> SocketAddr {
    at(&format!("{}:0", CLIENT[usize::from(to.is_ipv6())]))
}

/// Sends a datagram that nothing answers.
fn send(space: &sockc_runtime::lab::Space, from: SocketAddr, to: SocketAddr) {
    udp(space, from).send_to(b"through?", to).unwrap();
}

#[test]
fn a_router_lets_through_what_its_list_says() {
    let Some(line) = line() else { return };
    line.apply(POLICY, false).unwrap();
    for (asked, to) in (1..).zip(addressed(SERVER, 80)) {
        let server = listener(&line.server, to);
        let mut client = connect(&line.client, from_client(to), to, PATIENCE).unwrap();
        assert_talks(&mut client, &mut accept(&server));
        assert!(line.counted("asked") >= 2 * asked);
        assert!(line.counted("answered") >= 2 * asked);
    }
}

#[test]
fn a_reject_answers_the_sender_by_both_families() {
    let Some(line) = line() else { return };
    line.apply(POLICY, false).unwrap();
    for to in addressed(SERVER, 81) {
        let _busy = listener(&line.server, to);
        let answer = connect(&line.client, from_client(to), to, PATIENCE).err();
        assert_eq!(answer, Some(ErrorKind::ConnectionRefused), "{to}");
    }
    for to in addressed(SERVER, 82) {
        let _busy = udp(&line.server, to);
        assert_unreachable(&udp(&line.client, from_client(to)), to);
    }
    // A segment may be sent again before its answer has found its way.
    assert!(line.counted("refused") >= 2);
    assert_eq!(line.counted("unreachable"), 2);
}

/// What this machine sends and what is for it meet other lists, though they go by the same interfaces.
#[test]
fn only_what_passes_through_is_asked() {
    let Some(line) = line() else { return };
    line.apply(POLICY, false).unwrap();
    for (seen, to) in (1..).zip(addressed(SERVER, 83)) {
        let server = udp(&line.server, to);
        send(&line.client, from_client(to), to);
        wait_for("a drop of what passes through", || {
            line.counted("silent") == seen
        });
        // The router's own goes by the same interface, to the same receiver.
        let own = at(if to.is_ipv6() {
            "[2001:db8:7::1]:0"
        } else {
            "10.7.0.1:0"
        });
        send(&line.router, own, to);
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, from) = again(|| server.recv_from(&mut [0; 9])).unwrap();
        assert_eq!(from.ip(), own.ip());
        assert_eq!(line.counted("silent"), seen);
    }
    // To the router itself.
    for to in ["10.1.0.1:83", "[2001:db8:1::1]:83"].map(at) {
        let server = udp(&line.router, to);
        send(&line.client, from_client(to), to);
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        again(|| server.recv(&mut [0; 9])).unwrap();
    }
    assert_eq!((line.counted("silent"), line.counted("wrong")), (2, 0));
}

/// What its list lets go still meets that of what leaves.
#[test]
fn what_leaves_is_asked_after_it() {
    let Some(line) = line() else { return };
    line.apply(POLICY, false).unwrap();
    for (seen, to) in (1..).zip(addressed(SERVER, 84)) {
        send(&line.client, from_client(to), to);
        wait_for("a drop of what leaves", || line.counted("late") == seen);
        assert_eq!(line.counted("meant"), seen);
    }
}

/// A bridge hands frames from port to port: they came in by one interface and leave by another.
#[test]
fn what_a_bridge_hands_on_passes_through() {
    let Some(mut line) = Line::new() else { return };
    line.options.interfaces = vec!["near".into(), "far".into()];
    line.at_router(&[
        "address flush dev near",
        "address flush dev far",
        "link add br0 type bridge",
        "link set near master br0",
        "link set far master br0",
        "link set br0 up",
    ]);
    ip(&line.client, "address add 10.9.0.2/24 dev near");
    ip(&line.server, "address add 10.9.0.3/24 dev far");
    let text = "default forward allow
        bridged: drop forward udp to 10.9.0.3:85 on interface near to interface far
        routed: count forward udp to 10.9.0.3 on interface br0";
    line.apply(text, false).unwrap();
    let (from, to) = (at("10.9.0.2:0"), at("10.9.0.3:85"));
    send(&line.client, from, to);
    wait_for("a drop of what is bridged", || line.counted("bridged") == 1);
    let other = at("10.9.0.3:86");
    let server = udp(&line.server, other);
    send(&line.client, from, other);
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    again(|| server.recv(&mut [0; 9])).unwrap();
    assert_eq!(line.counted("routed"), 0);
}

/// Of an interface on top of another one it is that of the address, and not the one below.
#[test]
fn what_an_upper_interface_takes_came_in_by_that() {
    let Some(mut line) = Line::new() else { return };
    line.options.interfaces = vec!["near".into(), "upper".into(), "far".into()];
    line.at_router(&[
        "link add link near name upper type macvlan mode bridge",
        "link set upper up",
        "address add 10.5.0.1/24 dev upper",
    ]);
    // Else the one below answers, too, who has the address of the upper one.
    let alone = || std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
    line.router.run(alone).unwrap();
    ip(&line.client, "address add 10.5.0.2/24 dev near");
    ip(&line.client, "route add 10.7.0.0/16 via 10.5.0.1");
    let text = "default forward allow
        below: count forward udp to any:90 on interface near
        above: drop forward udp to any:90 on interface upper to interface far";
    line.apply(text, false).unwrap();
    send(&line.client, at("10.5.0.2:0"), at("10.7.0.2:90"));
    wait_for("a drop of what came in above", || {
        line.counted("above") == 1
    });
    assert_eq!(line.counted("below"), 0);
}

/// What a program at TC redirects out of an interface still says where it arrived.
#[test]
fn what_a_program_redirects_passes_through() {
    let Some(line) = line() else { return };
    let text = "default in allow
        sent: redirect udp to 10.7.0.2:91 to interface far at tc
        default forward allow
        met: drop forward udp to any:91 on interface near to interface far if ttl = 64";
    line.apply(text, false).unwrap();
    send(&line.client, at("10.1.0.2:0"), at("10.7.0.2:91"));
    wait_for("a drop of what is redirected", || line.counted("met") == 1);
    assert_eq!(line.counted("sent"), 1);
}

/// What the machine wraps for a tunnel it sends itself, and what comes out of one came in by the tunnel.
#[test]
fn a_tunnel_is_where_it_comes_in_and_nothing_passes_around_it() {
    let Some(mut line) = Line::new() else { return };
    line.options.interfaces = vec!["near".into(), "far".into(), "tun".into()];
    for (space, remote, own) in [
        (&line.router, "10.7.0.2", "10.8.0.1"),
        (&line.server, "10.7.0.1", "10.8.0.2"),
    ] {
        let kind = "type vxlan id 8 dstport 4789";
        ip(
            space,
            &format!("link add tun {kind} remote {remote} dev far"),
        );
        ip(space, "link set tun up");
        ip(space, &format!("address add {own}/16 dev tun"));
    }
    ip(&line.server, "route add 10.1.0.0/24 via 10.8.0.1");
    let text = "default forward allow
        wrapped: count forward udp to any:4789 to interface far
        inside: count forward udp to any:92 on interface near to interface tun
        out-of: drop forward udp from any:92 on interface tun to interface near";
    line.apply(text, false).unwrap();
    let to = at("10.8.0.2:92");
    let server = udp(&line.server, to);
    send(&line.client, at("10.1.0.2:0"), to);
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, from) = again(|| server.recv_from(&mut [0; 9])).unwrap();
    assert_eq!((line.counted("inside"), line.counted("wrapped")), (1, 0));
    server.send_to(b"back", from).unwrap();
    wait_for("a drop of what came out of a tunnel", || {
        line.counted("out-of") == 1
    });
}
