//! What a shortcut brings is bounded: a reader that does not read makes the writer wait, and nothing is lost or overtakes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::libc;
use sockc_compiler::artifact::CounterKind;
use sockc_runtime::lab::FRONT;
use sockc_testing::again;
use socket2::{SockAddr, Socket};

use crate::alone::wait_until;
use crate::place::*;
use crate::shortcut::{PATIENCE, SERVER4, SERVER6, SHORTCUT, noise};

/// What goes to members of the set goes by TCP.
const SLOW: &str = "
    default send allow
    GROUP
    live set slow max 8
    plain: allow send tcp to @slow
    near: shortcut tcp within group pods
";

/// More than a shortcut and both queues of TCP hold.
const MOST: usize = 64 << 20;

/// The bytes of a write, and how many writes the reader may be behind.
const PIECE: usize = 32;
const AHEAD: usize = 200;

/// How many writes there are; fewer where every instruction is emulated.
fn pieces() -> usize {
    match crate::guests::folder() {
        None => 2_000_000,
        Some(_) => 20_000,
    }
}

/// Writes as long as there is room, in pieces of this size; all that was written.
fn fill(writer: &mut TcpStream, piece: usize) -> Vec<u8> {
    writer.set_nonblocking(true).unwrap();
    let data = noise(1, MOST);
    let mut written = 0;
    loop {
        match writer.write(&data[written..MOST.min(written + piece)]) {
            Ok(0) => panic!("no bound at {written} bytes"),
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    writer.set_nonblocking(false).unwrap();
    data[..written].to_vec()
}

/// Reads so much; nobody waits in a read when this has ended.
fn read(reader: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut all = vec![0; length];
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    reader.read_exact(&mut all).unwrap();
    all
}

/// Bytes on the veth while one write of some is read.
fn by_veth(place: &Place, pair: &mut Pair) -> u64 {
    let data = noise(2, 20_000);
    let before = sent_by(&place.lab.client, FRONT);
    pair.client.write_all(&data).unwrap();
    assert!(read(&mut pair.server, data.len()) == data);
    sent_by(&place.lab.client, FRONT) - before
}

impl Place {
    /// Writes and bytes that went by TCP though a shortcut was asked for.
    fn by_tcp(&self) -> (u64, u64) {
        self.count(|counter| counter.kind == CounterKind::ByTcp)
    }
}

#[test]
fn a_reader_that_does_not_read_makes_the_writer_wait() {
    inside(|place| {
        place.apply(SHORTCUT);
        for (piece, to, from) in [
            (100, SERVER4, CLIENT4),
            (60_000, SERVER6, CLIENT6),
            (1 << 20, SERVER4, CLIENT4),
        ] {
            let mut pair = place.pair(from, to, BOTH);
            let before = place.by_tcp();
            let written = fill(&mut pair.client, piece);
            let by_tcp = place.by_tcp();
            println!("{piece} a write: {} bytes waited", written.len());
            assert!(by_tcp.0 > before.0 && by_tcp.1 > before.1);
            let rest = noise(3, 3_000_000);
            thread::scope(|scope| {
                let writer = scope.spawn(|| pair.client.write_all(&rest).unwrap());
                assert!(read(&mut pair.server, written.len()) == written, "{piece}");
                assert!(read(&mut pair.server, rest.len()) == rest, "{piece}");
                writer.join().unwrap();
            });
            assert!(by_veth(place, &mut pair) < 2_000, "back on the shortcut");
        }
    });
}

/// What waits is counted without a lock, while the reader takes it away. The writer is never far ahead here, so there is always room.
#[test]
fn a_reader_at_work_does_not_end_a_shortcut() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        let before = place.by_tcp();
        let (pieces, taken) = (pieces(), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut piece = [0; PIECE * 8];
                while taken.load(Ordering::Relaxed) < pieces * PIECE {
                    let count = again(|| pair.server.read(&mut piece)).unwrap();
                    taken.fetch_add(count, Ordering::Relaxed);
                }
            });
            for sent in 1..=pieces {
                pair.client.write_all(&[7; PIECE]).unwrap();
                while sent * PIECE - taken.load(Ordering::Relaxed) > AHEAD * PIECE {
                    std::hint::spin_loop();
                }
            }
        });
        let (writes, _) = place.by_tcp();
        println!("{} of {pieces} writes went by TCP", writes - before.0);
        assert_eq!(writes, before.0);
    });
}

