//! The shortcut between two groups: both ways of a connection, whoever connects, and nobody else's.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Group, Space};
use sockc_testing::again;
use socket2::{SockAddr, Socket};

use crate::change::count_up;
use crate::place::*;
use crate::shortcut::{PATIENCE, SERVER4, SERVER6, all_of, both_ways, much, noise, so_much};

/// `BACK` stands for the declaration of the group `back`.
const BETWEEN: &str = "
default send allow
GROUP
BACK
near: shortcut tcp from group pods to group back
";

/// Both groups with nothing between them.
const APART: &str = "
default send allow
GROUP
BACK
far: drop send tcp to 10.0.0.0/8
";

/// A place with a second group.
struct Two<'p> {
    place: &'p Place,
    back: Group,
}

/// Whose socket it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Pods,
    Back,
    Nobody,
}
use Whose::{Back, Nobody, Pods};

fn with_two(test: impl FnOnce(&Two<'_>)) {
    inside(|place| {
        let back = Group::named("-back").unwrap();
        test(&Two { place, back });
    });
}

impl Two<'_> {
    fn apply(&self, text: &str) {
        let declared = format!("group back = cgroup \"{}\"", self.back.path());
        self.place.apply(&text.replace("BACK", &declared));
    }

    /// A socket that is bound.
    fn socket(&self, space: &Space, local: SocketAddr, whose: Whose) -> Socket {
        if whose != Back {
            return self.place.client(space, local, whose == Pods);
        }
        let made = space.run(|| self.back.tcp_socket(local));
        let socket = Socket::from(made.unwrap().unwrap());
        socket.set_nonblocking(false).unwrap();
        socket.bind(&local.into()).unwrap();
        socket
    }

    fn listener(&self, space: &Space, local: SocketAddr, whose: Whose) -> TcpListener {
        let socket = self.socket(space, local, whose);
        socket.listen(1024).unwrap();
        socket.into()
    }

    /// A connection from the client's namespace to the server's.
    fn pair(&self, from: &str, to: &str, [client, server]: [Whose; 2]) -> Pair {
        let lab = &self.place.lab;
        let listener = self.listener(&lab.server, SocketAddr::new(ip(to), 0), server);
        let client = self.socket(&lab.client, SocketAddr::new(ip(from), 0), client);
        client
            .connect(&listener.local_addr().unwrap().into())
            .unwrap();
        Pair {
            client: client.into(),
            server: listener.accept().unwrap().0,
        }
    }

    /// What went by the veth while so much went both ways.
    fn by_veth(&self, bytes: usize, pair: Pair) -> u64 {
        so_much(bytes, pair, &self.place.lab.client, FRONT)
    }
}

#[test]
fn much_data_goes_both_ways_past_the_veth() {
    with_two(|two| {
        two.apply(BETWEEN);
        for (from, to) in [(CLIENT4, SERVER4), (CLIENT6, SERVER6)] {
            for ends in [[Pods, Back], [Back, Pods]] {
                let wire = both_ways(two.pair(from, to, ends), &two.place.lab.client, FRONT);
                println!("{to}: between {ends:?}, {wire} bytes on the veth");
                assert!(wire < 10_000, "{to}: {wire} bytes went by the veth");
            }
        }
        assert!(two.place.counted("near").1 >= 8 * much() as u64);
    });
}

