//! Throughput of a connection through a proxy, and what the machine spends on it: handed over, copied, and by splice(2).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::relay::{self, Upstreams, Way};
use crate::stage::{SERVER, Stage};
use crate::turns::middle;

const POLICY: &str = "pairs relayed = registered\nsplice tcp pairs relayed\n";
/// What is sent.
const BYTES: usize = 1 << 30;
const PIECE: usize = 1 << 16;
/// Ticks of /proc/stat in a second.
const TICKS: f64 = 100.0;

/// A way of the proxy, and what its turns took.
struct Measured {
    name: &'static str,
    way: Way,
    /// Seconds, and seconds of CPUs.
    turns: Vec<(f64, f64)>,
}

/// Prints the table.
pub(crate) fn measure(stage: &Stage, turns: usize) {
    stage.apply(POLICY);
    let path = std::env::temp_dir().join(format!("sockc-bench-pairs-{}", std::process::id()));
    let mut keeper = keeper(stage, &path);
    let mut measured = ways(&path);
    for _ in 0..turns {
        for one in &mut measured {
            one.turns.push(flows(stage, &one.way));
        }
    }
    println!(
        "\n{:<28} {:>12} {:>18}",
        "a proxy's connection", "throughput", "CPU seconds a GB"
    );
    let gigabytes = 1e-9 * BYTES as f64;
    for one in &measured {
        let took = middle(one.turns.iter().map(|turn| turn.0).collect());
        let spent = middle(one.turns.iter().map(|turn| turn.1).collect());
        println!(
            "{:<28} {:>7.1} Gb/s {:>18.2}",
            one.name,
            8.0 * gigabytes / took,
            spent / gigabytes
        );
    }
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    let _ = fs::remove_file(path);
}

fn ways(path: &Path) -> [Measured; 3] {
    let ways = [
        ("handed over", Way::Pairs(path.to_owned())),
        ("copied", Way::Copy),
        ("by splice(2)", Way::Splice),
    ];
    ways.map(|(name, way)| Measured {
        name,
        way,
        turns: Vec::new(),
    })
}

/// Who keeps the pairs, and takes them by now.
fn keeper(stage: &Stage, path: &Path) -> Child {
    let path = path.to_str().unwrap();
    let mut keeper = stage.started(&["socket", "pair", "relayed", "--listen", path]);
    let mut said = String::new();
    let mut out = BufReader::new(keeper.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    assert!(said.contains("are taken"), "{said}");
    keeper
}

/// From the client over the veth to the proxy, and from there to the upstream on its machine.
fn flows(stage: &Stage, way: &Way) -> (f64, f64) {
    let listen = |to: SocketAddr| {
        let listening = stage.lab.server.run(|| TcpListener::bind(to).unwrap());
        listening.unwrap()
    };
    let (front, upstream) = (
        listen(SocketAddr::new(SERVER.parse().unwrap(), 0)),
        listen(SocketAddr::from(([127, 0, 0, 1], 0))),
    );
    let to = front.local_addr().unwrap();
    let upstreams = Upstreams {
        plain: upstream.local_addr().unwrap(),
        tls: None,
    };
    thread::scope(|scope| {
        let serve = || {
            stage
                .lab
                .server
                .run(|| relay::serve(&front, upstreams, way))
        };
        scope.spawn(serve);
        let connect = || TcpStream::connect(to).unwrap();
        let client = stage.lab.client.run(connect).unwrap();
        let (began, before) = (Instant::now(), busy());
        let writing = scope.spawn(|| write(client));
        read(upstream.accept().unwrap().0);
        let took = began.elapsed();
        let spent = busy() - before;
        SockRef::from(&front).shutdown(Shutdown::Both).unwrap();
        writing.join().unwrap();
        (took.as_secs_f64(), spent.as_secs_f64())
    })
}

fn write(mut client: TcpStream) {
    let piece = vec![7; PIECE];
    for _ in 0..BYTES / PIECE {
        client.write_all(&piece).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

fn read(mut upstream: TcpStream) {
    let (mut room, mut got) = (vec![0; PIECE], 0);
    loop {
        match upstream.read(&mut room).unwrap() {
            0 => break,
            count => got += count,
        }
    }
    assert_eq!(got, BYTES);
}

/// How long the CPUs of this machine have been busy since it began, all together.
fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let all = stat.lines().next().unwrap();
    let ticks: Vec<u64> = all
        .split_whitespace()
        .skip(1)
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    // User, nice, system, idle, waiting for a disk, interrupts, soft interrupts.
    let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
    Duration::from_secs_f64(busy as f64 / TICKS)
}
