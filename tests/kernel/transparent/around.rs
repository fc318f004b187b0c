//! What stands around redirects `at tc`: interfaces that belong to others, rules and routes half there, and connections whose rule
//! is gone.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use sockc_runtime::{Delivery, Maker, Status};
use sockc_testing::again;

use super::{CLIENT, Line, POLICY, proxies, resolvers, server};
use crate::stage::{PATIENCE, accept, assert_talks, at, connect, wait_for};

fn status(line: &Line) -> Status {
    let status = || sockc_runtime::status(&line.options);
    line.router.run(status).unwrap().unwrap().unwrap()
}

fn wrong(line: &Line) -> String {
    status(line).deliveries.wrong.join("\n")
}

/// Who made what leads IPv4.
fn makers(line: &Line) -> (Option<Maker>, Option<Maker>) {
    let first: Delivery = status(line).deliveries.ways[0];
    assert!(first.leads);
    (first.rule, first.route)
}

#[test]
fn a_port_of_a_bridge_is_refused_and_the_bridge_is_not() {
    let Some(mut line) = Line::new() else { return };
    let (proxies, _resolvers) = (proxies(&line), resolvers(&line));
    line.apply(POLICY, true).unwrap();
    assert_eq!(wrong(&line), "");
    line.at_router(&[
        "link add br0 type bridge",
        "link set br0 up",
        "address del 10.1.0.1/24 dev near",
        "link set near master br0",
        "address add 10.1.0.1/24 dev br0",
    ]);
    let told = wrong(&line);
    assert!(told.contains("\"near\" belongs to \"br0\""), "{told}");
    line.unload();
    let refused = line.apply(POLICY, true).unwrap_err().to_string();
    for words in ["\"near\" belongs to \"br0\"", "`interfaces br0`"] {
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(line.ways(), "");
    line.options.interfaces = vec!["br0".into()];
    line.apply(POLICY, true).unwrap();
    let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
    assert_talks(&mut client, &mut accept(&proxies[0]));
}

#[test]
fn what_takes_some_packets_elsewhere_is_told_before_and_after() {
    let Some(line) = Line::new() else { return };
    let _sockets = (proxies(&line), resolvers(&line));
    let cases = [
        (
            "route",
            "add 10.7.3.0/24 dev far table 8389",
            "del 10.7.3.0/24 dev far table 8389",
            "has other routes",
        ),
        ("link", "set lo down", "set lo up", "`ip link set lo up`"),
    ];
    line.apply(POLICY, true).unwrap();
    for (object, change, back, words) in cases {
        line.at_router(&[&format!("{object} {change}")]);
        let told = wrong(&line);
        assert!(told.contains(words), "{change}: {told}");
        let refused = line.apply(POLICY, true).unwrap_err().to_string();
        assert!(refused.contains(words), "{change}: {refused}");
        line.at_router(&[&format!("{object} {back}")]);
        line.apply(POLICY, true).unwrap();
        assert_eq!(wrong(&line), "", "{change}");
    }
    // Rules for others are none of ours.
    line.at_router(&[
        "rule add iif far lookup 77 pref 5",
        "rule add fwmark 7 lookup 77 pref 6",
        "rule add oif near lookup 77 pref 7",
    ]);
    assert_eq!(wrong(&line), "");
    for setting in ["tcp_fwmark_accept", "conf/near/src_valid_mark"] {
        let set = |value: &str| {
            let path = format!("/proc/sys/net/ipv4/{setting}");
            line.router
                .run(|| std::fs::write(path, value).unwrap())
                .unwrap();
        };
        set("1");
        let name = setting.rsplit('/').next().unwrap();
        assert!(wrong(&line).contains(name), "{}", wrong(&line));
        set("0");
    }
}

#[test]
fn what_is_half_there_is_made_whole_and_says_who_made_it() {
    let Some(line) = Line::new() else { return };
    let _sockets = (proxies(&line), resolvers(&line));
    let four = "socket proxy = tcp listen 127.0.0.1:7001
                default in drop
                redirect tcp to 10.7.0.0/16:80 to sock proxy at tc";
    let (route, rule) = (
        "-4 route add local default dev lo table 8389",
        "-4 rule add fwmark 0x20c5 lookup 8389",
    );
    let (ours, theirs) = (Some(Maker::Sockc), Some(Maker::Others));
    for (there, missing, made) in [(rule, route, (theirs, ours)), (route, rule, (ours, theirs))] {
        line.at_router(&[there]);
        let refused = line.apply(four, false).unwrap_err().to_string();
        assert!(refused.contains(&format!("`ip {missing}`")), "{refused}");
        assert!(!refused.contains(&format!("`ip {there}`")), "{refused}");
        line.apply(four, true).unwrap();
        assert_eq!(makers(&line), made);
        let marked = line.ways();
        assert_eq!(marked.matches("lookup 8389").count(), 1, "{marked}");
        line.unload();
        // The command that was told is the one that does it.
        line.at_router(&[missing]);
        line.apply(four, false).unwrap();
        assert_eq!(makers(&line), (theirs, theirs));
        line.unload();
        line.at_router(&["-4 rule del fwmark 0x20c5", "-4 route flush table 8389"]);
    }
}

/// With its rule a connection is kept by the mark; without it by early demultiplexing alone, as long as no route changes: that
/// sockc takes back what it made is a change too.
#[test]
fn a_connection_is_kept_by_its_rule_or_by_early_demultiplexing() {
    let Some(line) = Line::new() else { return };
    let (proxies, _resolvers) = (proxies(&line), resolvers(&line));
    let early = |value: &str| {
        let write = || std::fs::write("/proc/sys/net/ipv4/ip_early_demux", value).unwrap();
        line.router.run(write).unwrap();
    };
    let open = || {
        let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
        let mut taken = accept(&proxies[0]);
        assert_talks(&mut client, &mut taken);
        (client, taken)
    };
    let none = "default in allow";
    line.apply(POLICY, true).unwrap();
    let (mut client, mut taken) = open();
    early("0");
    assert_talks(&mut client, &mut taken);
    early("1");
    line.apply(none, false).unwrap();
    assert_lost(&line, &mut client);
    line.apply(POLICY, true).unwrap();
    assert_back(&mut taken);
    line.unload();

    line.at_router(&[
        "-4 route add local default dev lo table 8389",
        "-4 rule add fwmark 0x20c5 lookup 8389",
        "-6 route add local default dev lo table 8389",
        "-6 rule add fwmark 0x20c5 lookup 8389",
    ]);
    line.apply(POLICY, false).unwrap();
    let (mut client, mut taken) = open();
    line.apply(none, false).unwrap();
    assert_talks(&mut client, &mut taken);
    line.at_router(&["-4 route add 10.99.0.0/16 dev far"]);
    assert_lost(&line, &mut client);
    line.apply(POLICY, false).unwrap();
    assert_back(&mut taken);

    line.apply(none, false).unwrap();
    early("0");
    client.write_all(b"lost").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server knows nothing of it.
    let ended = again(|| client.read(&mut [0; 9])).unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
}

/// What is sent goes nowhere: it is sent again.
fn assert_lost(line: &Line, client: &mut TcpStream) {
    client.write_all(b"lost").unwrap();
    let show = || Command::new("ss").arg("-tinH").output().unwrap();
    wait_for("a second try", || {
        let shown = line.client.run(show).unwrap().stdout;
        String::from_utf8(shown).unwrap().contains("retrans:")
    });
}

/// With the rule it comes.
fn assert_back(taken: &mut TcpStream) {
    let mut read = [0; 4];
    taken.set_read_timeout(Some(PATIENCE)).unwrap();
    taken.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"lost");
}

/// What the lint of half handshakes says: the proxy never accepts.
#[test]
fn who_takes_only_the_first_packet_gets_no_connection() {
    let Some(line) = Line::new() else { return };
    let proxies = proxies(&line);
    line.apply(
        "socket proxy = tcp listen 127.0.0.1:7001
         default in drop
         redirect tcp to 10.7.0.0/16:80 to sock proxy at tc if tcp flags syn no ack
         rest: allow",
        true,
    )
    .unwrap();
    let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
    client.write_all(b"data").unwrap();
    // The second packet of the handshake is behind us when the data comes.
    wait_for("the data", || line.counted("rest") >= 2);
    proxies[0].set_nonblocking(true).unwrap();
    let none = proxies[0].accept().unwrap_err();
    assert_eq!(none.kind(), ErrorKind::WouldBlock);
}
