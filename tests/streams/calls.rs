//! Whom a group may call: connect(2), and datagrams with an address.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::policy::Direction;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::Error;
use sockc_runtime::lab::{Group, Played, play};
use socket2::{SockAddr, Socket};

use crate::place::*;

/// What is refused, in each family; all else goes on.
const CALLS: &str = "
default connect allow
GROUP
four: drop connect tcp, udp from group pods to 192.0.2.0/24
six: reject connect tcp, udp from group pods to [2001:db8:2::/48]:80
mail: audit drop connect tcp from group pods to port smtp
rest: count connect from group pods
";

const TCP: IpProtocol = IpProtocol::TCP;
const UDP: IpProtocol = IpProtocol::UDP;

/// Whether a call goes on; one that is refused fails with EPERM and no other error.
fn calls(place: &Place, group: &Group, protocol: IpProtocol, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let ends = (protocol, SocketAddr::new(to.ip(), 0), to);
    match play(&place.lab.client, Direction::Connect, group, ends, &[]).unwrap() {
        Played::Done => true,
        Played::Denied => false,
        Played::Lost | Played::Elsewhere(_) => panic!("a call to {to} was lost"),
    }
}

/// An UDP socket of the group, for both families where it is of IPv6.
fn datagrams(place: &Place, like: &str) -> Socket {
    let local: SocketAddr = like.parse().unwrap();
    let made = place.lab.client.run(|| place.group.udp_socket(local));
    let socket = Socket::from(made.unwrap().unwrap());
    if local.is_ipv6() {
        socket.set_only_v6(false).unwrap();
    }
    socket
}

fn at(text: &str) -> SockAddr {
    text.parse::<SocketAddr>().unwrap().into()
}

/// EPERM, which is none of the errors that a network gives.
fn is_forbidden<T>(result: &std::io::Result<T>) -> bool {
    let error = result.as_ref().err();
    error.is_some_and(|error| {
        error.raw_os_error() == Some(1) && error.kind() == ErrorKind::PermissionDenied
    })
}

#[test]
fn a_call_to_where_the_group_may_not_fails_with_eperm() {
    inside(|place| {
        place.apply(CALLS);
        let other = Group::named("other").unwrap();
        for (to, goes_on) in [
            ("192.0.2.5:80", false),
            ("203.0.113.5:80", true),
            // One that stands for an IPv4 address is that address.
            ("[::ffff:192.0.2.5]:80", false),
            ("[::ffff:203.0.113.5]:80", true),
            ("[2001:db8:2::5]:80", false),
            ("[2001:db8:2::5]:81", true),
            ("[2001:db8:3::5]:80", true),
        ] {
            for protocol in [TCP, UDP] {
                let found = calls(place, &place.group, protocol, to);
                assert_eq!(found, goes_on, "{protocol} {to}");
                assert!(calls(place, &other, protocol, to), "{protocol} {to}");
            }
        }
        assert_eq!(place.counted("four"), (4, 0));
        assert_eq!(place.counted("six"), (2, 0));
        assert!(calls(place, &place.group, TCP, "203.0.113.5:25"));
        assert_eq!(place.counted("mail"), (1, 0));
        assert_eq!(place.counted("rest"), (9, 0));
    });
}

/// The kernel makes loopback of an unspecified address after the programs have run, or the address that the socket is bound to:
/// what is reached is what was decided about.
#[test]
fn an_unspecified_address_is_loopback() {
    const POLICY: &str = "
default connect allow
GROUP
four: drop connect from group pods to 127.0.0.0/8:7
six: drop connect from group pods to ::1/128, 198.51.100.9
rest: count connect from group pods to 127.0.0.1, ::1
";
    inside(|place| {
        place.apply(&POLICY.replace("::1/128", "[::1]:7"));
        for (to, goes_on) in [
            ("0.0.0.0:7", false),
            ("[::]:7", false),
            ("[::ffff:0.0.0.0]:7", false),
            ("0.0.0.0:8", true),
            ("[::]:8", true),
            ("[::ffff:0.0.0.0]:8", true),
        ] {
            for protocol in [TCP, UDP] {
                let found = calls(place, &place.group, protocol, to);
                assert_eq!(found, goes_on, "{protocol} {to}");
            }
        }
        assert_eq!(place.counted("four").0, 4);
        assert_eq!(place.counted("six").0, 2);
        assert_eq!(place.counted("rest").0, 6);
        // Bound to an address that it may not call, a socket would reach that one.
        let bound = datagrams(place, "0.0.0.0:0");
        bound.bind(&at("198.51.100.9:0")).unwrap();
        assert!(is_forbidden(&bound.connect(&at("198.51.100.9:8"))));
        bound.connect(&at("0.0.0.0:8")).unwrap();
        let peer = bound.peer_addr().unwrap().as_socket().unwrap();
        assert_eq!(peer, "127.0.0.1:8".parse().unwrap());
    });
}