/// An IPv4 connection whose client says its addresses as IPv6 ones.
#[test]
fn an_ipv4_address_in_ipv6_is_the_ipv4_address() {
    with_two(|two| {
        two.apply(BETWEEN);
        let lab = &two.place.lab;
        let listener = two.listener(&lab.server, SocketAddr::new(ip(SERVER4), 0), Back);
        let local: SocketAddr = format!("[::ffff:{CLIENT4}]:0").parse().unwrap();
        let made = lab.client.run(|| two.place.group.tcp_socket(local));
        let client = Socket::from(made.unwrap().unwrap());
        client.set_only_v6(false).unwrap();
        client.set_nonblocking(false).unwrap();
        client.bind(&local.into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let to: SocketAddr = format!("[::ffff:{SERVER4}]:{port}").parse().unwrap();
        client.connect(&to.into()).unwrap();
        let pair = Pair {
            client: client.into(),
            server: listener.accept().unwrap().0,
        };
        let wire = two.by_veth(2_000_000, pair);
        assert!(wire < 10_000, "{wire} bytes went by the veth");
    });
}

#[test]
fn data_goes_by_tcp_where_the_other_end_is_not_in_the_other_group() {
    with_two(|two| {
        two.apply(BETWEEN);
        let bytes = 2_000_000;
        for ends in [
            [Pods, Nobody],
            [Nobody, Back],
            [Back, Nobody],
            [Pods, Pods],
            [Back, Back],
        ] {
            let wire = two.by_veth(bytes, two.pair(CLIENT4, SERVER4, ends));
            assert!(wire as usize > bytes, "{ends:?}: {wire} bytes on the veth");
        }
    });
}

/// Of one group with itself it is the shortcut within.
#[test]
fn one_group_may_stand_at_both_ends() {
    inside(|place| {
        place.apply("default send allow GROUP near: shortcut tcp from group pods to group pods");
        let pair = place.pair(CLIENT4, SERVER4, BOTH);
        let wire = so_much(2_000_000, pair, &place.lab.client, FRONT);
        assert!(wire < 10_000, "{wire} bytes went by the veth");
    });
}

#[test]
fn data_is_there_when_the_writer_closes_right_after() {
    with_two(|two| {
        two.apply(BETWEEN);
        for round in 0..100 {
            let Pair { client, server } = two.pair(CLIENT4, SERVER4, [Pods, Back]);
            let (mut writer, mut reader) = if round % 2 == 0 {
                (client, server)
            } else {
                (server, client)
            };
            let data = noise(round, 100_000);
            writer.write_all(&data).unwrap();
            drop(writer);
            let read = all_of(&mut reader);
            assert!(read == data, "round {round}: {} bytes", read.len());
        }
    });
}

/// The answer to a request that ends with the end of the writer's side.
#[test]
fn the_answer_comes_after_a_side_has_ended() {
    with_two(|two| {
        two.apply(BETWEEN);
        for round in 0..50 {
            let mut pair = two.pair(CLIENT4, SERVER4, [Pods, Back]);
            let [request, answer] = [2 * round, 2 * round + 1].map(|seed| noise(seed, 100_000));
            pair.client.write_all(&request).unwrap();
            pair.client.shutdown(Shutdown::Write).unwrap();
            assert!(all_of(&mut pair.server) == request, "round {round}");
            pair.server.write_all(&answer).unwrap();
            drop(pair.server);
            assert!(all_of(&mut pair.client) == answer, "round {round}");
        }
    });
}

/// All that was written before a reset is read, and then the reset.
#[test]
fn a_reset_comes_after_what_was_written() {
    with_two(|two| {
        two.apply(BETWEEN);
        for round in 0..50 {
            let mut pair = two.pair(CLIENT4, SERVER4, [Pods, Back]);
            let data = noise(round, 100_000);
            pair.client.write_all(&data).unwrap();
            Socket::from(pair.client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            let (read, end) = until_an_end(&mut pair.server);
            assert!(read == data, "round {round}: {} bytes", read.len());
            assert_eq!(end, Some(ErrorKind::ConnectionReset), "round {round}");
        }
    });
}

/// What can be read, and the error after it. A read that says EAGAIN is done again (see [`all_of`]).
fn until_an_end(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut all, mut piece, started) = (Vec::new(), [0; 65536], Instant::now());
    loop {
        match again(|| stream.read(&mut piece)) {
            Ok(0) => return (all, None),
            Ok(length) => all.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                return (all, Some(error.kind()));
            }
            Err(_) => assert!(started.elapsed() < PATIENCE, "after {} bytes", all.len()),
        }
    }
}

