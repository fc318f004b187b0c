//! Named sockets: found by address, filled again when they restart, never from another namespace.

use std::net::{TcpListener, UdpSocket};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen};
use sockc_runtime::{Applied, Features, Fill, probe, socket_refresh, status};

use crate::policy::*;
use crate::space::{Space, close, elsewhere, inside, listener, reaches, skip, wait_until};

const AT: &str = "127.0.0.1:7001";
/// Where clients connect to; nobody is bound there.
const TO: &str = "127.0.0.9:53";

fn steer(space: &Space) -> Applied {
    policy("s")
        .socket(3, 6, AT)
        .steer(53, 3)
        .apply(&space.options)
        .unwrap()
}

fn state(space: &Space) -> Fill {
    status(&space.options).unwrap().unwrap().sockets[0].state
}

/// Waits until the slot of a listener that was closed is empty: another test that is just starting a process has copies of
/// all descriptors until that has become its program.
fn gone(space: &Space, at: &str) {
    let what = format!("an empty slot after {at}");
    wait_until(&what, || state(space) == Fill::Absent);
}

#[test]
fn a_listener_is_found_by_its_address() {
    inside(|space| {
        let server = TcpListener::bind(AT).unwrap();
        assert_eq!(reaches(TO, &[&server]), None);
        assert_eq!(steer(space).sockets[0].state, Fill::Filled);
        assert_eq!(reaches(TO, &[&server]), Some(7001));
        assert_eq!(state(space), Fill::Filled);
    });
}

#[test]
fn a_slot_fills_itself_when_the_service_starts_and_restarts() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        assert_eq!(steer(space).sockets[0].state, Fill::Absent);
        assert_eq!(reaches(TO, &[]), None);
        for _ in 0..3 {
            let server = listener(AT);
            assert_eq!(state(space), Fill::Filled);
            assert_eq!(reaches(TO, &[&server]), Some(7001));
            close(server);
            gone(space, AT);
            assert_eq!(reaches(TO, &[]), None);
        }
    });
}

#[test]
fn a_slot_fills_itself_for_ipv6_too() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        let make = |at| policy("s").socket(3, 6, at).steer(53, 3);
        for at in ["[::1]:7001", "[::]:7001", "0.0.0.0:7001"] {
            make(at).apply(&space.options).unwrap();
            assert_eq!(state(space), Fill::Absent, "{at}");
            let server = listener(at);
            assert_eq!(state(space), Fill::Filled, "{at}");
            close(server);
            gone(space, at);
            let _other = listener("127.0.0.2:7001");
            assert_eq!(state(space), Fill::Absent, "{at}");
        }
    });
}

#[test]
fn a_listener_of_another_namespace_never_gets_in() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        steer(space);
        elsewhere(|| {
            let _server = TcpListener::bind(AT).unwrap();
        });
        let other = elsewhere(|| TcpListener::bind(AT).unwrap());
        assert_eq!(state(space), Fill::Absent);
        assert_eq!(steer(space).sockets[0].state, Fill::Absent);
        let server = TcpListener::bind(AT).unwrap();
        assert_eq!(reaches(TO, &[&other, &server]), Some(7001));
        close(other);
        assert_eq!(state(space), Fill::Filled);
    });
}

#[test]
fn apply_fills_again_by_itself_where_the_kernel_cannot_tell() {
    inside(|space| {
        let mut options = space.options.clone();
        options.features = Some(Features {
            netns_cookie_in_sock_ops: false,
            ..probe()
        });
        let make = || {
            policy("s")
                .socket(3, 6, AT)
                .steer(53, 3)
                .apply(&options)
                .unwrap()
        };
        let applied = make();
        assert!(
            applied.notes[0].contains("after a restart"),
            "{:?}",
            applied.notes
        );
        let server = TcpListener::bind(AT).unwrap();
        assert_eq!(state(space), Fill::Waiting);
        assert_eq!(make().sockets[0].state, Fill::Filled);
        assert_eq!(reaches(TO, &[&server]), Some(7001));
    });
}