/// Which of the four programs a datagram meets: by connect(2) or by its own address, by IPv4 or by IPv6.
#[test]
fn datagrams_are_refused_where_their_receiver_is_named() {
    inside(|place| {
        let connected = datagrams(place, "0.0.0.0:0");
        connected.connect(&at("192.0.2.5:53")).unwrap();
        place.apply(CALLS);
        for (like, to, other) in [
            ("0.0.0.0:0", "192.0.2.5:53", "203.0.113.5:53"),
            ("[::]:0", "[::ffff:192.0.2.5]:53", "[::ffff:203.0.113.5]:53"),
            ("[::]:0", "[2001:db8:2::5]:80", "[2001:db8:2::5]:81"),
            // A socket of IPv6 that is given an address of IPv4.
            ("[::]:0", "192.0.2.5:53", "203.0.113.5:53"),
        ] {
            let socket = datagrams(place, like);
            assert!(is_forbidden(&socket.send_to(b"x", &at(to))), "{like} {to}");
            assert!(is_forbidden(&socket.connect(&at(to))), "{like} {to}");
            socket.send_to(b"x", &at(other)).unwrap();
            socket.connect(&at(other)).unwrap();
            // Connected, it may still name another receiver.
            assert!(is_forbidden(&socket.send_to(b"x", &at(to))), "{like} {to}");
            assert!(!is_forbidden(&socket.send(b"x")), "{like} {to}");
        }
        // What was connected before sends on, as long as it names nobody.
        assert!(!is_forbidden(&connected.send(b"x")));
        assert!(is_forbidden(&connected.send_to(b"x", &at("192.0.2.5:53"))));
    });
}

/// Calls that are made in other ways than by connect(2) of TCP, or to more than one receiver.
#[test]
fn multipath_fast_open_broadcast_and_multicast_are_decided_too() {
    inside(|place| {
        place.apply(
            "
default connect allow
GROUP
drop connect tcp from group pods to 192.0.2.0/24
drop connect udp from group pods to 255.255.255.255, 224.0.0.0/24, ff02::/16
",
        );
        let client = &place.lab.client;
        let local: SocketAddr = "0.0.0.0:0".parse().unwrap();
        for (to, refused) in [("192.0.2.5:80", true), ("203.0.113.5:80", false)] {
            match place.mptcp_socket(client, local) {
                Some(socket) => {
                    let found = Socket::from(socket).connect(&at(to));
                    assert_eq!(is_forbidden(&found), refused, "{to} {found:?}");
                }
                None => skip("MPTCP"),
            }
            let socket = place.socket(client, local, true);
            let found = socket.send_to_with_flags(b"x", &at(to), libc::MSG_FASTOPEN);
            assert_eq!(is_forbidden(&found), refused, "{to} {found:?}");
        }
        for (to, refused) in [
            ("255.255.255.255:9", true),
            ("198.51.100.255:9", false),
            ("224.0.0.9:9", true),
            ("224.0.1.9:9", false),
            ("[ff02::9]:9", true),
            ("[ff05::9]:9", false),
        ] {
            let socket = datagrams(
                place,
                if to.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                },
            );
            socket.set_broadcast(true).unwrap();
            let found = socket.send_to(b"x", &at(to));
            assert_eq!(is_forbidden(&found), refused, "{to} {found:?}");
        }
    });
}

#[test]
fn ports_of_a_set_and_live_sets_choose() {
    inside(|place| {
        place.apply(
            "
default connect allow
GROUP
set mail = ports { smtp, 465 }
live set banned max 100
drop connect tcp from group pods to any:@mail
drop connect from group pods to @banned
",
        );
        assert!(!calls(place, &place.group, TCP, "203.0.113.5:465"));
        assert!(!calls(place, &place.group, TCP, "[2001:db8:3::5]:25"));
        assert!(calls(place, &place.group, UDP, "203.0.113.5:465"));
        for to in ["203.0.113.5:80", "[2001:db8:3::5]:80"] {
            assert!(calls(place, &place.group, TCP, to), "{to}");
            place.add_to_set("banned", to.parse::<SocketAddr>().unwrap().ip());
            for protocol in [TCP, UDP] {
                assert!(!calls(place, &place.group, protocol, to), "{to}");
            }
        }
        assert!(!calls(place, &place.group, TCP, "[::ffff:203.0.113.5]:80"));
    });
}