/// What went by TCP and is not read yet must be read before what a shortcut brings.
#[test]
fn no_shortcut_is_taken_before_all_of_tcp_is_read() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        let mut sent = fill(&mut pair.client, 60_000);
        let mut got = Vec::new();
        for round in 0..60 {
            got.extend(read(&mut pair.server, 150_000));
            // It may find no room yet.
            pair.client.set_nonblocking(true).unwrap();
            let piece = noise(round, 10_000);
            if let Ok(count) = pair.client.write(&piece) {
                sent.extend(&piece[..count]);
            }
            if sent.len() - got.len() < 150_000 {
                break;
            }
        }
        got.extend(read(&mut pair.server, sent.len() - got.len()));
        assert!(got == sent);
    });
}

#[test]
fn an_apply_leaves_connections_on_the_shortcut() {
    inside(|place| {
        let other = "
            default send allow
            GROUP
            far: drop send tcp from group pods to 192.0.2.0/24
            near: shortcut tcp within group pods";
        let open = "default send allow GROUP far: drop send tcp from group pods to 10.0.0.0/8";
        place.apply(SHORTCUT);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        for policy in [SHORTCUT, other, SHORTCUT] {
            assert!(by_veth(place, &mut pair) < 2_000);
            pair.client.write_all(b"first ").unwrap();
            place.apply(policy);
            pair.client.write_all(b"second").unwrap();
            assert_eq!(read(&mut pair.server, 12), b"first second");
        }
        assert!(by_veth(place, &mut pair) < 2_000);
        // What went by TCP in between is read first.
        place.apply(open);
        pair.client.write_all(b"first ").unwrap();
        place.apply(SHORTCUT);
        pair.client.write_all(b"second").unwrap();
        assert_eq!(read(&mut pair.server, 12), b"first second");
        assert!(by_veth(place, &mut pair) < 2_000);
    });
}

/// What another rule lets go by TCP must be read first, too, though the way still has room.
#[test]
fn what_another_rule_lets_go_is_read_first() {
    inside(|place| {
        place.apply(SLOW);
        let mut pair = place.pair(CLIENT4, SERVER4, BOTH);
        assert!(by_veth(place, &mut pair) < 2_000);
        place.add_to_set("slow", ip(SERVER4));
        pair.client.write_all(b"first ").unwrap();
        place.take_from_set("slow", ip(SERVER4));
        pair.client.write_all(b"second").unwrap();
        assert_eq!(read(&mut pair.server, 12), b"first second");
    });
}

/// Takes a socket off its connection, as `connect` with AF_UNSPEC does, which resets it.
fn disconnect(socket: &TcpStream) {
    let nobody = libc::sockaddr {
        sa_family: 0,
        sa_data: [0; 14],
    };
    let size = libc::socklen_t::try_from(size_of_val(&nobody)).unwrap();
    // SAFETY: the address lives through the call.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, size) };
    assert_eq!(done, 0);
}

