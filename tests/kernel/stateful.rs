//! A host that talks to everybody and to which nobody talks: its sockets are the state.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use sockc_runtime::Means;
use sockc_runtime::lab::{FRONT, Space};
use sockc_testing::again;

use crate::knock::{ACK, Answer, FIN, Knocker, SYN, header};
use crate::stage::{
    CLIENT, PATIENCE, SERVER, Stage, accept, assert_talks, at, connect, ip, listener, rules, udp,
    wait_for,
};

/// `TCP_TIME_WAIT` and `TCP_LAST_ACK` as the kernel's list of sockets writes them.
const TIME_WAIT: &str = "06";
const LAST_ACK: &str = "09";

/// The three places where the same policy may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Native,
    Generic,
    Tc,
}

impl Place {
    fn means(self) -> Means {
        match self {
            Self::Native => Means::XdpNative,
            Self::Generic => Means::XdpGeneric,
            Self::Tc => Means::Tcx,
        }
    }

    /// The policy in force at this place. Native XDP on veth takes no frames beyond a page, so a large MTU makes the runtime
    /// fall back.
    fn stage(self) -> Option<Stage> {
        let stage = Stage::new()?;
        if self == Self::Generic {
            for space in [&stage.lab.client, &stage.lab.server] {
                space.run(|| set_mtu(9000)).unwrap();
            }
        }
        let policy = match self {
            Self::Tc => "default in drop
                 answers: allow if socket established at tc"
                .to_owned(),
            _ => rules("stateful-host"),
        };
        let applied = stage.apply(&policy);
        let inward = applied.interfaces.iter().find(|hook| hook.hook != "tc-out");
        assert_eq!(
            inward.map(|hook| hook.means),
            Some(self.means()),
            "{applied:?}"
        );
        Some(stage)
    }
}

