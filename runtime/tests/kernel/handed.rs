//! Sockets that are handed over, and those of a certain process.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use sockc_compiler::artifact::{Slot, SlotOrigin};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::{
    Applied, Error, Fill, Handover, Held, Options, SlotKind, socket_list, socket_register,
    socket_unregister,
};

use crate::policy::*;
use crate::space::{Space, close, elsewhere, hide, inside, reaches};

/// Where clients connect to; nobody is bound there.
const TO: &str = "127.0.0.9:53";

/// A policy with a registered socket `s0` whose slots begin at `first`; TCP for port 53 goes there.
fn policy_with(name: &str, first: u32) -> Policy {
    policy(name)
        .socket(first, 6, "0.0.0.0:0")
        .with(|manifest| {
            let socket = &mut manifest.sockets[0];
            socket.name = "s0".to_owned();
            socket.origin = SlotOrigin::Registered;
            let more = [("0.0.0.0", 17), ("::", 6), ("::", 17)];
            for (index, (address, protocol)) in (first + 1..).zip(more) {
                socket.slots.push(Slot {
                    index,
                    protocol: IpProtocol(protocol),
                    address: address.parse().unwrap(),
                    port: 0,
                });
            }
        })
        .steer(53, i32::try_from(first).unwrap())
}

fn own(socket: &impl AsRawFd) -> Handover {
    Handover::Own(socket.as_raw_fd())
}

fn kinds(held: &[Held]) -> Vec<String> {
    held.iter().map(|held| held.name()).collect()
}

/// The kinds of the slots that hold a socket.
fn held(options: &Options) -> Vec<String> {
    let list = socket_list(options).unwrap();
    let filled = list[0].1.iter().filter(|slot| slot.state == Fill::Filled);
    filled.map(|slot| SlotKind::of(&slot.slot).name()).collect()
}

/// As Java binds.
#[test]
fn a_socket_at_a_mapped_address_is_one_of_ipv4() {
    inside(|space| {
        policy_with("p", 0).apply(&space.options).unwrap();
        let server = TcpListener::bind("[::ffff:127.0.0.1]:0").unwrap();
        let put = socket_register(&space.options, "s0", &[own(&server)]).unwrap();
        assert_eq!(kinds(&put.held), ["tcp4"]);
        let port = server.local_addr().unwrap().port();
        assert_eq!(reaches(TO, &[&server]), Some(port));
    });
}

#[test]
fn a_registered_socket_is_steered_to_until_it_is_taken_out() {
    inside(|space| {
        let options = &space.options;
        let applied = policy_with("p", 0).apply(options).unwrap();
        assert!(
            applied
                .sockets
                .iter()
                .all(|slot| slot.state == Fill::Absent)
        );
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        assert_eq!(reaches(TO, &[&server]), None);
        let done = socket_register(options, "s0", &[own(&server)]).unwrap();
        assert_eq!(kinds(&done.held), ["tcp4"]);
        assert_eq!(reaches(TO, &[&server]), Some(port));
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        socket_register(options, "s0", &[own(&udp)]).unwrap();
        assert_eq!(held(options), ["tcp4", "udp6"]);
        // Another one takes its place.
        let second = TcpListener::bind("127.0.0.1:0").unwrap();
        socket_register(options, "s0", &[own(&second)]).unwrap();
        assert_eq!(
            reaches(TO, &[&server, &second]),
            Some(second.local_addr().unwrap().port())
        );
        let tcp = SlotKind::all().next().unwrap();
        assert_eq!(
            kinds(&socket_unregister(options, "s0", &[tcp]).unwrap()),
            ["tcp4"]
        );
        assert_eq!(reaches(TO, &[&server, &second]), None);
        assert_eq!(
            kinds(&socket_unregister(options, "s0", &[]).unwrap()),
            ["udp6"]
        );
        assert_eq!(socket_unregister(options, "s0", &[]).unwrap(), []);
    });
}

#[test]
fn registered_sockets_survive_an_apply() {
    inside(|space| {
        let options = &space.options;
        policy_with("p", 0).apply(options).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        socket_register(options, "s0", &[own(&server), own(&udp)]).unwrap();
        // Other slots, the same name.
        let applied = policy_with("q", 3).apply(options).unwrap();
        let states: Vec<Fill> = applied.sockets.iter().map(|slot| slot.state).collect();
        assert_eq!(
            states,
            [Fill::Filled, Fill::Absent, Fill::Absent, Fill::Filled]
        );
        assert_eq!(reaches(TO, &[&server]), Some(port));
        policy("none").apply(options).unwrap();
        policy_with("p", 0).apply(options).unwrap();
        assert_eq!(
            held(options),
            Vec::<&str>::new(),
            "a name that was gone is forgotten"
        );
    });
}

