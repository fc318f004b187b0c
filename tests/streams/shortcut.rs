//! The shortcut: data goes from socket to socket, all of it, in order, and never to a stranger.

use std::ffi::c_int;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Space};
use sockc_testing::{Rng, again};
use socket2::{SockAddr, Socket};

use crate::egress::arrives;
use crate::full::disconnect;
use crate::place::*;
use crate::writes::DATA;

pub(crate) const SHORTCUT: &str = "
default send allow
GROUP
near: shortcut tcp within group pods
";
pub(crate) const SERVER4: &str = "203.0.113.5";
pub(crate) const SERVER6: &str = "2001:db8:3::5";
/// How long data may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes sent each way; fewer where every instruction is emulated.
pub(crate) fn much() -> usize {
    match crate::guests::folder() {
        None => 50_000_000,
        Some(_) => 2_000_000,
    }
}

/// Bytes that look random and differ by `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..length.div_ceil(4))
        .map(|_| rng.word())
        .flat_map(u32::to_ne_bytes)
        .take(length)
        .collect()
}

/// Sends all in pieces of odd sizes, ends its side at once, and reads what the other side has sent.
fn exchange(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut reading = stream.try_clone().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(move || all_of(&mut reading));
        for piece in data.chunks(60_013) {
            stream.write_all(piece).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        reader.join().unwrap()
    })
}

/// Reads to the end. A blocking read of a socket in a SOCKMAP ends with EAGAIN when room to write, not data, has woken it
/// (`tcp_msg_wait_data` waits once), so such a read is done again.
pub(crate) fn all_of(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, started) = (Vec::new(), Instant::now());
    loop {
        match stream.read_to_end(&mut all) {
            Ok(_) => return all,
            Err(error) => assert!(
                error.kind() == ErrorKind::WouldBlock && started.elapsed() < PATIENCE,
                "{error} after {} bytes",
                all.len()
            ),
        }
    }
}

/// The same, never further ahead of the other side than a shortcut takes in: it says by `theirs` how much it has read, and this
/// side by `mine`.
fn exchange_in_step(
    stream: &mut TcpStream,
    data: &[u8],
    [mine, theirs]: [&AtomicUsize; 2],
) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reading = stream.try_clone().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (mut all, mut piece) = (Vec::new(), vec![0; 1 << 16]);
            loop {
                match again(|| reading.read(&mut piece)) {
                    Ok(0) => return all,
                    Ok(count) => all.extend(&piece[..count]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                mine.store(all.len(), Ordering::Release);
            }
        });
        let (mut written, started) = (0, Instant::now());
        for piece in data.chunks(60_013) {
            stream.write_all(piece).unwrap();
            written += piece.len();
            while written - theirs.load(Ordering::Acquire) > 1 << 20 {
                assert!(started.elapsed() < 3 * PATIENCE, "{written} bytes");
                thread::yield_now();
            }
        }
        stream.shutdown(Shutdown::Write).unwrap();
        reader.join().unwrap()
    })
}

/// Much data both ways; gives how many bytes the interface has sent meanwhile.
pub(crate) fn both_ways(pair: Pair, space: &Space, interface: &str) -> u64 {
    so_much(much(), pair, space, interface)
}

/// The same with so many bytes each way.
pub(crate) fn so_much(bytes: usize, mut pair: Pair, space: &Space, interface: &str) -> u64 {
    let (up, down) = (noise(1, bytes), noise(2, bytes));
    let before = sent_by(space, interface);
    let [one, other] = [(); 2].map(|()| AtomicUsize::new(0));
    let (here, there) = ([&one, &other], [&other, &one]);
    thread::scope(|scope| {
        let server = scope.spawn(|| exchange_in_step(&mut pair.server, &down, there));
        assert!(
            exchange_in_step(&mut pair.client, &up, here) == down,
            "what the client read"
        );
        assert!(server.join().unwrap() == up, "what the server read");
    });
    sent_by(space, interface) - before
}

#[test]
fn much_data_goes_both_ways_past_the_veth() {
    inside(|place| {
        place.apply(SHORTCUT);
        for (from, to) in [(CLIENT4, SERVER4), (CLIENT6, SERVER6)] {
            let pair = place.pair(from, to, BOTH);
            let wire = both_ways(pair, &place.lab.client, FRONT);
            println!("{to}: {} bytes each way, {wire} on the veth", much());
            assert!(wire < 10_000, "{to}: {wire} bytes went by the veth");
        }
    });
}

#[test]
fn much_data_goes_both_ways_past_lo() {
    inside(|place| {
        place.apply(SHORTCUT);
        for address in ["127.0.0.1", "::1"] {
            let pair = place.pair_over_lo(&place.lab.server, address, BOTH);
            let wire = both_ways(pair, &place.lab.server, "lo");
            println!("{address}: {} bytes each way, {wire} on lo", much());
            assert!(wire < 10_000, "{address}: {wire} bytes went by lo");
        }
    });
}

