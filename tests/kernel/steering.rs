//! Which socket a redirect chooses: by source, by port range, by the order of rules.

use std::net::SocketAddr;

use sockc_runtime::lab::FRONT;

use crate::stage::{PATIENCE, Stage, accept, assert_talks, at, connect, ip};

/// Three listeners; the last digit of the port is the number of the socket.
const SOCKETS: &str = "
    socket one = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001
    socket two = tcp listen 127.0.0.1:7002, tcp listen [::1]:7002
    socket three = tcp listen 127.0.0.1:7003, tcp listen [::1]:7003";

/// A connection from an address to an address and the number of the listener it must reach; 0 where none may.
type Case = (&'static str, &'static str, usize);

fn check(rules: &str, cases: &[Case]) {
    let Some(stage) = Stage::new() else { return };
    let stage = stage.serving(&[("3.3.3.0", 24), ("2001:db8:3::", 48)]);
    for (client, length) in [("10.1.0.0", 16), ("10.2.0.0", 16), ("2001:db8:10::", 48)] {
        stage.lab.own(ip(client), length, FRONT).unwrap();
    }
    stage.apply(&format!("{SOCKETS}\n{rules}"));
    let listeners = [4, 6].map(|family| {
        [1, 2, 3].map(|number| {
            let address = if family == 4 { "127.0.0.1" } else { "[::1]" };
            stage.listen(&format!("{address}:700{number}"))
        })
    });
    for &(from, to, wanted) in cases {
        let (from, to) = (SocketAddr::new(ip(from), 0), at(to));
        let connected = connect(&stage.lab.client, from, to, PATIENCE);
        if wanted == 0 {
            let refused = std::io::ErrorKind::ConnectionRefused;
            assert_eq!(connected.err(), Some(refused), "{from} to {to}");
            continue;
        }
        let mut client = connected.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        let mut server = accept(&listeners[usize::from(to.is_ipv6())][wanted - 1]);
        assert_eq!(server.local_addr().unwrap(), to, "what the client dialled");
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_talks(&mut client, &mut server);
    }
}

#[test]
fn by_the_senders_prefix() {
    check(
        "redirect from 10.1.0.0/16, 2001:db8:10:1::/64 3.3.3.3:80, [2001:db8:3::3]:80 to sock one
         redirect from 10.0.0.0/8, 2001:db8:10::/48 3.3.3.3:80, [2001:db8:3::3]:80 to sock two",
        &[
            ("10.1.0.1", "3.3.3.3:80", 1),
            ("10.1.255.255", "3.3.3.3:80", 1),
            ("10.2.0.1", "3.3.3.3:80", 2),
            ("198.51.100.9", "3.3.3.3:80", 0),
            ("10.1.0.1", "3.3.3.4:80", 0),
            ("10.1.0.1", "3.3.3.3:81", 0),
            ("2001:db8:10:1::5", "[2001:db8:3::3]:80", 1),
            ("2001:db8:10:2::5", "[2001:db8:3::3]:80", 2),
            ("2001:db8:9::9", "[2001:db8:3::3]:80", 0),
        ],
    );
}

#[test]
fn by_ranges_and_lists_of_ports() {
    check(
        "redirect 3.3.3.0/24:1000-1999, [2001:db8:3::/48]:1000-1999 to sock one
         redirect 3.3.3.0/24:{1, 80, 60000-65535}, [2001:db8:3::/48]:{1, 80, 60000-65535} to sock two",
        &[
            ("10.1.0.1", "3.3.3.0:1000", 1),
            ("10.1.0.1", "3.3.3.255:1999", 1),
            ("10.1.0.1", "3.3.3.3:999", 0),
            ("10.1.0.1", "3.3.3.3:2000", 0),
            ("10.1.0.1", "3.3.3.3:1", 2),
            ("10.1.0.1", "3.3.3.3:80", 2),
            ("10.1.0.1", "3.3.3.3:59999", 0),
            ("10.1.0.1", "3.3.3.3:60000", 2),
            ("10.1.0.1", "3.3.3.3:65535", 2),
            ("2001:db8:9::9", "[2001:db8:3:ffff::1]:1999", 1),
            ("2001:db8:9::9", "[2001:db8:3::]:65535", 2),
            ("2001:db8:9::9", "[2001:db8:3::]:2", 0),
        ],
    );
}

#[test]
fn by_the_order_of_rules_and_not_by_their_prefixes() {
    check(
        "redirect 3.3.3.3:80, [2001:db8:3::3]:80 to sock three
         redirect 3.3.3.0/24:*, [2001:db8:3::/48]:* to sock one
         redirect 3.3.3.4:443, [2001:db8:3::4]:443 to sock two",
        &[
            ("10.1.0.1", "3.3.3.3:80", 3),
            ("10.1.0.1", "3.3.3.4:443", 1),
            ("10.1.0.1", "3.3.3.3:81", 1),
            ("2001:db8:9::9", "[2001:db8:3::3]:80", 3),
            ("2001:db8:9::9", "[2001:db8:3::4]:443", 1),
            ("2001:db8:9::9", "[2001:db8:3::3]:81", 1),
        ],
    );
}

#[test]
fn an_allow_ahead_of_a_redirect_leaves_the_ordinary_listener() {
    let Some(stage) = Stage::new() else { return };
    let stage = stage.serving(&[("3.3.3.0", 24), ("2001:db8:3::", 48)]);
    stage.apply(&format!(
        "{SOCKETS}
         default in drop
         allow tcp to 3.3.3.3:22, [2001:db8:3::3]:22
         redirect 3.3.3.0/24:*, [2001:db8:3::/48]:* to sock one"
    ));
    for (to, steered, proxy) in [
        ("3.3.3.3:22", "3.3.3.4:22", "127.0.0.1:7001"),
        ("[2001:db8:3::3]:22", "[2001:db8:3::4]:22", "[::1]:7001"),
    ] {
        let (own, proxy) = (stage.listen(to), stage.listen(proxy));
        let _hidden = stage.listen(steered);
        stage.assert_reaches(to, &own);
        stage.assert_reaches(steered, &proxy);
    }
}
