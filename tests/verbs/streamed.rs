//! Policies on trial whose groups' connections are decided as before: what is written to these before the trial, in it, and after
//! the kernel alone has taken it back.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use sockc_runtime::lab::{Group, Lab};
use sockc_testing::again;
use socket2::Socket;

use super::{Folder, Ran, root, run};

/// A peer that the group may write to, and one that it may not.
const OPEN: [u8; 4] = [127, 0, 0, 8];
const SHUT: [u8; 4] = [127, 0, 0, 9];
/// The ports of datagrams that the policies drop: of the old one, of the new one.
const DROPPED: [u16; 2] = [1001, 1002];
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    lab: Lab,
    group: Group,
    folder: Folder,
    listener: TcpListener,
    sender: UdpSocket,
    /// At the ports that the policies drop.
    receivers: [UdpSocket; 2],
}

impl Place {
    fn new(name: &str) -> Self {
        let lab = Lab::new().unwrap();
        let listen = || TcpListener::bind("0.0.0.0:0").unwrap();
        let at = |port: u16| {
            let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            let socket = lab.server.run(bind).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self {
            sender: at(0),
            receivers: DROPPED.map(at),
            listener: lab.server.run(listen).unwrap(),
            group: Group::new().unwrap(),
            folder: Folder::new(name),
            lab,
        }
    }

    /// A policy that drops datagrams to a port, and what the group writes to a peer.
    fn policy(&self, name: &str, port: u16, shut: [u8; 4]) -> String {
        let text = format!(
            "interfaces lo\ngroup jobs = cgroup \"{}\"\ndefault in allow\ndrop udp to port {port}\n\
             default send allow\nshut: drop send tcp from group jobs to {}\n",
            self.group.path(),
            Ipv4Addr::from(shut)
        );
        self.folder.file(name, &text)
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.lab.server.run(|| run(arguments)).unwrap();
        let said = format!("{arguments:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(code), "{said}");
        ran
    }

    /// A connection of the group to a peer.
    fn connection(&self, peer: [u8; 4]) -> [TcpStream; 2] {
        let to = SocketAddr::from((peer, self.listener.local_addr().unwrap().port()));
        let connect = || {
            let local = "127.0.0.1:0".parse().unwrap();
            let socket = Socket::from(self.group.tcp_socket(local).unwrap());
            socket.connect(&to.into()).unwrap();
            TcpStream::from(socket)
        };
        let writer = self.lab.server.run(connect).unwrap();
        [writer, self.listener.accept().unwrap().0]
    }

    /// Which of the policies' datagrams arrive.
    fn arrives(&self) -> [bool; 2] {
        // Over `lo` what is not there after the call was dropped.
        self.receivers.each_ref().map(|receiver| {
            let to = receiver.local_addr().unwrap();
            self.sender.send_to(b"x", to).unwrap();
            again(|| receiver.recv(&mut [0; 1])).is_ok()
        })
    }
}

/// Connections with whether a write to them is refused.
type Kept = Vec<([TcpStream; 2], bool)>;

fn check(kept: &mut Kept, when: &str) {
    for (place, ([writer, _], refused)) in kept.iter_mut().enumerate() {
        let wrote = writer.write(b"data");
        let denied = wrote.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES));
        assert_eq!(denied, *refused, "connection {place} {when}");
    }
}

#[test]
fn a_trial_that_leaves_connections_as_they_are_comes_and_goes_by_the_kernel_alone() {
    if !root() {
        return;
    }
    let place = Place::new("streamed");
    let [old, new] = [("old.sk", 0), ("new.sk", 1)]
        .map(|(name, which)| place.policy(name, DROPPED[which], SHUT));
    place.ends(0, &["apply", &old]);
    let both = || {
        [
            (place.connection(OPEN), false),
            (place.connection(SHUT), true),
        ]
    };
    let mut kept: Kept = both().into();
    check(&mut kept, "under the old policy");
    place.ends(0, &["apply", &new, "--confirm", "3s"]);
    if place.arrives() == [true, false] {
        kept.extend(both());
        check(&mut kept, "on trial");
    }
    let began = Instant::now();
    while place.arrives() != [false, true] {
        assert!(
            began.elapsed() < PATIENCE,
            "the old policy does not come back"
        );
    }
    check(
        &mut kept,
        "after the trial, which no command of ours has seen",
    );
    kept.extend(both());
    check(&mut kept, "after the trial, those made since too");
    let status = place.ends(0, &["status"]).stdout;
    assert!(status.contains("generation 1"), "{status}");
    check(&mut kept, "after a command has seen that");
    place.ends(0, &["apply", &new, "--confirm", "1h"]);
    kept.extend(both());
    place.ends(0, &["confirm"]);
    check(&mut kept, "confirmed");
    assert_eq!(place.arrives(), [true, false]);
    place.ends(0, &["unload", "--yes"]);
}

#[test]
fn a_trial_that_changes_what_becomes_of_connections_is_refused_with_the_line() {
    if !root() {
        return;
    }
    let place = Place::new("streamed-otherwise");
    let old = place.policy("old.sk", DROPPED[0], SHUT);
    let other = place.policy("other.sk", DROPPED[0], OPEN);
    // Nothing was before that could come back.
    place.ends(3, &["apply", &old, "--confirm", "1h"]);
    place.ends(0, &["apply", &old]);
    let said = place.ends(3, &["apply", &other, "--confirm", "1h"]).stderr;
    assert!(
        said.contains("while that changes (") && said.contains("other.sk:6 of `send`)"),
        "{said}"
    );
    let without = place
        .folder
        .file("without.sk", "interfaces lo\ndefault in drop\n");
    let said = place
        .ends(3, &["apply", &without, "--confirm", "1h"])
        .stderr;
    assert!(said.contains("cannot take back"), "{said}");
    place.ends(0, &["apply", &other]);
    let mut kept = vec![
        (place.connection(OPEN), true),
        (place.connection(SHUT), false),
    ];
    check(&mut kept, "under the other policy");
    place.ends(0, &["unload", "--yes"]);
}
