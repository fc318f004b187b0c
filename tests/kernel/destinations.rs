//! What is counted of what is given to named sockets, by each way that it can end with real ones; and since when they are there.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use aya::maps::Map;
use aya::programs::SkLookup;
use sockc_compiler::destination::Ending;
use sockc_runtime::{Endings, Handover, SlotKind};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::stage::{Stage, accept, at, client_for, close, compile, connect, ip, udp, wait_for};
use crate::syscalls::update;

/// Where clients go, of both families.
const TO: [&str; 2] = ["3.3.3.3:80", "[2001:db8:3::3]:80"];
const ANY: [&str; 2] = ["127.0.0.1", "::1"];

fn stage() -> Option<Stage> {
    let stage = Stage::new()?;
    Some(stage.serving(&[("3.3.3.3", 32), ("2001:db8:3::3", 128)]))
}

/// A policy that leads what stands behind `one` its protocols and families: IPv6 where it is handed over.
fn policy(one: &str, at: &str) -> String {
    let [four, six] = TO;
    format!("default in allow\nsocket one = {one}\nredirect {four} to sock one{at}\n")
        + &match one.starts_with("registered") {
            true => format!("redirect {six} to sock one{at}\n"),
            false => String::new(),
        }
}

/// Protocols and families.
fn kinds() -> impl Iterator<Item = (Type, usize)> {
    let protocols = [Type::STREAM, Type::DGRAM].into_iter();
    protocols.flat_map(|kind| [0, 1].map(|six| (kind, six)))
}

fn name(kind: Type, six: usize) -> String {
    let protocol = if kind == Type::STREAM { "tcp" } else { "udp" };
    format!("{protocol}{}", [4, 6][six])
}

/// What `one` was given of a kind.
fn endings(stage: &Stage, kind: &str) -> Endings {
    let found = stage.status().unwrap().destinations.into_iter();
    let mut found =
        found.filter(|one| one.socket == "one" && SlotKind::of(&one.slot).name() == kind);
    found.next().unwrap().endings
}

/// A socket of the server that may be given packets at TC, too; with port 0 the kernel chooses one.
fn socket(stage: &Stage, kind: Type, six: usize, port: u16) -> Socket {
    let make = || {
        let local = std::net::SocketAddr::new(ip(ANY[six]), port);
        let socket = Socket::new(Domain::for_address(local), kind, None).unwrap();
        if local.is_ipv6() {
            socket.set_only_v6(true).unwrap();
        }
        let (fd, one) = (socket.as_fd(), true);
        nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::IpTransparent, &one).unwrap();
        socket.bind(&local.into()).unwrap();
        if kind == Type::STREAM {
            socket.listen(64).unwrap();
        }
        socket
    };
    stage.lab.server.run(make).unwrap()
}

fn register(stage: &Stage, socket: &Socket) {
    let register = || {
        let handed = [Handover::Own(socket.as_raw_fd())];
        sockc_runtime::socket_register(&stage.options, "one", &handed)
    };
    stage.lab.server.run(register).unwrap().unwrap();
}

fn unregister(stage: &Stage) {
    let empty = || {
        let kinds: Vec<SlotKind> = SlotKind::all().collect();
        sockc_runtime::socket_unregister(&stage.options, "one", &kinds)
    };
    stage.lab.server.run(empty).unwrap().unwrap();
}

/// Sends one connection or one datagram, and waits until that was counted; gives how it ended.
fn sent(stage: &Stage, kind: Type, six: usize) -> Ending {
    let before = endings(stage, &name(kind, six));
    let to = at(TO[six]);
    match kind {
        // A SYN that nobody answers would be sent again and counted again.
        Type::STREAM => drop(connect(
            &stage.lab.client,
            client_for(to),
            to,
            Duration::from_millis(400),
        )),
        _ => {
            let client = udp(&stage.lab.client, client_for(to));
            client.send_to(b"?", to).unwrap();
        }
    }
    let mut after = before;
    wait_for("the count", || {
        after = endings(stage, &name(kind, six));
        after.all() > before.all()
    });
    let ended = |ending: &Ending| after.of(*ending) > before.of(*ending);
    let found: Vec<Ending> = Ending::ALL.into_iter().filter(ended).collect();
    assert_eq!(found.len(), 1, "{before:?} {after:?}");
    found[0]
}

/// What makes a socket of a kind, bound to a port, one that takes nothing new any more, and how what is given to it ends.
type Change = (Type, u16, fn(&Socket), Ending);

fn shut(socket: &Socket) {
    socket.shutdown(std::net::Shutdown::Both).unwrap();
}

