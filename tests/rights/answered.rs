//! Members of a group, to whom a service answers: what they see, what they may not do, and what none of them can do to others.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_runtime::lab::BPFFS;
use sockc_testing::again;
use socket2::{Domain, SockAddr, Socket, Type};

use super::elsewhere::hide;
use super::{Scene, can_run, said};

/// Somebody of the group, and somebody who is not.
const MEMBER: u32 = 64_322;
const STRANGER: u32 = 64_323;
const GROUP: u32 = 64_400;
/// So many ask at once: what a test may open beside others.
const MANY: usize = 1_000;
pub(super) const AT: &str = "/run/sockc/answer";

/// Where root applied a policy.
pub(super) fn scene(name: &str) -> Scene {
    let scene = Scene::new(name);
    hide(&scene, "/run");
    let roots = || chown(BPFFS, Some(0), Some(0)).unwrap();
    scene.space.run(roots).unwrap();
    let applied = by_root(&scene, "apply edge.sk --yes");
    assert!(applied.status.success(), "{}", said(&applied));
    scene
}

fn ran(scene: &Scene, command: &mut Command) -> Output {
    command.current_dir("/").stdin(Stdio::null());
    scene.space.run(|| command.output().unwrap()).unwrap()
}

pub(super) fn by_root(scene: &Scene, line: &str) -> Output {
    let line = format!("cd {}; exec ./sockc {line}", scene.folder.display());
    ran(scene, Command::new("sh").args(["-c", &line]))
}

/// A command as a user with these groups and no capabilities.
fn of_user(scene: &Scene, user: u32, group: Option<u32>, line: &str) -> Command {
    let id = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id]);
    match group {
        Some(group) => command.arg(format!("--groups={group}")),
        None => command.arg("--clear-groups"),
    };
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]);
    let line = format!("cd {}; exec ./sockc {line}", scene.folder.display());
    command.args(["sh", "-c", &line]).stdin(Stdio::null());
    command
}

/// A command as a member of the group.
pub(super) fn member(scene: &Scene, line: &str) -> Command {
    of_user(scene, MEMBER, Some(GROUP), line)
}

pub(super) fn by_member(scene: &Scene, line: &str) -> Output {
    ran(scene, &mut member(scene, line))
}

/// The command of a service.
pub(super) fn service(scene: &Scene) -> Command {
    let mut command = Command::new(scene.folder.join("sockc"));
    command.args(["answer", "--group", &GROUP.to_string()]);
    command.stdin(Stdio::null());
    command
}

/// A service at work.
struct Service {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Service {
    fn new(scene: &Scene) -> Self {
        let mut command = service(scene);
        command.stdout(Stdio::piped());
        let mut child = scene.space.run(|| command.spawn().unwrap()).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut service = Self { child, said };
        assert!(
            service
                .hears()
                .contains("are answered for the group 64400 at /run/sockc/answer")
        );
        service
    }

    /// The next line that it says.
    fn hears(&mut self) -> String {
        let mut line = String::new();
        again(|| self.said.read_line(&mut line)).unwrap();
        line
    }

