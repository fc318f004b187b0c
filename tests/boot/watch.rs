//! `apply --watch`: what it is for gets its programs as it comes, without another command.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockc_runtime::lab::Space;
use sockc_testing::again;

use super::{Folder, Named, Ran, ip, root, run};

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command at work, and what it prints.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(space: &Space, arguments: &[&str], ready: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command
            .args(arguments)
            .env("NOTIFY_SOCKET", ready)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = space.run(|| command.spawn().unwrap()).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nobody waits for more.
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that has these words.
    fn says(&self, words: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{words}: {error}"));
            if line.contains(words) {
                return;
            }
        }
    }

    fn ends(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

/// A namespace with names of its own, and `lo` up.
fn place() -> Space {
    let space = Space::with_bpffs().unwrap();
    let own_run = || {
        use nix::mount::{MsFlags, mount};
        let tmpfs = Some("tmpfs");
        mount(tmpfs, "/run", tmpfs, MsFlags::empty(), None::<&str>).unwrap();
    };
    space.run(own_run).unwrap();
    ip(&space, "link set lo up");
    space
}

#[test]
fn what_comes_changes_or_gets_its_name_later_is_under_the_policy() {
    if !root() {
        return;
    }
    let (space, folder) = (place(), Folder::new("watch"));
    let policy = folder.file(
        "watch.sk",
        "interfaces lo, w*\ndefault in allow\ndrop udp to port 9\nfor netns \"blue\" {\ninterfaces b*\ndefault in drop\n}\n",
    );
    let blue = Named::new("blue", &space);
    let ready = folder.0.join("ready");
    let notified = UnixDatagram::bind(&ready).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    let watch = Watch::start(
        &space,
        &["apply", &policy, "--watch"],
        ready.to_str().unwrap(),
    );
    watch.says("until SIGTERM");
    let mut told = [0; 16];
    let length = again(|| notified.recv(&mut told)).unwrap();
    assert_eq!(&told[..length], b"READY=1");

    ip(&space, "link add w0 type veth peer name x0");
    watch.says("of w0");
    // A name that the policy is for.
    ip(&space, "link set x0 name w1");
    watch.says("of w1");
    // Removed and made again.
    ip(&space, "link del w0");
    ip(&space, "link add w0 type veth peer name x0");
    watch.says("of w0");
    // In the namespace of a block.
    ip(&space, "-n blue link add b0 type veth peer name c0");
    watch.says("of b0");
    // Made again while the one before it is being covered.
    for _ in 0..4 {
        ip(&space, "link del w0");
        ip(&space, "link add w0 type veth peer name x0");
    }
    let began = Instant::now();
    let holds = || space.run(|| run(&["status"])).unwrap().code == Some(0);
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "w0 stays open");
    }
    // The namespace of a block that goes is in nobody's way, and has the policy again when it is made anew.
    drop(blue);
    ip(&space, "link add w2 type veth peer name x2");
    watch.says("of w2");
    let blue = Named::new("blue", &space);
    ip(&space, "-n blue link add b1 type veth peer name c1");
    watch.says("of b1");
    watch.ends();
    drop(blue);
    let status = space.run(|| run(&["status", "--json"])).unwrap();
    let hooks = status.json()["hooks"].to_string();
    assert!(hooks.contains("\"w0\""), "{hooks}");
    packets(&space);
}

/// The policy is in force, as any apply leaves it.
fn packets(space: &Space) {
    let dropped = || {
        let to = UdpSocket::bind("127.0.0.1:9").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.send_to(b"x", "127.0.0.1:9").unwrap();
        to.set_nonblocking(true).unwrap();
        again(|| to.recv(&mut [0])).is_err()
    };
    assert!(space.run(dropped).unwrap());
}

/// Whatever is in force is watched; an apply in between is not undone.
#[test]
fn it_follows_what_others_apply() {
    if !root() {
        return;
    }
    let (space, folder) = (Space::with_bpffs().unwrap(), Folder::new("follow"));
    ip(&space, "link set lo up");
    let text = |port: u16| {
        format!("policy p{port}\ninterfaces lo, w*\ndefault in allow\ndrop udp to port {port}\n")
    };
    let files = [8, 9].map(|port| folder.file(&format!("{port}.sk"), &text(port)));
    let within = |arguments: &[&str]| -> Ran { space.run(|| run(arguments)).unwrap() };
    // Where nothing is in force yet it waits, and whoever waits for it does not wait for that.
    let watch = Watch::start(&space, &["apply", "--running", "--watch"], "");
    watch.says("until SIGTERM");
    assert_eq!(within(&["apply", &files[0]]).code, Some(0));
    assert_eq!(within(&["apply", &files[1]]).code, Some(0));
    ip(&space, "link add w0 type veth peer name x0");
    watch.says("policy \"p9\" is in force again");
    packets(&space);
    // Where nothing is in force, nothing is put there.
    assert_eq!(within(&["unload", "--yes"]).code, Some(0));
    ip(&space, "link set x0 name w1");
    watch.ends();
    assert!(
        within(&["status"])
            .stdout
            .starts_with("no policy is in force")
    );
}

/// `self` is brought up to date as addresses come and go, here and in the namespace of a block, and nothing is applied for that.
#[test]
fn addresses_that_come_and_go_are_in_self_and_out_of_it() {
    if !root() {
        return;
    }
    let (space, folder) = (place(), Folder::new("own-watch"));
    let policy = folder.file(
        "own.sk",
        "interfaces lo\ndefault in allow\ndrop udp to self:9\nfor netns \"blue\" {\ninterfaces lo\ndefault in allow\ndrop udp to self:9\n}\n",
    );
    let _blue = Named::new("blue", &space);
    ip(&space, "-n blue link set lo up");
    let watch = Watch::start(&space, &["apply", &policy, "--watch"], "");
    watch.says("until SIGTERM");
    ip(&space, "route add local 198.51.100.0/24 dev lo");
    watch.says("198.51.100.0/24 is this machine's now, and in `self`");
    ip(&space, "-n blue route add local 2001:db8::/64 dev lo");
    watch.says(
        "in the network namespace \"blue\": 2001:db8::/64 is this machine's now, and in `self`",
    );
    // As long as nobody added a rule, table `main` is asked together with it.
    ip(&space, "route add unreachable 198.51.100.7/32");
    watch.says("198.51.100.7 is not this machine's any more, and not in `self`");
    ip(&space, "rule add from 9.9.9.9 lookup 100");
    watch.says("198.51.100.7 is this machine's now, and in `self`");
    // What other tables say is nothing to it.
    ip(&space, "route add unreachable 203.0.113.0/24");
    ip(&space, "addr add 192.0.2.7/32 dev lo");
    watch.says("192.0.2.7 is this machine's now, and in `self`");
    ip(&space, "addr del 192.0.2.7/32 dev lo");
    watch.says("192.0.2.7 is not this machine's any more, and not in `self`");
    watch.ends();
    let status = space.run(|| run(&["status", "--json"])).unwrap();
    assert_eq!(
        (status.code, &status.json()["generation"]),
        (Some(0), &1.into()),
        "{}",
        status.stderr
    );
    let test = |arguments: &[&str]| space.run(|| run(arguments)).unwrap().code;
    assert_eq!(test(&["set", "test", "self", "198.51.100.9"]), Some(0));
    assert_eq!(test(&["set", "test", "self", "192.0.2.7"]), Some(1));
    assert_eq!(
        test(&["set", "test", "self", "2001:db8::9", "--netns", "blue"]),
        Some(0)
    );
}
