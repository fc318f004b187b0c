//! What `if socket …` says of sockets in every state, by real packets to real sockets, against the reference meaning.

use sockc_compiler::policy::{NetnsId, Policy};
use sockc_compiler::protocol::IpProtocol;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, Verdict, World};
use sockc_compiler::policy::{Direction, Family, SocketId};
use socket2::{Domain, Socket, Type};

use crate::knock::{ACK, Knocker, header};
use crate::stage::{CLIENT, PATIENCE, SERVER, Stage, accept, compile, connect, ip, listener, udp};

const CONDITIONS: [&str; 6] = [
    "socket exists",
    "socket listening",
    "socket established",
    "no socket",
    "no socket listening",
    "no socket established",
];

/// What is at the server's end.
#[derive(Clone, Copy, Debug)]
enum State {
    Nobody,
    Listener,
    /// Bound to every address of the family.
    Wildcard,
    /// Bound to every address of both families.
    DualStack,
    Connected,
    TimeWait,
    /// A UDP socket without a peer.
    Bound,
    /// A UDP socket with this peer.
    Peer,
    /// A UDP socket with another peer.
    OtherPeer,
}

const TCP: [State; 6] = [
    State::Nobody,
    State::Listener,
    State::Wildcard,
    State::DualStack,
    State::Connected,
    State::TimeWait,
];
const UDP: [State; 4] = [State::Nobody, State::Bound, State::Peer, State::OtherPeer];

impl State {
    /// What the language says of it.
    fn answer(self) -> SocketAnswer {
        match self {
            Self::Nobody | Self::OtherPeer => SocketAnswer::None,
            Self::Listener | Self::Wildcard | Self::DualStack | Self::Bound => {
                SocketAnswer::Listening
            }
            Self::Connected | Self::TimeWait | Self::Peer => SocketAnswer::Established,
        }
    }
}

struct Known(SocketAnswer);

impl World for Known {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.0
    }

    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
}

/// What keeps a state up.
#[expect(dead_code, reason = "it is held, not read")]
enum Held {
    Nothing,
    Listener(TcpListener),
    Both(Socket),
    Connection(TcpStream, TcpStream, TcpListener),
    Waiting(TcpListener),
    Datagrams(UdpSocket),
}

/// A socket in a state, and a packet for it.
struct Case {
    state: State,
    header: Header,
    _held: Held,
}

/// Brings the state about; `number` makes its ports its own.
fn case(stage: &Stage, protocol: u8, state: State, family: usize, number: u16) -> Case {
    let local = SocketAddr::new(ip(SERVER[family]), 10_000 + number);
    let remote = SocketAddr::new(ip(CLIENT[family]), 30_000 + number);
    let server = &stage.lab.server;
    let held = match state {
        State::Nobody => Held::Nothing,
        State::Listener => Held::Listener(listener(server, local)),
        State::Wildcard => {
            let any = if local.is_ipv4() { "0.0.0.0" } else { "::" };
            Held::Listener(listener(server, SocketAddr::new(ip(any), local.port())))
        }
        State::DualStack => Held::Both(dual_stack(stage, local.port())),
        State::Connected => {
            let peer = listener(&stage.lab.client, remote);
            let ours = connect(server, local, remote, PATIENCE).unwrap();
            Held::Connection(ours, accept(&peer), peer)
        }
        State::TimeWait => {
            let peer = listener(&stage.lab.client, remote);
            let ours = connect(server, local, remote, PATIENCE).unwrap();
            let theirs = accept(&peer);
            close_first(&ours, &theirs);
            Held::Waiting(peer)
        }
        State::Bound => Held::Datagrams(udp(server, local)),
        State::Peer | State::OtherPeer => {
            let socket = udp(server, local);
            let port = remote.port() + u16::from(matches!(state, State::OtherPeer));
            socket.connect(SocketAddr::new(remote.ip(), port)).unwrap();
            Held::Datagrams(socket)
        }
    };
    Case {
        state,
        header: header(protocol, remote, local, ACK),
        _held: held,
    }
}

/// Ends both directions, ours first; each end of file is seen before the next step.
fn close_first(ours: &TcpStream, theirs: &TcpStream) {
    for (closes, sees) in [(ours, theirs), (theirs, ours)] {
        closes.shutdown(std::net::Shutdown::Write).unwrap();
        sees.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut sees = sees;
        assert_eq!(std::io::Read::read(&mut sees, &mut [0]).unwrap(), 0);
    }
}

fn dual_stack(stage: &Stage, port: u16) -> Socket {
    let make = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        socket
            .bind(&SocketAddr::new(ip("::"), port).into())
            .unwrap();
        socket.listen(16).unwrap();
        socket
    };
    stage.lab.server.run(make).unwrap()
}

fn check(place: &str) {
    for condition in CONDITIONS {
        let Some(stage) = Stage::new() else { return };
        let compiled = compile(&format!(
            "default in drop
             allow tcp, udp if {condition}{place}"
        ));
        let mut cases = Vec::new();
        for family in [0, 1] {
            for (protocol, states) in [(6, &TCP[..]), (17, &UDP[..])] {
                for &state in states {
                    let number = cases.len() as u16 * 2;
                    cases.push(case(&stage, protocol, state, family, number));
                }
            }
        }
        stage.apply_compiled(&compiled).unwrap();
        let mut knocker = Knocker::new(&stage);
        for case in &cases {
            let event = Event::Packet {
                direction: Direction::In,
                class: Policy::plain_class(),
                packet: Parsed::Ip(case.header.clone()),
            };
            let decision = decide(&compiled.policy, &event, &Known(case.state.answer()));
            assert_eq!(
                knocker.passes(&case.header),
                decision.verdict == Verdict::Allow,
                "{condition}{place}: {:?} {:?}",
                case.state,
                case.header
            );
        }
    }
}

#[test]
fn the_table_of_socket_states_holds_at_xdp() {
    check("");
}

#[test]
fn the_table_of_socket_states_holds_at_tc() {
    check(" at tc");
}
