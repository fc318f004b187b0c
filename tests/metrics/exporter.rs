//! An exporter: what it answers, whom it lets wait, and how it ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::scene::{Samples, Scene, root, sockc};

/// An exporter at work.
struct Exporter {
    child: Child,
    said: BufReader<ChildStdout>,
    /// What it says where it is.
    place: String,
}

impl Exporter {
    fn new(scene: &Scene, listen: &str) -> Self {
        Self::of(scene, sockc(&["metrics", "--listen", listen]))
    }

    fn of(scene: &Scene, mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = scene.lab.server.run(|| command.spawn().unwrap()).unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut place = String::new();
        said.read_line(&mut place).unwrap();
        Self { child, said, place }
    }

    /// The port that it listens at.
    fn port(&self) -> u16 {
        let (_, rest) = self.place.split_once("127.0.0.1:").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    fn connects(&self, scene: &Scene) -> TcpStream {
        let port = self.port();
        let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
        scene.lab.server.run(connect).unwrap()
    }

    fn asks(&self, scene: &Scene, request: &[u8]) -> String {
        ask(self.connects(scene), request)
    }

    /// Ends it as systemd does; how it ended, and what else it said.
    fn ends(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status();
        assert!(killed.unwrap().success());
        let mut rest = String::new();
        sockc_testing::again(|| self.said.read_to_string(&mut rest)).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn ask(mut stream: impl Read + Write, request: &[u8]) -> String {
    // One that refuses a request may do so before it has all of it.
    let _ = stream.write_all(request);
    let mut answer = String::new();
    sockc_testing::again(|| stream.read_to_string(&mut answer)).unwrap();
    answer
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn it_answers_get_metrics_in_two_forms_and_nothing_else() {
    if !root() {
        return;
    }
    let scene = Scene::new("answers");
    let exporter = Exporter::new(&scene, "127.0.0.1:0");
    let answer = exporter.asks(&scene, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    let none = Samples::of(body(&answer));
    assert_eq!(none.get("sockc_policy_info", &[]), 0.0);
    scene.apply("default in allow\nweb: drop udp to port 7001\n");
    scene.send(7001, 7);
    let newer =
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let answer = exporter.asks(&scene, newer);
    assert!(
        answer.contains("application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let now = Samples::of(body(&answer));
    assert_eq!(now.get("sockc_rule_packets_total", &["rule=\"web\""]), 7.0);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(10_000));
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"\x16\x03\x01\x02\x00\n\n", "400"),
        (b"\xff\xff\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
    ] {
        let answer = exporter.asks(&scene, request);
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted), "{request:?}: {answer}");
    }
    // One that says a part and no more.
    let part = exporter.connects(&scene);
    (&part).write_all(b"GET /met").unwrap();
    part.shutdown(Shutdown::Write).unwrap();
    assert!(ask(part, b"").starts_with("HTTP/1.1 400 "));
    assert_eq!(exporter.ends().0, Some(0));
}

#[test]
fn those_who_say_nothing_keep_nobody_waiting() {
    if !root() {
        return;
    }
    let scene = Scene::new("slow");
    let exporter = Exporter::new(&scene, "127.0.0.1:0");
    let silent: Vec<TcpStream> = (0..300).map(|_| exporter.connects(&scene)).collect();
    let mut half = exporter.connects(&scene);
    half.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let many: Vec<String> = thread::scope(|scope| {
        let ask = || exporter.asks(&scene, GET);
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in many {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    // It ends although they are there.
    assert_eq!(exporter.ends().0, Some(0));
    drop((silent, half));
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_exporter() {
    if !root() {
        return;
    }
    let scene = Scene::new("unix");
    let path = scene.folder.0.join("socket");
    let listen = format!("unix:{}", path.display());
    // One that was killed has left its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let exporter = Exporter::new(&scene, &listen);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let answer = ask(UnixStream::connect(&path).unwrap(), GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let second = scene.ran(&["metrics", "--listen", &listen]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(
        second.stderr.contains("somebody listens there already"),
        "{}",
        second.stderr
    );
    assert_eq!(exporter.ends().0, Some(0));
    assert!(!path.exists());
    for wide in ["0.0.0.0:9814", "[::]:9814", "10.0.0.1:1"] {
        let refused = scene.ran(&["metrics", "--listen", wide]);
        assert_eq!(refused.code, Some(64), "{}", refused.stderr);
        assert!(refused.stderr.contains("loopback"), "{}", refused.stderr);
    }
}

/// A shell hands its standard input on as descriptor 3, as systemd hands sockets over.
fn handed_over(listener: TcpListener, process: &str) -> Command {
    let mut command = Command::new("sh");
    let sockc = env!("CARGO_BIN_EXE_sockc");
    let line = format!(
        "exec 3<&0 && LISTEN_PID={process} LISTEN_FDS=1 exec {sockc} metrics --listen systemd"
    );
    command
        .args(["-c", &line])
        .stdin(Stdio::from(OwnedFd::from(listener)));
    command
}

#[test]
fn sockets_that_are_handed_over_are_answered_at() {
    if !root() {
        return;
    }
    let scene = Scene::new("handed");
    let listens = |address: &'static str| {
        let listen = || TcpListener::bind(address).unwrap();
        scene.lab.server.run(listen).unwrap()
    };
    let exporter = Exporter::of(&scene, handed_over(listens("127.0.0.1:0"), "$$"));
    let answer = exporter.asks(&scene, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(exporter.ends().0, Some(0));
    for (address, process, why) in [
        ("0.0.0.0:0", "$$", "loopback"),
        ("127.0.0.1:0", "1", "LISTEN_PID"),
    ] {
        let mut command = handed_over(listens(address), process);
        let refused = scene.lab.server.run(|| command.output().unwrap()).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{refused:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    }
}

/// A scrape while another command works waits for it, and no longer.
#[test]
fn another_command_is_waited_for() {
    if !root() {
        return;
    }
    let scene = Scene::new("locked");
    scene.apply("default in allow\nweb: drop udp to port 7001\n");
    let exporter = Exporter::new(&scene, "127.0.0.1:0");
    let lock = || {
        let mut folders = fs::read_dir("/sys/fs/bpf/sockc").unwrap();
        let folder = File::open(folders.next().unwrap().unwrap().path()).unwrap();
        folder.lock().unwrap();
        folder
    };
    let held = scene.lab.server.run(lock).unwrap();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let exporter = &exporter;
        let scene = &scene;
        scope.spawn(move || tell.send(exporter.asks(scene, GET)).unwrap());
        // Whether it waits shows in that it has not answered.
        assert!(told.recv_timeout(Duration::from_millis(500)).is_err());
        drop(held);
        let now = told.recv().unwrap();
        let now = Samples::of(body(&now));
        assert_eq!(now.get("sockc_up", &[]), 1.0);
        assert_eq!(now.get("sockc_drift", &[]), 0.0);
    });
    let held = scene.lab.server.run(lock).unwrap();
    let late = scene.ran(&["metrics"]);
    assert_eq!(late.code, Some(3), "{}", late.stderr);
    let late = Samples::of(&late.stdout);
    assert_eq!(late.get("sockc_up", &[]), 0.0);
    assert_eq!(late.get("sockc_policy_info", &[]), 1.0);
    assert_eq!(late.find("sockc_drift", &[]), None);
    drop(held);
    assert_eq!(exporter.ends().0, Some(0));
}
