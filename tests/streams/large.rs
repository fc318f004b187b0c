//! As many connections of one group as its table holds, and one more. With `SOCKC_LARGE=1`, since it takes its time and memory.
//!
//! Other processes, this program run again, hold the connections: no process may have descriptors for all of them. Some are of the
//! group and accept, each from one of the others, which connect.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, SockRef, Socket, Type};

use crate::place::*;

const PLACES: usize = 65_536;
/// Connections of one process: fewer than it may have descriptors.
const OF_PROCESS: usize = 16_384;
/// Addresses that a process connects from: the kernel looks long for a port where half of an address's are taken.
const ADDRESSES: usize = 4;
/// What the other processes do: `accept CONNECTIONS`, or `connect CONNECTIONS NUMBER PORT`.
const ROLE: &str = "SOCKC_TEST_LARGE";
const COUNTED: &str = "default send allow\nGROUP\nall: count send tcp from group pods\n";
/// Another policy that is about the same connections.
const OTHER: &str = "default send allow\nGROUP\nfar: drop send tcp from group pods to 10.0.0.0/8\nother: count send tcp from group pods\n";
const DATA: &[u8] = b"12";

#[test]
fn as_many_connections_as_have_room_are_taken_in_and_the_next_goes_by_tcp() {
    if std::env::var_os("SOCKC_LARGE").is_none() || crate::guests::folder().is_some() {
        return;
    }
    inside_alone(|place| {
        // Those that connect are not to wait for those that accept.
        let backlog = || fs::write("/proc/sys/net/core/somaxconn", OF_PROCESS.to_string());
        place.lab.server.run(backlog).unwrap().unwrap();
        let before = unreclaimable();
        let plain = held(place);
        let without = unreclaimable() - before;
        timed("apply with all of them made before", || {
            place.apply(COUNTED)
        });
        let full = [("send", PLACES as u32, PLACES as u32)];
        assert_eq!(place.taken_in(), full);
        end(plain);
        assert_eq!(place.taken_in(), [("send", 0, PLACES as u32)]);
        let mut taken_in = held(place);
        let with = unreclaimable() - before;
        for (what, bytes) in [("without", without), ("with", with)] {
            println!("a connection {what} it: {} bytes", bytes / PLACES as i64);
        }
        assert_eq!(place.escaped(), 0);
        assert_eq!(timed("status", || place.taken_in()), full);
        let mut beyond = Pair::new(place, PLACES / OF_PROCESS, 1);
        assert_eq!(place.taken_in(), full);
        assert_eq!(place.escaped(), 1);
        // What has room is counted, and what has none goes all the same.
        for pair in taken_in.iter_mut().chain([&mut beyond]) {
            pair.write();
        }
        let written = (PLACES / OF_PROCESS) as u64;
        assert_eq!(place.counted("all").0, written);
        for text in [OTHER, COUNTED, OTHER] {
            timed("apply", || place.apply(text));
            assert_eq!(place.taken_in(), full);
        }
        taken_in[0].write();
        beyond.write();
        assert_eq!(place.counted("other").0, 1);
        taken_in.push(beyond);
        end(taken_in);
    });
}

/// Says how long something takes, and how much of that this process was on a CPU.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (began, spent) = (Instant::now(), on_cpu());
    let done = work();
    println!(
        "{what}: {:?}, {:?} of a CPU",
        began.elapsed(),
        on_cpu() - spent
    );
    done
}

fn on_cpu() -> Duration {
    let spent = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    spent.unwrap().into()
}

/// A process of the group and one outside, with the connections between them.
struct Pair {
    accepts: Holder,
    connects: Holder,
}

/// As many connections as have room.
fn held(place: &Place) -> Vec<Pair> {
    let numbers = 0..PLACES / OF_PROCESS;
    let make = || {
        numbers
            .map(|number| Pair::new(place, number, OF_PROCESS))
            .collect()
    };
    timed("made", make)
}

