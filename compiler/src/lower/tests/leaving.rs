//! What sockets send that could not be taken in, where `default send` refuses: nothing but confirmations and ends.

use std::net::SocketAddr;

use super::*;
use crate::artifact::{AttachPoint, CounterKind};
use crate::interpret::{Arriving, Bare, Connection, SockOps, SocketModel};
use crate::policy::Family;

const TEXT: &str = "
group pods = cgroup \"/pods\"
default send drop
allow send tcp from group pods to any";

/// A policy with room for one connection, its maps, and what was asked of them.
struct Group {
    built: Built,
    maps: Maps,
}

impl Group {
    fn new() -> Self {
        let mut built = built(TEXT);
        for map in built.artifact.maps.values_mut() {
            if map.name == "peers" {
                map.max_entries = 1;
            }
        }
        let maps = Maps::new(&built.artifact.maps);
        Self { built, maps }
    }

    fn run(&mut self, name: &str, input: Input) -> i32 {
        let mut programs = self.built.artifact.programs.iter();
        let program = programs.find(|one| one.name == name).unwrap();
        let ran = run(program, &mut self.maps, input, &mut Bare::default());
        ran.unwrap().code()
    }

    /// Has a connection of this socket made.
    fn connects(&mut self, socket: SocketModel, [local, remote]: [SocketAddr; 2]) {
        let input = Input::SockOps(SockOps {
            op: 4,
            connection: Connection { local, remote },
            state: 1,
            new_state: 0,
            callbacks: 0,
            snd_nxt: u32::from(local.port()),
            rcv_nxt: 2,
            socket: Some(socket),
        });
        self.run("sock_ops", input);
    }

    /// Whether a packet of a socket leaves.
    fn leaves(&mut self, socket: SocketModel, packet: Vec<u8>) -> bool {
        self.run("leaving", Input::Leaving(Arriving::new(packet, socket))) == 1
    }

    fn refused(&self) -> u64 {
        let mut counters = self.built.artifact.manifest.counters.iter();
        let slot = counters.position(|one| one.kind == CounterKind::Refused);
        let slot = u32::try_from(slot.unwrap()).unwrap();
        let [packets, _] = self.maps.counted(slot).unwrap();
        packets
    }
}

fn ends(local: &str, remote: &str) -> [SocketAddr; 2] {
    [local, remote].map(|end| end.parse().unwrap())
}

fn socket(id: u64, [local, remote]: [SocketAddr; 2]) -> SocketModel {
    SocketModel::listener(id, local).connected(1, remote)
}

/// A packet of TCP from its IP header on, with so many bytes of options and of data.
fn packet(family: Family, options: u8, data: usize) -> Vec<u8> {
    let mut tcp = vec![0; 20 + usize::from(options)];
    tcp[12] = (5 + options / 4) << 4;
    tcp.extend(vec![7; data]);
    let mut packet = match family {
        Family::V4 => vec![0; 20],
        Family::V6 => vec![0; 40],
    };
    match family {
        Family::V4 => (packet[0], packet[9]) = (0x45, 6),
        Family::V6 => (packet[0], packet[6]) = (0x60, 6),
    }
    packet.extend(tcp);
    packet
}

#[test]
fn who_could_not_be_taken_in_sends_no_data() {
    let mut group = Group::new();
    let [one, other] = [4000_u16, 4001].map(|port| {
        let ends = ends(&format!("10.0.0.1:{port}"), "10.0.0.2:80");
        let socket = socket(u64::from(port), ends);
        group.connects(socket, ends);
        socket
    });
    let stranger = socket(1, ends("10.0.0.1:9", "10.0.0.2:80"));
    for family in [Family::V4, Family::V6] {
        for options in [0, 12, 40] {
            for data in [0, 1, 1400, 60_000] {
                let packet = packet(family, options, data);
                assert!(group.leaves(one, packet.clone()), "taken in");
                assert!(group.leaves(stranger, packet.clone()), "of nobody");
                let before = group.refused();
                assert_eq!(group.leaves(other, packet), data == 0, "{options} {data}");
                assert_eq!(group.refused() - before, u64::from(data > 0));
            }
        }
    }
}

#[test]
fn what_is_no_bare_confirmation_is_dropped() {
    let mut group = Group::new();
    for port in [4000_u16, 4001] {
        let ends = ends(&format!("[2001:db8::1]:{port}"), "[2001:db8::2]:80");
        group.connects(socket(u64::from(port), ends), ends);
    }
    let other = socket(4001, ends("[2001:db8::1]:4001", "[2001:db8::2]:80"));
    let bare = |family| packet(family, 0, 0);
    let [mut udp, mut six, mut version] = [Family::V4, Family::V6, Family::V4].map(bare);
    (udp[9], six[6], version[0]) = (17, 60, 0x55);
    let short = bare(Family::V4)[..39].to_vec();
    for packet in [udp, six, version, short, vec![0x45; 19], vec![0x60; 39]] {
        assert!(!group.leaves(other, packet.clone()), "{packet:?}");
    }
    // With options of IPv4 it is a confirmation all the same.
    let mut long = bare(Family::V4);
    long[0] = 0x46;
    long.splice(20..20, [0; 4]);
    assert!(group.leaves(other, long.clone()));
    long.push(0);
    assert!(!group.leaves(other, long));
}

/// Where there is room for its next connection, a socket is decided about.
#[test]
fn the_mark_goes_with_the_connection() {
    let mut group = Group::new();
    let both = [4000, 4001].map(|port| ends(&format!("10.0.0.1:{port}"), "10.0.0.2:80"));
    let [one, other] = [socket(1, both[0]), socket(2, both[1])];
    group.connects(one, both[0]);
    group.connects(other, both[1]);
    assert!(!group.leaves(other, packet(Family::V4, 0, 1)));
    let peers = group.maps.named("peers").unwrap();
    group.maps.take_sockets(peers);
    group.connects(other, both[0]);
    assert!(group.leaves(other, packet(Family::V4, 0, 1)));
}

#[test]
fn only_a_default_that_refuses_has_such_a_program() {
    let points = |text: &str| {
        let group = "group pods = cgroup \"/pods\"\n";
        let programs = built(&format!("{group}{text}")).artifact.manifest.programs;
        let leaving = |one: &&crate::artifact::Attach| one.point == AttachPoint::CgroupSkbOut(0);
        programs.iter().filter(leaving).count()
    };
    assert_eq!(points("default send drop"), 1);
    assert_eq!(points("default send reject"), 1);
    assert_eq!(points("default send allow\ndrop send tcp to 10.0.0.1"), 0);
    assert_eq!(points("default receive drop"), 0);
    assert_eq!(points("default connect drop"), 0);
}