fn connected(socket: &Socket) {
    let own = socket.local_addr().unwrap().as_socket().unwrap();
    let peer = std::net::SocketAddr::new(own.ip(), 9);
    socket.connect(&SockAddr::from(peer)).unwrap();
}

/// One that had its port from the kernel loses it, as one that is closed does.
fn without_port(socket: &Socket) {
    connected(socket);
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    // SAFETY: the kernel reads as many bytes as it is told, which `nobody` has.
    let done = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            &raw const nobody,
            size_of::<libc::sockaddr>() as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// What becomes of sockets, and how what is given to them ends.
fn each(place: &str, words: &str, changes: &[Change]) {
    let Some(mut stage) = stage() else { return };
    stage.options.add_routes = true;
    stage.apply(&policy(words, place));
    for (kind, six) in kinds() {
        assert_eq!(sent(&stage, kind, six), Ending::Missed);
        let there = socket(&stage, kind, six, 0);
        register(&stage, &there);
        assert_eq!(sent(&stage, kind, six), Ending::Given);
        unregister(&stage);
        assert_eq!(sent(&stage, kind, six), Ending::Missed);
        for (_, port, change, ending) in changes.iter().filter(|(other, ..)| *other == kind) {
            let there = socket(&stage, kind, six, *port);
            register(&stage, &there);
            change(&there);
            assert_eq!(sent(&stage, kind, six), *ending, "{kind:?} {six}");
            unregister(&stage);
        }
    }
    // Each was counted in the row of its own kind.
    let tcp = endings(&stage, "tcp4");
    let missed = |change: &&Change| change.0 == Type::STREAM && change.3 == Ending::Missed;
    let more = changes.iter().filter(missed).count() as u64;
    assert_eq!(tcp.of(Ending::Missed), 2 + more, "{tcp:?}");
}

/// At the socket lookup, where the kernel sees what a socket takes.
const AT_LOOKUP: [Change; 4] = [
    (Type::STREAM, 7001, shut, Ending::Unsuited),
    (Type::STREAM, 0, shut, Ending::Idle),
    (Type::DGRAM, 0, connected, Ending::Unsuited),
    (Type::DGRAM, 0, without_port, Ending::Idle),
];

/// At TC, where the program does.
const AT_TC: [Change; 3] = [
    (Type::STREAM, 7001, shut, Ending::Idle),
    (Type::DGRAM, 0, connected, Ending::Idle),
    (Type::DGRAM, 0, without_port, Ending::Idle),
];

#[test]
fn each_way_to_end_is_counted_at_the_lookup() {
    each("", "registered", &AT_LOOKUP);
}

#[test]
fn each_way_to_end_is_counted_of_members_too() {
    each("", "registered members 4", &AT_LOOKUP);
}

#[test]
fn each_way_to_end_is_counted_at_tc() {
    each(" at tc", "registered", &AT_TC);
}

#[test]
fn each_way_to_end_is_counted_of_members_at_tc() {
    each(" at tc", "registered members 4", &AT_TC);
}

/// Of a name with `if absent drop` what finds nobody ends at a packet hook, and is counted there, once.
#[test]
fn a_miss_that_is_dropped_ahead_of_the_lookup_is_counted() {
    each("", "registered if absent drop", &AT_LOOKUP);
    // The last one that may drop is another hook.
    let late = "registered if absent drop\ndrop udp to port 9 at tc";
    each("", late, &AT_LOOKUP);
    // Of members one without a port is nobody to that hook.
    let changes = AT_LOOKUP.map(|(kind, port, change, ending)| match port {
        0 if ending == Ending::Idle => (kind, port, change, Ending::Missed),
        _ => (kind, port, change, ending),
    });
    each("", "registered members 4 if absent drop", &changes);
}

/// A lookup program of somebody else that is asked before ours has its socket get what it chose.
#[test]
fn what_had_a_socket_already_is_counted() {
    let Some(stage) = stage() else { return };
    let (theirs, ours) = (
        stage.listen("127.0.0.1:7001"),
        stage.listen("127.0.0.1:7002"),
    );
    let object =
        compile("socket x = tcp listen 127.0.0.1:1\nredirect tcp to 3.3.3.3:80 to sock x").object;
    let attach = || {
        let mut other = aya::Ebpf::load(&object).unwrap();
        let Some(Map::SockMap(sockets)) = other.map("sockets") else {
            panic!("no slots");
        };
        let value = u64::try_from(theirs.as_raw_fd()).unwrap().to_ne_bytes();
        update(sockets.fd().as_fd(), &[0; 4], &value).unwrap();
        let program: &mut SkLookup = other.program_mut("lookup").unwrap().try_into().unwrap();
        program.load().unwrap();
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        program.attach(namespace).unwrap();
        other
    };
    let _other = stage.lab.server.run(attach).unwrap();
    stage.apply(&policy(
        "tcp listen 127.0.0.1:7002, udp listen 127.0.0.1:7002",
        "",
    ));
    assert_eq!(sent(&stage, Type::STREAM, 0), Ending::Chosen);
    accept(&theirs);
    drop(ours);
}

/// Who asks whether somebody listens, in a program, makes a lookup that is given nothing.
#[test]
fn a_question_counts_nothing() {
    let Some(stage) = stage() else { return };
    let listener = stage.listen("127.0.0.1:7001");
    let text = "default in drop
        socket one = tcp listen 127.0.0.1:7001
        allow tcp if socket established
        redirect tcp to 3.3.3.3:80 to sock one";
    stage.apply(text);
    for count in 1..=3 {
        stage.assert_reaches(TO[0], &listener);
        let endings = endings(&stage, "tcp4");
        assert_eq!((endings.all(), endings.of(Ending::Given)), (count, count));
    }
}

/// The numbers of a name stay with it, as those of rules do; a name that is new begins with none.
#[test]
fn numbers_go_on_in_a_policy_that_has_the_name() {
    let Some(stage) = stage() else { return };
    let words = "tcp listen 127.0.0.1:7001, udp listen 127.0.0.1:7001";
    let _listener = stage.listen("127.0.0.1:7001");
    stage.apply(&policy(words, ""));
    for count in 1..=3 {
        stage.connect(TO[0]).unwrap();
        assert_eq!(endings(&stage, "tcp4").of(Ending::Given), count);
        // The slots are others now.
        let more = "socket zero = tcp listen [::1]:9, udp listen [::1]:9\nredirect tcp to 9.9.9.9 to sock zero\n";
        let text = format!("{more}{}", policy(words, ""));
        stage.apply(if count % 2 == 0 { &text } else { more });
        stage.apply(&text);
        if count % 2 == 1 {
            // It was gone in between.
            assert_eq!(endings(&stage, "tcp4").all(), 0);
            (0..count).for_each(|_| drop(stage.connect(TO[0]).unwrap()));
        }
        assert_eq!(endings(&stage, "tcp4").of(Ending::Given), count);
        assert_eq!(endings(&stage, "udp4").all(), 0);
    }
}

/// When the socket of a kind came.
fn since(stage: &Stage, kind: &str) -> Option<u64> {
    let slots = stage.status().unwrap().sockets;
    let mut of_kind = slots
        .iter()
        .filter(|slot| SlotKind::of(&slot.slot).name() == kind);
    of_kind.find_map(|slot| slot.since)
}

/// By the clock by which they are told.
fn boot() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    Duration::from(time).as_nanos().try_into().unwrap()
}

