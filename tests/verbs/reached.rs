//! How the packets of the connection come that a command is run over: found out of sockets, routes and interfaces that are not
//! plain. The connection is a real one, without an sshd.

use std::net::{SocketAddr, TcpListener, TcpStream};

use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use sockc_runtime::lab::{FRONT, Lab, SERVER, Space};

use super::{Folder, Ran, ip, root, run, sockc};

const CUT: &str = "default in drop\n";
const NEW: &str = "default in drop\nallow if socket established\n";

/// What is said to somebody who comes over a connection.
fn over(space: &Space, (client, server): (SocketAddr, SocketAddr), arguments: &[&str]) -> Ran {
    let mut command = sockc(arguments);
    let ends = [client, server].map(|end| format!("{} {}", end.ip(), end.port()));
    command.env("SSH_CONNECTION", ends.join(" "));
    Ran::of(space.run(|| command.output().unwrap()).unwrap())
}

fn listen(lab: &Lab, port: u16) -> TcpListener {
    let bind = || TcpListener::bind((SERVER[0], port)).unwrap();
    lab.server.run(bind).unwrap()
}

/// A connection to the server, and its ends: the client's, the server's.
fn connect(lab: &Lab, port: u16) -> (TcpStream, (SocketAddr, SocketAddr)) {
    let connect = || TcpStream::connect((SERVER[0], port)).unwrap();
    let stream = lab.client.run(connect).unwrap();
    let ends = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    (stream, ends)
}

#[test]
fn who_came_by_a_redirect_is_asked_about() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("behind"));
    let server = SERVER[0];
    let redirect = format!(
        "socket ssh = tcp listen {server}:2222\nredirect tcp to {server}:22 to sock ssh\n{NEW}"
    );
    let (redirect, new) = (
        folder.file("redirect.sk", &redirect),
        folder.file("new.sk", NEW),
    );
    let _listener = listen(&lab, 2222);
    let on = ["--interface", FRONT];
    let apply = |file: &str| {
        lab.server
            .run(|| run(&["apply", file, on[0], on[1]]))
            .unwrap()
    };
    assert_eq!(apply(&redirect).code, Some(0));
    let (_stream, ends) = connect(&lab, 22);
    let ran = over(&lab.server, ends, &["apply", &new, on[0], on[1]]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("though the one that you are using goes on"),
        "{}",
        ran.stderr
    );
    let ran = over(&lab.server, ends, &["apply", &redirect, on[0], on[1]]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SSH"), "{}", ran.stderr);
    // What is refused for another reason is refused for that.
    let ran = over(&lab.server, ends, &["apply", &new]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SSH"), "{}", ran.stderr);
    let ran = over(
        &lab.server,
        ends,
        &["apply", &new, "--interface", "nothing"],
    );
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SSH"), "{}", ran.stderr);
}

#[test]
fn who_is_bound_to_an_interface_and_an_interface_with_another_name_are_found() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("bound"));
    let open = format!("interfaces {FRONT}\ndefault in drop\nallow tcp to port ssh\n");
    let cut = format!("interfaces {FRONT}\n{CUT}");
    let (open, cut) = (folder.file("open.sk", &open), folder.file("cut.sk", &cut));
    let listener = listen(&lab, 22);
    // As in a VRF, what is accepted is bound to the interface too.
    let name = FRONT.into();
    let bind = || setsockopt(&listener, BindToDevice, &name).unwrap();
    lab.server.run(bind).unwrap();
    let (_stream, ends) = connect(&lab, 22);
    let _taken = listener.accept().unwrap();
    let refused = |interface: &str| {
        let ran = over(&lab.server, ends, &["apply", &cut]);
        assert_eq!(ran.code, Some(4), "{}", ran.stderr);
        let words = [
            "this would cut the SSH connection that you are using",
            &format!("arriving on {interface}, would be dropped"),
        ];
        let said = words.iter().all(|words| ran.stderr.contains(words));
        assert!(said, "{}", ran.stderr);
    };
    refused(FRONT);
    let ran = over(&lab.server, ends, &["apply", &open]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SSH"), "{}", ran.stderr);
    ip(&lab.server, &format!("link set {FRONT} name lan0"));
    refused("lan0");
}

#[test]
fn the_port_of_a_bridge_is_the_one_where_the_neighbour_is() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("ports"));
    let server = &lab.server;
    // The other side stands behind one of two ports; what is behind the other one is nobody.
    for line in [
        "link add br0 type bridge",
        "link add vnet0 type veth peer name guest0",
        "link add vnet1 type veth peer name guest1",
        "link set vnet0 master br0 up",
        "link set vnet1 master br0 up",
        "link set guest0 up",
        "link set guest1 up",
        "address add 192.0.2.1/24 dev br0",
        "link set br0 up",
        "neighbour add 192.0.2.7 lladdr 02:00:00:00:00:07 dev br0",
    ] {
        ip(server, line);
    }
    let bind = || TcpListener::bind("192.0.2.1:22").unwrap();
    let _listener = server.run(bind).unwrap();
    let guests = folder.file("guests.sk", &format!("interfaces vnet0\n{CUT}"));
    let ends = (
        "192.0.2.7:51022".parse().unwrap(),
        "192.0.2.1:22".parse().unwrap(),
    );
    let plan = || over(server, ends, &["plan", &guests]);
    // It may be either of them.
    let ran = plan();
    assert!(
        ran.stderr
            .contains("which of several interfaces your SSH connection comes by is not known"),
        "{}",
        ran.stderr
    );
    let learned = |port: &str, verb: &str| {
        let line = format!("fdb {verb} 02:00:00:00:00:07 dev {port} master");
        let run = || {
            std::process::Command::new("bridge")
                .args(line.split(' '))
                .status()
                .unwrap()
        };
        assert!(server.run(run).unwrap().success(), "{line}");
    };
    learned("vnet1", "add");
    let ran = plan();
    assert!(!ran.stderr.contains("SSH"), "{}", ran.stderr);
    learned("vnet1", "del");
    learned("vnet0", "add");
    let ran = plan();
    assert!(
        ran.stdout
            .contains("this would let no SSH connection in from 192.0.2.7"),
        "{}",
        ran.stdout
    );
}
