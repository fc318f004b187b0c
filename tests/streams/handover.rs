//! What a proxy may hand over and what is refused in words: pairs, messages, and proxies themselves.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use nix::sys::socket::{MsgFlags, recv};
use sockc_testing::again;

use crate::place::*;
use crate::splice::{Joined, LO, Proxy, ROOM, arrived, connected, path, spliced};

/// A policy with room for a few.
const FEW: &str = "pairs relayed = registered max 3\njoined: splice tcp pairs relayed\n";

#[test]
fn what_cannot_be_joined_is_refused_in_words() {
    spliced(FEW, |proxy| {
        let (_client, to_client) = proxy.connection(LO[0]);
        let (to_upstream, _upstream) = proxy.connection(LO[0]);
        let (a, b) = (to_client.as_raw_fd(), to_upstream.as_raw_fd());
        let refused = |sockets, what: &str| {
            let answer = proxy.hand_over(sockets, [b"", b""]);
            assert!(answer.contains(what), "{answer}");
        };
        refused([a, a], "the same connection");
        let (one, other) = proxy.connection(LO[0]);
        refused(
            [one.as_raw_fd(), other.as_raw_fd()],
            "the ends of one connection",
        );
        let listener = std::net::TcpListener::bind("127.0.0.1:0");
        refused([a, listener.unwrap().as_raw_fd()], "a listener");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        refused([udp.as_raw_fd(), b], "client's descriptor is no TCP socket");
        refused([a, proxy.keeper.as_raw_fd()], "no TCP socket");
        let local = "127.0.0.1:0".parse().unwrap();
        let space = &proxy.place.lab.server;
        let fresh = proxy.place.socket(space, local, false);
        refused([a, fresh.as_raw_fd()], "not established");
        if let Some(mptcp) = proxy.place.mptcp_socket(space, local) {
            refused([a, mptcp.as_raw_fd()], "MPTCP");
        }
        let (over, half) = proxy.connection(LO[0]);
        over.shutdown(Shutdown::Write).unwrap();
        let mut nothing = [0];
        assert_eq!(again(|| half.peek(&mut nothing)).unwrap(), 0);
        refused([half.as_raw_fd(), b], "not established");
        let head = |numbers: [u32; 4]| numbers.map(u32::to_ne_bytes).concat();
        for (message, descriptors, what) in [
            (b"short".to_vec(), vec![a, b], "fewer than 16"),
            (head([2, 0, 0, 0]), vec![a, b], "version 2"),
            (head([1, 5, 0, 0]), vec![a, b], "says that 5 and 0 bytes"),
            (head([1, u32::MAX, 1, 0]), vec![a, b], "bytes go with it"),
            (head([1, 0, 0, 7]), vec![a, b], "fourth number"),
            (head([1, 0, 0, 0]), vec![a], "1 descriptors"),
            (head([1, 0, 0, 0]), vec![], "0 descriptors"),
            (head([1, 0, 0, 0]), vec![a, b, a], "3 descriptors"),
            (vec![0; 1 << 17 | 64], vec![a, b], "too long"),
        ] {
            let answer = proxy.send(&message, &descriptors);
            assert!(answer.contains(what), "{answer}");
        }
        // What came too much is closed, also where it is more than there is room for.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let more = ours.as_raw_fd();
        for (descriptors, what) in [
            (vec![a, b, more], "3 descriptors"),
            (vec![more; 200], "found no room"),
        ] {
            let answer = proxy.send(&head([1, 0, 0, 0]), &descriptors);
            assert!(answer.contains(what), "{answer}");
        }
        drop(ours);
        assert_eq!(again(|| theirs.read(&mut [0])).unwrap(), 0);
        // Nothing of all that has touched the connections.
        assert_eq!(proxy.hand_over([a, b], [b"", b""]), "ok");
        refused([a, b], "in a pair already");
    });
}

