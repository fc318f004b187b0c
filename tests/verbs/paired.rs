//! `socket pair`: what the command does from its start to its end, and what the other verbs say of its pairs. They are handed
//! over by the header of C, `examples/sockc.h`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, recv,
    socket,
};
use serde_json::Value;
use sockc_runtime::lab::Lab;
use sockc_testing::again;

use super::{Folder, Ran, program_of_c, root, run, sockc};

const SPLICE: &str = "pairs relayed = registered max 3\njoined: splice tcp pairs relayed\n";

/// A lab with a policy, and one without the pairs.
struct Place {
    lab: Lab,
    folder: Folder,
    policy: String,
}

/// Both ends of a pair.
struct Joined {
    client: TcpStream,
    upstream: TcpStream,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let policy = folder.file("splice.sk", SPLICE);
        Self {
            lab: Lab::new().unwrap(),
            folder,
            policy,
        }
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    /// What a command says, which must end so.
    fn says(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.ran(arguments);
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {said}");
        said
    }

    fn path(&self) -> String {
        self.folder
            .0
            .join("pairs.sock")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The command, which takes pairs by now.
    fn keeper(&self) -> Child {
        let path = self.path();
        let mut command = sockc(&["socket", "pair", "relayed", "--listen", &path]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = self.lab.server.run(|| command.spawn().unwrap()).unwrap();
        let mut said = Vec::new();
        let out = keeper.stdout.as_mut().unwrap();
        while !said.ends_with(b"\n") {
            let mut byte = [0];
            assert_eq!(again(|| out.read(&mut byte)).unwrap(), 1, "it ended");
            said.push(byte[0]);
        }
        assert!(String::from_utf8(said).unwrap().contains("are taken at"));
        keeper
    }

    /// Connections of a client to a proxy and of the proxy to an upstream: their far ends, and the proxy's.
    fn connections(&self) -> (Joined, [TcpStream; 2]) {
        let connection = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            one.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            (one, listener.accept().unwrap().0)
        };
        let made = self.lab.server.run(|| [connection(), connection()]);
        let [(client, to_client), (upstream, to_upstream)] = made.unwrap();
        (Joined { client, upstream }, [to_client, to_upstream])
    }

    /// Runs the program of C, which hands these over; how it ended and what it said.
    fn hand_over(&self, sides: [TcpStream; 2], early: [&str; 2]) -> (Option<i32>, String) {
        let program = program_of_c(&self.folder, "paired");
        let [client, upstream] = sides.map(OwnedFd::from);
        let mut command = Command::new(program);
        command.arg(self.path()).args(early);
        command.stdin(client).stdout(upstream);
        let ran = command.stderr(Stdio::piped()).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    }

    fn joined(&self) -> Joined {
        let (joined, sides) = self.connections();
        assert_eq!(self.hand_over(sides, ["", ""]), (Some(0), String::new()));
        joined
    }

    /// How many pairs `status` shows, which must end so.
    fn shown(&self, code: i32) -> Value {
        let ran = self.ran(&["status", "--json"]);
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        ran.json()["pairs"][0]["joined"].clone()
    }
}

impl Joined {
    /// Something goes each way.
    fn goes(&mut self) {
        let Self { client, upstream } = self;
        for (from, to) in [(&*client, &*upstream), (&*upstream, &*client)] {
            let (mut from, mut to) = (from, to);
            from.write_all(b"goes on").unwrap();
            let mut got = [0; 7];
            to.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"goes on");
        }
    }

