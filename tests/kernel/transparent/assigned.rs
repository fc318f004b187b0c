//! The kernel's own tests of sockets that TC assigns (`sk_assign` and `assign_reuse` in
//! `tools/testing/selftests/bpf/prog_tests`), with rules `at tc` in place of their programs: each protocol and family, by port, by
//! address and by both, to a socket of the namespace that the packets come to; with somebody bound where the client dialled, who gets
//! nothing; with connections that exist, with SYN cookies, and to a reuseport group whose own program chooses or refuses.

use std::fs;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use aya_obj::generated::{bpf_cmd, bpf_stats_type};
use nix::sys::socket::{setsockopt, sockopt};
use sockc_runtime::lab::Space;
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use super::{CLIENT, Line, SERVER, transparent};
use crate::lookups::{choose, refuse};
use crate::stage::{
    PATIENCE, accept, assert_talks, at, close, connect, kernel_counter, listener, udp, wait_for,
};
use crate::syscalls;

/// The ports of the kernel's tests: where the socket is bound, and where nobody of the policy is.
const BOUND: u16 = 1234;
const DIALLED: u16 = 4321;
/// The router's own addresses, at which packets come in.
const OWN: [&str; 2] = ["10.1.0.1", "[2001:db8:1::1]"];
const LOOPBACK: [&str; 2] = ["127.0.0.1", "[::1]"];
const KINDS: [(Type, &str); 2] = [(Type::STREAM, "tcp"), (Type::DGRAM, "udp")];
/// How long a client waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(250);
/// How many sockets a group has, and which of them its program chooses.
const MEMBERS: usize = 3;
const CHOSEN: usize = 1;

/// What differs between where the client dials and where the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    Port,
    Address,
    Both,
}

/// A protocol and family, and what differs.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Type,
    protocol: &'static str,
    six: usize,
    differs: Differs,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (kind, protocol) in KINDS {
            for six in [0, 1] {
                for differs in [Differs::Port, Differs::Address, Differs::Both] {
                    all.push(Self {
                        kind,
                        protocol,
                        six,
                        differs,
                    });
                }
            }
        }
        all
    }

    /// Where the client sends to: an address of the router, or of the server behind it.
    fn dialled(&self) -> SocketAddr {
        let (address, port) = match self.differs {
            Differs::Port => (OWN, DIALLED),
            Differs::Address => (SERVER, BOUND),
            Differs::Both => (SERVER, DIALLED),
        };
        at(&format!("{}:{port}", address[self.six]))
    }

    /// Where the socket of the policy is.
    fn bound(&self) -> SocketAddr {
        let address = match self.differs {
            Differs::Port => OWN,
            _ => LOOPBACK,
        };
        at(&format!("{}:{BOUND}", address[self.six]))
    }

    fn policy(&self) -> String {
        let Self { protocol, .. } = self;
        let (dialled, bound) = (self.dialled(), self.bound());
        format!(
            "socket there = {protocol} listen {bound}\ndefault in allow\n\
             it: redirect {protocol} to {dialled} to sock there at tc"
        )
    }

    /// Where who is dialled without the policy is.
    fn place<'a>(&self, line: &'a Line) -> &'a Space {
        match self.differs {
            Differs::Port => &line.router,
            _ => &line.server,
        }
    }
}

/// By TCP, the accepted socket has the name that was dialled.
fn by_tcp(line: &Line, case: &Case) {
    let (dialled, context) = (case.dialled(), format!("{case:?}"));
    let from = at(CLIENT[case.six]);
    let proxy = transparent(&line.router, Type::STREAM, case.bound());
    proxy.listen(128).unwrap();
    let proxy: TcpListener = proxy.into();
    let bystander = listener(case.place(line), dialled);
    line.apply(&case.policy(), true).unwrap();
    let mut client = connect(&line.client, from, dialled, PATIENCE).expect(&context);
    let mut taken = accept(&proxy);
    assert_eq!(taken.local_addr().unwrap(), dialled, "{context}");
    assert_eq!(
        taken.peer_addr().unwrap(),
        client.local_addr().unwrap(),
        "{context}"
    );
    assert_talks(&mut client, &mut taken);
    bystander.set_nonblocking(true).unwrap();
    let nobody = bystander.accept().unwrap_err().kind();
    assert_eq!(nobody, ErrorKind::WouldBlock, "{context}");
    assert!(line.counted("it") >= 4, "{context}");
    line.unload();
    let mut client = connect(&line.client, from, dialled, PATIENCE).expect(&context);
    assert_talks(&mut client, &mut accept(&bystander));
}