#[test]
fn data_goes_by_tcp_where_a_side_is_outside_the_group() {
    inside(|place| {
        place.apply(SHORTCUT);
        let server = Sides {
            client: false,
            server: true,
        };
        for sides in [NEITHER, CLIENT, server] {
            let pair = place.pair(CLIENT4, SERVER4, sides);
            let wire = both_ways(pair, &place.lab.client, FRONT);
            assert!(wire as usize > much(), "only {wire} bytes went by the veth");
        }
    });
}

#[test]
fn data_is_there_when_the_writer_closes_right_after() {
    inside(|place| {
        place.apply(SHORTCUT);
        for round in 0..200 {
            let Pair { client, server } = place.pair(CLIENT4, SERVER4, BOTH);
            let ends = if round % 2 == 0 {
                (client, server)
            } else {
                (server, client)
            };
            let (mut writer, mut reader) = ends;
            let data = noise(round, 100_000);
            writer.write_all(&data).unwrap();
            drop(writer);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == data, "round {round}: {} bytes", read.len());
        }
    });
}

/// What it writes then is for its second peer, though the first one may still be there.
#[test]
fn a_socket_that_is_connected_again_writes_to_its_new_peer() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut first = place.pair(CLIENT4, SERVER4, BOTH);
        for round in 0..3 {
            passed([&mut first.client, &mut first.server], round);
            passed([&mut first.server, &mut first.client], round);
        }
        let listener = place.listener(&place.lab.server, SocketAddr::new(ip(SERVER4), 0), true);
        let again = Socket::from(first.client);
        disconnect(&again);
        let to = listener.local_addr().unwrap();
        again.connect(&SockAddr::from(to)).unwrap();
        let [mut client, mut second] = [again.into(), listener.accept().unwrap().0];
        for round in 3..6 {
            passed([&mut client, &mut second], round);
            passed([&mut second, &mut client], round);
        }
    });
}

/// One writes, the other reads that.
fn passed([from, to]: [&mut TcpStream; 2], byte: u8) {
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    from.write_all(&[byte; 100]).unwrap();
    let mut read = [0; 100];
    to.read_exact(&mut read).unwrap();
    assert_eq!(read, [byte; 100]);
}

#[test]
fn equal_addresses_in_two_namespaces_never_mix() {
    inside(|place| {
        place.apply(SHORTCUT);
        let local = |port| SocketAddr::new(ip("127.0.0.1"), port);
        let spaces = [&place.lab.client, &place.lab.server];
        let mut pairs = spaces.map(|space| {
            let listener = place.listener(space, local(7000), true);
            let client = place.client(space, local(7001), true);
            client.connect(&SockAddr::from(local(7000))).unwrap();
            Pair {
                client: client.into(),
                server: listener.accept().unwrap().0,
            }
        });
        let before = spaces.map(|space| sent_by(space, "lo"));
        for round in 0..1000u32 {
            for (number, pair) in (0u32..).zip(&mut pairs) {
                let word = [round.to_be_bytes(), number.to_be_bytes()].concat();
                let (client, server) = (&mut pair.client, &mut pair.server);
                let mut read = [0; 8];
                client.write_all(&word).unwrap();
                server.read_exact(&mut read).unwrap();
                assert_eq!(read, word[..]);
                server.write_all(&word).unwrap();
                client.read_exact(&mut read).unwrap();
                assert_eq!(read, word[..]);
            }
        }
        for (space, before) in spaces.iter().zip(before) {
            assert!(
                sent_by(space, "lo") - before < 5_000,
                "both take the shortcut"
            );
        }
    });
}

/// Connects and writes twice at once: the first write may find that its peer is not in the group's map yet.
fn connect_and_write(place: &Place, spaces: [&Space; 2], ends: [&str; 2], rounds: u64) {
    let listener = place.listener(spaces[1], SocketAddr::new(ip(ends[1]), 0), true);
    let to: SockAddr = listener.local_addr().unwrap().into();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                let local = SocketAddr::new(ip(ends[0]), 0);
                let socket = place.client(spaces[0], local, true);
                socket.connect(&to).unwrap();
                let mut client = TcpStream::from(socket);
                for half in [2 * round, 2 * round + 1] {
                    client.write_all(&half.to_be_bytes()).unwrap();
                }
            }
        });
        for round in 0..rounds {
            let mut server = listener.accept().unwrap().0;
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            let wanted = [2 * round, 2 * round + 1].map(u64::to_be_bytes).concat();
            assert_eq!(all, wanted, "round {round}");
        }
    });
}

#[test]
fn two_writes_right_after_the_connect_stay_in_order() {
    inside(|place| {
        place.apply(SHORTCUT);
        let lab = &place.lab;
        connect_and_write(
            place,
            [&lab.client, &lab.server],
            [CLIENT4, SERVER4],
            repeated(1500),
        );
        connect_and_write(place, [&lab.server; 2], ["127.0.0.1"; 2], repeated(1500));
    });
}