#[test]
fn there_is_room_for_so_many_and_for_one_keeper() {
    spliced(FEW, |proxy| {
        let mode = fs::metadata(proxy.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let held: Vec<Joined> = (0..3).map(|_| proxy.plain()).collect();
        assert_eq!(proxy.place.joined_pairs(), 3);
        let (_client, to_client) = proxy.connection(LO[0]);
        let (to_upstream, _upstream) = proxy.connection(LO[0]);
        let both = [to_client.as_raw_fd(), to_upstream.as_raw_fd()];
        let full = proxy.hand_over(both, [b"", b""]);
        assert!(full.contains("room for 3 pairs"), "{full}");
        let another = proxy.place.keep("relayed", &path(), &mut || ());
        let another = another.unwrap_err().to_string();
        assert!(another.contains("another `sockc socket pair`"), "{another}");
        let unknown = proxy.place.keep("relayd", &path(), &mut || ());
        let unknown = unknown.unwrap_err().to_string();
        assert!(unknown.contains("relayed"), "{unknown}");
        proxy.place.apply(ROOM);
        // The keeper looks by itself.
        while proxy.hand_over(both, [b"", b""]) != "ok" {
            thread::yield_now();
        }
        drop(held);
    });
}

/// Proxies that connect and say nothing end nobody, and keep nobody out.
#[test]
fn who_says_nothing_does_no_harm() {
    spliced(ROOM, |proxy| {
        let silent: Vec<OwnedFd> = (0..600).map(|_| connected(proxy.path)).collect();
        let another = Proxy {
            keeper: connected(proxy.path),
            ..*proxy
        };
        let mut joined = another.plain();
        joined.client.write_all(b"there").unwrap();
        arrived(&joined.upstream, 5);
        // The one that was there first has been let go.
        let first = silent[0].as_raw_fd();
        assert_eq!(recv(first, &mut [0], MsgFlags::empty()), Ok(0));
        drop(silent);
        joined.upstream.write_all(b"back").unwrap();
        arrived(&joined.client, 4);
    });
}

/// A connection that two would move the data of is refused by the second.
#[test]
fn a_connection_is_in_a_pair_of_one_name() {
    let text = format!("{ROOM}pairs others = registered\nsplice tcp pairs others\n");
    spliced(&text, |proxy| {
        let (_client, to_client) = proxy.connection(LO[0]);
        let (to_upstream, _upstream) = proxy.connection(LO[0]);
        let both = [to_client.as_raw_fd(), to_upstream.as_raw_fd()];
        assert_eq!(proxy.hand_over(both, [b"", b""]), "ok");
        let (place, path) = (proxy.place, path());
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let keep = || place.keep("others", &path, &mut move || tell.send(()).unwrap());
            let other = scope.spawn(keep);
            told.recv().unwrap();
            let another = Proxy {
                keeper: connected(&path),
                ..*proxy
            };
            let answer = another.hand_over(both, [b"", b""]);
            // That one ends, and the pair of the first goes on.
            proxy.place.apply(ROOM);
            assert!(other.join().unwrap().is_err());
            assert!(answer.contains("in a pair of \"relayed\""), "{answer}");
            assert_eq!(proxy.place.joined_pairs(), 1);
        });
    });
}

/// What rules put into a queue would come between what is spliced.
#[test]
fn a_connection_is_in_a_pair_or_takes_what_is_redirected() {
    let text = format!(
        "{ROOM}
socket cache = registered
default send allow
GROUP
redirect send tcp from group pods to port 9 to input of sock cache
"
    );
    spliced(&text, |proxy| {
        let joined = || proxy.connection(LO[0]);
        let [(_client, to_client), (to_upstream, _upstream)] = [joined(), joined()];
        let both = [to_client.as_raw_fd(), to_upstream.as_raw_fd()];
        let place = proxy.place;
        place.register("cache", to_upstream.as_fd()).unwrap();
        let answer = proxy.hand_over(both, [b"", b""]);
        assert!(answer.contains("behind the name \"cache\""), "{answer}");
        place.unregister("cache").unwrap();
        assert_eq!(proxy.hand_over(both, [b"", b""]), "ok");
        for fd in [&to_client, &to_upstream] {
            let refused = place.register("cache", fd.as_fd()).unwrap_err();
            assert!(
                refused.to_string().contains("in a pair of \"relayed\""),
                "{refused}"
            );
        }
    });
}

/// A shortcut takes data past TCP, so a splice would not see it.
#[test]
fn a_connection_of_a_group_stays_with_its_rules() {
    let text = format!("GROUP\ndefault send allow\nnear: shortcut tcp within group pods\n{ROOM}");
    spliced(&text, |proxy| {
        let (to_upstream, _upstream) = proxy.connection(LO[0]);
        let place = proxy.place;
        let grouped = place.pair_over_lo(&place.lab.server, LO[0], BOTH);
        let both = [grouped.server.as_raw_fd(), to_upstream.as_raw_fd()];
        let answer = proxy.hand_over(both, [b"", b""]);
        assert!(answer.contains("the group \"pods\""), "{answer}");
    });
}
