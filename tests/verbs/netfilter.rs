//! One rule set in the kernel's own iptables or nftables and as the policy that it is imported to: real sockets meet the same.
//!
//! Takes root and these tools; each side has a lab of its own. Not here: what rules mean one by one, which `tests/differential/` compares.

mod in_force;
mod ufw;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sockc_runtime::lab::{CLIENT, FRONT, Lab, SERVER};
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use super::monitored::done;
use super::{Folder, root};

/// How long an answer that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Another client of each family, whom a rule takes out of a chain.
const OTHER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7)),
];
/// A port whose datagrams every rule set lets in: what was sent ahead of them has been decided when they come.
const AHEAD: u16 = 9;

/// The rules, with `ICMP` and `OTHER` for what differs between the families.
const RULES: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:services - [0:0]
:last - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP
-A INPUT -p ICMP -j ACCEPT
-A INPUT -p udp --dport 9 -j ACCEPT
-A INPUT -i front -j services
-A INPUT -p udp --dport 55 -j REJECT
-A services -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A services -p tcp --syn --dport 23 -j ACCEPT
-A services -s OTHER -j RETURN
-A services -p tcp -m multiport --dports 80,8000:8010 -j ACCEPT
-A services -p tcp --dport 81 -j REJECT --reject-with tcp-reset
-A services -p udp ! --sport 1:1023 -g last
-A services -p udp --dport 56 -j ACCEPT
-A last -p udp --dport 53 -j ACCEPT
-A last -p udp --dport 54 -j REJECT
COMMIT
";

/// The same for nft, as its language writes it: with a verdict map, sets, and a second chain at the hook that accepts what it is asked about.
const RULESET: &str = "table inet filter {
    set many { type inet_service; flags interval; elements = { 80, 8000-8010 }; }
    chain input {
        type filter hook input priority 0; policy drop;
        iifname lo accept
        ct state vmap { established : accept, related : accept }
        tcp flags & (fin | syn | rst | ack) != syn ct state new drop
        meta l4proto { icmp, ipv6-icmp } accept
        udp dport 9 accept
        iifname front jump services
        udp dport 55 reject
    }
    chain services {
        tcp dport vmap { 22 : accept, 23 : accept }
        FAMILY saddr OTHER return
        tcp dport @many accept
        tcp dport 81 reject with tcp reset
        udp sport != 1-1023 goto last
        udp dport 56 accept
    }
    chain last {
        udp dport 53 accept
        udp dport 54 reject
    }
}
table FAMILY late {
    chain input {
        type filter hook input priority 10; policy accept;
        tcp dport 82 accept
        udp dport 57 drop
    }
}
";

/// What becomes of what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The server gets it; of TCP, a connection that carries data both ways.
    Through,
    /// The client is told that nobody is there.
    Refused,
    /// Nothing comes of it.
    Silence,
}

use Fate::{Refused, Silence, Through};

/// Whether by TCP, whether from the other client, the port, and what becomes of it.
const SENT: [(bool, bool, u16, Fate); 18] = [
    (true, false, 22, Through),
    (true, true, 22, Through),
    (true, false, 23, Through),
    (true, true, 23, Through),
    (true, false, 80, Through),
    (true, true, 80, Silence),
    (true, false, 8005, Through),
    (true, false, 8011, Silence),
    (true, false, 81, Refused),
    (true, true, 81, Silence),
    (true, false, 82, Silence),
    (false, false, 53, Through),
    (false, true, 53, Silence),
    (false, false, 54, Refused),
    (false, true, 54, Silence),
    (false, false, 55, Refused),
    (false, true, 55, Refused),
    // What `-g` sent to another chain does not come back to this one.
    (false, false, 56, Silence),
];

/// A server that has a socket on every port of `SENT`, in a lab of its own.
struct Scene {
    lab: Lab,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
}

impl Scene {
    fn new(family: usize) -> Self {
        let lab = Lab::new().unwrap();
        let bits = if family == 0 { 32 } else { 128 };
        lab.own(OTHER[family], bits, FRONT).unwrap();
        let at = |port: u16| SocketAddr::new(SERVER[family], port);
        let of = |by_tcp: bool| SENT.iter().filter(move |one| one.0 == by_tcp && !one.1);
        let bind = || {
            let tcp = of(true).map(|one| open(at(one.2), Type::STREAM).into());
            let ahead = at(AHEAD);
            let udp = of(false).map(|one| at(one.2)).chain([ahead]);
            let udp = udp.map(|at| open(at, Type::DGRAM).into());
            (tcp.collect(), udp.collect())
        };
        let (tcp, udp) = lab.server.run(bind).unwrap();
        Self { lab, tcp, udp }
    }