/// Since when a socket is there, which came while `come` ran; gives both.
fn came<T>(stage: &Stage, kind: &str, come: impl FnOnce() -> T) -> (T, u64) {
    let before = boot();
    let there = come();
    let time = since(stage, kind).unwrap();
    assert!((before..=boot()).contains(&time), "{before} {time}");
    (there, time)
}

/// Whoever fills a slot: an apply, the service as it listens again, a packet.
#[test]
fn a_socket_is_there_since_it_came_whoever_took_it() {
    let Some(stage) = stage() else { return };
    let text = policy("tcp listen 127.0.0.1:7001, udp listen 127.0.0.1:7002", "");
    let make = || stage.listen("127.0.0.1:7001");
    let first = make();
    let (_, began) = came(&stage, "tcp4", || stage.apply(&text));
    assert_eq!(since(&stage, "udp4"), None);
    // Nothing moves it: neither looking again, nor another policy.
    let refresh = || sockc_runtime::socket_refresh(&stage.options, None);
    stage.lab.server.run(refresh).unwrap().unwrap();
    assert_eq!(since(&stage, "tcp4"), Some(began));
    stage.apply(&text);
    assert_eq!(since(&stage, "tcp4"), Some(began));
    // The program that sees it listen.
    close(&stage.lab.server, first);
    assert_eq!(since(&stage, "tcp4"), None);
    let (second, again) = came(&stage, "tcp4", make);
    assert!(again > began);
    stage.apply(&text);
    assert_eq!(since(&stage, "tcp4"), Some(again));
    close(&stage.lab.server, second);
    let (_third, _) = came(&stage, "tcp4", || {
        let third: TcpListener = make();
        stage.lab.server.run(refresh).unwrap().unwrap();
        third
    });
    // The program that sees a packet.
    for _ in 0..2 {
        let fresh = || stage.udp("127.0.0.1:7002");
        let (served, packet) = came(&stage, "udp4", || {
            let server: UdpSocket = fresh();
            stage.assert_datagram(TO[0], &server);
            server
        });
        stage.assert_datagram(TO[0], &served);
        assert_eq!(since(&stage, "udp4"), Some(packet));
        stage.lab.server.run(refresh).unwrap().unwrap();
        assert_eq!(since(&stage, "udp4"), Some(packet));
        stage.apply(&text);
        assert_eq!(since(&stage, "udp4"), Some(packet));
    }
}