/// 5,000 short connections, fewer where every instruction is emulated: what is written at once after the connect is read in order, with its end.
#[test]
fn short_connections_are_read_in_order() {
    with_two(|two| {
        two.apply(BETWEEN);
        let lab = &two.place.lab;
        short_ones(two, [&lab.client, &lab.server], [CLIENT4, SERVER4]);
        short_ones(two, [&lab.server; 2], ["127.0.0.1"; 2]);
    });
}

fn short_ones(two: &Two<'_>, spaces: [&Space; 2], ends: [&str; 2]) {
    let rounds = much() as u64 / 20_000;
    let listener = two.listener(spaces[1], SocketAddr::new(ip(ends[1]), 0), Back);
    let to: SockAddr = listener.local_addr().unwrap().into();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                let socket = two.socket(spaces[0], SocketAddr::new(ip(ends[0]), 0), Pods);
                socket.connect(&to).unwrap();
                let mut client = TcpStream::from(socket);
                for half in [2 * round, 2 * round + 1] {
                    client.write_all(&half.to_be_bytes()).unwrap();
                }
            }
        });
        for round in 0..rounds {
            let all = all_of(&mut listener.accept().unwrap().0);
            let wanted = [2 * round, 2 * round + 1].map(u64::to_be_bytes).concat();
            assert_eq!(all, wanted, "round {round}");
        }
    });
}

/// Reads numbers, each one more than the one before, to the end. A read that says EAGAIN is done again (see [`all_of`]).
fn counted_up(stream: &mut TcpStream) -> u64 {
    let (mut expected, mut rest, mut piece) = (0u64, Vec::new(), [0; 4096]);
    loop {
        match again(|| stream.read(&mut piece)) {
            Ok(0) => break,
            Ok(length) => rest.extend_from_slice(&piece[..length]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let (words, left) = rest.as_chunks::<8>();
        for word in words {
            assert_eq!(u64::from_be_bytes(*word), expected);
            expected += 1;
        }
        rest = left.to_vec();
    }
    assert!(rest.is_empty());
    expected
}

/// The shortcut is there, goes, and comes again, under data in both directions.
#[test]
fn policies_change_under_data_both_ways() {
    with_two(|two| {
        two.apply(BETWEEN);
        let Pair { client, server } = two.pair(CLIENT4, SERVER4, [Pods, Back]);
        let ends = [client, server];
        let stop = AtomicBool::new(false);
        let sent = [(); 2].map(|()| AtomicU64::new(0));
        thread::scope(|scope| {
            let (stop, sent) = (&stop, &sent);
            let mut counting = Vec::new();
            for (end, sent) in ends.iter().zip(sent) {
                let (mut reading, mut writing) =
                    (end.try_clone().unwrap(), end.try_clone().unwrap());
                scope.spawn(move || count_up(&mut writing, stop, sent));
                counting.push(scope.spawn(move || counted_up(&mut reading)));
            }
            let goes_on = || {
                let before = sent.each_ref().map(|one| one.load(Ordering::Acquire));
                let moved = |(one, before): (&AtomicU64, u64)| {
                    one.load(Ordering::Acquire) > before + repeated(1000)
                };
                while !sent.iter().zip(before).all(moved)
                    && !counting.iter().any(|one| one.is_finished())
                {
                    thread::yield_now();
                }
            };
            for policy in [APART, BETWEEN, BETWEEN, APART, BETWEEN] {
                goes_on();
                two.apply(policy);
            }
            goes_on();
            stop.store(true, Ordering::Release);
            let read: Vec<u64> = counting
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect();
            let [up, down] = sent.each_ref().map(|one| one.load(Ordering::Acquire));
            assert_eq!(read, [down, up]);
        });
    });
}
