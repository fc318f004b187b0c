//! What becomes of new connections while nobody listens at a named socket's address, and who may fill its slot.

use sockc_runtime::Fill;
use sockc_runtime::lab::Space;
use sockc_testing::again;

use crate::knock::{Answer, Knocker};
use crate::stage::{PATIENCE, Stage, at, client_for, close, connect, listener, socket, udp};

const TO: [&str; 2] = ["3.3.3.3:80", "[2001:db8:3::3]:80"];
const PROXY: [&str; 2] = ["127.0.0.1:1234", "[::1]:1234"];

fn stage(absent: &str, more: &str) -> Option<Stage> {
    let stage = Stage::new()?.serving(&[("3.3.3.3", 32), ("2001:db8:3::3", 128)]);
    stage.apply(&format!(
        "{more}
         socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234,
             udp listen 127.0.0.1:1234, udp listen [::1]:1234 {absent}
         redirect 3.3.3.3:*, [2001:db8:3::3]:* to sock proxy"
    ));
    Some(stage)
}

/// What a client of the server's own namespace sees, over `lo`.
fn locally(stage: &Stage, to: &str) -> Option<std::io::ErrorKind> {
    let from = if at(to).is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    connect(&stage.lab.server, at(from), at(to), PATIENCE).err()
}

#[test]
fn an_absent_socket_is_silent_where_the_policy_says_drop() {
    let Some(stage) = stage("if absent drop", "default in drop") else {
        return;
    };
    let mut knocker = Knocker::new(&stage);
    for (to, proxy) in TO.into_iter().zip(PROXY) {
        for _ in 0..2 {
            assert_eq!(knocker.tcp(to), Answer::Dropped);
            assert_eq!(knocker.udp(to), Answer::Dropped);
            let listener = stage.listen(proxy);
            assert_eq!(knocker.tcp(to), Answer::Accepted);
            assert_eq!(knocker.udp(to), Answer::Dropped, "that slot is another");
            stage.assert_reaches(to, &listener);
        }
    }
}

/// The packet hook asks the kernel whether a packet is of a connection that exists, and for that the kernel runs the program
/// of lookups, too.
#[test]
fn what_a_packet_hook_asks_is_not_counted() {
    let Some(stage) = Stage::new() else { return };
    let stage = stage.serving(&[("3.3.3.3", 32), ("2001:db8:3::3", 128)]);
    stage.apply(
        "default in drop
         socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234 if absent drop
         moved: redirect tcp 3.3.3.3:*, [2001:db8:3::3]:* to sock proxy",
    );
    for (number, (to, proxy)) in TO.into_iter().zip(PROXY).enumerate() {
        let listener = stage.listen(proxy);
        for _ in 0..3 {
            stage.assert_reaches(to, &listener);
        }
        assert_eq!(stage.counted("moved"), 3 * (number as u64 + 1), "{to}");
    }
}

#[test]
fn an_absent_socket_refuses_where_the_policy_says_reject_or_nothing() {
    for absent in ["", "if absent reject"] {
        let Some(stage) = stage(absent, "default in drop") else {
            return;
        };
        let mut knocker = Knocker::new(&stage);
        for (to, proxy) in TO.into_iter().zip(PROXY) {
            assert_eq!(knocker.tcp(to), Answer::Refused);
            assert!(!matches!(knocker.udp(to), Answer::Dropped), "{to}");
            assert_datagram_refused(&stage, to);
            stage.assert_refused(to);
            let listener = stage.listen(proxy);
            stage.assert_reaches(to, &listener);
        }
    }
}

/// Asserts that a client's socket learns that nobody is there. An ICMPv6 error needs a configured address to come from, which
/// a prefix that is only routed local is not.
fn assert_datagram_refused(stage: &Stage, to: &str) {
    let address = || {
        let status = std::process::Command::new("ip")
            .args([
                "address",
                "replace",
                "2001:db8:80::80/128",
                "dev",
                "lo",
                "nodad",
            ])
            .status();
        assert!(status.unwrap().success());
    };
    stage.lab.server.run(address).unwrap();
    let client = udp(&stage.lab.client, client_for(at(to)));
    client.connect(at(to)).unwrap();
    client.send(b"anybody?").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = again(|| client.recv(&mut [0])).unwrap_err().kind();
    assert_eq!(answer, std::io::ErrorKind::ConnectionRefused, "{to}");
}

#[test]
fn over_lo_an_absent_socket_always_refuses() {
    for absent in ["if absent drop", "if absent reject"] {
        let Some(stage) = stage(absent, "default in drop") else {
            return;
        };
        for (to, proxy) in TO.into_iter().zip(PROXY) {
            let refused = Some(std::io::ErrorKind::ConnectionRefused);
            assert_eq!(locally(&stage, to), refused, "{absent}: {to}");
            let listener = stage.listen(proxy);
            assert_eq!(locally(&stage, to), None);
            close(&stage.lab.server, listener);
            assert_eq!(locally(&stage, to), refused, "{absent}: {to}");
        }
    }
}

#[test]
fn an_absent_socket_never_falls_through_to_another_listener() {
    let Some(stage) = stage("if absent reject", "") else {
        return;
    };
    for to in TO {
        let other = stage.listen(to);
        stage.assert_refused(to);
        assert!(locally(&stage, to).is_some());
        drop(other);
    }
}

#[test]
fn a_socket_that_was_shut_down_but_not_closed_refuses() {
    let Some(stage) = stage("if absent drop", "default in drop") else {
        return;
    };
    for (to, proxy) in TO.into_iter().zip(PROXY) {
        let listener: socket2::Socket = stage.listen(proxy).into();
        assert!(stage.connect(to).is_ok());
        listener.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(stage.fills().contains(&Fill::NotListening));
        stage.assert_refused(to);
    }
}

#[test]
fn a_listener_of_another_namespace_never_gets_into_the_slot() {
    let Some(stage) = stage("if absent drop", "default in drop") else {
        return;
    };
    let other = Space::new().unwrap();
    for (to, proxy) in TO.into_iter().zip(PROXY) {
        // Another namespace, and the client's: one is unknown to the server, the other is its neighbour.
        let elsewhere = [&other, &stage.lab.client].map(|space| listener(space, at(proxy)));
        let _datagrams =
            [&other, &stage.lab.client].map(|space| socket(space, socket2::Type::DGRAM, at(proxy)));
        assert_eq!(stage.fills(), [Fill::Absent; 4]);
        stage.assert_silent(to);
        stage.apply(
            "default in drop
             socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234,
                 udp listen 127.0.0.1:1234, udp listen [::1]:1234 if absent drop
             redirect 3.3.3.3:*, [2001:db8:3::3]:* to sock proxy",
        );
        assert_eq!(stage.fills(), [Fill::Absent; 4]);
        stage.assert_silent(to);
        let ours = stage.listen(proxy);
        stage.assert_reaches(to, &ours);
        // They begin to listen again after ours did: the slot stays ours.
        drop(elsewhere);
        let _elsewhere = [&other, &stage.lab.client].map(|space| listener(space, at(proxy)));
        stage.assert_reaches(to, &ours);
    }
}
