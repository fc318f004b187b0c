//! Slots that packets fill: reuseport groups whose members leave and come, and UDP services that start again.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::lab::PacketSocket;
use sockc_runtime::{Fill, status};
use sockc_testing::again;

use crate::policy::*;
use crate::space::{Space, close, comes, inside, reaches, run};

const AT: &str = "127.0.0.1:7001";
const AT_SIX: &str = "[::1]:7001";
/// Where clients send to; nobody is bound there.
const TO: &str = "127.0.0.9:53";
const TO_SIX: &str = "[::1]:53";

/// A member of a reuseport group.
fn member(kind: SockType, at: &str) -> OwnedFd {
    let at: SocketAddr = at.parse().unwrap();
    let family = if at.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let member = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&member, sockopt::ReusePort, &true).unwrap();
    socket::bind(
        std::os::fd::AsRawFd::as_raw_fd(&member),
        &SockaddrStorage::from(at),
    )
    .unwrap();
    if kind == SockType::Stream {
        socket::listen(&member, Backlog::new(64).unwrap()).unwrap();
    }
    member
}

fn tcp(at: &str) -> TcpListener {
    member(SockType::Stream, at).into()
}

fn udp(at: &str) -> UdpSocket {
    let socket: UdpSocket = member(SockType::Datagram, at).into();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

/// Whether a datagram comes to any of some sockets.
fn answers(to: &str, sockets: &[&UdpSocket]) -> bool {
    let from = if to.starts_with('[') {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    };
    let client = UdpSocket::bind(from).unwrap();
    client.connect(to).unwrap();
    if client.send(b"ping").is_err() {
        return false;
    }
    comes(&client, sockets)
}

/// The policy of these tests, with and without programs of its own on `lo`.
fn policies(protocol: u8, at: &'static str) -> [Policy; 3] {
    let plain = |name| policy(name).socket(3, protocol, at).steer(53, 3);
    [
        plain("alone"),
        plain("tc").on(&["lo"]).rule(AttachPoint::TcIn, "seen", -1),
        plain("xdp")
            .on(&["lo"])
            .rule(AttachPoint::Xdp, "seen", XDP_PASS),
    ]
}

fn state(space: &Space) -> Fill {
    status(&space.options).unwrap().unwrap().sockets[0].state
}

#[test]
fn a_tcp_group_works_as_long_as_one_member_listens() {
    inside(|space| {
        for (at, to) in [(AT, TO), (AT_SIX, TO_SIX)] {
            for policy in policies(6, at) {
                let mut members: Vec<TcpListener> = (0..4).map(|_| tcp(at)).collect();
                policy.apply(&space.options).unwrap();
                while !members.is_empty() {
                    let all: Vec<&TcpListener> = members.iter().collect();
                    assert_eq!(reaches(to, &all), Some(7001), "{} left", members.len());
                    close(members.pop().unwrap());
                }
                assert_eq!(reaches(to, &[]), None);
                // Those that come are in the slot at once, and their leaving is no end either.
                let first = tcp(at);
                close(tcp(at));
                assert_eq!(reaches(to, &[&first]), Some(7001));
            }
        }
    });
}

/// The kernel takes a socket that closes out of its maps a moment before it is found no longer: a packet that comes in that
/// moment puts it in again, and there it stays. It must keep no later one out.
#[test]
fn a_udp_socket_that_closes_under_load_keeps_no_later_one_out() {
    const TIMES: usize = 60_000;
    inside(|space| {
        let [alone, ..] = policies(17, AT);
        alone.apply(&space.options).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    // It is refused while nobody is bound.
                    let _ = client.send_to(b"ping", TO);
                }
            });
            let came = |_: &usize| {
                let socket = udp(AT);
                again(|| socket.recv(&mut [0; 8])).is_ok()
            };
            let reached = (0..TIMES).take_while(came).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(reached, TIMES);
        });
        assert_eq!(state(space), Fill::Absent);
    });
}