/// A connected socket that is connected a second time is another one's peer then.
#[test]
fn a_socket_that_is_connected_again_is_no_peer_of_the_first() {
    inside(|place| {
        place.apply(SHORTCUT);
        let mut first = place.pair(CLIENT4, SERVER4, BOTH);
        assert!(by_veth(place, &mut first) < 2_000);
        let listener = place.listener(&place.lab.server, SocketAddr::new(ip(SERVER4), 0), true);
        let Pair {
            mut client,
            server: mut before,
        } = first;
        disconnect(&client);
        let to = SockAddr::from(listener.local_addr().unwrap());
        Socket::from(client.try_clone().unwrap())
            .connect(&to)
            .unwrap();
        let mut after = listener.accept().unwrap().0;
        // The reset peer's writes fail, and reach nobody.
        for _ in 0..7 {
            let kind = before.write(b"stray").unwrap_err().kind();
            assert!(matches!(
                kind,
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ));
        }
        client.set_nonblocking(true).unwrap();
        assert_eq!(
            again(|| client.read(&mut [0; 8])).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        client.set_nonblocking(false).unwrap();
        // What it writes now goes to the peer that it has now.
        client.write_all(b"mine").unwrap();
        assert_eq!(read(&mut after, 4), b"mine");
        after.write_all(b"yours").unwrap();
        assert_eq!(read(&mut client, 5), b"yours");
    });
}

/// Does `work` once a thread that says who it is waits in recvfrom(2).
fn once_it_waits(waits: impl FnOnce(Sender<nix::unistd::Pid>) + Send, work: impl FnOnce()) {
    let (begun, begins) = channel();
    thread::scope(|scope| {
        scope.spawn(move || waits(begun));
        let thread = begins.recv().unwrap();
        wait_until(|| {
            let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
            call.unwrap()
                .starts_with(&format!("{} ", libc::SYS_recvfrom))
        });
        work();
    });
}

/// Reads with MSG_WAITALL.
fn read_all_of(reader: &TcpStream, length: usize) -> Vec<u8> {
    let mut all = vec![0; length];
    // SAFETY: there is as much room as it says, through the call.
    let count = unsafe {
        let room = all.as_mut_ptr().cast();
        libc::recv(reader.as_raw_fd(), room, length, libc::MSG_WAITALL)
    };
    all.truncate(usize::try_from(count).unwrap());
    all
}

#[test]
fn a_reader_that_waits_gets_the_shortcut_back() {
    inside(|place| {
        place.apply(SHORTCUT);
        let Pair {
            mut client,
            mut server,
        } = place.pair(CLIENT4, SERVER4, BOTH);
        let sent = fill(&mut client, 60_000);
        let data = noise(4, 20_000);
        let before = sent_by(&place.lab.client, FRONT);
        let waits = |begun: Sender<_>| {
            assert!(read(&mut server, sent.len()) == sent);
            begun.send(nix::unistd::gettid()).unwrap();
            assert!(read(&mut server, data.len()) == data);
        };
        let mut on_the_way = 0;
        once_it_waits(waits, || {
            on_the_way = sent_by(&place.lab.client, FRONT);
            client.write_all(&data).unwrap();
        });
        assert!(on_the_way > before);
        assert!(sent_by(&place.lab.client, FRONT) - on_the_way < 2_000);
    });
}

/// Writes something by TCP, and the rest, which a shortcut could bring, while a read waits for both with MSG_WAITALL.
fn the_rest_comes(place: &Place, pair: &Pair) {
    let mut writer = &pair.client;
    place.add_to_set("slow", ip(SERVER4));
    writer.write_all(b"by TCP, ").unwrap();
    place.take_from_set("slow", ip(SERVER4));
    let waits = |begun: Sender<_>| {
        begun.send(nix::unistd::gettid()).unwrap();
        let got = read_all_of(&pair.server, 16);
        if got.len() < 16 {
            // Whoever reads or writes besides ends then.
            pair.server.shutdown(Shutdown::Both).unwrap();
        }
        assert_eq!(got, b"by TCP, the rest");
    };
    once_it_waits(waits, || writer.write_all(b"the rest").unwrap());
}

/// A read with MSG_WAITALL that has begun with what came by TCP sees nothing else. Nor may the peer's own writes, which are at work on the
/// same socket, be taken for that read.
#[test]
fn a_read_that_waits_for_the_rest_of_tcp_gets_it() {
    inside(|place| {
        place.apply(SLOW);
        let pair = place.pair(CLIENT4, SERVER4, BOTH);
        pair.server.set_read_timeout(Some(PATIENCE)).unwrap();
        thread::scope(|scope| {
            let (mut other_way, mut back) = (&pair.server, &pair.client);
            scope.spawn(move || while other_way.write_all(b"other").is_ok() {});
            scope.spawn(move || while again(|| back.read(&mut [0; 1 << 16])).unwrap() > 0 {});
            for _ in 0..repeated(150) {
                the_rest_comes(place, &pair);
            }
            pair.server.shutdown(Shutdown::Both).unwrap();
        });
    });
}

/// Nor may another map that the reader's socket is in.
#[test]
fn a_read_that_waits_on_a_socket_in_two_maps_gets_the_rest() {
    inside(|place| {
        place.apply(&format!(
            "{SLOW}
             socket cache = registered
             redirect send tcp from group pods to 192.0.2.7 to input of sock cache"
        ));
        let pair = place.pair(CLIENT4, SERVER4, BOTH);
        pair.server.set_read_timeout(Some(PATIENCE)).unwrap();
        place.register("cache", pair.server.as_fd()).unwrap();
        the_rest_comes(place, &pair);
    });
}
