//! Sockets that a group's rules do not reach, and that this is said.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use sockc_runtime::Carried;
use socket2::{SockAddr, Socket};

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
        assert_eq!(place.apply(TALK).escaped, [(pods(), 1)]);
        early.client.write_all(DATA).unwrap();
        assert!(arrives(&mut early.server));
        let mut late = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert_eq!(place.foretold(TALK), [(pods(), Carried::Kept)]);
        assert_eq!(place.apply(TALK).escaped, [(pods(), 1)]);
        assert!(is_refused(&late.client.write(DATA)));
    });
}

#[test]
fn connections_made_before_are_counted_and_go_on() {
    inside(|place| {
        let mut early = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let early6 = place.pair(CLIENT6, "2001:db8:2::5", CLIENT);
        let _holders = [&early.client, &early6.client]
            .map(|stream| Holder::new(place, stream.try_clone().unwrap().into()));
        let applied = place.apply(TALK);
        assert_eq!(applied.escaped, [("pods".to_owned(), 2)]);
        early.client.write_all(DATA).unwrap();
        assert!(arrives(&mut early.server));

        let mut late = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let _holder = Holder::new(place, late.client.try_clone().unwrap().into());
        assert!(is_refused(&late.client.write(DATA)));
        let applied = place.apply(TALK);
        assert_eq!(
            applied.escaped,
            [("pods".to_owned(), 2)],
            "the late one is known"
        );
    });
}

#[test]
fn mptcp_sockets_are_counted_as_escaped_and_still_send() {
    inside(|place| {
        place.apply(TALK);
        let at = SocketAddr::new(ip("192.0.2.5"), 0);
        let from = SocketAddr::new(ip(CLIENT4), 0);
        let spaces = (&place.lab.client, &place.lab.server);
        let ends = (
            place.mptcp_socket(spaces.0, from),
            place.mptcp_socket(spaces.1, at),
        );
        let (Some(client), Some(listener)) = ends else {
            return skip("MPTCP");
        };
        let (client, listener) = (Socket::from(client), Socket::from(listener));
        for (socket, address) in [(&client, from), (&listener, at)] {
            socket.set_nonblocking(false).unwrap();
            socket.bind(&address.into()).unwrap();
        }
        listener.listen(1).unwrap();
        let to: SockAddr = listener.local_addr().unwrap();
        client.connect(&to).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut pair = Pair {
            client: client.into(),
            server: server.into(),
        };
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
        assert!(place.escaped() > 0);
    });
}