#[test]
fn groups_below_the_group_belong_to_it() {
    inside(|place| {
        place.apply(CALLS);
        for below in place.group.chain(3).unwrap() {
            assert!(!calls(place, &below, TCP, "192.0.2.5:80"));
            assert!(calls(place, &below, TCP, "203.0.113.5:80"));
        }
    });
}

#[test]
fn another_policy_holds_at_once_and_none_after_unload() {
    inside(|place| {
        place.apply(CALLS);
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
        place.apply(&CALLS.replace("192.0.2.0", "203.0.113.0"));
        assert!(calls(place, &place.group, TCP, "192.0.2.5:80"));
        assert!(!calls(place, &place.group, UDP, "203.0.113.5:80"));
        place.apply(&CALLS.replace("default connect allow", "default connect drop"));
        assert!(!calls(place, &place.group, UDP, "203.0.113.5:80"));
        assert!(place.unload());
        assert!(calls(place, &place.group, UDP, "203.0.113.5:80"));
    });
}

/// Two policies that differ in what is counted take turns: nobody gets through between them.
#[test]
fn a_replacement_lets_no_call_through() {
    inside(|place| {
        place.apply(CALLS);
        let (ended, passed) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let socket = datagrams(place, "0.0.0.0:0");
                while !ended.load(Ordering::Relaxed) {
                    let sent = socket.send_to(b"x", &at("192.0.2.5:53"));
                    passed.fetch_or(!is_forbidden(&sent), Ordering::Relaxed);
                }
            });
            for round in 0..10 {
                place.apply(&CALLS.replace("smtp", ["smtp", "465"][round % 2]));
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert!(!passed.load(Ordering::Relaxed));
        assert!(place.counted("four").0 > 0);
    });
}

#[test]
fn a_group_made_anew_may_call_no_more_than_before() {
    inside(|place| {
        place.apply(CALLS);
        place.group.remake().unwrap();
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
        assert!(calls(place, &place.group, TCP, "203.0.113.5:80"));
    });
}

/// Where programs cannot compare paths, the hooks hang on the control group and go with it.
#[test]
fn where_paths_are_not_followed_a_group_made_anew_is_told() {
    inside_mut("", |place| {
        let features = || sockc_runtime::Features {
            kernel_types: false,
            ..sockc_runtime::probe()
        };
        place.apply_with(CALLS, features());
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
        place.group.remake().unwrap();
        assert!(calls(place, &place.group, TCP, "192.0.2.5:80"));
        // The kernel takes the hooks off some time later.
        let end = Instant::now() + Duration::from_secs(60);
        while place.moved_groups().is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let moved = place.moved_groups();
        assert!(moved.len() == 1 && moved[0].again, "{moved:?}");
        place.apply_with(CALLS, features());
        assert!(place.moved_groups().is_empty());
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
    });
}

/// Rules of a group that is gone hold for nothing that comes there: who applies them says that he knows it.
#[test]
fn where_paths_are_not_followed_a_group_that_is_gone_is_left_out_on_demand_only() {
    inside_mut("", |place| {
        let features = sockc_runtime::Features {
            kernel_types: false,
            ..sockc_runtime::probe()
        };
        let gone = Group::named("gone").unwrap();
        let path = gone.path();
        let two = format!(
            "{CALLS}group gone = cgroup \"{path}\"\ndrop connect from group gone to any:25\n"
        );
        place.apply_with(&two, features);
        drop(gone);
        let refused = place.try_apply(&two);
        assert!(
            matches!(&refused, Err(Error::Cgroup { group, .. }) if group == "gone"),
            "{refused:?}"
        );
        place.leave_out_missing();
        place.apply(&two);
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
    });
}

#[test]
fn status_notices_that_a_call_is_looked_at_no_longer() {
    inside(|place| {
        place.apply(CALLS);
        assert_eq!(place.drift(), 0);
        assert_eq!(place.take_off("connect4_"), 1);
        assert!(place.drift() > 0);
        assert!(calls(place, &place.group, TCP, "192.0.2.5:80"));
        place.apply(CALLS);
        assert_eq!(place.drift(), 0);
        assert!(!calls(place, &place.group, TCP, "192.0.2.5:80"));
    });
}
