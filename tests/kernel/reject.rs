//! Rejects: a client learns at once that nobody is there, although somebody is.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Instant;

use sockc_compiler::event::Parsed;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::{Action, DefaultVerdict};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::target::Target;
use sockc_runtime::lab::{FRONT, MAC, PacketSocket, Probe, Seen, Space};
use sockc_testing::again;

use crate::knock::{SYN, header};
use crate::stage::{
    CLIENT, PATIENCE, SERVER, Stage, at, client_for, compile, compile_changed, connect, ip, udp,
    wait_for,
};

const PORT: u16 = 81;

/// `ETH_P_IP`
const IPV4: u16 = 0x0800;

fn servers(port: u16) -> [SocketAddr; 2] {
    SERVER.map(|address| SocketAddr::new(ip(address), port))
}

/// Rejects port 81 at this hook.
fn apply(stage: &Stage, hook: &str) {
    let text = format!(
        "default in allow
         drop tcp, udp to port {PORT} at {hook}"
    );
    let compiled = compile_changed(&text, &Target::baseline(), |policy| {
        for rule in policy.rules.values_mut() {
            rule.action = Action::Reject;
        }
    });
    stage.apply_compiled(&compiled).unwrap();
}

fn command(space: &Space, line: &str) {
    let run = || {
        let mut words = line.split(' ');
        let program = words.next().unwrap();
        Command::new(program)
            .args(words)
            .status()
            .unwrap()
            .success()
    };
    assert!(space.run(run).unwrap(), "{line}");
}

fn assert_datagram_refused(stage: &Stage, from: SocketAddr, to: SocketAddr) {
    assert_unreachable(&udp(&stage.lab.client, from), to);
}

pub(crate) fn assert_unreachable(client: &UdpSocket, to: SocketAddr) {
    client.connect(to).unwrap();
    client.send(b"anybody?").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = again(|| client.recv(&mut [0])).unwrap_err().kind();
    assert_eq!(answer, ErrorKind::ConnectionRefused, "{to}");
}

/// Somebody listens, and is reached on another port only.
fn assert_refuses(stage: &Stage) {
    for (rejected, open) in servers(PORT).into_iter().zip(servers(80)) {
        let _busy = (
            stage.listen(&rejected.to_string()),
            stage.udp(&rejected.to_string()),
        );
        let listener = stage.listen(&open.to_string());
        for _ in 0..3 {
            stage.assert_refused(&rejected.to_string());
            assert_datagram_refused(stage, client_for(rejected), rejected);
        }
        stage.assert_reaches(&open.to_string(), &listener);
        stage.assert_datagram(&open.to_string(), &stage.udp(&open.to_string()));
    }
}

#[test]
fn tc_answers_clients() {
    let Some(stage) = Stage::new() else { return };
    apply(&stage, "tc");
    assert_refuses(&stage);
}

/// A veth pair hands over what XDP sends back only if its other end has a program as well.
#[test]
fn xdp_answers_clients() {
    let Some(stage) = Stage::new() else { return };
    let object = compile("default in allow\ncount at xdp").object;
    let mut passing = aya::EbpfLoader::new().load(&object).unwrap();
    let attach = || {
        let program: &mut aya::programs::Xdp =
            passing.program_mut("xdp_in").unwrap().try_into().unwrap();
        program.load().unwrap();
        program.attach(FRONT, aya::programs::xdp::XdpMode::Driver)
    };
    stage.lab.client.run(attach).unwrap().unwrap();
    apply(&stage, "xdp");
    assert_refuses(&stage);
}

#[test]
fn generic_xdp_answers_clients() {
    let Some(stage) = Stage::new() else { return };
    for space in [&stage.lab.client, &stage.lab.server] {
        command(space, &format!("ip link set {FRONT} mtu 9000"));
    }
    apply(&stage, "xdp");
    assert_refuses(&stage);
}

/// Frames whose sender is no single machine, or not where it says: the kernel answers none of them, and no hook does.
#[test]
fn whom_a_wire_cannot_bring_is_not_answered() {
    for hook in ["tc", "xdp"] {
        let Some(stage) = Stage::new() else { return };
        for space in [&stage.lab.client, &stage.lab.server] {
            command(space, &format!("ip link set {FRONT} mtu 9000"));
        }
        apply(&stage, hook);
        let (client, server) = (&stage.lab.client, &stage.lab.server);
        let mut inward = Probe::new(client, server, FRONT).unwrap();
        let mut answers = Probe::new(server, client, FRONT).unwrap();
        let mut is_answered = |from: IpAddr, to: IpAddr, protocol, source| {
            let [from, to] = [(from, 4000), (to, PORT)].map(SocketAddr::from);
            let frame = Frame::new(header(protocol, from, to, SYN)).addresses(source, MAC);
            answers.arrived().unwrap();
            let seen = inward.send(&frame.bytes()).unwrap();
            assert_eq!(seen, Seen::NotSeen, "{from} {to}");
            answers.arrived().unwrap().iter().any(|bytes| {
                matches!(parse(bytes, Layout::Ethernet),
                    Parsed::Ip(found) if found.from == to.ip() && found.to == from.ip())
            })
        };
        let strangers = [
            ["127.0.0.1", "::1"],
            ["127.255.255.255", "::ffff:198.51.100.9"],
            SERVER,
        ];
        for (family, to) in SERVER.map(ip).into_iter().enumerate() {
            let from = ip(CLIENT[family]);
            for protocol in [6, 17] {
                for stranger in strangers.map(|pair| ip(pair[family])) {
                    assert!(!is_answered(stranger, to, protocol, MAC), "{stranger}");
                }
                assert!(!is_answered(from, ip(strangers[0][family]), protocol, MAC));
                assert!(!is_answered(from, to, protocol, [0xff; 6]), "{hook} {to}");
                assert!(is_answered(from, to, protocol, MAC), "{hook} {to}");
            }
        }
    }
}