/// One that is handed over, in a place of its own, and one that takes it from another.
#[test]
fn a_socket_is_there_since_it_was_handed_over() {
    let Some(stage) = stage() else { return };
    for words in ["registered", "registered members 4"] {
        let text = policy(words, "");
        stage.apply(&text);
        let first = socket(&stage, Type::STREAM, 0, 0);
        let (_, began) = came(&stage, "tcp4", || register(&stage, &first));
        register(&stage, &first);
        assert_eq!(since(&stage, "tcp4"), Some(began), "again");
        stage.apply(&text);
        assert_eq!(since(&stage, "tcp4"), Some(began), "another policy");
        let second = socket(&stage, Type::STREAM, 0, 0);
        let cookie = {
            let slots = stage.status().unwrap().sockets;
            let who = slots.into_iter().find_map(|slot| slot.who);
            who.unwrap().cookie
        };
        let replace = || {
            let handed = Handover::Own(second.as_raw_fd());
            sockc_runtime::socket_replace(&stage.options, "one", handed, cookie)
        };
        let (_, then) = came(&stage, "tcp4", || {
            stage.lab.server.run(replace).unwrap().unwrap()
        });
        assert!(then > began);
        unregister(&stage);
        assert_eq!(since(&stage, "tcp4"), None);
    }
}

/// Members that begin to listen take free places, and those that are there stay since they came.
#[test]
fn members_are_there_each_since_it_came() {
    let Some(stage) = stage() else { return };
    stage.apply(&policy(
        "tcp listen 127.0.0.1:7001, udp listen 127.0.0.1:7001 members 4",
        "",
    ));
    let listen = || {
        let make = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at("127.0.0.1:7001").into()).unwrap();
            socket.listen(8).unwrap();
            socket
        };
        stage.lab.server.run(make).unwrap()
    };
    let times = || {
        let slots = stage.status().unwrap().sockets.into_iter();
        slots.filter_map(|slot| slot.since).collect::<Vec<u64>>()
    };
    let mut there = Vec::new();
    for count in 1..=4 {
        let known = times();
        let before = boot();
        there.push(listen());
        let now = times();
        assert_eq!(now.len(), count);
        assert_eq!(now[..count - 1], known);
        assert!((before..=boot()).contains(&now[count - 1]));
    }
    // One that finds no place changes nothing.
    let known = times();
    let _more = listen();
    assert_eq!(times(), known);
    drop(there);
}

/// One that a packet has put into a slot leaves its time to nobody who comes after it.
#[test]
fn what_a_packet_put_there_leaves_its_time_to_nobody() {
    let Some(stage) = stage() else { return };
    stage.apply(&policy("udp listen 127.0.0.1:7002", ""));
    let make = || stage.udp("127.0.0.1:7002");
    let (first, began) = came(&stage, "udp4", || {
        let first = make();
        stage.assert_datagram(TO[0], &first);
        first
    });
    close(&stage.lab.server, first);
    assert_eq!(since(&stage, "udp4"), None);
    let (_second, then) = came(&stage, "udp4", || {
        let second = make();
        let refresh = || sockc_runtime::socket_refresh(&stage.options, None);
        stage.lab.server.run(refresh).unwrap().unwrap();
        second
    });
    assert!(then > began);
}

/// A listener that the kernel takes into no map changes nothing of who is there.
#[test]
fn one_that_is_refused_leaves_the_time_of_who_is_there() {
    let Some(stage) = stage() else { return };
    let text = policy("tcp listen 127.0.0.1:7001", "");
    stage.apply(&text);
    let make = |protocol: Option<Protocol>| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, protocol).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&at("127.0.0.1:7001").into()).unwrap();
        socket.listen(8).unwrap();
        socket
    };
    let (_first, began) = came(&stage, "tcp4", || {
        stage.lab.server.run(|| make(None)).unwrap()
    });
    let multipath = Protocol::from(libc::IPPROTO_MPTCP);
    let _second = stage.lab.server.run(|| make(Some(multipath))).unwrap();
    assert_eq!(since(&stage, "tcp4"), Some(began));
}