/// Ends the processes and waits until nothing of them is left.
fn end(pairs: Vec<Pair>) {
    for pair in pairs {
        for holder in [pair.accepts, pair.connects] {
            drop(holder.orders);
            let mut process = holder.process;
            assert!(process.wait().unwrap().success());
        }
    }
}

impl Pair {
    fn new(place: &Place, number: usize, many: usize) -> Self {
        let mut accepts = Holder::new(place, &format!("accept {many}"), true);
        let port = accepts.said("port ");
        let role = format!("connect {many} {number} {port}");
        let mut connects = Holder::new(place, &role, false);
        connects.said("held");
        accepts.said("held");
        Self { accepts, connects }
    }

    /// Writes on the last of the connections, out of the group.
    fn write(&mut self) {
        writeln!(self.accepts.orders, "write").unwrap();
        writeln!(self.connects.orders, "read").unwrap();
        self.connects.said("has read");
    }
}

/// A process that holds connections until it is told no more.
struct Holder {
    process: Child,
    orders: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Holder {
    fn new(place: &Place, role: &str, grouped: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "large::process_that_holds", "--nocapture"]);
        command.env(ROLE, role);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawn = || command.spawn();
        let mut process = place.lab.server.run(spawn).unwrap().unwrap();
        if grouped {
            place.group.join(process.id()).unwrap();
        }
        let mut orders = process.stdin.take().unwrap();
        writeln!(orders, "go").unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            orders,
            says,
        }
    }

    /// Waits until it says something that begins so; the rest of that.
    fn said(&mut self, beginning: &str) -> String {
        let mut lines = self.says.by_ref().lines().map(Result::unwrap);
        let line = lines.find_map(|line| Some(line.strip_prefix(beginning)?.to_owned()));
        line.unwrap()
    }
}

/// Not a test by itself: it is run by the test above as another process.
#[test]
fn process_that_holds() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut orders = std::io::stdin().lines().map(Result::unwrap);
    // It is moved into the group first.
    orders.next();
    let mut held = match *role.split(' ').collect::<Vec<_>>() {
        ["accept", many] => accept(many.parse().unwrap()),
        ["connect", many, number, port] => connect(
            many.parse().unwrap(),
            number.parse().unwrap(),
            SocketAddr::new(ip("127.0.0.1"), port.parse().unwrap()),
        ),
        _ => panic!("{role}"),
    };
    println!("\nheld");
    let last = held.last_mut().unwrap();
    for order in orders {
        if order == "write" {
            last.write_all(DATA).unwrap();
        } else {
            last.read_exact(&mut [0; DATA.len()]).unwrap();
            println!("has read");
        }
    }
}

fn accept(many: usize) -> Vec<TcpStream> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let to = SocketAddr::new(ip("127.0.0.1"), 0);
    listener.bind(&to.into()).unwrap();
    listener.listen(many as i32).unwrap();
    let listener = TcpListener::from(listener);
    println!("\nport {}", listener.local_addr().unwrap().port());
    let accept = |_| {
        let stream = listener.accept().unwrap().0;
        // Nothing is to be left of it when it is closed.
        let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.unwrap();
        stream
    };
    (0..many).map(accept).collect()
}

fn connect(many: usize, number: u8, to: SocketAddr) -> Vec<TcpStream> {
    let connect = |at: usize| {
        let from = Ipv4Addr::new(127, 0, 1 + number, (at % ADDRESSES) as u8);
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client
            .bind(&SocketAddr::new(from.into(), 0).into())
            .unwrap();
        client.connect(&to.into()).unwrap();
        client.into()
    };
    (0..many).map(connect).collect()
}

/// Bytes that the kernel's own structures take and that it cannot give back: of sockets, and of what stands beside them.
fn unreclaimable() -> i64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("SUnreclaim:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse::<i64>().unwrap() * 1024
}