/// By UDP, the socket keeps its name, and the answer comes from another one.
fn by_udp(line: &Line, case: &Case) {
    let (dialled, context) = (case.dialled(), format!("{case:?}"));
    let proxy: UdpSocket = transparent(&line.router, Type::DGRAM, case.bound()).into();
    let bystander = udp(case.place(line), dialled);
    line.apply(&case.policy(), true).unwrap();
    let client = udp(&line.client, at(CLIENT[case.six]));
    for socket in [&proxy, &client, &bystander] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    client.send_to(b"?", dialled).unwrap();
    let (_, peer) = again(|| proxy.recv_from(&mut [0; 9])).expect(&context);
    assert_eq!(peer, client.local_addr().unwrap(), "{context}");
    assert_eq!(proxy.local_addr().unwrap(), case.bound(), "{context}");
    let away = (case.differs != Differs::Port)
        .then(|| -> UdpSocket { transparent(&line.router, Type::DGRAM, dialled).into() });
    let answerer = away.as_ref().unwrap_or(&bystander);
    answerer.send_to(b"me", peer).unwrap();
    let answer = again(|| client.recv_from(&mut [0; 9])).expect(&context);
    assert_eq!(answer, (2, dialled), "{context}");
    if let Some(away) = away {
        close(&line.router, away);
    }
    assert_eq!(line.counted("it"), 1, "{context}");
    line.unload();
    // It is the first that comes to the one who was dialled.
    client.send_to(b"later", dialled).unwrap();
    let first = again(|| bystander.recv_from(&mut [0; 9])).expect(&context);
    assert_eq!(first, (5, peer), "{context}");
}

#[test]
fn every_protocol_family_and_difference_reaches_its_socket() {
    let Some(line) = Line::new() else { return };
    for case in Case::all() {
        match case.kind {
            Type::STREAM => by_tcp(&line, &case),
            _ => by_udp(&line, &case),
        }
    }
}

/// A connection of the router's own service, made before there was a rule, and a connected UDP socket.
#[test]
fn what_exists_stays_and_what_is_new_is_taken_though_somebody_listens_there() {
    let Some(line) = Line::new() else { return };
    for six in [0, 1] {
        let case = |kind, protocol| Case {
            kind,
            protocol,
            six,
            differs: Differs::Port,
        };
        let (tcp, from) = (case(Type::STREAM, "tcp"), at(CLIENT[six]));
        let to = tcp.dialled();
        let own = listener(&line.router, to);
        let mut old = connect(&line.client, from, to, PATIENCE).unwrap();
        let mut served = accept(&own);
        let proxy = transparent(&line.router, Type::STREAM, tcp.bound());
        proxy.listen(8).unwrap();
        line.apply(&tcp.policy(), true).unwrap();
        assert_talks(&mut old, &mut served);
        let mut new = connect(&line.client, from, to, PATIENCE).unwrap();
        assert_talks(&mut new, &mut accept(&proxy.into()));
        assert_talks(&mut old, &mut served);
        // What this machine sends to itself does not come by the interface.
        let mut local =
            connect(&line.router, at(&format!("{}:0", OWN[six])), to, PATIENCE).unwrap();
        assert_talks(&mut local, &mut accept(&own));

        let udp_case = case(Type::DGRAM, "udp");
        let [friend, stranger] = [(); 2].map(|()| udp(&line.client, from));
        let connected = udp(&line.router, to);
        connected.connect(friend.local_addr().unwrap()).unwrap();
        let proxy: UdpSocket = transparent(&line.router, Type::DGRAM, udp_case.bound()).into();
        line.apply(&udp_case.policy(), true).unwrap();
        for (sender, receiver) in [(&friend, &connected), (&stranger, &proxy)] {
            receiver.set_read_timeout(Some(PATIENCE)).unwrap();
            sender.send_to(b"?", to).unwrap();
            let (_, peer) = again(|| receiver.recv_from(&mut [0; 9])).unwrap();
            assert_eq!(peer, sender.local_addr().unwrap());
        }
    }
}

/// The segment that ends a handshake belongs to nothing that exists; it comes to the listener by the rule.
#[test]
fn handshakes_of_cookies_end_at_the_socket() {
    let Some(line) = Line::new() else { return };
    let cookies = || fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap();
    line.router.run(cookies).unwrap();
    for (number, six) in [0, 1].into_iter().enumerate() {
        let case = Case {
            kind: Type::STREAM,
            protocol: "tcp",
            six,
            differs: Differs::Both,
        };
        let proxy = transparent(&line.router, Type::STREAM, case.bound());
        proxy.listen(8).unwrap();
        line.apply(&case.policy(), true).unwrap();
        let to = case.dialled();
        let mut client = connect(&line.client, at(CLIENT[six]), to, PATIENCE).unwrap();
        let mut taken = accept(&proxy.into());
        assert_eq!(taken.local_addr().unwrap(), to);
        assert_talks(&mut client, &mut taken);
        let received = kernel_counter(&line.router, "SyncookiesRecv");
        assert_eq!(received, number as u64 + 1);
    }
}

