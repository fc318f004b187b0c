//! A policy that would cut the SSH connection that a command comes over, with a real sshd: refused; and forced on trial, after
//! which the session goes on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sockc_runtime::lab::{FRONT, Lab, SERVER};

use super::{Folder, Ran, root, run};

/// Both would be cut, or a new one only.
const CUT: &str = "default in drop\n";
const OPEN: &str = "default in drop\nallow tcp to port ssh\n";
const NEW: &str = "default in drop\nallow if socket established\n";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with an sshd, in a lab, and what is needed to log in there.
struct Host {
    lab: Lab,
    folder: Folder,
    server: Child,
}

impl Host {
    fn new(name: &str) -> Self {
        let lab = Lab::new().unwrap();
        let folder = Folder::new(name);
        for key in ["host", "own"] {
            let path = folder.0.join(key);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&path)
                .status();
            assert!(made.unwrap().success(), "{key}");
        }
        let path = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
        let config = format!(
            "Port 22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             AcceptEnv SOCKC_*\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n",
            path("host"),
            path("own.pub"),
        );
        let config = folder.file("sshd_config", &config);
        let start = || {
            // sshd wants this folder, which its service makes; the space has its own mounts.
            if !Path::new("/run/sshd").exists() {
                let mounted = Command::new("mount")
                    .args(["-t", "tmpfs", "none", "/run"])
                    .status();
                assert!(mounted.unwrap().success());
                fs::create_dir("/run/sshd").unwrap();
            }
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.args(["-D", "-e", "-f", &config]).stderr(Stdio::null());
            sshd.spawn().unwrap()
        };
        let server = lab.server.run(start).unwrap();
        let host = Self {
            lab,
            folder,
            server,
        };
        host.until(|| host.answers());
        host
    }

    fn until(&self, so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < end, "it does not come");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let address = (SERVER[0], 22).into();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        self.lab.client.run(connect).unwrap()
    }

    /// What somebody does on the machine who came by no network.
    fn here(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        self.folder.file(name, text)
    }

    fn log_in(&self) -> Session {
        self.log_in_with(&[])
    }

    fn log_in_with(&self, more: &[&str]) -> Session {
        let key = self.folder.0.join("own");
        let start = || {
            let mut ssh = Command::new("ssh");
            // A session has what this test was started with, so that a fault that is on is on there too.
            ssh.args(["-F", "none", "-o", "SendEnv=SOCKC_*"])
                .args(["-o", "StrictHostKeyChecking=no", "-o"])
                .args(["UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
                .args(["-o", "LogLevel=ERROR", "-i"])
                .arg(&key)
                .args(more)
                .args([&format!("root@{}", SERVER[0]), "sh"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            ssh.spawn().unwrap()
        };
        let mut child = self.lab.client.run(start).unwrap();
        Session {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn status(&self) -> Value {
        self.here(&["status", "--json"]).json()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A shell over SSH.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// What comes until a line that begins so, and that line.
    fn hear(&mut self, until: &str) -> (String, String) {
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "{heard}");
            if line.starts_with(until) {
                return (heard, line);
            }
            heard.push_str(&line);
        }
    }

    /// What a command says, errors included, and how it ends.
    fn asks(&mut self, command: &str) -> (String, i32) {
        self.say(&format!("{command} 2>&1; echo ENDED $?"));
        let (said, ended) = self.hear("ENDED ");
        (said, ended["ENDED ".len()..].trim().parse().unwrap())
    }

    fn sockc(&mut self, arguments: &str) -> (String, i32) {
        self.asks(&format!("{} {arguments}", env!("CARGO_BIN_EXE_sockc")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_would_cut_the_own_session_is_refused_in_every_way() {
    if !root() {
        return;
    }
    let host = Host::new("lockout");
    let [cut, open, new] = [("cut", CUT), ("open", OPEN), ("new", NEW)]
        .map(|(name, text)| host.file(&format!("{name}.sk"), text));
    let mut session = host.log_in();
    let on = format!("--interface {FRONT}");

    let (said, code) = session.sockc(&format!("apply {cut} {on}"));
    assert_eq!(code, 4, "{said}");
    let client = "this would cut the SSH connection that you are using, from ";
    assert!(said.starts_with(&format!("error: {client}")), "{said}");
    assert!(said.contains("by `default in drop` ("), "{said}");
    assert!(
        said.contains("to port ssh`") && said.contains("--lock-me-out"),
        "{said}"
    );
    assert_eq!(host.status()["policy"], Value::Null);
    // Nor on trial, nor where the variable is taken away, as by sudo.
    for more in ["--confirm 30s", "--yes"] {
        let (said, code) = session.sockc(&format!("apply {cut} {on} {more}"));
        assert_eq!(code, 4, "{said}");
    }
    let bare = format!("env -i {} apply {cut} {on}", env!("CARGO_BIN_EXE_sockc"));
    assert_eq!(session.asks(&bare).1, 4);
    // A plan says it and ends as ever; carrying it out is refused.
    let plan = host.folder.0.join("cut.plan");
    let plan = plan.to_str().unwrap();
    let (said, code) = session.sockc(&format!("plan {cut} {on} -o {plan}"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\nssh\n  this would cut the SSH"), "{said}");
    let (said, code) = session.sockc(&format!("plan {cut} {on} --json"));
    assert_eq!(code, 0, "{said}");
    // Notes stand ahead of it.
    let (_, json) = said.split_at(said.find("{\n").unwrap());
    let json: Value = serde_json::from_str(json).unwrap();
    let whats: Vec<&Value> = json["ssh"]["cuts"].as_array().unwrap().iter().collect();
    let whats: Vec<&Value> = whats.iter().map(|cut| &cut["what"]).collect();
    assert_eq!(whats, ["new", "established"]);
    assert_eq!(session.sockc(&format!("apply {plan}")).1, 4);

    // What lets it in is put in force without a word of it.
    let (said, code) = session.sockc(&format!("apply {open} {on}"));
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("SSH"), "{said}");
    // Somebody else cuts new ones; a way back to that is a way to it.
    let (said, code) = session.sockc(&format!("apply {new} {on}"));
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("though the one that you are using goes on"),
        "{said}"
    );
    let applied = host.here(&["apply", &new, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_eq!(session.sockc("apply --running").1, 4);
    let (said, code) = session.sockc(&format!("apply {open} {on}"));
    assert_eq!(code, 0, "{said}");
    let (said, code) = session.sockc("rollback --yes");
    assert_eq!(code, 4, "{said}");
    let (said, code) = session.sockc("rollback --yes --lock-me-out");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("note: this will let no new SSH connection in from"),
        "{said}"
    );
}

/// `self` is filled by the apply, so it is asked for what it will hold, and not for what another policy's holds.
#[test]
fn the_address_that_the_session_came_to_is_self() {
    if !root() {
        return;
    }
    let host = Host::new("own-lockout");
    let open = host.file("open.sk", "default in drop\nallow tcp to self:ssh\n");
    let cut = host.file("cut.sk", "default in allow\ndrop tcp to self:ssh\n");
    let mut session = host.log_in();
    let on = format!("--interface {FRONT}");
    for _ in 0..2 {
        let (said, code) = session.sockc(&format!("apply {cut} {on}"));
        assert_eq!(code, 4, "{said}");
        let (said, code) = session.sockc(&format!("apply {open} {on}"));
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("SSH"), "{said}");
    }
}

#[test]
fn a_session_that_is_cut_on_trial_comes_back() {
    if !root() {
        return;
    }
    let host = Host::new("locked");
    let (cut, open) = (host.file("cut.sk", CUT), host.file("open.sk", OPEN));
    let mut session = host.log_in();
    let (said, code) = session.sockc(&format!("apply {open} --interface {FRONT}"));
    assert_eq!(code, 0, "{said}");
    let sockc = env!("CARGO_BIN_EXE_sockc");
    session.say(&format!(
        "{sockc} apply {cut} --interface {FRONT} --lock-me-out --confirm 3s 2>&1"
    ));
    // What it says leaves; what is typed does not come, until the deadline has passed.
    let (before, _) = session.hear("it waits to be confirmed");
    assert!(
        before.contains("note: this will cut the SSH connection that you are using, from"),
        "{before}"
    );
    assert_eq!(host.status()["policy"], "cut");
    let (_, code) = session.asks("true");
    assert_eq!(code, 0);
    let status = host.status();
    assert_eq!(
        (&status["policy"], &status["trial"]),
        (&"open".into(), &Value::Null)
    );
    assert!(host.answers());
}

#[test]
fn a_variable_with_rubbish_is_said_and_is_in_the_way_of_nothing() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("rubbish"));
    let path = folder.file("cut.sk", CUT);
    let apply = |connection: &str| {
        let mut command = super::sockc(&["apply", &path, "--interface", FRONT]);
        command.env("SSH_CONNECTION", connection);
        Ran::of(lab.server.run(|| command.output().unwrap()).unwrap())
    };
    let (client, server) = (sockc_runtime::lab::CLIENT[0], SERVER[0]);
    for (connection, words) in [
        ("\u{1b}[2J; rm -rf", Some("names no connection")),
        (
            &format!("{client} 51022 {server} 22"),
            Some("is over, and nobody listens"),
        ),
        // Of another network namespace.
        (
            "198.51.100.7 51022 198.51.100.1 22",
            Some("is no address of this machine any more"),
        ),
    ] {
        let ran = apply(connection);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let said = ran.stderr.contains("SSH");
        assert_eq!(said, words.is_some(), "{connection}: {}", ran.stderr);
        assert!(words.is_none_or(|words| ran.stderr.contains(words)));
    }
    // Where somebody listens, a new connection is asked about, whatever became of the old one.
    let listens = || std::net::TcpListener::bind((server, 22)).unwrap();
    let _listener = lab.server.run(listens).unwrap();
    let ran = apply(&format!("{client} 51022 {server} 22"));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("let no SSH connection in from"),
        "{}",
        ran.stderr
    );
}

/// A lab of which somebody says that they came over SSH, with a policy's sets to change.
struct Told {
    lab: Lab,
    folder: Folder,
}

impl Told {
    fn new(name: &str) -> Self {
        Self {
            lab: Lab::new().unwrap(),
            folder: Folder::new(name),
        }
    }

    /// Somebody who listens where SSH does.
    fn listener(&self) -> std::net::TcpListener {
        let listens = || std::net::TcpListener::bind((SERVER[0], 22)).unwrap();
        self.lab.server.run(listens).unwrap()
    }

    fn must(&self, arguments: &[&str]) {
        let ran = self.lab.server.run(|| run(arguments)).unwrap();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    }

    fn applied(&self, name: &str, text: &str, more: &[&str]) {
        let path = self.folder.file(&format!("{name}.sk"), text);
        self.must(&[&["apply", &path, "--interface", FRONT], more].concat());
    }

    /// What a command says that comes over SSH, and how it ends.
    fn over_ssh(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let (client, server) = (sockc_runtime::lab::CLIENT[0], SERVER[0]);
        let mut command = super::sockc(arguments);
        command.env("SSH_CONNECTION", format!("{client} 51022 {server} 22"));
        let ran = Ran::of(self.lab.server.run(|| command.output().unwrap()).unwrap());
        (ran.stderr, ran.code)
    }
}

/// A set that both policies of a trial have is one set, whichever of them is in force later.
#[test]
fn what_a_set_cuts_is_asked_of_the_policy_that_comes_back_too() {
    if !root() {
        return;
    }
    let (drops, counts) = ("drop", "count");
    let text =
        |verb: &str| format!("default in allow\nlive set banned max 10\n{verb} from @banned\n");
    let own = sockc_runtime::lab::CLIENT[0].to_string();
    let then = "if what is on trial is not confirmed, and \"old\" is in force again, in ";
    for (old, new, later) in [(drops, counts, true), (counts, drops, false)] {
        let told = Told::new(&format!("set-on-trial-{old}"));
        let _listener = told.listener();
        told.applied("old", &text(old), &[]);
        told.applied("new", &text(new), &["--confirm", "1h"]);
        let (said, code) = told.over_ssh(&["set", "add", "banned", &own]);
        assert_eq!(code, Some(4), "{old}: {said}");
        assert!(
            said.contains("this would let no SSH connection in"),
            "{said}"
        );
        assert_eq!(said.contains(then), later, "{said}");
        let (said, code) = told.over_ssh(&["set", "add", "banned", &own, "--lock-me-out"]);
        assert_eq!(code, Some(0), "{old}: {said}");
        assert!(
            said.contains("this will let no SSH connection in"),
            "{said}"
        );
        assert_eq!(said.contains(then), later, "{said}");
        // Of what is over for both nothing is said.
        let (said, code) = told.over_ssh(&["set", "del", "banned", &own]);
        assert_eq!((code, said.contains("SSH")), (Some(0), false), "{said}");
    }
}

/// What is in a set for good may be given an end, which is said, and so is what follows for the session.
#[test]
fn an_element_that_is_given_an_end_is_told() {
    if !root() {
        return;
    }
    let told = Told::new("given-an-end");
    let _listener = told.listener();
    let text = "default in drop\nlive set friends max 10\nallow tcp from @friends to port ssh\n";
    told.applied("sets", text, &[]);
    let own = sockc_runtime::lab::CLIENT[0].to_string();
    told.must(&["set", "add", "friends", &own, "192.0.2.1"]);
    let cut = "is in the live set \"friends\" for a time only; after that, a new connection: ";
    let ends = "1 element was in it for good before, and will leave it now";
    for (element, time, is_own, is_new) in [
        ("192.0.2.1", "1h", false, true),
        (own.as_str(), "1h", true, true),
        // It ends already.
        (&own, "2h", false, false),
        (&own, "never", false, false),
    ] {
        let (said, code) = told.over_ssh(&["set", "add", "friends", element, "--expires", time]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains(cut), is_own, "{element} {time}: {said}");
        assert_eq!(said.contains(ends), is_new, "{element} {time}: {said}");
    }
    // A wider element that stays keeps what it covers.
    let wide = sockc_runtime::Prefix::truncate(sockc_runtime::lab::CLIENT[0], 24);
    told.must(&["set", "add", "friends", &wide.unwrap().to_string()]);
    let (said, code) = told.over_ssh(&["set", "add", "friends", &own, "--expires", "1h"]);
    assert_eq!((code, said.contains(cut)), (Some(0), false), "{said}");
}

/// As by `apply`, what cannot be asked about is said.
#[test]
fn a_connection_that_is_over_is_said_where_a_set_changes() {
    if !root() {
        return;
    }
    let told = Told::new("over");
    let text = "default in allow\nlive set banned max 10\ndrop from @banned\n";
    told.applied("sets", text, &[]);
    let own = sockc_runtime::lab::CLIENT[0].to_string();
    let (said, code) = told.over_ssh(&["set", "add", "banned", &own]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is over, and nobody listens there"), "{said}");
    let (said, _) = told.over_ssh(&["set", "add", "banned", "192.0.2.9"]);
    assert!(!said.contains("is over"), "{said}");
}

/// Sessions over one connection are as old as that.
#[test]
fn a_new_session_over_an_old_connection_does_not_confirm() {
    if !root() {
        return;
    }
    let host = Host::new("multiplexed");
    let (open, same) = (host.file("open.sk", OPEN), host.file("same.sk", OPEN));
    let path = host.folder.0.join("master");
    let path = path.to_str().unwrap();
    let mut master = host.log_in_with(&["-M", "-S", path]);
    assert_eq!(master.asks("true").1, 0);
    assert!(Path::new(path).exists());
    for arguments in [
        &["apply", &open, "--interface", FRONT][..],
        &["apply", &same, "--interface", FRONT, "--confirm", "1h"],
    ] {
        let ran = host.here(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let mut second = host.log_in_with(&["-S", path]);
    let (said, code) = second.sockc("confirm");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("was there before the policy"), "{said}");
    let mut new = host.log_in();
    let sockc = env!("CARGO_BIN_EXE_sockc");
    let (said, code) = new.asks(&format!("SSH_CONNECTION=garbage {sockc} confirm"));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("names no connection"), "{said}");
    assert_ne!(host.status()["trial"], Value::Null);
    let (said, code) = new.sockc("confirm");
    assert_eq!(code, 0, "{said}");
}

/// Whoever changes a live set is asked what whoever applies a policy is.
#[test]
fn a_live_set_does_not_cut_the_session_unsaid() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("own-address"));
    let text = "default in drop\nlive set banned max 10\nlive set friends max 10\ndrop from @banned\n\
                allow tcp from @friends to port ssh\n";
    let path = folder.file("sets.sk", text);
    let (client, server) = (sockc_runtime::lab::CLIENT[0], SERVER[0]);
    let listens = || std::net::TcpListener::bind((server, 22)).unwrap();
    let _listener = lab.server.run(listens).unwrap();
    let here = |arguments: &[&str]| lab.server.run(|| run(arguments)).unwrap();
    let over_ssh = |arguments: &[&str]| {
        let mut command = super::sockc(arguments);
        command.env("SSH_CONNECTION", format!("{client} 51022 {server} 22"));
        Ran::of(lab.server.run(|| command.output().unwrap()).unwrap())
    };
    let own = client.to_string();
    for arguments in [
        &["apply", &path, "--interface", FRONT][..],
        &["set", "add", "friends", &own, "192.0.2.1"],
    ] {
        let ran = here(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let list = folder.file("others.txt", "192.0.2.1\n");
    let wide = sockc_runtime::Prefix::truncate(client, 24)
        .unwrap()
        .to_string();
    for arguments in [
        &["set", "add", "banned", &own][..],
        &["set", "add", "banned", &wide],
        &["set", "del", "friends", &own],
        &["set", "clear", "friends"],
        &["set", "load", "friends", &list],
    ] {
        let ran = over_ssh(arguments);
        assert_eq!(ran.code, Some(4), "{arguments:?}: {}", ran.stderr);
        let says = "`--lock-me-out` changes the set all the same";
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        let nothing = "this would let no SSH connection in";
        assert!(ran.stderr.contains(nothing), "{}", ran.stderr);
    }
    let friends = here(&["set", "list", "friends", "--json"]).json();
    assert_eq!(friends["elements"].as_array().unwrap().len(), 2);
    // What does not is done without a word, and what is wanted with one.
    for (arguments, said) in [
        (&["set", "add", "banned", "192.0.2.7"][..], false),
        (&["set", "del", "friends", "192.0.2.1"], false),
        (&["set", "add", "banned", &own, "--lock-me-out"], true),
        // It is cut already.
        (&["set", "clear", "friends"], false),
    ] {
        let ran = over_ssh(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        assert_eq!(
            ran.stderr.contains("SSH connection in"),
            said,
            "{}",
            ran.stderr
        );
    }
}