/// What fills slots goes with the policy that has them: it would run again with the next but one.
#[test]
fn what_fills_goes_with_its_policy() {
    inside(|space| {
        let [_, filling, _] = policies(6, AT);
        filling.apply(&space.options).unwrap();
        let plain = policy("tc").on(&["lo"]).rule(AttachPoint::TcIn, "seen", -1);
        plain.apply(&space.options).unwrap();
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!(found.drift, []);
    });
}

#[test]
fn a_udp_group_works_as_long_as_one_member_is_bound() {
    inside(|space| {
        for (at, to) in [(AT, TO), (AT_SIX, TO_SIX)] {
            for policy in policies(17, at) {
                let mut members: Vec<UdpSocket> = (0..4).map(|_| udp(at)).collect();
                policy.apply(&space.options).unwrap();
                while !members.is_empty() {
                    let all: Vec<&UdpSocket> = members.iter().collect();
                    assert!(answers(to, &all), "{} left", members.len());
                    close(members.remove(0));
                }
                assert!(!answers(to, &[]));
            }
        }
    });
}

#[test]
fn a_udp_service_that_starts_again_gets_its_packets() {
    inside(|space| {
        for policy in policies(17, AT) {
            policy.apply(&space.options).unwrap();
            assert_eq!(state(space), Fill::Absent);
            for _ in 0..3 {
                let server = UdpSocket::bind(AT).unwrap();
                assert!(answers(TO, &[&server]));
                assert_eq!(state(space), Fill::Filled);
                close(server);
                assert_eq!(state(space), Fill::Absent);
            }
            // Another socket on that port is not the one.
            let wildcard = UdpSocket::bind("0.0.0.0:7001").unwrap();
            assert!(!answers(TO, &[&wildcard]));
        }
    });
}

/// A datagram in an Ethernet frame with VLAN tags of these types.
fn tagged(tags: &[u16]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 5]);
    }
    frame.extend([8, 0]);
    frame.extend([
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 9,
    ]);
    frame.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    frame
}

/// XDP sees the tags in the packet; elsewhere the kernel has taken them away.
#[test]
fn tags_of_vlans_are_looked_past() {
    inside(|space| {
        let [.., xdp] = policies(17, AT);
        xdp.apply(&space.options).unwrap();
        for tags in [&[0x8100][..], &[0x88a8], &[0x88a8, 0x8100]] {
            let server = UdpSocket::bind(AT).unwrap();
            let sender = PacketSocket::open("lo", tags[0]).unwrap();
            assert_eq!(state(space), Fill::Waiting);
            sender.send(&tagged(tags)).unwrap();
            assert_eq!(state(space), Fill::Filled, "{tags:x?}");
            close(server);
            assert_eq!(state(space), Fill::Absent);
        }
    });
}

#[test]
fn counters_of_the_policy_go_on_after_what_fills() {
    inside(|space| {
        let server = UdpSocket::bind(AT).unwrap();
        let [_, tc, xdp] = policies(17, AT);
        for policy in [tc, xdp] {
            policy.apply(&space.options).unwrap();
            assert!(answers(TO, &[&server]));
            let counted = sockc_runtime::counters(&space.options).unwrap();
            assert!(counted[0].packets > 0, "{counted:?}");
        }
    });
}

#[test]
fn an_interface_that_only_filled_is_not_missed() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let [alone, ..] = policies(17, AT);
        alone.apply(&space.options).unwrap();
        let hooks = |space: &Space| {
            let status = status(&space.options).unwrap().unwrap();
            assert_eq!(status.drift, []);
            let filling = status.hooks.iter().filter(|hook| hook.hook == "fill");
            let mut names: Vec<String> = filling.map(|hook| hook.target.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(hooks(space), ["lo", "v0", "v1"]);
        run("ip link del v0");
        assert_eq!(hooks(space), ["lo"]);
    });
}