#[test]
fn a_root_of_control_groups_that_takes_no_program_is_no_failure() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        // The last mount counts, and a control group that is gone takes nothing.
        space.mount_dead_group();
        let server = TcpListener::bind(AT).unwrap();
        let applied = steer(space);
        assert!(
            applied.notes[0].contains("after a restart"),
            "{:?}",
            applied.notes
        );
        assert!(
            space
                .tree()
                .iter()
                .all(|path| !path.ends_with("/slots/listen"))
        );
        assert_eq!(reaches(TO, &[&server]), Some(7001));
    });
}

#[test]
fn a_wildcard_listener_is_another_socket() {
    inside(|space| {
        for wildcard in ["0.0.0.0:7001", "[::]:7001"] {
            let server = listener(wildcard);
            assert_eq!(
                steer(space).sockets[0].state,
                Fill::WildcardOnly,
                "{wildcard}"
            );
            close(server);
        }
    });
}

/// A dual-stack socket answers for IPv4, and is bound to no address of it.
#[test]
fn a_dual_stack_listener_is_not_the_one_of_every_ipv4_address() {
    inside(|space| {
        let _six = listener("[::]:7001");
        let applied = policy("s")
            .socket(0, 6, "0.0.0.0:7001")
            .steer(53, 0)
            .apply(&space.options)
            .unwrap();
        assert_ne!(applied.sockets[0].state, Fill::Filled);
    });
}

/// As Java binds. The listen hook and `apply` agree.
#[test]
fn a_socket_at_a_mapped_address_is_one_of_ipv4() {
    inside(|space| {
        let make = || {
            policy("s")
                .socket(0, 6, "127.0.0.1:7007")
                .socket(1, 17, "127.0.0.1:7007")
                .steer(53, 0)
        };
        let states = || -> Vec<Fill> {
            let found = status(&space.options).unwrap().unwrap().sockets;
            found.iter().map(|slot| slot.state).collect()
        };
        make().apply(&space.options).unwrap();
        assert_eq!(states(), [Fill::Absent; 2]);
        let server = listener("[::ffff:127.0.0.1]:7007");
        let _udp = UdpSocket::bind("[::ffff:127.0.0.1]:7007").unwrap();
        if probe().netns_cookie_in_sock_ops {
            assert_eq!(states(), [Fill::Filled, Fill::Waiting]);
            assert_eq!(reaches(TO, &[&server]), Some(7007));
        }
        make().apply(&space.options).unwrap();
        assert_eq!(states(), [Fill::Filled; 2]);
        assert_eq!(reaches(TO, &[&server]), Some(7007));
    });
}

#[test]
fn every_kind_of_address_is_found() {
    inside(|space| {
        let _tcp4 = TcpListener::bind("0.0.0.0:7002").unwrap();
        let _tcp6 = TcpListener::bind("[::1]:7003").unwrap();
        let _udp4 = UdpSocket::bind("127.0.0.1:7004").unwrap();
        let _udp6 = UdpSocket::bind("[::1]:7005").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:7006").unwrap();
        connected.connect("127.0.0.1:9").unwrap();
        let make = || {
            policy("s")
                .socket(0, 6, "0.0.0.0:7002")
                .socket(1, 6, "[::1]:7003")
                .socket(2, 17, "127.0.0.1:7004")
                .socket(3, 17, "[::1]:7005")
                .socket(4, 17, "127.0.0.1:7006")
                .socket(5, 6, "[::1]:7002")
                .steer(53, 0)
        };
        let applied = make().apply(&space.options).unwrap();
        let states: Vec<Fill> = applied.sockets.iter().map(|slot| slot.state).collect();
        use Fill::{Absent, Filled};
        assert_eq!(states, [Filled, Filled, Filled, Filled, Absent, Absent]);
        let again = make().apply(&space.options).unwrap();
        assert_eq!(
            again.sockets, applied.sockets,
            "our own lookup program is not in the way"
        );
    });
}