fn set_mtu(mtu: u32) {
    let status = std::process::Command::new("ip")
        .args(["link", "set", "dev", FRONT, "mtu", &mtu.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// A connection that the host opened: its end, and the peer's.
struct Outward {
    ours: TcpStream,
    theirs: TcpStream,
}

fn open(stage: &Stage, peer: &TcpListener, family: usize) -> Outward {
    let to = peer.local_addr().unwrap();
    let from = SocketAddr::new(ip(SERVER[family]), 0);
    let mut ours = connect(&stage.lab.server, from, to, PATIENCE).unwrap();
    let mut theirs = accept(peer);
    assert_talks(&mut ours, &mut theirs);
    Outward { ours, theirs }
}

/// The states of the sockets of a space with this local port.
fn states(space: &Space, port: u16) -> Vec<String> {
    let read = || {
        ["tcp", "tcp6"].map(|name| {
            std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
        })
    };
    let port = format!(":{port:04X}");
    let lists = space.run(read).unwrap();
    let lines = lists.iter().flat_map(|list| list.lines().skip(1));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].ends_with(&port))
        .map(|fields| fields[3].to_owned())
        .collect()
}

fn connections_work_through_time_wait(place: Place) {
    let Some(stage) = place.stage() else { return };
    let mut knocker = Knocker::new(&stage);
    for family in [0, 1] {
        let peer = listener(&stage.lab.client, SocketAddr::new(ip(CLIENT[family]), 443));
        let Outward { ours, theirs } = open(&stage, &peer, family);
        let (local, remote) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
        // We close first, so the peer's FIN meets us in TIME_WAIT.
        drop(ours);
        drop(theirs);
        wait_for("TIME_WAIT", || {
            states(&stage.lab.server, local.port()).contains(&TIME_WAIT.to_owned())
        });
        let port = remote.port();
        wait_for("our answer to the peer's FIN", || {
            !states(&stage.lab.client, port).contains(&LAST_ACK.to_owned())
        });
        assert_eq!(
            stage.dropped(),
            0,
            "{place:?}: nothing of a connection of ours"
        );
        assert!(stage.counted("answers") > 0);
        // The peer sends its FIN once more, as it would had our answer got lost.
        let again = header(6, remote, local, FIN | ACK);
        assert!(knocker.passes(&again), "{place:?}");
        drop(peer);
    }
}

fn strangers_are_dropped(place: Place) {
    let Some(stage) = place.stage() else { return };
    let mut knocker = Knocker::new(&stage);
    for (address, other) in SERVER
        .into_iter()
        .zip(["192.0.2.80:81", "[2001:db8:80::80]:81"])
    {
        let open = SocketAddr::new(ip(address), 80);
        let before = stage.dropped();
        let _listener = listener(&stage.lab.server, open);
        let _datagrams = udp(&stage.lab.server, open);
        stage.assert_silent(&open.to_string());
        for to in [open.to_string(), other.to_owned()] {
            assert_eq!(knocker.tcp(&to), Answer::Dropped, "{place:?}: {to}");
            assert_eq!(knocker.udp(&to), Answer::Dropped, "{place:?}: {to}");
        }
        let from = SocketAddr::new(crate::stage::client_for(open).ip(), 999);
        for flags in [ACK, SYN | ACK, FIN] {
            assert!(!knocker.passes(&header(6, from, open, flags)), "{flags:#x}");
        }
        assert!(stage.dropped() >= before + 8, "each of them counts");
    }
}

fn datagrams_follow_the_connected_socket(place: Place) {
    let Some(stage) = place.stage() else { return };
    let mut knocker = Knocker::new(&stage);
    for family in [0, 1] {
        let peer = udp(&stage.lab.client, SocketAddr::new(ip(CLIENT[family]), 53));
        let stranger = udp(&stage.lab.client, SocketAddr::new(ip(CLIENT[family]), 54));
        let ours = udp(&stage.lab.server, SocketAddr::new(ip(SERVER[family]), 0));
        let remote = peer.local_addr().unwrap();
        ours.connect(remote).unwrap();
        let local = ours.local_addr().unwrap();
        assert_echo(&ours, &peer);
        assert_eq!(stage.dropped(), family as u64, "{place:?}");
        let unrelated = header(17, stranger.local_addr().unwrap(), local, 0);
        assert!(
            !knocker.passes(&unrelated),
            "{place:?}: another port of the peer"
        );
        // A socket that nobody connected is a server to the kernel.
        let open = udp(&stage.lab.server, SocketAddr::new(ip(SERVER[family]), 0));
        let answer = header(17, remote, open.local_addr().unwrap(), 0);
        open.connect(remote).unwrap();
        assert!(knocker.passes(&answer), "{place:?}");
    }
}

/// A question and its answer.
fn assert_echo(ours: &UdpSocket, peer: &UdpSocket) {
    let mut buffer = [0; 10];
    ours.send(b"question").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, from) = again(|| peer.recv_from(&mut buffer)).unwrap();
    peer.send_to(b"answer", from).unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = again(|| ours.recv(&mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"answer");
}

/// The same tests at each place.
macro_rules! at_each_place {
    ($($module:ident: $place:expr),*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn connections_work_through_time_wait() {
                super::connections_work_through_time_wait($place);
            }

            #[test]
            fn strangers_are_dropped() {
                super::strangers_are_dropped($place);
            }

            #[test]
            fn datagrams_follow_the_connected_socket() {
                super::datagrams_follow_the_connected_socket($place);
            }
        }
    )*};
}

at_each_place!(native_xdp: Place::Native, generic_xdp: Place::Generic, tc: Place::Tc);

#[test]
fn the_peer_may_close_first() {
    let Some(stage) = Place::Native.stage() else {
        return;
    };
    for family in [0, 1] {
        let peer = listener(&stage.lab.client, SocketAddr::new(ip(CLIENT[family]), 443));
        let Outward { mut ours, theirs } = open(&stage, &peer, family);
        drop(theirs);
        let mut rest = Vec::new();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Read::read_to_end(&mut ours, &mut rest).unwrap();
        assert_eq!(rest, b"");
        assert_eq!(stage.dropped(), 0);
    }
}

#[test]
fn a_refused_connection_is_refused_at_once() {
    let Some(stage) = Place::Native.stage() else {
        return;
    };
    for (from, to) in SERVER
        .into_iter()
        .zip(["198.51.100.9:9", "[2001:db8:9::9]:9"])
    {
        let from = SocketAddr::new(ip(from), 0);
        let answer = connect(&stage.lab.server, from, at(to), PATIENCE);
        assert_eq!(answer.err(), Some(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(stage.dropped(), 0);
    }
}