/// Such a listener answers the handshake, forgets it, and makes the connection when data arrives: then the client's first
/// write finds no peer in the group's map and its second one would.
#[test]
fn two_writes_to_a_listener_that_defers_stay_in_order() {
    inside(|place| {
        place.apply(SHORTCUT);
        let local = SocketAddr::new(ip(SERVER4), 0);
        let listener = place.listener(&place.lab.server, local, true);
        defer_accept(&listener);
        let local = SocketAddr::new(ip(CLIENT4), 0);
        let client = place.client(&place.lab.client, local, true);
        client
            .connect(&listener.local_addr().unwrap().into())
            .unwrap();
        let mut client = TcpStream::from(client);
        client.write_all(b"first ").unwrap();
        let mut server = listener.accept().unwrap().0;
        client.write_all(b"second").unwrap();
        let mut all = [0; 12];
        server.read_exact(&mut all).unwrap();
        assert_eq!(&all, b"first second");
        let before = sent_by(&place.lab.server, FRONT);
        server.write_all(&noise(1, 20_000)).unwrap();
        client.read_exact(&mut vec![0; 20_000]).unwrap();
        let by_veth = sent_by(&place.lab.server, FRONT) - before;
        assert!(by_veth < 2_000, "the other direction takes the shortcut");
    });
}

fn defer_accept(listener: &TcpListener) {
    let seconds: c_int = 5;
    // SAFETY: the option is an int and lives through the call.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            4,
        )
    };
    assert_eq!(set, 0);
}

/// What came by TCP and is not read yet must be read before what comes by a shortcut that a later policy brings.
#[test]
fn a_shortcut_that_comes_later_does_not_overtake() {
    inside(|place| {
        place.apply("default send allow GROUP far: drop send tcp from group pods to 10.0.0.0/8");
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        pair.client.write_all(b"first ").unwrap();
        place.apply(SHORTCUT);
        pair.client.write_all(b"second").unwrap();
        let mut all = [0; 12];
        pair.server.read_exact(&mut all).unwrap();
        assert_eq!(&all, b"first second");
    });
}

#[test]
fn a_shortcut_that_goes_leaves_the_order() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        let open = "default send allow GROUP far: drop send tcp from group pods to 10.0.0.0/8";
        for policy in [open, SHORTCUT, SHORTCUT] {
            pair.client.write_all(b"first ").unwrap();
            place.apply(policy);
            pair.client.write_all(b"second").unwrap();
            let mut all = [0; 12];
            pair.server.read_exact(&mut all).unwrap();
            assert_eq!(&all, b"first second");
        }
    });
}

/// The kernel throws a socket's queue of redirected data away when the socket leaves its last map (`sk_psock_drop`).
#[test]
fn unload_loses_nothing_that_came_by_the_shortcut() {
    inside(|place| {
        for (from, to) in [(CLIENT4, SERVER4), (CLIENT6, SERVER6)] {
            place.apply(SHORTCUT);
            let mut pair = place.pair(from, to, BOTH);
            let (up, down) = (noise(1, 2_000_000), noise(2, 2_000_000));
            let (first_up, rest_up) = up.split_at(1_000_000);
            let (first_down, rest_down) = down.split_at(1_000_000);
            pair.client.write_all(first_up).unwrap();
            pair.server.write_all(first_down).unwrap();
            assert!(place.unload());
            thread::scope(|scope| {
                let server = scope.spawn(|| exchange(&mut pair.server, rest_down));
                assert!(exchange(&mut pair.client, rest_up) == down);
                assert!(server.join().unwrap() == up);
            });
        }
    });
}

#[test]
fn a_policy_without_the_group_loses_nothing_either() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        pair.client.write_all(b"first ").unwrap();
        place.apply("interfaces lo\ndefault in allow");
        pair.client.write_all(b"second").unwrap();
        place.apply(SHORTCUT);
        pair.client.write_all(b" third").unwrap();
        drop(pair.client);
        assert_eq!(all_of(&mut pair.server), b"first second third");
    });
}

#[test]
fn a_drop_ahead_of_the_shortcut_wins() {
    inside(|place| {
        place.apply(
            "default send allow GROUP
             quarantine: drop send tcp from group pods to 192.0.2.0/24
             near: shortcut tcp within group pods",
        );
        let mut dropped = place.pair(CLIENT4, "192.0.2.5", BOTH);
        assert!(crate::writes::is_refused(&dropped.client.write(DATA)));
        dropped.server.write_all(DATA).unwrap();
        assert!(arrives(&mut dropped.client));
        let before = sent_by(&place.lab.client, FRONT);
        let mut near = place.pair(CLIENT4, SERVER4, BOTH);
        let after = sent_by(&place.lab.client, FRONT);
        near.client.write_all(&noise(1, 20_000)).unwrap();
        near.server.read_exact(&mut vec![0; 20_000]).unwrap();
        assert!(before < after && sent_by(&place.lab.client, FRONT) < after + 2_000);
        assert_eq!(place.counted("quarantine").0, 1);
        assert!(place.counted("near").0 >= 2);
    });
}
