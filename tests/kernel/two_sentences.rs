//! The two sentences of the language, as `rules/two-sentences.sk` says them.

use std::net::TcpListener;

use sockc_runtime::{Fill, Means};

use crate::knock::{Answer, Knocker};
use crate::stage::{Stage, close, rules};
use sockc_compiler::protocol::IpProtocol;

const PROXY: [&str; 2] = ["127.0.0.1:1234", "[::1]:1234"];
/// Where the redirects of each family go.
const ALL: [[&str; 3]; 2] = [
    ["3.3.3.3:1", "3.3.3.3:80", "3.3.3.3:65535"],
    [
        "[2001:db8:3::3]:1",
        "[2001:db8:3::3]:80",
        "[2001:db8:3::3]:65535",
    ],
];

fn stage() -> Option<Stage> {
    let prefixes = [
        ("1.1.1.0", 24),
        ("3.3.3.3", 32),
        ("2001:db8:1::", 48),
        ("2001:db8:3::3", 128),
    ];
    let stage = Stage::new()?.serving(&prefixes);
    let applied = stage.apply(&rules("two-sentences"));
    let hooks = &applied.interfaces;
    let native = hooks.iter().any(|hook| hook.means == Means::XdpNative);
    assert!(native, "{hooks:?}");
    Some(stage)
}

#[test]
fn a_port_is_open_exactly_while_a_server_listens_there() {
    let Some(stage) = stage() else { return };
    let mut knocker = Knocker::new(&stage);
    for to in ["1.1.1.77:53", "[2001:db8:1::77]:53"] {
        for _ in 0..2 {
            let before = stage.dropped();
            stage.assert_silent(to);
            assert!(stage.dropped() > before, "the default dropped the SYN");
            assert_eq!(knocker.tcp(to), Answer::Dropped);
            assert_eq!(knocker.udp(to), Answer::Dropped);
            let server = stage.listen(to);
            stage.assert_reaches(to, &server);
            assert_eq!(knocker.tcp(to), Answer::Accepted);
            close(&stage.lab.server, server);
        }
        // A server on every address serves this one too, and only this port.
        let everywhere = if to.starts_with('[') {
            "[::]:53"
        } else {
            "0.0.0.0:53"
        };
        let server = stage.listen(everywhere);
        stage.assert_reaches(to, &server);
        let other = to.replace(":53", ":54");
        let _other = stage.listen(&other);
        stage.assert_silent(&other);
        close(&stage.lab.server, server);
        stage.assert_silent(to);
    }
}

#[test]
fn a_datagram_is_let_in_exactly_while_a_socket_is_there() {
    let Some(stage) = stage() else { return };
    let mut knocker = Knocker::new(&stage);
    for to in ["1.1.1.77:53", "[2001:db8:1::77]:53"] {
        assert_eq!(knocker.udp(to), Answer::Dropped);
        let server = stage.udp(to);
        stage.assert_datagram(to, &server);
        close(&stage.lab.server, server);
        assert_eq!(knocker.udp(to), Answer::Dropped);
    }
}

#[test]
fn every_port_reaches_one_listener_which_sees_what_was_dialled() {
    let Some(stage) = stage() else { return };
    for (proxy, all) in PROXY.into_iter().zip(ALL) {
        let listener = stage.listen(proxy);
        let before = stage.counted_redirects();
        for to in all {
            stage.assert_reaches(to, &listener);
        }
        assert_eq!(stage.counted_redirects(), before + 3, "one lookup each");
    }
}

#[test]
fn a_restarted_server_is_found_again_without_a_command() {
    let Some(stage) = stage() else { return };
    for (proxy, all) in PROXY.into_iter().zip(ALL) {
        let to = all[1];
        for _ in 0..4 {
            stage.assert_refused(to);
            let listener: TcpListener = stage.listen(proxy);
            stage.assert_reaches(to, &listener);
        }
    }
}

#[test]
fn a_redirect_wins_over_a_listener_of_its_own_address() {
    let Some(stage) = stage() else { return };
    for (proxy, all) in PROXY.into_iter().zip(ALL) {
        let there = stage.listen(all[1]);
        stage.assert_refused(all[1]);
        let listener = stage.listen(proxy);
        stage.assert_reaches(all[1], &listener);
        drop(there);
    }
}

#[test]
fn datagrams_reach_the_socket_and_an_apply_finds_a_restarted_one() {
    let Some(stage) = stage() else { return };
    for _ in 0..2 {
        let servers = PROXY.map(|proxy| stage.udp(proxy));
        // What is in the slots by now: UDP sockets of the round before are gone, and new ones wait for a packet or a command.
        let waiting = [Fill::Absent, Fill::Absent, Fill::Waiting, Fill::Waiting];
        assert_eq!(stage.fills(), waiting);
        let applied = stage.apply(&rules("two-sentences"));
        let filled = applied
            .sockets
            .iter()
            .filter(|slot| slot.state == Fill::Filled);
        assert!(
            filled
                .map(|slot| slot.slot.protocol)
                .eq([IpProtocol::UDP; 2])
        );
        for (server, all) in servers.iter().zip(ALL) {
            for to in all {
                stage.assert_datagram(to, server);
            }
        }
    }
}