#[test]
fn what_cannot_be_steered_to_is_refused_and_nothing_is_put_in() {
    inside(|space| {
        let options = &space.options;
        policy_with("p", 0).apply(options).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = |sockets: &[Handover], said: &str| {
            let error = socket_register(options, "s0", sockets).unwrap_err();
            assert!(matches!(error, Error::Socket { .. }), "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(held(options), Vec::<&str>::new(), "{said}");
        };
        let connected = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        refused(&[own(&server), own(&connected)], "does not listen");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect("127.0.0.1:9").unwrap();
        refused(&[own(&udp)], "connected to one peer");
        let foreign = elsewhere(|| TcpListener::bind("127.0.0.1:0").unwrap());
        refused(&[own(&foreign)], "another network namespace");
        let file = fs::File::open("/dev/null").unwrap();
        refused(&[own(&file)], "no socket of IPv4 or IPv6");
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        refused(&[own(&unix)], "no socket of IPv4 or IPv6");
        let second = TcpListener::bind("127.0.0.1:0").unwrap();
        refused(
            &[own(&server), own(&second)],
            "two of these sockets are tcp4",
        );
        refused(&[Handover::Own(9999)], "descriptor 9999 cannot be taken");
        refused(
            &[Handover::Process {
                pid: u32::MAX >> 1,
                fd: 0,
            }],
            "cannot be taken",
        );
        let unknown = socket_register(options, "so", &[own(&server)]).unwrap_err();
        assert!(
            unknown.to_string().contains("did you mean \"s0\"?"),
            "{unknown}"
        );
        policy("l")
            .socket(1, 6, "127.0.0.1:7001")
            .apply(options)
            .unwrap();
        let listens = socket_register(options, "s1", &[own(&server)]).unwrap_err();
        assert!(
            listens
                .to_string()
                .contains("only a socket that is declared `registered`"),
            "{listens}"
        );
    });
}

#[test]
fn a_socket_of_another_process_is_taken_by_its_descriptor() {
    inside(|space| {
        let options = &space.options;
        policy_with("p", 0).apply(options).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        // The child inherits the descriptor as its standard input.
        let input = server.try_clone().unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(std::os::fd::OwnedFd::from(input))
            .spawn()
            .unwrap();
        let handover = Handover::Process {
            pid: child.id(),
            fd: 0,
        };
        let done = socket_register(options, "s0", &[handover]);
        let port = reaches(TO, &[&server]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(kinds(&done.unwrap().held), ["tcp4"]);
        assert_eq!(port, Some(server.local_addr().unwrap().port()));
    });
}

/// A policy whose socket is held by the process that a file tells.
fn of_process(space: &Space, at: &str) -> Applied {
    let file = space.folder().join("api.pid").display().to_string();
    policy("p")
        .socket(0, 6, at)
        .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Process(file))
        .steer(53, 0)
        .apply(&space.options)
        .unwrap()
}

#[test]
fn the_socket_of_a_process_is_found_by_its_pid_file() {
    inside(|space| {
        let server = TcpListener::bind("127.0.0.1:7001").unwrap();
        let file = space.folder().join("api.pid");
        let applied = of_process(space, "127.0.0.1:7001");
        assert_eq!(applied.sockets[0].state, Fill::OtherProcess);
        assert!(
            applied.notes[0].contains("api.pid cannot be read"),
            "{:?}",
            applied.notes
        );
        fs::write(&file, "no number\n").unwrap();
        let applied = of_process(space, "127.0.0.1:7001");
        assert!(
            applied.notes[0].contains("holds no process id"),
            "{:?}",
            applied.notes
        );
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(
            of_process(space, "127.0.0.1:7002").sockets[0].state,
            Fill::Absent
        );
        assert_eq!(reaches(TO, &[&server]), None);
        assert_eq!(
            of_process(space, "127.0.0.1:7001").sockets[0].state,
            Fill::Filled
        );
        assert_eq!(reaches(TO, &[&server]), Some(7001));
    });
}

#[test]
fn a_service_that_only_listens_there_is_not_the_process() {
    inside(|space| {
        let server = TcpListener::bind("127.0.0.1:7001").unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(space.folder().join("api.pid"), child.id().to_string()).unwrap();
        let applied = of_process(space, "127.0.0.1:7001");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(applied.sockets[0].state, Fill::OtherProcess);
        // Nor does it get into the slot by itself when it listens anew.
        close(server);
        let _server = TcpListener::bind("127.0.0.1:7001").unwrap();
        assert_eq!(
            socket_list(&space.options).unwrap()[0].1[0].state,
            Fill::OtherProcess
        );
    });
}

#[test]
fn without_systemd_its_sockets_are_absent_with_a_note() {
    inside(|space| {
        // Where systemd runs, this mount namespace is not to see it.
        if fs::exists("/run/systemd/system").unwrap() {
            hide(Path::new("/run/systemd"));
        }
        let unit = SlotOrigin::Systemd("authdns.socket".to_owned(), Some("dns".to_owned()));
        let applied = policy_with("p", 0)
            .with(|manifest| manifest.sockets[0].origin = unit)
            .apply(&space.options)
            .unwrap();
        assert!(
            applied
                .sockets
                .iter()
                .all(|slot| slot.state == Fill::Absent)
        );
        assert!(
            applied.notes[0].contains("systemd does not run here"),
            "{:?}",
            applied.notes
        );
    });
}
