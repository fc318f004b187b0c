//! A service whose workers share a port by reuseport, as those of nginx do, and leave, die and come while a policy is in force.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::Lab;
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use super::{Folder, root, run};

const PORT: u16 = 7081;
/// Where clients send to; nobody is bound there.
const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), 80);
const POLICY: &str = "\
interfaces lo
socket web = tcp listen 127.0.0.1:7081, udp listen 127.0.0.1:7081 owner uid root
web: redirect tcp, udp to 127.0.0.9:80 to sock web
";
/// Tells the test binary that it is a worker.
const WORKER: &str = "SOCKC_TEST_WORKER";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker process; it ends when this is dropped.
struct Worker(Child);

impl Worker {
    /// Starts one, and waits until it listens.
    fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut child = Command::new(own)
            .args([
                "--exact",
                "workers::serves_where_it_is_told_to",
                "--nocapture",
            ])
            .env(WORKER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = said
            .map_while(Result::ok)
            .any(|line| line.contains("worker is ready"));
        assert!(ready, "the worker ended");
        Self(child)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of anything by itself: what a worker does, until it is killed.
#[test]
fn serves_where_it_is_told_to() {
    if std::env::var_os(WORKER).is_none() {
        return;
    }
    let bound = |kind| {
        let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        socket.bind(&at.into()).unwrap();
        socket
    };
    let (tcp, udp) = (bound(Type::STREAM), bound(Type::DGRAM));
    tcp.listen(64).unwrap();
    println!("worker is ready");
    let own = std::process::id().to_string();
    let answers = own.clone();
    let udp = UdpSocket::from(udp);
    thread::spawn(move || {
        let mut data = [0; 16];
        while let Ok((_, from)) = again(|| udp.recv_from(&mut data)) {
            let _ = udp.send_to(answers.as_bytes(), from);
        }
    });
    for stream in TcpListener::from(tcp).incoming() {
        let _ = stream.unwrap().write_all(own.as_bytes());
    }
}

/// Who answers a connection; nobody where it is refused, or not answered to the end.
fn connects() -> Option<u32> {
    let mut stream = TcpStream::connect_timeout(&TO, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    said.parse().ok()
}

/// Who answers a datagram.
fn sends() -> Option<u32> {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"?", TO).unwrap();
    let mut said = [0; 16];
    let length = again(|| client.recv(&mut said)).ok()?;
    std::str::from_utf8(&said[..length]).ok()?.parse().ok()
}

/// All of the workers that are there answer, and nobody else; and the verbs name one of them in each slot.
fn all_work(lab: &Lab, workers: &[Worker], step: &str) {
    let there: BTreeSet<u32> = workers.iter().map(Worker::id).collect();
    for ask in [connects, sends] {
        let mut answered = BTreeSet::new();
        let began = Instant::now();
        while answered != there {
            assert!(
                began.elapsed() < PATIENCE,
                "{step}: {answered:?} of {there:?}"
            );
            let who = lab.server.run(ask).unwrap();
            let who = who.unwrap_or_else(|| panic!("{step}: nobody answers"));
            assert!(there.contains(&who), "{step}: {who} of {there:?}");
            answered.insert(who);
        }
    }
    for verb in [&["status"][..], &["socket", "list"]] {
        let said = lab.server.run(|| run(verb)).unwrap();
        assert_eq!(said.code, Some(0), "{step}: {}", said.stderr);
        let lines = said
            .stdout
            .lines()
            .filter(|line| line.contains("127.0.0.1:7081"));
        let lines: Vec<&str> = lines
            .filter(|line| line.contains("listening: process"))
            .collect();
        assert_eq!(lines.len(), 2, "{step}: {}", said.stdout);
        let names = |line: &&str| {
            there
                .iter()
                .any(|id| line.contains(&format!("process {id} ")))
        };
        assert!(
            lines.iter().all(names),
            "{step}, {there:?}: {}",
            said.stdout
        );
    }
}

#[test]
fn workers_that_leave_and_come_take_no_service_away() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("workers"));
    let path = folder.file("workers.sk", POLICY);
    let start = || lab.server.run(Worker::start).unwrap();
    let mut workers = vec![start(), start(), start()];
    let applied = lab.server.run(|| run(&["apply", &path])).unwrap();
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    all_work(&lab, &workers, "at first");
    for round in 0..3 {
        // As a reload does it: the new worker is there before an old one leaves.
        workers.push(start());
        workers.remove(0);
        all_work(&lab, &workers, &format!("reload {round}"));
    }
    workers.truncate(1);
    all_work(&lab, &workers, "one is left");
    workers.clear();
    assert_eq!(lab.server.run(connects).unwrap(), None);
    let status = lab.server.run(|| run(&["status"])).unwrap();
    let absent = status
        .stdout
        .matches("absent: nobody listens there")
        .count();
    assert_eq!(absent, 2, "{}", status.stdout);
    workers.extend([start(), start()]);
    all_work(&lab, &workers, "after a restart");
    lab.server.run(|| run(&["unload"])).unwrap();
}