    /// Ends it as systemd does.
    fn ends(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// The processes that it has started, by number.
    fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let lists = tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let all: Vec<String> = lists.collect();
        all.iter()
            .flat_map(|list| list.split_whitespace())
            .map(|one| one.parse().unwrap())
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connects(scene: &Scene) -> UnixStream {
    let stream = scene
        .space
        .run(|| UnixStream::connect(AT).unwrap())
        .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// What comes for bytes that somebody sends: the whole answer.
fn answer(scene: &Scene, bytes: &[u8]) -> String {
    let mut stream = connects(scene);
    // One that refuses may do so before it has all of it.
    let _ = stream.write_all(bytes);
    let mut heard = Vec::new();
    let _ = again(|| stream.read_to_end(&mut heard));
    String::from_utf8_lossy(&heard).into_owned()
}

/// A request as sockc writes one, from the scene's own namespace.
fn request(scene: &Scene, version: u32, arguments: &[&str]) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt;
    let about = scene
        .space
        .run(|| fs::metadata("/proc/thread-self/ns/net").unwrap())
        .unwrap();
    let namespace = format!("{{\"device\":{},\"inode\":{}}}", about.dev(), about.ino());
    let text =
        format!("{{\"version\":{version},\"namespace\":{namespace},\"arguments\":{arguments:?}}}");
    framed(text.as_bytes())
}

fn framed(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [length.to_be_bytes().as_slice(), text].concat()
}

/// What of a text stays the same from one moment to the next: numbers apart.
fn without_numbers(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}

#[test]
fn a_member_sees_what_root_sees_and_a_stranger_nothing() {
    if !can_run() {
        return;
    }
    let scene = scene("group");
    let service = Service::new(&scene);
    for line in [
        "history",
        "history --json",
        "show running",
        "show running 99",
        "counters",
        "counters --json",
        "counters --rule nothing",
        "set list",
        "set list banned --json",
        "set list nothing",
        "set test banned 192.0.2.9",
        "map list tenants",
        "socket list",
        "status",
        "status --json",
        "metrics",
        "monitor tcp to nowhere",
        "monitor --for 1s",
    ] {
        let (root, member) = (by_root(&scene, line), by_member(&scene, line));
        assert_eq!(
            member.status.code(),
            root.status.code(),
            "{line}: {}",
            said(&member)
        );
        // These tell times.
        let moves = line.starts_with("status") || line == "metrics" || line.starts_with("history");
        if moves {
            assert_eq!(
                without_numbers(&member.stdout),
                without_numbers(&root.stdout),
                "{line}"
            );
        } else {
            assert_eq!(said(&member), said(&root), "{line}");
        }
        assert_eq!(member.stderr, root.stderr, "{line}");
    }
    let stranger = ran(&scene, &mut of_user(&scene, STRANGER, None, "status"));
    let told = said(&stranger);
    assert_eq!(stranger.status.code(), Some(3), "{told}");
    assert!(
        told.contains("is for the group 64400, and this process may not write there"),
        "{told}"
    );
    assert!(told.contains("this needs the rights"), "{told}");
    for (line, what, so) in [
        ("monitor --drops", "`--drops`", true),
        ("counters --reset --yes", "`--reset`", true),
        ("unload --yes", "", false),
    ] {
        let member = by_member(&scene, line);
        let told = said(&member);
        assert_eq!(member.status.code(), Some(3), "{line}: {told}");
        let note = format!("note: of `sockc answer` at {AT}: {what} is not answered here");
        assert_eq!(told.contains(&note), so, "{line}: {told}");
    }
    service.ends();
    assert!(scene.space.run(|| !Path::new(AT).exists()).unwrap());
    let alone = by_member(&scene, "status");
    assert_eq!(alone.status.code(), Some(3));
    assert!(
        said(&alone).starts_with("error: this needs the rights"),
        "{}",
        said(&alone)
    );
}

#[test]
fn nothing_but_reading_is_done_for_anybody_whatever_is_sent() {
    if !can_run() {
        return;
    }
    let scene = scene("raw");
    let _service = Service::new(&scene);
    let before =
        said(&by_root(&scene, "history --json")) + &said(&by_root(&scene, "set list banned"));
    for line in [
        "set add banned 192.0.2.9",
        "unload --yes",
        "apply next.sk --yes",
        "counters --reset --yes",
    ] {
        let member = by_member(&scene, line);
        assert_eq!(member.status.code(), Some(3), "{line}: {}", said(&member));
        assert!(said(&member).contains("this needs the rights"), "{line}");
    }
    for line in [
        "set add banned 192.0.2.9",
        "set load banned -",
        "unload --yes",
        "apply /etc/passwd --yes",
        "confirm",
        "counters --reset --yes",
        "show running --out /run/made",
        "show /etc/passwd",
        "diff running /etc/passwd",
        "metrics --textfile /run/made",
        "monitor --pcap-out /run/made",
        "monitor --drops",
        "status --netns /proc/1/ns/net",
        "status --bpffs /tmp",
        "answer --group 0",
        "--help",
        "status --unknown",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let heard = answer(&scene, &request(&scene, 2, &words));
        let says = [" answered here", "none of a reading command"];
        assert!(
            heard.starts_with('\u{4}') && says.iter().any(|said| heard.contains(said)),
            "{line}: {heard:?}"
        );
    }
    let many = vec![""; 10_000];
    for (bytes, says) in [
        (request(&scene, 1, &["status"]), "version 1"),
        (request(&scene, 2, &many), "256 arguments"),
        (framed(b"{\"version\":2,\"namespace\":{\"device\":1,\"inode\":1},\"arguments\":[\"status\"]}"), "another network namespace"),
        (framed(b"{\"version\":2,\"namespace\":{\"device\":1,\"inode\":1},\"arguments\":[\"set\",\"test\",\"a\\u0000\",\"b\"]}"), "a byte that is 0"),
        (framed(b"\xff\xfe garbage"), "no request"),
        (vec![0xff; 64], "at most 65536 bytes"),
        // More than the socket takes before somebody reads.
        (framed(&vec![b' '; 1 << 20]), "at most 65536 bytes"),
        (vec![0, 0, 0, 0], "no request"),
    ] {
        let heard = answer(&scene, &bytes);
        assert!(heard.contains(says), "{says}: {heard:?}");
    }
    // Half a request, and then nothing any more.
    let mut half = connects(&scene);
    half.write_all(&[0, 0, 1, 0, b'{']).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    again(|| half.read_to_end(&mut heard)).unwrap();
    assert!(heard.is_empty());
    assert!(!scene.space.run(|| Path::new("/run/made").exists()).unwrap());
    let after =
        said(&by_root(&scene, "history --json")) + &said(&by_root(&scene, "set list banned"));
    assert_eq!(after, before);
    assert!(by_member(&scene, "status").status.success());
}

#[test]
fn who_asks_a_thousand_times_keeps_neither_others_nor_root_waiting() {
    if !can_run() {
        return;
    }
    let scene = scene("flood");
    let mut service = Service::new(&scene);
    let asked = request(&scene, 2, &["counters", "--watch=1"]);
    let all: Vec<UnixStream> = (0..MANY)
        .map(|_| {
            let mut one = connects(&scene);
            let _ = one.write_all(&asked);
            one
        })
        .collect();
    // The ninth has been told so; the first eight of this user are at work.
    let refused = all.iter().skip(8).map(|one| {
        let (mut one, mut heard) = (one, Vec::new());
        let _ = again(|| one.read_to_end(&mut heard));
        String::from_utf8_lossy(&heard).into_owned()
    });
    let mut refused = refused;
    assert!(refused.all(|heard| heard.contains("too many ask at once")));
    assert!(service.children().len() <= 8, "{:?}", service.children());
    let member = by_member(&scene, "set list");
    assert!(member.status.success(), "{}", said(&member));
    assert!(by_root(&scene, "apply next.sk --yes").status.success());
    drop(all);
    // Others of that user are answered once those are gone.
    while answer(&scene, &request(&scene, 2, &["set", "list"])).contains("too many") {}
    while !service
        .hears()
        .contains(&format!("user {MEMBER} asks: sockc set"))
    {}
}

/// One argument that is too long, and more of them than a socket takes before somebody reads.
#[test]
fn a_command_line_that_is_too_long_is_told_so() {
    if !can_run() {
        return;
    }
    let scene = scene("long");
    let _service = Service::new(&scene);
    let long = "$(head -c 100000 /dev/zero | tr '\\0' 1)";
    for line in [
        format!("set test banned {long}"),
        format!("monitor {long} {long} {long} {long} {long}"),
    ] {
        let member = by_member(&scene, &line);
        let told = said(&member);
        assert_eq!(member.status.code(), Some(3), "{told}");
        let why = format!("error: the service at {AT} cannot be sent the command line: it takes ");
        assert!(told.contains(&why), "{told}");
        assert!(told.contains("at most 65536; ask for less"), "{told}");
    }
    assert!(by_member(&scene, "status").status.success());
}

/// Seven who ask for more than a socket holds, and read nothing of it.
#[test]
fn who_never_reads_keeps_nobody_waiting_and_is_let_go() {
    if !can_run() {
        return;
    }
    let scene = scene("deaf");
    let text = fs::read_to_string(scene.folder.join("edge.sk")).unwrap();
    let long = "# a line that is there to be long\n".repeat(30_000);
    fs::write(scene.folder.join("long.sk"), text + &long).unwrap();
    assert!(by_root(&scene, "apply long.sk --yes").status.success());
    let mut service = Service::new(&scene);
    let asks = || {
        let mut one = connects(&scene);
        one.write_all(&request(&scene, 2, &["show", "running"]))
            .unwrap();
        one
    };
    let deaf: Vec<UnixStream> = (0..7).map(|_| asks()).collect();
    for _ in 0..7 {
        assert!(service.hears().contains("asks: sockc show"));
    }
    // One more of that user, another one, and whoever changes something.
    let began = Instant::now();
    let listed = request(&scene, 2, &["set", "list"]);
    assert!(answer(&scene, &listed).contains("banned"));
    assert!(by_member(&scene, "set list").status.success());
    assert!(by_root(&scene, "apply next.sk --yes").status.success());
    let waited = began.elapsed();
    // Each of those ahead takes a turn, and none the ten seconds in which it may read.
    assert!(waited < Duration::from_secs(9), "{waited:?}");
    // They are let go, each at its time.
    for one in &deaf {
        let mut gone = [PollFd::new(one.as_fd(), PollFlags::empty())];
        again(|| Ok(poll(&mut gone, PollTimeout::from(60_000u16))?)).unwrap();
        assert!(gone[0].any() == Some(true), "it is kept");
    }
    assert!(service.children().is_empty());
    for mut one in deaf {
        let mut heard = Vec::new();
        let _ = again(|| one.read_to_end(&mut heard));
        // What there was room for, and no end of it.
        assert!(
            heard.len() > 1 && heard.len() < long.len(),
            "{}",
            heard.len()
        );
    }
}

#[test]
fn a_command_ends_with_who_asked_and_says_so_where_the_service_ends() {
    if !can_run() {
        return;
    }
    let scene = scene("ends");
    let mut service = Service::new(&scene);
    let mut monitor = of_user(&scene, MEMBER, Some(GROUP), "counters --watch=1");
    monitor.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = |command: &mut Command| scene.space.run(|| command.spawn().unwrap()).unwrap();
    let mut client = start(&mut monitor);
    assert!(service.hears().contains("asks: sockc counters"));
    let child = loop {
        if let [child] = service.children()[..] {
            break child;
        }
        std::thread::yield_now();
    };
    client.kill().unwrap();
    client.wait().unwrap();
    // It is gone once the service has waited for it.
    while Path::new(&format!("/proc/{child}")).exists() {
        std::thread::yield_now();
    }
    let client = start(&mut monitor);
    assert!(service.hears().contains("asks: sockc counters"));
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    let ended = client.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    assert!(
        said(&ended).contains("ended the connection before its answer was whole"),
        "{}",
        said(&ended)
    );
    // Its socket stays, and nobody listens there.
    let told = said(&by_member(&scene, "status"));
    assert!(told.contains("no `sockc answer` listens"), "{told}");
}

#[test]
fn no_group_has_the_number_that_leaves_the_group_as_it_is() {
    if !can_run() {
        return;
    }
    let scene = scene("nobody");
    let ended = by_root(&scene, "answer --group 4294967295");
    let told = said(&ended);
    assert_eq!(ended.status.code(), Some(64), "{told}");
    assert!(told.contains("no group has the number"), "{told}");
}

#[test]
fn a_service_of_another_user_is_not_believed() {
    if !can_run() {
        return;
    }
    let scene = scene("false");
    let make = || {
        fs::create_dir_all("/run/sockc").unwrap();
        fs::set_permissions("/run/sockc", fs::Permissions::from_mode(0o755)).unwrap();
        chown("/run/sockc", Some(0), Some(0)).unwrap();
    };
    scene.space.run(make).unwrap();
    // Whoever listens is who called listen(2): a thread that was another user then.
    let listens = || {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(AT).unwrap()).unwrap();
        fs::set_permissions(AT, fs::Permissions::from_mode(0o666)).unwrap();
        // The library's call would change every thread. This one ends with the closure.
        // SAFETY: the call takes numbers only.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, -1, STRANGER, -1) };
        assert_eq!(changed, 0);
        listener.listen(8).unwrap();
        listener
    };
    let _listener = scene.space.run(listens).unwrap();
    let member = by_member(&scene, "status");
    let told = said(&member);
    assert_eq!(member.status.code(), Some(3), "{told}");
    assert!(
        told.contains(&format!(
            "the user {STRANGER} listens at {AT}, and not root"
        )),
        "{told}"
    );
    // Nor is root's, where others can put something in its place.
    let opened = || fs::set_permissions("/run/sockc", fs::Permissions::from_mode(0o777)).unwrap();
    scene.space.run(opened).unwrap();
    let told = said(&by_member(&scene, "status"));
    assert!(
        told.contains("others than root can change the folder"),
        "{told}"
    );
}