/// Transparent sockets of one reuseport group.
fn group(line: &Line, case: &Case) -> Vec<Socket> {
    let bound = case.bound();
    let member = || {
        let socket = Socket::new(Domain::for_address(bound), case.kind, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        setsockopt(&socket, sockopt::IpTransparent, &true).unwrap();
        socket.bind(&bound.into()).unwrap();
        if case.kind == Type::STREAM {
            socket.listen(64).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let make = || (0..MEMBERS).map(|_| member()).collect();
    line.router.run(make).unwrap()
}

/// Has the kernel count runs of programs while this is open.
fn counting() -> OwnedFd {
    let mut attr = syscalls::empty();
    attr.enable_stats.type_ = bpf_stats_type::BPF_STATS_RUN_TIME as u32;
    let fd = syscalls::call(bpf_cmd::BPF_ENABLE_STATS, &mut attr).unwrap();
    // SAFETY: the kernel has just given this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn runs(program: &OwnedFd) -> u64 {
    let info = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
    let info = fs::read_to_string(info).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("run_cnt:"));
    line.unwrap().trim().parse().unwrap()
}

/// The group's own program is asked for the socket, as it is where packets come to the group's address.
#[test]
fn the_program_of_a_group_chooses_its_member() {
    let Some(line) = Line::new() else { return };
    for case in Case::all() {
        let members = group(&line, &case);
        choose(&members[0], CHOSEN as u32);
        line.apply(&case.policy(), true).unwrap();
        for _ in 0..4 {
            let _client = send(&line, &case, PATIENCE).unwrap();
            wait_for("what was sent", || has(&members[CHOSEN], case.kind));
            let got = members.iter().filter(|one| has(one, case.kind)).count();
            assert_eq!(got, 0, "{case:?}: somebody else has something");
        }
    }
}

/// Whether something has come to a socket that does not wait; takes it.
fn has(socket: &Socket, kind: Type) -> bool {
    match kind {
        Type::STREAM => socket.accept().is_ok(),
        _ => again(|| socket.recv(&mut [MaybeUninit::uninit(); 8])).is_ok(),
    }
}

/// Sends something from the client, which waits so long for a connection.
fn send(line: &Line, case: &Case, patience: Duration) -> Result<Socket, ErrorKind> {
    let (from, to) = (at(CLIENT[case.six]), case.dialled());
    if case.kind == Type::STREAM {
        return connect(&line.client, from, to, patience).map(Socket::from);
    }
    let client = udp(&line.client, from);
    client.connect(to).unwrap();
    client.send(b"?").unwrap();
    Ok(client.into())
}

/// How a client fares whom nobody serves.
fn failure(line: &Line, case: &Case, patience: Duration) -> ErrorKind {
    let client = match send(line, case, patience) {
        Err(failed) => return failed,
        Ok(client) => client,
    };
    client.set_read_timeout(Some(patience)).unwrap();
    let room = &mut [MaybeUninit::uninit(); 8];
    match again(|| client.recv(room)).unwrap_err().kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut,
        other => other,
    }
}

/// Whom the group's own program refuses gets to nobody else, after one question. The kernel tells him so, but over IPv4 not
/// in the name of another machine: that it does for a transparent socket only, and here there is none.
#[test]
fn the_program_of_a_group_refuses_once_and_for_all() {
    let Some(line) = Line::new() else { return };
    let _counting = counting();
    for case in Case::all() {
        let members = group(&line, &case);
        let program = refuse(&members[0]);
        line.apply(&case.policy(), true).unwrap();
        let bystander: Socket = match case.kind {
            Type::STREAM => listener(case.place(&line), case.dialled()).into(),
            _ => udp(case.place(&line), case.dialled()).into(),
        };
        let is_told = case.six == 1 || case.differs == Differs::Port;
        let (failed, patience) = match is_told {
            true => (ErrorKind::ConnectionRefused, PATIENCE),
            false => (ErrorKind::TimedOut, SILENCE),
        };
        assert_eq!(failure(&line, &case, patience), failed, "{case:?}");
        assert_eq!(runs(&program), 1, "{case:?}");
        bystander.set_nonblocking(true).unwrap();
        assert!(!has(&bystander, case.kind), "{case:?}");
    }
}
