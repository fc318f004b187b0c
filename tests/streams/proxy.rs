//! The proxy of `examples/proxy`, whichever way it passes on what comes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::place::Place;
use crate::relay::{self, Upstreams, Way};
use crate::splice::{Joined, MEGABYTE, ROOM, both_ways, spliced};

/// Runs a test with the proxy at work before two upstreams; it is given its address and their listeners.
fn proxied(place: &Place, way: &Way, test: impl FnOnce(SocketAddr, [&TcpListener; 2])) {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let made = place.lab.server.run(|| [listen(), listen(), listen()]);
    let [front, plain, tls] = made.unwrap();
    let upstreams = Upstreams {
        plain: plain.local_addr().unwrap(),
        tls: Some(tls.local_addr().unwrap()),
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            place
                .lab
                .server
                .run(|| relay::serve(&front, upstreams, way))
        });
        let _ended = Ended(&front);
        test(front.local_addr().unwrap(), [&plain, &tls]);
    });
}

/// Ends who accepts from a listener.
struct Ended<'a>(&'a TcpListener);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        SockRef::from(self.0).shutdown(Shutdown::Both).unwrap();
    }
}

#[test]
fn a_proxy_looks_once_and_passes_on_the_rest() {
    spliced(ROOM, |kept| {
        let place = kept.place;
        let path = kept.path.to_owned();
        // With nobody there, it copies.
        let nobody = path.with_extension("nobody");
        let ways = [Way::Pairs(nobody), Way::Copy, Way::Splice, Way::Pairs(path)];
        for way in &ways {
            assert_eq!(place.counted("joined"), (0, 0), "before {way:?}");
            let handed = matches!(way, Way::Pairs(path) if path == kept.path);
            proxied(place, way, |front, [plain, tls]| {
                passes(place, front, (b"GET ", plain), handed);
                passes(place, front, (b"\x16\x03\x01\0", tls), handed);
            });
        }
    });
}

/// What begins so comes to this upstream, and all else after it; by the kernel, where it is handed over.
fn passes(
    place: &Place,
    front: SocketAddr,
    (first, upstream): (&[u8; 4], &TcpListener),
    handed: bool,
) {
    let connect = || TcpStream::connect(front).unwrap();
    let mut client = place.lab.server.run(connect).unwrap();
    client.write_all(first).unwrap();
    let mut upstream = upstream.accept().unwrap().0;
    let mut got = [0; 4];
    upstream.read_exact(&mut got).unwrap();
    assert_eq!(&got, first);
    let before = [place.counted("joined").1, place.counted_back().1];
    let moved = || place.counted("joined").1 > before[0] && place.counted_back().1 > before[1];
    // What comes while the keeper still copies what waited is not counted.
    while handed && !moved() {
        for (mut from, mut to) in [(&client, &upstream), (&upstream, &client)] {
            from.write_all(b"?").unwrap();
            to.read_exact(&mut got[..1]).unwrap();
        }
    }
    let joined = Joined { client, upstream };
    let read = both_ways(&joined, 2 * MEGABYTE, Duration::ZERO);
    assert_eq!(read, [2 * MEGABYTE; 2]);
}