/// On `lo` a host's own addresses are where its packets come from and go to.
#[test]
fn clients_on_lo_are_answered() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    stage.options.interfaces = vec!["lo".into()];
    apply(&stage, "tc");
    for address in [SERVER[0], SERVER[1], "127.0.0.1", "::1"].map(ip) {
        let at = SocketAddr::new(address, PORT);
        let space = &stage.lab.server;
        let _busy = (stage.listen(&at.to_string()), stage.udp(&at.to_string()));
        let from = SocketAddr::new(address, 0);
        let refused = connect(space, from, at, PATIENCE).err();
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused), "{at}");
        assert_unreachable(&udp(space, from), at);
    }
}

/// The kernel takes the outer tag off before TC sees the packet, and puts it on the answer.
#[test]
fn tagged_packets_are_answered() {
    let Some(stage) = Stage::new() else { return };
    apply(&stage, "tc");
    let (client, server) = (&stage.lab.client, &stage.lab.server);
    let mut inward = Probe::new(client, server, FRONT).unwrap();
    let mut answers = Probe::new(server, client, FRONT).unwrap();
    for tags in 1..=2 {
        for to in servers(PORT) {
            let from = SocketAddr::new(client_for(to).ip(), 4000);
            let frame = Frame::new(header(6, from, to, SYN)).addresses(MAC, MAC);
            let frame = (0..tags).fold(frame, |frame, tag| frame.vlan(tag + 7));
            answers.arrived().unwrap();
            let seen = inward.send(&frame.bytes()).unwrap();
            assert_eq!(seen, Seen::NotSeen);
            let answered = |bytes: &Vec<u8>| match parse(bytes, Layout::Ethernet) {
                Parsed::Ip(found) => found.from == to.ip() && found.to == from.ip(),
                _ => false,
            };
            assert!(
                answers.arrived().unwrap().iter().any(answered),
                "{tags} {to}"
            );
        }
    }
}

/// A connection that was there before the policy ends with the next thing that its client says.
#[test]
fn an_open_connection_is_reset() {
    use std::io::{Read, Write};
    let Some(stage) = Stage::new() else { return };
    for to in servers(PORT) {
        let listener = stage.listen(&to.to_string());
        let (mut client, _server) = stage.assert_reaches(&to.to_string(), &listener);
        apply(&stage, "tc");
        client.write_all(b"more").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = again(|| client.read(&mut [0])).map_err(|error| error.kind());
        assert_eq!(answer, Err(ErrorKind::ConnectionReset), "{to}");
        stage.apply("default in allow");
    }
}

#[test]
fn a_default_that_rejects_answers_and_counts() {
    let Some(stage) = Stage::new() else { return };
    let text = "default in drop
         allow tcp to port 80 at tc";
    let compiled = compile_changed(text, &Target::baseline(), |policy| {
        policy.defaults[0].verdict = DefaultVerdict::Reject;
    });
    stage.apply_compiled(&compiled).unwrap();
    stage.assert_refused(&servers(PORT)[0].to_string());
    wait_for("the count", || stage.dropped() >= 1);
    let client = SocketAddr::new(ip(CLIENT[1]), 0);
    assert_datagram_refused(&stage, client, servers(PORT)[1]);
    let listener = stage.listen(&at("192.0.2.80:80").to_string());
    stage.assert_reaches("192.0.2.80:80", &listener);
}

/// A flood with made-up senders: the machine answers as few of them as the kernel would, and the rest are dropped and
/// counted.
#[test]
fn a_flood_is_not_answered_packet_by_packet() {
    const SENT: u64 = 30_000;
    let Some(stage) = Stage::new() else { return };
    apply(&stage, "tc");
    let (inward, answers) = stage
        .lab
        .client
        .run(|| {
            let open = || PacketSocket::open(FRONT, IPV4).unwrap();
            (open(), open())
        })
        .unwrap();
    let to = servers(PORT)[0];
    let begun = Instant::now();
    let mut answered = 0;
    let mut drain = || {
        while let Some(frame) = answers.receive().unwrap() {
            let Parsed::Ip(found) = parse(&frame, Layout::Ethernet) else {
                continue;
            };
            answered += u64::from(found.protocol == IpProtocol::ICMP && found.from == to.ip());
        }
    };
    for number in 0..SENT {
        let sender = Ipv4Addr::from_bits(0x0a00_0001 + u32::try_from(number).unwrap());
        let from = SocketAddr::new(sender.into(), 4000);
        let frame = Frame::new(header(17, from, to, 0)).addresses(MAC, MAC);
        inward.send(&frame.bytes()).unwrap();
        drain();
    }
    let counted = || stage.withheld();
    let most = |begun: Instant| 50 + 1_000 * (begun.elapsed().as_secs() + 1);
    wait_for("the flood", || counted() + most(begun) >= SENT);
    drain();
    let given = SENT - counted();
    assert!(given <= most(begun), "{given} in {:?}", begun.elapsed());
    assert!(answered > 0 && answered <= given, "{answered} of {given}");
}
