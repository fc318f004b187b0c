//! As many connections of one group as its table holds, and one more. With `SOCKC_LARGE=1`, since it takes its time and memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::place::*;

const PLACES: usize = 65_536;
/// Connections from one address: fewer than it has ports.
const OF_ADDRESS: usize = 16_384;
const COUNTED: &str = "default send allow\nGROUP\nall: count send tcp from group pods\n";

#[test]
fn as_many_connections_as_have_room_are_taken_in_and_the_next_goes_by_tcp() {
    if std::env::var_os("SOCKC_LARGE").is_none() || crate::guests::folder().is_some() {
        return;
    }
    inside_alone(|place| {
        let descriptors = libc::rlimit {
            rlim_cur: 4 * PLACES as u64,
            rlim_max: 4 * PLACES as u64,
        };
        // SAFETY: the structure lives until the call returns.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const descriptors) };
        assert_eq!(set, 0);
        let (plain, without) = held(place, PLACES);
        drop(plain);
        place.apply(COUNTED);
        let (mut taken_in, with) = held(place, PLACES);
        println!(
            "a connection: {} bytes more",
            (with - without) / PLACES as i64
        );
        let full = PLACES as u32;
        assert_eq!(place.taken_in(), [("send", full, full)]);
        assert_eq!(place.escaped(), 0);
        let began = Instant::now();
        place.taken_in();
        println!("status: {:?}", began.elapsed());
        let (mut beyond, _) = held(place, 1);
        assert_eq!(place.taken_in(), [("send", full, full)]);
        assert_eq!(place.escaped(), 1);
        // What has room is counted, and what has none goes all the same.
        for (pair, counted) in [(&mut taken_in[PLACES - 1], 1), (&mut beyond[0], 1)] {
            let (near, far) = pair;
            near.write_all(b"12").unwrap();
            far.read_exact(&mut [0; 2]).unwrap();
            assert_eq!(place.counted("all").0, counted);
        }
    });
}

/// So many connections that a listener of the group accepts, and the memory that was taken meanwhile.
fn held(place: &Place, many: usize) -> (Vec<(TcpStream, TcpStream)>, i64) {
    let lo = SocketAddr::new(ip("127.0.0.1"), 0);
    let listener = place.listener(&place.lab.server, lo, true);
    let to = listener.local_addr().unwrap().into();
    let (before, began) = (available(), Instant::now());
    let connect = |number: usize| {
        let address = Ipv4Addr::new(127, 0, 1, (number / OF_ADDRESS) as u8);
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client
            .bind(&SocketAddr::new(IpAddr::V4(address), 0).into())
            .unwrap();
        client.connect(&to).unwrap();
        (listener.accept().unwrap().0, client.into())
    };
    let make = || (0..many).map(connect).collect();
    let pairs = place.lab.server.run(make).unwrap();
    println!("{many} made in {:?}", began.elapsed());
    (pairs, before - available())
}

/// Bytes of memory that can be had.
fn available() -> i64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse::<i64>().unwrap() * 1024
}
