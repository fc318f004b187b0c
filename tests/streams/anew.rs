//! A control group that is removed and made anew under its path, as systemd does at a service's stop and start.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::Group;
use socket2::Socket;

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::writes::{DATA, is_refused};

#[test]
fn a_group_made_anew_keeps_its_rules() {
    // A dot as in the names of services, which the bpf file system does not take.
    inside_named(".service", |place| {
        place.apply(TALK);
        let mut before = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&before.client.write(DATA)));
        for _ in 0..2 {
            place.group.remake().unwrap();
            for (from, to) in [(CLIENT4, "192.0.2.5"), (CLIENT6, "2001:db8:2::5")] {
                let mut after = place.pair(from, to, CLIENT);
                assert!(is_refused(&after.client.write(DATA)), "{to}");
            }
            let mut elsewhere = place.pair(CLIENT4, "203.0.113.5", CLIENT);
            elsewhere.client.write_all(DATA).unwrap();
            assert!(arrives(&mut elsewhere.server));
        }
        assert_eq!(place.counted("four").0, 3);
        assert!(is_refused(&before.client.write(DATA)), "what lived on");
        place.apply(TALK);
        let mut after = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&after.client.write(DATA)));
    });
}

/// A connection of a cgroup to where the policy lets its group write nothing: whether a write goes through.
fn writes(place: &Place, group: &Group) -> bool {
    let to = SocketAddr::new(ip("192.0.2.5"), 0);
    let listener = place.listener(&place.lab.server, to, false);
    let local = SocketAddr::new(ip(CLIENT4), 0);
    let made = place.lab.client.run(|| group.tcp_socket(local));
    let socket = Socket::from(made.unwrap().unwrap());
    socket.set_nonblocking(false).unwrap();
    socket.bind(&local.into()).unwrap();
    socket
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let mut client = TcpStream::from(socket);
    let (mut server, _) = listener.accept().unwrap();
    let written = client.write(DATA);
    match is_refused(&written) {
        true => false,
        false => written.unwrap() == DATA.len() && arrives(&mut server),
    }
}

/// The hook sees the connections of the whole machine.
#[test]
fn groups_beside_it_are_not_taken_for_it() {
    inside(|place| {
        place.apply(TALK);
        for name in ["", "-and-more"] {
            let other = Group::named(name).unwrap();
            assert!(writes(place, &other));
            let below = other.chain(40).unwrap();
            assert!(writes(place, &below[0]) && writes(place, &below[39]));
        }
        assert_eq!(place.counted("four").0, 0);
    });
}

/// A process may make control groups below its own where they are its to make. Below 64 levels every policy takes a socket for
/// its own, and only one has it.
#[test]
fn nobody_leaves_a_group_by_going_down() {
    inside_alone(|place| {
        place.apply(TALK);
        let mut below = place.group.chain(70).unwrap();
        below.reverse();
        for level in [1, 16, 17, 64, 65, 70] {
            assert!(!writes(place, &below[level - 1]), "{level} levels below");
        }
        assert_eq!(place.counted("four").0, 6);
        below.reverse();
    });
}

#[test]
fn where_paths_cannot_be_followed_status_names_the_group_and_an_apply_mends_it() {
    inside_mut("", |place| {
        let features = sockc_runtime::Features {
            kernel_types: false,
            ..sockc_runtime::probe()
        };
        place.apply_with(TALK, features);
        assert!(place.moved_groups().is_empty());
        place.group.remake().unwrap();
        // The kernel takes the hook off some time later.
        let end = Instant::now() + Duration::from_secs(60);
        while place.moved_groups().is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let moved = place.moved_groups();
        assert_eq!(moved.len(), 1);
        assert!(moved[0].again && moved[0].path.ends_with(place.group.path()));
        place.apply_with(TALK, features);
        assert!(place.moved_groups().is_empty());
        let mut after = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&after.client.write(DATA)));
    });
}