    fn fates(&self, family: usize) -> Vec<Fate> {
        let sent = SENT.iter().map(|&(by_tcp, is_other, port, wanted)| {
            let from = if is_other { OTHER } else { CLIENT }[family];
            let (from, to) = (
                SocketAddr::new(from, 0),
                SocketAddr::new(SERVER[family], port),
            );
            let fate = self.lab.client.run(|| {
                stay_on_one_processor();
                match by_tcp {
                    true => self.connects(from, to, wanted),
                    false => self.sends(from, to, wanted),
                }
            });
            fate.unwrap()
        });
        sent.collect()
    }

    /// What becomes of a connection. Where silence is wanted, a datagram that is let in is awaited behind it.
    fn connects(&self, from: SocketAddr, to: SocketAddr, wanted: Fate) -> Fate {
        let client = open(from, Type::STREAM);
        if wanted == Silence {
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&to.into());
            self.pass_by(from, to);
            return match (client.take_error().unwrap(), client.peer_addr()) {
                (None, Err(_)) => Silence,
                (Some(_), _) => Refused,
                (None, Ok(_)) => Through,
            };
        }
        if let Err(error) = client.connect_timeout(&to.into(), PATIENCE) {
            return match error.kind() {
                ErrorKind::ConnectionRefused => Refused,
                _ => Silence,
            };
        }
        let mut client: TcpStream = client.into();
        let mut listeners = self.tcp.iter();
        let listener = listeners.find(|one| one.local_addr().unwrap() == to);
        let (mut server, _) = again(|| listener.unwrap().accept()).unwrap();
        let mut data = [0; 4];
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut data).unwrap();
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut data).unwrap();
        Through
    }

    /// What becomes of a datagram.
    fn sends(&self, from: SocketAddr, to: SocketAddr, wanted: Fate) -> Fate {
        let client: UdpSocket = open(from, Type::DGRAM).into();
        client.connect(to).unwrap();
        client.send(b"x").unwrap();
        let server = self.udp_at(to.port());
        if wanted == Silence {
            self.pass_by(from, to);
        }
        let patience = if wanted == Silence {
            None
        } else {
            Some(PATIENCE)
        };
        let (reads, asks) = match wanted {
            Silence => (true, true),
            Through => (true, false),
            Refused => (false, true),
        };
        let mut data = [0; 8];
        for (socket, does, fate) in [(server, reads, Through), (&client, asks, Refused)] {
            socket.set_nonblocking(patience.is_none()).unwrap();
            socket.set_read_timeout(patience).unwrap();
            if !does {
                continue;
            }
            match (again(|| socket.recv(&mut data)), fate) {
                (Ok(_), Through) => return Through,
                (Err(error), Refused) if error.kind() == ErrorKind::ConnectionRefused => {
                    return Refused;
                }
                _ => {}
            }
        }
        Silence
    }

    /// Sends a datagram behind what was sent, and waits until the server has it.
    fn pass_by(&self, from: SocketAddr, to: SocketAddr) {
        let client: UdpSocket = open(from, Type::DGRAM).into();
        client.send_to(b"behind", (to.ip(), AHEAD)).unwrap();
        let server = self.udp_at(AHEAD);
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut data = [0; 8];
        assert_eq!(again(|| server.recv(&mut data)).unwrap(), 6);
    }

    fn udp_at(&self, port: u16) -> &UdpSocket {
        let mut sockets = self.udp.iter();
        let is_it = |one: &&UdpSocket| one.local_addr().unwrap().port() == port;
        sockets.find(is_it).unwrap()
    }
}

/// Frames of one processor keep their order through a pair of interfaces.
fn stay_on_one_processor() {
    let this = Pid::from_raw(0);
    let may = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|one| may.is_set(*one).unwrap());
    let mut only = CpuSet::new();
    only.set(first.unwrap()).unwrap();
    sched_setaffinity(this, &only).unwrap();
}

