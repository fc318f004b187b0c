//! Sockets that a group's rules do not reach, and that this is said.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use sockc_runtime::Carried;

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::writes::{DATA, is_refused};

/// A process that holds a socket as its input until it is dropped.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn new(place: &Place, socket: OwnedFd) -> Self {
        let spawn = || {
            Command::new("cat")
                .stdin(Stdio::from(socket))
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let holder = Self(place.lab.client.run(spawn).unwrap());
        place.group.join(holder.0.id()).unwrap();
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A policy of calls has no maps of sockets: what is foretold of those that exist is what an apply finds.
#[test]
fn a_group_that_only_called_has_taken_no_connection_in() {
    inside(|place| {
        place.apply(
            "default connect allow\nGROUP\ndrop connect tcp from group pods to 192.0.2.99:1\n",
        );
        let mut early = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let _holder = Holder::new(place, early.client.try_clone().unwrap().into());
        let pods = || "pods".to_owned();
        assert_eq!(place.foretold(TALK), [(pods(), Carried::Begins)]);
        early.client.write_all(DATA).unwrap();
        assert!(arrives(&mut early.server));
        assert_eq!(place.apply(TALK).escaped, [(pods(), 0)]);
        let mut late = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert_eq!(place.foretold(TALK), [(pods(), Carried::Kept)]);
        assert_eq!(place.apply(TALK).escaped, [(pods(), 0)]);
        for pair in [&mut early, &mut late] {
            assert!(is_refused(&pair.client.write(DATA)));
        }
    });
}

#[test]
fn mptcp_sockets_are_counted_as_escaped_and_still_send() {
    inside(|place| {
        place.apply(TALK);
        let Some(mut pair) = place.mptcp_pair() else {
            return skip("MPTCP");
        };
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        assert!(place.escaped() > 0);
    });
}
