//! A control group that is removed and made anew under its path, as systemd does at a service's stop and start.

use std::io::Write;

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

/// The hook sees the connections of the whole machine.
#[test]
fn groups_beside_it_are_not_taken_for_it() {
    inside(|place| {
        place.apply(TALK);
        for name in ["", "-and-more"] {
            let other = sockc_runtime::lab::Group::named(name).unwrap();
            let local = std::net::SocketAddr::new(ip(CLIENT4), 0);
            let listener = place.listener(
                &place.lab.server,
                std::net::SocketAddr::new(ip("192.0.2.5"), 0),
                false,
            );
            let made = place.lab.client.run(|| other.tcp_socket(local));
            let socket = socket2::Socket::from(made.unwrap().unwrap());
            socket.set_nonblocking(false).unwrap();
            socket.bind(&local.into()).unwrap();
            socket
                .connect(&listener.local_addr().unwrap().into())
                .unwrap();
            let mut client = std::net::TcpStream::from(socket);
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(DATA).unwrap();
            assert!(arrives(&mut server));
        }
        assert_eq!(place.counted("four").0, 0);
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
        assert_eq!(place.drift(), [""; 0]);
        place.group.remake().unwrap();
        let drift = place.drift();
        let words = format!(
            "{} was removed, and the rules do not hold",
            place.group.path()
        );
        assert!(drift.iter().any(|one| one.contains(&words)), "{drift:?}");
        place.apply_with(TALK, features);
        assert_eq!(place.drift(), [""; 0]);
        let mut after = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&after.client.write(DATA)));
    });
}