    /// Both ends were reset.
    fn is_reset(&self) {
        for mut end in [&self.client, &self.upstream] {
            let error = again(|| end.read(&mut [0])).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn pairs_are_planned_shown_kept_over_an_apply_and_reset_with_their_policy() {
    if !root() {
        return;
    }
    let place = Place::new("paired");
    let said = place.says(&["plan", &place.policy], 0);
    assert!(
        said.contains("is empty until `sockc socket pair relayed …` runs"),
        "{said}"
    );
    place.says(&["apply", &place.policy], 0);
    let nobody = "relayed, 0 joined, at most 3, kept by no `sockc socket pair`";
    let said = place.says(&["status"], 0);
    assert!(said.contains(nobody), "{said}");
    let keeper = place.keeper();
    assert_eq!(place.shown(0), 0);
    let mut joined = place.joined();
    joined.goes();
    assert_eq!(place.shown(0), 1);
    let said = place.says(&["status"], 0);
    assert!(said.contains("relayed, 1 joined, at most 3\n"), "{said}");
    let said = place.says(&["plan", &place.policy], 0);
    assert!(said.contains("goes on with 1 pair"), "{said}");
    place.says(&["apply", &place.policy], 0);
    joined.goes();
    let counted: Value = place.ran(&["counters", "--json"]).json();
    let rules = counted["rules"].as_array().unwrap();
    assert_eq!(rules[0]["bytes"], 14, "{counted}");
    assert_eq!(rules[1]["bytes"], 14, "{counted}");
    let other = place.folder.file("other.sk", "default in allow\n");
    let said = place.says(&["plan", &other, "--interface", "lo"], 0);
    assert!(said.contains("goes; 1 pair is reset"), "{said}");
    place.says(&["apply", &other, "--interface", "lo"], 0);
    joined.is_reset();
    let ended = keeper.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("does not declare them any more"), "{said}");
    assert!(!fs::exists(place.path()).unwrap());
}

/// Data goes on before a trial, in it, and after it has ended by itself, of pairs that were there and of those that come.
#[test]
fn pairs_outlive_a_trial_of_a_policy_with_the_same() {
    if !root() {
        return;
    }
    let place = Place::new("paired-trial");
    place.says(&["apply", &place.policy], 0);
    let keeper = place.keeper();
    let mut joined = vec![place.joined()];
    place.says(&["apply", &place.policy, "--confirm", "3s"], 0);
    joined.push(place.joined());
    joined.iter_mut().for_each(Joined::goes);
    while place.ran(&["history", "--json"]).json()["in_force"] != 1 {
        joined.iter_mut().for_each(Joined::goes);
    }
    joined.push(place.joined());
    joined.iter_mut().for_each(Joined::goes);
    assert_eq!(place.shown(0), 3);
    let more = place.folder.file(
        "more.sk",
        &fs::read_to_string(&place.policy)
            .unwrap()
            .replace("max 3", "max 4"),
    );
    let said = place.says(&["apply", &more, "--confirm", "1h"], 3);
    assert!(said.contains("the pairs that are declared"), "{said}");
    place.says(&["unload", "--yes"], 0);
    joined.iter().for_each(Joined::is_reset);
    assert_eq!(keeper.wait_with_output().unwrap().status.code(), Some(3));
}

/// Also a pin that somebody removed ends no pair: it is told, and the next apply mends it.
#[test]
fn a_pin_of_pairs_that_is_gone_is_told_and_mended() {
    if !root() {
        return;
    }
    let place = Place::new("unpinned");
    place.says(&["apply", &place.policy], 0);
    let mut keeper = place.keeper();
    let mut joined = place.joined();
    for pin in ["targets", "sources", "joined", "allowed", "moved"] {
        let remove = || {
            let inode = fs::read_link("/proc/thread-self/ns/net").unwrap();
            let inode = inode.to_str().unwrap().to_owned();
            let inode = inode.trim_matches(|c: char| !c.is_ascii_digit());
            let pairs = format!("/sys/fs/bpf/sockc/{inode}/pairs");
            let folder = fs::read_dir(pairs).unwrap().next().unwrap().unwrap();
            fs::remove_file(folder.path().join(pin)).unwrap();
        };
        place.lab.server.run(remove).unwrap();
        let said = place.says(&["status"], 5);
        assert!(said.contains(pin), "{said}");
        // The keeper looks every 100 ms.
        thread::sleep(Duration::from_millis(150));
        joined.goes();
        place.says(&["apply", &place.policy], 0);
        assert_eq!(place.shown(0), 1);
        joined.goes();
        assert!(keeper.try_wait().unwrap().is_none(), "{pin}");
    }
    place.says(&["unload", "--yes"], 0);
    joined.is_reset();
    assert_eq!(keeper.wait().unwrap().code(), Some(3));
}

#[test]
fn a_keeper_that_is_killed_resets_its_pairs_and_another_takes_its_place() {
    if !root() {
        return;
    }
    let place = Place::new("killed-keeper");
    place.says(&["apply", &place.policy], 0);
    let mut keeper = place.keeper();
    let mut joined = place.joined();
    joined.goes();
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    joined.is_reset();
    assert_eq!(place.shown(0), 0);
    let keeper = place.keeper();
    let mut joined = place.joined();
    joined.goes();
    let id = nix::unistd::Pid::from_raw(keeper.id().cast_signed());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = keeper.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        said.contains("1 joined, 0 ended, 1 reset, 0 refused"),
        "{said}"
    );
    joined.is_reset();
    place.says(&["unload", "--yes"], 0);
}

#[test]
fn what_a_program_of_c_has_read_comes_first_and_a_refusal_comes_in_words() {
    if !root() {
        return;
    }
    let place = Place::new("paired-c");
    place.says(&["apply", &place.policy], 0);
    let (mut joined, sides) = place.connections();
    let copies = sides.each_ref().map(|side| side.try_clone().unwrap());
    let (code, said) = place.hand_over(copies, ["", ""]);
    assert_eq!(code, Some(1));
    assert!(said.contains("No such file"), "{said}");
    let keeper = place.keeper();
    let copies = sides.each_ref().map(|side| side.try_clone().unwrap());
    let handed = place.hand_over(copies, ["to the upstream", "to the client"]);
    assert_eq!(handed, (Some(0), String::new()));
    let (code, said) = place.hand_over(sides, ["", ""]);
    assert_eq!(code, Some(1));
    assert!(said.contains("in a pair already"), "{said}");
    for (end, early) in [
        (&mut joined.upstream, "to the upstream"),
        (&mut joined.client, "to the client"),
    ] {
        let mut got = vec![0; early.len()];
        end.read_exact(&mut got).unwrap();
        assert_eq!(got, early.as_bytes());
    }
    joined.goes();
    place.says(&["unload", "--yes"], 0);
    assert_eq!(keeper.wait_with_output().unwrap().status.code(), Some(3));
}

#[test]
fn try_hands_over_a_pair_for_each_splice() {
    if !root() {
        return;
    }
    let folder = Folder::new("paired-trial");
    let policy = folder.file(
        "two.sk",
        "pairs one = registered max 3\npairs two = registered max 3\nfirst: splice tcp pairs one\nsecond: splice tcp pairs two\n",
    );
    let ran = run(&["try", &policy, "--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let tried = ran.json();
    let rows = tried["pairs"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{tried}");
    for (row, line) in rows.iter().zip([3, 4]) {
        assert_eq!(row["agrees"], true, "{tried}");
        assert_eq!(
            (&row["verdict"], &row["line"]),
            (&"splice".into(), &line.into())
        );
    }
    // What the first end wrote, and what came back: of each splice.
    let bytes: Vec<_> = tried["counters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["bytes"])
        .collect();
    assert_eq!(bytes, [15, 13, 15, 13], "{tried}");
}

/// Nobody can tell what was moved of a pair that was on its way when the command was killed.
#[test]
fn a_pair_that_gets_no_answer_is_reset() {
    if !root() {
        return;
    }
    let place = Place::new("unanswered");
    let flags = SockFlag::SOCK_CLOEXEC;
    let desk = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    let at = UnixAddr::new(place.path().as_str()).unwrap();
    bind(desk.as_raw_fd(), &at).unwrap();
    listen(&desk, Backlog::new(1).unwrap()).unwrap();
    let (joined, sides) = place.connections();
    let killed = thread::spawn(move || {
        let heard = accept(desk.as_raw_fd()).unwrap();
        // SAFETY: the kernel has just made it, for nobody else.
        let heard = unsafe { OwnedFd::from_raw_fd(heard) };
        let got = recv(heard.as_raw_fd(), &mut [0; 64], MsgFlags::empty()).unwrap();
        assert_eq!(got, 16 + 5);
    });
    let (code, said) = place.hand_over(sides, ["early", ""]);
    killed.join().unwrap();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("nobody knows what was moved"), "{said}");
    joined.is_reset();
}