fn open(at: SocketAddr, kind: Type) -> Socket {
    let socket = Socket::new(Domain::for_address(at), kind, None).unwrap();
    // An address of IPv6 is not there until nobody else on the link has it.
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true).unwrap(),
        SocketAddr::V6(_) => socket.set_freebind_v6(true).unwrap(),
    }
    socket.bind(&at.into()).unwrap();
    if kind == Type::STREAM && at.port() != 0 {
        socket.listen(16).unwrap();
        // What does not get here has to be told and not waited for.
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    socket
}

/// The programs of iptables for a family.
fn program(family: usize, verb: &str) -> Command {
    let name = ["iptables", "ip6tables"][family];
    Command::new(format!("{name}-{verb}"))
}

/// Whether a test that needs iptables may run; says so where it may not.
fn iptables() -> bool {
    let is_there = program(0, "save").arg("--version").output().is_ok();
    if !is_there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs iptables");
        eprintln!("skipped: needs iptables");
    }
    is_there && root()
}

/// Puts the rules in force in a scene, and gives what iptables-save prints then.
fn restored(scene: &Scene, family: usize) -> String {
    let icmp = ["icmp", "ipv6-icmp"][family];
    let rules = RULES
        .replace("ICMP", icmp)
        .replace("OTHER", &OTHER[family].to_string());
    let work = || {
        let mut restore = program(family, "restore");
        let mut child = restore.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(rules.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
        let saved = program(family, "save").output().unwrap();
        String::from_utf8(saved.stdout).unwrap()
    };
    scene.lab.server.run(work).unwrap()
}

#[test]
fn real_sockets_meet_the_same_by_iptables_and_by_the_policy() {
    if !iptables() {
        return;
    }
    let folder = Folder::new("netfilter");
    let wanted: Vec<Fate> = SENT.iter().map(|one| one.3).collect();
    let others =
        ["*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"; 2];
    for family in [0, 1] {
        let scene = Scene::new(family);
        let saved = restored(&scene, family);
        assert_eq!(scene.fates(family), wanted, "{saved}");
        drop(scene);
        let mut texts = others;
        texts[family] = &saved;
        let [v4, v6] = [0, 1].map(|one| folder.file(&format!("{family}-rules.v{one}"), texts[one]));
        let out = folder.0.join(format!("{family}-edge.sk"));
        let out = out.to_str().unwrap();
        let scene = Scene::new(family);
        done(
            &scene.lab,
            &["import", "iptables-save", &v4, "--ip6", &v6, "-o", out],
        );
        done(&scene.lab, &["apply", out, "--interface", FRONT]);
        let text = std::fs::read_to_string(out).unwrap();
        assert_eq!(scene.fates(family), wanted, "{text}");
    }
}

/// Whether a test that needs nft may run; says so where it may not.
fn nft() -> bool {
    let is_there = Command::new("nft").arg("--version").output().is_ok();
    if !is_there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs nft");
        eprintln!("skipped: needs nft");
    }
    is_there && root()
}

/// Puts the rules in force in a scene, and gives what nft lists then.
fn listed(scene: &Scene, family: usize) -> String {
    // Its language ends a block in a line of its own.
    let rules = RULESET
        .replace("; }", "\n}")
        .replace("FAMILY", ["ip", "ip6"][family])
        .replace("OTHER", &OTHER[family].to_string());
    let work = || {
        let mut nft = Command::new("nft");
        let mut child = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(rules.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
        let mut list = Command::new("nft");
        let listed = list.args(["-j", "list", "ruleset"]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    scene.lab.server.run(work).unwrap()
}

#[test]
fn real_sockets_meet_the_same_by_nftables_and_by_the_policy() {
    if !nft() {
        return;
    }
    let folder = Folder::new("nftables");
    let wanted: Vec<Fate> = SENT.iter().map(|one| one.3).collect();
    for family in [0, 1] {
        let scene = Scene::new(family);
        let rules = listed(&scene, family);
        assert_eq!(scene.fates(family), wanted, "{rules}");
        drop(scene);
        let file = folder.file(&format!("{family}-rules.json"), &rules);
        let out = folder.0.join(format!("{family}-edge.sk"));
        let out = out.to_str().unwrap();
        let scene = Scene::new(family);
        done(&scene.lab, &["import", "nft", &file, "-o", out]);
        done(&scene.lab, &["apply", out, "--interface", FRONT]);
        let text = std::fs::read_to_string(out).unwrap();
        assert_eq!(scene.fates(family), wanted, "{text}");
    }
}
