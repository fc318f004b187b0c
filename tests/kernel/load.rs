//! Policies replaced under traffic: no new connection fails, and none that exists is moved.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sockc_runtime::lab::Space;

use crate::stage::{CLIENT, PATIENCE, Stage, assert_talks, compile, connect, ip, kernel_counter};

/// Connections a second that are aimed at, from how many threads.
const RATE: u32 = 5_000;
const THREADS: u32 = 4;
/// Policies applied meanwhile.
const APPLIES: usize = 100;

/// A policy that gives every port of 3.3.3.3 to the listener on this port.
fn policy(port: u16) -> String {
    format!(
        "default in drop
         default out allow
         socket proxy = tcp listen 127.0.0.1:{port}, tcp listen [::1]:{port}
         steer: redirect 3.3.3.3:*, [2001:db8:3::3]:* to sock proxy
         count tcp if tcp flags syn"
    )
}

fn stage() -> Option<Stage> {
    Some(Stage::new()?.serving(&[("3.3.3.3", 32), ("2001:db8:3::3", 128)]))
}

/// What the clients saw.
#[derive(Default)]
struct Tally {
    connected: AtomicU64,
    failed: AtomicU64,
    /// The longest connect, in microseconds.
    slowest: AtomicU64,
    stop: AtomicBool,
}

#[test]
fn a_hundred_applies_lose_no_connection() {
    let Some(stage) = stage() else { return };
    let policies = [policy(1234), policy(1235)].map(|text| compile(&text));
    let listeners = ["127.0.0.1:1234", "127.0.0.1:1235"].map(|at| stage.listen(at));
    stage.apply_compiled(&policies[0]).unwrap();
    let lost = || kernel_counter(&stage.lab.client, "TCPSynRetrans");
    let (tally, lost_before) = (Tally::default(), lost());
    let accepted = [AtomicU64::new(0), AtomicU64::new(0)];
    let started = Instant::now();
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&tally.stop);
        for (listener, accepted) in listeners.iter().zip(&accepted) {
            scope.spawn(|| serve(listener, accepted, &tally.stop));
        }
        for number in 0..THREADS {
            let (client, tally) = (&stage.lab.client, &tally);
            scope.spawn(move || dial(client, number, tally));
        }
        for number in 0..APPLIES {
            stage.apply_compiled(&policies[(number + 1) % 2]).unwrap();
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let connected = tally.connected.load(Ordering::Relaxed);
    println!(
        "{APPLIES} applies in {seconds:.1} s, {connected} connections, {:.0} a second (aimed at {RATE}), slowest {} ms",
        connected as f64 / seconds,
        tally.slowest.load(Ordering::Relaxed) / 1000
    );
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0, "of {connected}");
    // A SYN that is thrown away is sent again, so that its connection is only late. A full backlog does that too.
    if kernel_counter(&stage.lab.server, "ListenOverflows") == 0 {
        assert_eq!(lost(), lost_before, "SYNs sent again");
    }
    assert!(connected > 1000);
    assert!(
        accepted
            .iter()
            .all(|count| count.load(Ordering::Relaxed) > 100),
        "{accepted:?}"
    );
}

/// Tells the other threads to end, also when this one fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn serve(listener: &TcpListener, accepted: &AtomicU64, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok(_) => {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

/// Connects at an even rate; what it is behind, it makes up for.
fn dial(space: &Space, thread: u32, tally: &Tally) {
    let inside = || {
        let pause = Duration::from_secs(1) * THREADS / RATE;
        let mut next = Instant::now();
        for number in (thread..).step_by(THREADS as usize) {
            if tally.stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pause;
            let port = 1 + (number % 65_535) as u16;
            once(SocketAddr::new(ip("3.3.3.3"), port), tally);
        }
    };
    space.run(inside).unwrap();
}

fn once(to: SocketAddr, tally: &Tally) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // A reset at the end leaves no socket in TIME_WAIT, of which there would be too many.
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    socket
        .bind(&SocketAddr::new(ip(CLIENT[0]), 0).into())
        .unwrap();
    let started = Instant::now();
    match socket.connect_timeout(&to.into(), PATIENCE) {
        Ok(()) => tally.connected.fetch_add(1, Ordering::Relaxed),
        Err(error) => {
            let failed = tally.failed.fetch_add(1, Ordering::Relaxed);
            if failed == 0 {
                println!("the first that failed: {to}: {error}");
            }
            failed
        }
    };
    let took = started.elapsed().as_micros() as u64;
    tally.slowest.fetch_max(took, Ordering::Relaxed);
}

#[test]
fn a_connection_that_exists_stays_with_its_listener() {
    let Some(stage) = stage() else { return };
    for (to, address) in [("3.3.3.3:80", "127.0.0.1"), ("[2001:db8:3::3]:80", "[::1]")] {
        let old = stage.listen(&format!("{address}:1234"));
        let new = stage.listen(&format!("{address}:1235"));
        stage.apply(&policy(1234));
        let (mut client, mut server) = stage.assert_reaches(to, &old);
        stage.apply(&policy(1235));
        assert_talks(&mut client, &mut server);
        let _next = stage.assert_reaches(to, &new);
        // Not even the listener that accepted it need be there.
        drop(old);
        assert_talks(&mut client, &mut server);
        assert!(
            stage
                .lab
                .server
                .run(|| sockc_runtime::unload(&stage.options))
                .unwrap()
                .unwrap()
                .removed
        );
        assert_talks(&mut client, &mut server);
        let from = SocketAddr::new(client.local_addr().unwrap().ip(), 0);
        let unsteered = connect(
            &stage.lab.client,
            from,
            client.peer_addr().unwrap(),
            PATIENCE,
        );
        assert_eq!(unsteered.err(), Some(std::io::ErrorKind::ConnectionRefused));
    }
}