#[test]
fn a_steered_port_is_no_obstacle_to_filling() {
    inside(|space| {
        let server = TcpListener::bind("127.0.0.1:53").unwrap();
        let other = TcpListener::bind(AT).unwrap();
        policy("s")
            .socket(0, 6, AT)
            .steer(53, 0)
            .apply(&space.options)
            .unwrap();
        assert_eq!(reaches("127.0.0.1:53", &[&server, &other]), Some(7001));
        // The next policy wants the socket that both policies hide from packets.
        let applied = policy("t")
            .socket(0, 6, "127.0.0.1:53")
            .steer(53, 0)
            .apply(&space.options)
            .unwrap();
        assert_eq!(applied.sockets[0].state, Fill::Filled);
        assert_eq!(reaches("127.0.0.9:53", &[&server, &other]), Some(53));
        let _server = TcpListener::bind("[::1]:53").unwrap();
        let again = policy("u").socket(0, 6, "[::1]:53").steer(53, 0);
        let applied = again.apply(&space.options).unwrap();
        assert_eq!(applied.sockets[0].state, Fill::Filled);
    });
}

#[test]
fn a_listener_of_mptcp_is_named_as_such() {
    inside(|space| {
        let Ok(socket) = mptcp_socket() else {
            return skip("MPTCP");
        };
        bind(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            &SockaddrIn::new(127, 0, 0, 1, 7001),
        )
        .unwrap();
        listen(&socket, Backlog::new(8).unwrap()).unwrap();
        assert_eq!(steer(space).sockets[0].state, Fill::Mptcp);
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!(found.sockets[0].state, Fill::Mptcp);
        let refreshed = socket_refresh(&space.options, None).unwrap();
        assert_eq!(refreshed.states[0].state, Fill::Mptcp, "{refreshed:?}");
    });
}

fn mptcp_socket() -> std::io::Result<std::os::fd::OwnedFd> {
    const IPPROTO_MPTCP: i32 = 262;
    let _ = (AddressFamily::Inet, SockType::Stream, SockFlag::empty());
    // SAFETY: socket(2) takes numbers only.
    let fd = unsafe {
        libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            IPPROTO_MPTCP,
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

#[test]
fn a_socket_that_stopped_listening_is_told() {
    inside(|space| {
        let server = TcpListener::bind(AT).unwrap();
        steer(space);
        // SAFETY: shutdown(2) takes a living descriptor and a number.
        unsafe { libc::shutdown(std::os::fd::AsRawFd::as_raw_fd(&server), libc::SHUT_RDWR) };
        assert_eq!(state(space), Fill::NotListening);
    });
}

/// The flags of the answer to a SYN over `lo` from port 0 of `::1` to a port of `::1`.
fn answer_to_port_0(port: u16) -> u8 {
    let kind = SockType::Raw;
    let protocol = nix::sys::socket::SockProtocol::Tcp;
    let raw =
        nix::sys::socket::socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, protocol);
    let raw = raw.unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&raw);
    let (offset, size): (libc::c_int, _) = (16, 4);
    let wait = libc::timeval {
        tv_sec: 10,
        tv_usec: 0,
    };
    // SAFETY: the values live through the calls, and their sizes are given.
    let set = unsafe {
        let wait_size = u32::try_from(size_of::<libc::timeval>()).unwrap();
        libc::setsockopt(
            number,
            libc::IPPROTO_IPV6,
            7,
            (&raw const offset).cast(),
            size,
        ) | libc::setsockopt(
            number,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const wait).cast(),
            wait_size,
        )
    };
    assert_eq!(set, 0);
    let [high, low] = port.to_be_bytes();
    let syn = [
        0, 0, high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0,
    ];
    let to: std::net::SocketAddrV6 = "[::1]:0".parse().unwrap();
    let to = nix::sys::socket::SockaddrIn6::from(to);
    nix::sys::socket::sendto(number, &syn, &to, nix::sys::socket::MsgFlags::empty()).unwrap();
    let mut answer = [0; 64];
    loop {
        let length = nix::unistd::read(&raw, &mut answer).unwrap();
        if length >= 20 && answer[..4] == [high, low, 0, 0] {
            return answer[13];
        }
    }
}

#[test]
fn no_packet_looks_like_the_runtimes_own_lookup() {
    const SYN_ACK: u8 = 0x12;
    const RST_ACK: u8 = 0x14;
    inside(|space| {
        let _server = TcpListener::bind("[::1]:53").unwrap();
        assert_eq!(answer_to_port_0(53), SYN_ACK);
        let policy = policy("s").socket(3, 6, "[::1]:7001").steer(53, 3);
        policy.apply(&space.options).unwrap();
        assert_eq!(answer_to_port_0(53), RST_ACK, "the socket is absent");
    });
}
